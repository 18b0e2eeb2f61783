//! A DAX device as storage, accessed by loads and stores through a mapping.
//!
//! The device node supports neither read, write nor `fsync`, so `msync` returns `EINVAL`. Stores are
//! durable once their cache lines are written back and a fence has completed. Source:
//! `drivers/dax/device.c` (`dax_fops`), `arch_wb_cache_pmem`.

use super::access::{Access, lock};
use super::error::StorageError;
use super::{STORE_BYTES, Storage};
use crate::backing::{DaxDevice, DaxError};
use memmap2::{MmapOptions, MmapRaw};
use std::io;
use std::path::{Path, PathBuf};

/// A DAX device, mapped and locked while it is open.
#[derive(Debug)]
pub struct DeviceStorage {
    device: DaxDevice,
    mapping: MmapRaw,
    path: PathBuf,
    access: Access,
}

impl DeviceStorage {
    /// Opens `/dev/daxX.Y`.
    ///
    /// # Errors
    /// The device does not exist, cannot be mapped, or is locked by another process.
    pub(crate) fn open(path: &Path, access: Access) -> Result<Self, StorageError> {
        let device = DaxDevice::open_as(path, access == Access::Write).map_err(|error| match error {
            DaxError::NotDax { path, found } => StorageError::NoMedium { path, found },
            error => error.into(),
        })?;
        Self::from_device(device, path, access)
    }

    /// Like [`open`](Self::open), but takes a device that is already open.
    pub(crate) fn from_device(device: DaxDevice, path: &Path, access: Access) -> Result<Self, StorageError> {
        let io = |what| move |source| StorageError::Io { path: path.to_owned(), what, source };
        if access == Access::Write && !can_write_back() {
            return Err(io("flush writes to")(io::ErrorKind::Unsupported.into()));
        }
        lock(device.file(), path, access)?;
        let mut options = MmapOptions::new();
        let len = usize::try_from(device.len_bytes()).map_err(|_| io("map")(io::ErrorKind::OutOfMemory.into()))?;
        options.len(len);
        let mapping = match access {
            Access::Read => options.map_raw_read_only(device.file()),
            Access::Write => options.map_raw(device.file()),
        };
        Ok(Self { mapping: mapping.map_err(io("map"))?, device, path: path.to_owned(), access })
    }

    /// The underlying DAX device.
    pub(crate) fn device(&self) -> &DaxDevice {
        &self.device
    }

    /// Path of the device.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Address of the `len` bytes at an offset; an error if they are out of range.
    fn at(&self, offset: u64, len: usize) -> io::Result<*mut u8> {
        let beyond = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let offset = usize::try_from(offset).map_err(|_| beyond())?;
        if offset.checked_add(len).is_none_or(|end| end > self.mapping.len()) {
            return Err(beyond());
        }
        // SAFETY: the offset is within the mapping, or its end.
        Ok(unsafe { self.mapping.as_mut_ptr().add(offset) })
    }
}

impl Storage for DeviceStorage {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.device.len_bytes())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let from = self.at(offset, buffer.len())?;
        // SAFETY: `at` has checked that this many bytes are mapped there, and no Rust reference
        // points to them. Processes that respect the lock do not write meanwhile. If others do, the
        // checksums detect torn contents.
        unsafe { from.copy_to_nonoverlapping(buffer.as_mut_ptr(), buffer.len()) };
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.access == Access::Read {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let to = self.at(offset, bytes.len())?;
        // SAFETY: `at` has checked that this many bytes are mapped there. The mapping is writable,
        // because `access` is `Write`.
        unsafe { store(to, bytes) };
        // SAFETY: the bytes just written, which stay mapped.
        unsafe { write_back(to, bytes.len()) };
        Ok(())
    }

    fn barrier(&self) -> io::Result<()> {
        fence();
        Ok(())
    }
}

