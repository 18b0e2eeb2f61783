//! What all processes of a run have in common.

use crate::case::Filter;
use crate::engine::backing_arg::BackingArg;
use crate::engine::field::Means;
use crate::engine::index_pages::IndexPagesArg;
use serde::{Deserialize, Serialize};

/// A compiled kernel that takes part in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenKernel {
    /// Id of its contestant, e.g. `compiled-6.1`.
    pub id: String,
    /// Its release, e.g. `6.1.0-57-cloud-amd64`.
    pub release: String,
    /// SHA-256 of its compiled lookups.
    pub sha256: String,
}

/// What all processes of a run have in common. The schedule of the run states it once; jobs, the
/// manifest and a resumed run read it there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Conditions {
    /// Limit on the records of all layouts together, in bytes.
    pub records_limit: u64,
    /// Backing store of the records.
    pub backing: BackingArg,
    /// Page size of the memory for index tables.
    pub index_pages: IndexPagesArg,
    /// Ids of layouts; empty for all.
    pub layouts: Vec<String>,
    /// The compiled kernels that take part.
    #[serde(default)]
    pub kernels: Vec<ChosenKernel>,
    /// Filter on the names of cases.
    pub filter: Filter,
}

impl Conditions {
    /// Opens the backing store.
    ///
    /// # Errors
    /// This machine does not have it.
    pub fn means(&self, seed: u64) -> anyhow::Result<Means> {
        let (backing, device) = self.backing.open()?;
        let (index_pages, records_limit) = (self.index_pages.into(), self.records_limit);
        Ok(Means { backing, index_pages, device, records_limit, seed })
    }
}
