//! Backing stores of records. Records in RAM use one of seven kinds behind one type, [`Memory`]. A
//! DAX device can hold the records of its own memory.
//!
//! | kind | mapping | populated with | released with | unit |
//! | --- | --- | --- | --- | --- |
//! | `anon` | private | `MADV_POPULATE_WRITE` | `MADV_DONTNEED` | base pages |
//! | `linux` | private; `MADV_HUGEPAGE` for whole blocks of 2 MiB, `MADV_NOHUGEPAGE` for the rest | the same | the same; releasing part of a huge page splits it | base pages |
//! | `thp` | private, `MADV_HUGEPAGE` | the same | the same; releasing part of a huge page splits it | base pages |
//! | `hugetlb` | a memfd (`MFD_HUGETLB`), shared | `fallocate`, then populate | `MADV_REMOVE` | 2 MiB |
//! | `tmpfs` | an unnamed file, shared | `fallocate`, then populate | `MADV_REMOVE` | base pages |
//! | `tmpfs-huge` | the same, `MADV_HUGEPAGE` | populate only: `fallocate` ignores the advice | `MADV_REMOVE`; releasing part of a huge page splits it | base pages |
//! | `file` | the same on a file system with blocks | `fallocate`, then populate | `MADV_REMOVE` | base pages |

mod address_range;
mod backing_store;
mod dax;
mod error;
mod file;
mod huge;
mod hugetlb;
mod linux;
mod memory;
mod private;
mod ram_backing;
mod reservation;
mod shared;
mod tmpfs;

pub use crate::stretch::Stretch;
pub use dax::{DaxDevice, DaxError};
pub use error::{BackingError, TmpfsError};
pub use huge::tmpfs_refuses_huge_pages;
pub use memory::Memory;
pub use ram_backing::RamBacking;

pub(crate) use address_range::too_many_mappings;
pub(crate) use memory::BASE_ALIGN;
pub(crate) use shared::reserve_blocks;
pub(crate) use tmpfs::full as tmpfs_is_full;
