//! The commands `pfnbench namespace disable` and `pfnbench namespace destroy`.

use super::region_args::RegionAtArgs;
use crate::cli::{Answer, Json, print, print_json};
use crate::pmem::namespaces;
use clap::Args;
use memmap_layouts::nvdimm::label::Label;
use memmap_layouts::nvdimm::storage::Access;
use serde_json::json;

/// One namespace of a region.
#[derive(Debug, Args)]
pub(super) struct NamespaceOfRegionArgs {
    #[command(flatten)]
    region: RegionAtArgs,
    /// Name or UUID of the namespace
    #[arg(value_name = "NAMESPACE")]
    namespace: String,
    #[command(flatten)]
    pub(super) json: Json,
}

impl NamespaceOfRegionArgs {
    pub(super) fn disable(&self) -> anyhow::Result<Answer> {
        let mut region = self.region.open(Access::Write, self.json)?;
        let label = namespaces::disable(&mut region, &self.namespace)?;
        self.print_state(&label, "disabled")
    }

    pub(super) fn destroy(&self) -> anyhow::Result<Answer> {
        let mut region = self.region.open(Access::Write, self.json)?;
        let label = namespaces::destroy(&mut region, &self.namespace)?;
        self.print_state(&label, "destroyed")
    }

    fn print_state(&self, label: &Label, state: &str) -> anyhow::Result<Answer> {
        match self.json.json {
            true => print_json(&json!({ "name": label.name, "is": state }))?,
            false => print(format!("{}: {state}", label.name))?,
        }
        Ok(Answer::Yes)
    }
}
