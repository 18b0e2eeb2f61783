//! Errors of operations on regions and namespaces.

use super::refusal::Refusal;
use crate::interrupt::Interrupted;
use memmap_layouts::machine::MachineError;
use memmap_layouts::nvdimm::scene::SceneError;
use memmap_layouts::{BootError, Pfn};
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why an operation on a region or on its namespaces failed.
#[derive(Debug, Error)]
pub enum PmemError {
    /// The request breaks a rule, or a file, the labels or the machine refuse it.
    #[error(transparent)]
    Refused(#[from] Box<Refusal>),
    /// The user asked to stop; nothing is left behind.
    #[error("{0}")]
    Interrupted(#[from] Interrupted),
    /// The operating system does not report the size of a medium.
    #[error("cannot determine the size of {}", path.display())]
    MediumSize {
        /// Path of the medium.
        path: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
    /// The ranges of RAM are no valid memory map.
    #[error(transparent)]
    Ram(#[from] BootError),
    /// The machine does not boot.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// No layout with hotplug has this id.
    #[error("no layout with hotplug has the id {id:?}; try {}", known.join(", "))]
    UnknownLayout {
        /// The requested id.
        id: String,
        /// Ids of the layouts with hotplug.
        known: Vec<&'static str>,
    },
    /// An enabled namespace has a missing record, or one that belongs to another page frame.
    #[error("namespace {namespace}: the record of {pfn} is missing or belongs to another page frame")]
    WrongRecord {
        /// Name of the namespace.
        namespace: String,
        /// The first such page frame.
        pfn: Pfn,
    },
    /// A scene ended before its last step for another reason than a refusal.
    #[error(transparent)]
    Scene(SceneError),
    /// The temporary files of a scene could not be deleted.
    #[error("cannot delete the temporary files of the scene in {}; delete them by hand", dir.display())]
    SceneFilesRemain {
        /// The folder that was given for them.
        dir: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
}

impl From<Refusal> for PmemError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}
