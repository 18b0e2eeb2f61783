//! Storage that outlives a process, and its crash consistency.
//!
//! **Failure model.** The atomic unit of a write is a sector of 512 bytes or, on a mapped device,
//! eight aligned bytes. After a crash, any subset of the units written since the last barrier may
//! be there. Everything written before a barrier is there.

mod access;
mod device;
mod error;
mod file;
mod storage_file;

pub use access::Access;
pub use device::DeviceStorage;
pub use error::StorageError;
pub use file::FileStorage;
pub use storage_file::StorageFile;

use std::fmt::Debug;
use std::io;

/// Atomic write unit in bytes of a file or a disk.
pub const SECTOR_BYTES: usize = 512;

/// Atomic write unit in bytes of a mapped device: one aligned store.
pub(crate) const STORE_BYTES: usize = 8;

/// Bytes that can be read, written and made durable.
pub trait Storage: Debug {
    /// Present size in bytes.
    ///
    /// # Errors
    /// The operating system reported an error.
    fn len_bytes(&self) -> io::Result<u64>;
    /// Fills a buffer with the bytes at `offset`.
    ///
    /// # Errors
    /// The storage ends too early (`UnexpectedEof`), or the operating system reported an error.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes whole sectors.
    ///
    /// # Errors
    /// The storage is read-only or full, or the operating system reported an error. Some sectors
    /// may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes everything written so far durable: it survives a power failure once this returns.
    ///
    /// # Errors
    /// The operating system reported an error. It is then unknown what was written.
    fn barrier(&self) -> io::Result<()>;
}
