//! The commands `pfnbench namespace disable` and `pfnbench namespace destroy`.

use super::media::{MediumArgs, PathArgs, subject};
use crate::cli::{Answer, Json, print, print_json};
use crate::pmem::refusal::NotOne;
use anyhow::Context;
use clap::Args;
use memmap_layouts::nvdimm::label::Label;
use memmap_layouts::nvdimm::region::Region;
use memmap_layouts::nvdimm::storage::{Access, StorageFile};
use serde_json::json;
use uuid::Uuid;

/// One namespace of a region.
#[derive(Debug, Args)]
pub(super) struct OneArgs {
    #[command(flatten)]
    medium: MediumArgs,
    /// Name or UUID of the namespace
    #[arg(value_name = "NAMESPACE")]
    namespace: String,
    #[command(flatten)]
    pub(super) json: Json,
}

/// Finds a namespace by name or UUID.
pub(super) fn find(region: &Region<StorageFile>, paths: &PathArgs, name: &str) -> anyhow::Result<Label> {
    let uuid = |label: &Label| Uuid::from_bytes(label.uuid).to_string();
    let is_meant = |label: &&Label| label.name == name || uuid(label) == name.to_lowercase();
    let found: Vec<_> = region.labels().iter().filter(is_meant).collect();
    match found[..] {
        [one] => Ok(one.clone()),
        _ => Err(NotOne {
            name: name.to_owned(),
            found: found.into_iter().map(uuid).collect(),
            there: region.labels().iter().map(|label| label.name.clone()).collect(),
        })
        .with_context(|| paths.subject()),
    }
}

impl OneArgs {
    /// Prints the new state of the namespace in a few words.
    fn say(&self, label: &Label, what: &str) -> anyhow::Result<Answer> {
        match self.json.json {
            true => print_json(&json!({ "name": label.name, "is": what }))?,
            false => print(format!("{}: {what}", label.name))?,
        }
        Ok(Answer::Yes)
    }

    pub(super) fn disable(&self) -> anyhow::Result<Answer> {
        let mut region = self.medium.open(Access::Write, self.json)?;
        let label = find(&region, &self.medium.paths, &self.namespace)?;
        region.set_disabled(&label.uuid, true).with_context(|| subject(&region, &label))?;
        self.say(&label, "disabled")
    }

    pub(super) fn destroy(&self) -> anyhow::Result<Answer> {
        let mut region = self.medium.open(Access::Write, self.json)?;
        let label = find(&region, &self.medium.paths, &self.namespace)?;
        region.destroy_namespace(&label.uuid).with_context(|| subject(&region, &label))?;
        self.say(&label, "destroyed")
    }
}