/// Copies bytes in aligned stores of eight bytes, each of which is atomic with respect to a crash.
/// Bytes before the first and after the last such store are copied without that guarantee.
///
/// # Safety
/// `bytes.len()` bytes from `to` on are mapped and writable, and do not overlap `bytes`.
unsafe fn store(to: *mut u8, bytes: &[u8]) {
    let (first, rest) = bytes.split_at(to.align_offset(STORE_BYTES).min(bytes.len()));
    let (whole, last) = rest.as_chunks::<STORE_BYTES>();
    // SAFETY: all offsets are below the length, which the caller guarantees to be mapped. After
    // `first` the address is aligned.
    unsafe {
        to.copy_from_nonoverlapping(first.as_ptr(), first.len());
        let to = to.add(first.len());
        for (nr, eight) in whole.iter().enumerate() {
            to.cast::<u64>().add(nr).write_volatile(u64::from_ne_bytes(*eight));
        }
        to.add(STORE_BYTES * whole.len()).copy_from_nonoverlapping(last.as_ptr(), last.len());
    }
}

/// Whether cache line write-back is implemented for this architecture.
fn can_write_back() -> bool {
    cfg!(target_arch = "x86_64")
}

/// Writes back the cache lines of a range with `clflush`, which every x86-64 processor has and which
/// is ordered with respect to stores.
///
/// # Safety
/// The range is mapped.
#[cfg(target_arch = "x86_64")]
unsafe fn write_back(at: *const u8, len: usize) {
    /// Smallest cache line size of x86-64 processors. A larger line is written back twice.
    const LINE_BYTES: usize = 64;
    let skew = at.addr() % LINE_BYTES;
    for offset in (0..len + skew).step_by(LINE_BYTES) {
        // SAFETY: the cache line contains mapped bytes, and no line crosses a page boundary.
        unsafe { std::arch::x86_64::_mm_clflush(at.wrapping_sub(skew).wrapping_add(offset)) };
    }
}

#[cfg(target_arch = "x86_64")]
fn fence() {
    // SAFETY: every x86-64 processor has `mfence`.
    unsafe { std::arch::x86_64::_mm_mfence() };
}

#[cfg(not(target_arch = "x86_64"))]
unsafe fn write_back(_: *const u8, _: usize) {}

#[cfg(not(target_arch = "x86_64"))]
fn fence() {}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::{SECTOR_BYTES, StorageFile};
    use super::*;
    use rustix::io::Errno;

    fn device(path: &Path, access: Access) -> Result<DeviceStorage, StorageError> {
        DeviceStorage::from_device(DaxDevice::from_file_path(path).unwrap(), path, access)
    }

    fn file(len: u64) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = dir.path().join("dax");
        StorageFile::create(&path, len).unwrap();
        (dir, path)
    }

    #[test]
    fn stored_bytes_are_visible_to_other_readers_of_the_file() {
        let (_dir, path) = file(1 << 20);
        let storage = device(&path, Access::Write).unwrap();
        assert_eq!(storage.len_bytes().unwrap(), 1 << 20);
        // Some of these ranges are not aligned to cache lines.
        for (offset, len) in [(0, SECTOR_BYTES), (4096, 4096), ((1 << 20) - 3, 3), (8191, 130), (100, 0)] {
            let bytes: Vec<u8> = (0..len).map(|nr| (nr % 251) as u8 + 1).collect();
            storage.write_at(&bytes, offset).unwrap();
            storage.barrier().unwrap();
            let mut read = vec![0; len];
            storage.read_at(&mut read, offset).unwrap();
            assert_eq!(read, bytes);
            let mut other = vec![0; len];
            std::os::unix::fs::FileExt::read_exact_at(&std::fs::File::open(&path).unwrap(), &mut other, offset)
                .unwrap();
            assert_eq!(other, bytes);
        }
    }

    #[test]
    fn access_beyond_the_end_and_writes_through_a_read_only_mapping_fail() {
        let (_dir, path) = file(8192);
        let storage = device(&path, Access::Write).unwrap();
        for (offset, len) in [(8192, 1), (8191, 2), (0, 8193), (u64::MAX, 2), (u64::MAX - 4095, 4096)] {
            for error in [storage.read_at(&mut vec![0; len], offset), storage.write_at(&vec![1; len], offset)] {
                assert_eq!(error.unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "{len} at {offset:#x}");
            }
        }
        assert_eq!(device(&path, Access::Read).unwrap_err().errno(), Errno::BUSY);
        drop(storage);
        let (storage, also) = (device(&path, Access::Read).unwrap(), device(&path, Access::Read).unwrap());
        assert_eq!(storage.write_at(&[1], 0).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(device(&path, Access::Write).unwrap_err().errno(), Errno::BUSY);
        drop((storage, also));
        assert!(std::fs::read(&path).unwrap().iter().all(|byte| *byte == 0));
    }
}
