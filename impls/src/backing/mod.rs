//! What records are made of: private memory, a tmpfs file, a DAX device.

mod dax;
mod tmpfs;

pub use dax::{DaxDevice, DaxError};
pub use tmpfs::{TmpfsError, unnamed_tmpfs_file};

use std::fmt;
use std::path::PathBuf;

/// What backs records that lie in RAM.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum RamBacking {
    /// Private anonymous memory in base pages.
    #[default]
    Anon,
    /// An unnamed file on the tmpfs that is mounted at (or holds) this directory.
    Tmpfs(PathBuf),
}

impl fmt::Display for RamBacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anon => "anon",
            Self::Tmpfs(_) => "tmpfs",
        })
    }
}
