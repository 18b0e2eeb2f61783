//! The command `pfnbench schema`.

use super::{Answer, print_json};
use crate::audit::AuditListing;
use crate::map::listing::MachineListing;
use crate::record::schema;
use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench schema > schema.json
  pfnbench schema map                      what pfnbench map --json prints

Exit codes: 0 success; 2 a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct SchemaArgs {
    /// What the schema describes
    #[arg(value_enum, default_value_t = Subject::Run)]
    of: Subject,
}

/// What a schema describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// The files of a run folder
    Run,
    /// What `pfnbench map --json` prints
    Map,
    /// What `pfnbench audit --json` prints
    Audit,
}

impl SchemaArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        print_json(&match self.of {
            Subject::Run => schema::document(),
            Subject::Map => schema::document_of::<MachineListing>(
                "pfnbench map, version 1",
                "What pfnbench map --json prints: the memory of a machine. Sizes and addresses are in bytes; end is excluded.",
            ),
            Subject::Audit => schema::document_of::<AuditListing>(
                "pfnbench audit, version 1",
                "What pfnbench audit --json prints: where the memory of a machine went. Sizes and addresses are in bytes; \
                 end is excluded.",
            ),
        })?;
        Ok(Answer::Yes)
    }
}
