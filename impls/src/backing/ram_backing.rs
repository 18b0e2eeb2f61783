//! The kinds of backing store for records in RAM.

use super::linux::Linux;
use std::fmt;
use std::path::PathBuf;

/// The backing store of records in RAM.
///
/// ```
/// use memmap_layouts::RecordStore;
/// use memmap_layouts::backing::RamBacking;
/// use memmap_layouts::vmem::Vmem;
///
/// let store = RecordStore { backing: RamBacking::Tmpfs("/dev/shm".into()), ..RecordStore::unlimited() };
/// let vmem = Vmem::reserve(1 << 30, 4096, &store)?;
/// assert_eq!((store.backing.to_string(), vmem.ram_bytes()), ("tmpfs".to_owned(), 0));
/// # Ok::<(), memmap_layouts::VmemError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum RamBacking {
    /// Private anonymous memory in base pages.
    #[default]
    Anon,
    /// Private anonymous memory, mapped as Linux on x86-64 maps its memory map. Each aligned 2 MiB
    /// of a populate uses a transparent huge page if the kernel finds one; the rest uses base
    /// pages.
    Linux,
    /// Private anonymous memory, in transparent huge pages where the kernel finds them.
    Thp,
    /// Huge pages of 2 MiB from the hugetlb pool.
    Hugetlb,
    /// An unnamed file on the tmpfs that is mounted at (or holds) this directory.
    Tmpfs(PathBuf),
    /// Like `Tmpfs`, in transparent huge pages where the kernel finds them.
    TmpfsHuge(PathBuf),
    /// An unnamed file in this directory, on a file system with blocks such as ext4.
    File(PathBuf),
}

impl RamBacking {
    /// [`Linux`](Self::Linux) if the machine has transparent huge pages of 2 MiB, else
    /// [`Anon`](Self::Anon). Cost: reads three files of sysfs.
    pub fn like_linux() -> Self {
        if Linux::new().is_ok() { Self::Linux } else { Self::Anon }
    }

    /// Why a device cannot be mapped over part of this backing store; `None` if it can.
    pub fn refuses_devices(&self) -> Option<&'static str> {
        match self {
            Self::Hugetlb => Some(
                "pages of the hugetlb pool cannot be split, so the records of part of a section cannot come \
                 from a device",
            ),
            _ => None,
        }
    }
}

impl fmt::Display for RamBacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anon => "anon",
            Self::Linux => "linux",
            Self::Thp => "thp",
            Self::Hugetlb => "hugetlb",
            Self::Tmpfs(_) => "tmpfs",
            Self::TmpfsHuge(_) => "tmpfs-huge",
            Self::File(_) => "file",
        })
    }
}
