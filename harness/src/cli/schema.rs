//! The command `pfnbench schema`.

use super::{Answer, print_json};
use crate::record::schema;
use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench schema > schema.json

Exit codes: 0 success; 2 a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct SchemaArgs {}

impl SchemaArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        print_json(&schema::document())?;
        Ok(Answer::Yes)
    }
}
