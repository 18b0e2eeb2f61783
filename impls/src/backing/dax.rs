//! A device that is mapped instead of read and written: `/dev/daxX.Y`, or a file in its place.

use super::error::TmpfsError;
use super::tmpfs::{is_on_tmpfs, unnamed_tmpfs_file};
use crate::byte_size::ByteSize;
use memmap2::MmapOptions;
use rustix::fs::FileType;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use thiserror::Error;

/// Why a device cannot hold records.
#[derive(Debug, Error)]
pub enum DaxError {
    /// The device cannot be opened, mapped or queried.
    #[error(
        "cannot use {} as a DAX device: {what}: {source}; it must be a character device of the dax bus that \
         you can write to (`daxctl list` shows them)",
        path.display()
    )]
    Io {
        /// Path of the device.
        path: PathBuf,
        /// The operation that failed, e.g. `open`.
        what: &'static str,
        /// What the operating system reported.
        source: io::Error,
    },
    /// The path is not a character device of the dax bus.
    #[error(
        "{} is not a DAX device ({found}); name a character device such as /dev/dax0.0 (`daxctl list` shows them), \
         or omit the path to use a file on a tmpfs",
        path.display()
    )]
    NotDax {
        /// The path.
        path: PathBuf,
        /// What the path is instead, e.g. `a regular file`.
        found: &'static str,
    },
    /// The device's mapping unit is above 2 MiB.
    #[error(
        "{} has a mapping unit of {}, but the records of a section take 2 MiB and those of a sub-section 32 KiB; \
         recreate it with `daxctl create-device --align=4096`, or with 2 MiB for the layout dax-x86 only",
        path.display(), ByteSize(*align)
    )]
    AlignTooLarge {
        /// Path of the device.
        path: PathBuf,
        /// Its mapping unit in bytes.
        align: u64,
    },
    /// The device is smaller than needed.
    #[error("{name} has {}, but {} are needed; use a larger device", ByteSize(*len), ByteSize(*need))]
    TooSmall {
        /// Name of the device, e.g. `dax0.0`.
        name: String,
        /// Its size in bytes.
        len: u64,
        /// Bytes needed.
        need: u64,
    },
    /// Another altmap uses the device.
    #[error("{name} already holds the records of another range; use another device, or remove that range")]
    InUse {
        /// Name of the device, e.g. `dax0.0`.
        name: String,
    },
    /// The range of the altmap would leave the physical address space.
    #[error(
        "the range at pfn {base_pfn:#x} with its altmap would end above the physical address space; choose a lower pfn"
    )]
    BeyondPhysicalSpace {
        /// First pfn of the range.
        base_pfn: u64,
    },
    /// The host's page size differs from the layout's. An altmap hands out pages of the layout, but
    /// mappings consist of pages of the host.
    #[error(
        "this machine has pages of {}, but the layout has pages of {}; records can only be mapped from a \
         device if both are equal",
        ByteSize(*host), ByteSize(*page)
    )]
    HostPage {
        /// The host's page size in bytes.
        host: u64,
        /// The layout's page size in bytes.
        page: u64,
    },
    /// The tmpfs file that stands in for a device could not be created.
    #[error(transparent)]
    Tmpfs(#[from] TmpfsError),
}

/// Largest usable mapping unit in bytes: the size of the records of a section.
const LARGEST_UNIT: u64 = 2 << 20;

/// The kind of file behind a [`DaxDevice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    /// A character device of the dax bus.
    Dax,
    /// A file on a tmpfs, in place of a device.
    Tmpfs,
    /// A file on another file system, in place of a device.
    File,
}

/// A mappable device of known size.
///
/// ```
/// use memmap_layouts::backing::DaxDevice;
///
/// // Without a device, a file on tmpfs stands for one; with one: DaxDevice::open("/dev/dax0.0".as_ref()).
/// let device = DaxDevice::on_tmpfs("/dev/shm".as_ref(), 4 << 20)?;
/// let halves = device.split(2)?;
/// assert_eq!((device.len_bytes(), halves[1].len_bytes()), (4 << 20, 2 << 20));
/// # Ok::<(), memmap_layouts::backing::DaxError>(())
/// ```
#[derive(Debug)]
pub struct DaxDevice {
    file: Arc<File>,
    name: String,
    /// Offset in the file where the device begins. Wraps around if that is before the file's start.
    base: u64,
    len: u64,
    align: u64,
    node: Node,
    /// Physical address of the first byte, if the kernel reveals it.
    physical_start: Option<u64>,
    /// True while an altmap uses the device.
    claimed: AtomicBool,
}

impl DaxDevice {
    /// Opens `/dev/daxX.Y`.
    ///
    /// Such a node reports length 0: size and alignment come from sysfs
    /// (`/sys/dev/char/MAJOR:MINOR/{size,align}`), and every mapping must be a multiple of the
    /// alignment.
    ///
    /// # Errors
    /// [`DaxError`].
    pub fn open(path: &Path) -> Result<Self, DaxError> {
        Self::open_as(path, true)
    }

    /// Like [`open`](Self::open), but read-only unless `write`.
    pub(crate) fn open_as(path: &Path, write: bool) -> Result<Self, DaxError> {
        let io = |what| move |source: io::Error| DaxError::Io { path: path.to_owned(), what, source };
        let not_dax = |found| DaxError::NotDax { path: path.to_owned(), found };
        let status = rustix::fs::stat(path).map_err(|e| io("stat")(e.into()))?;
        match FileType::from_raw_mode(status.st_mode) {
            FileType::CharacterDevice => {}
            FileType::RegularFile => return Err(not_dax("a regular file")),
            FileType::Directory => return Err(not_dax("a directory")),
            FileType::BlockDevice => return Err(not_dax("a block device")),
            _ => return Err(not_dax("neither a file nor a device")),
        }
        let number = (rustix::fs::major(status.st_rdev), rustix::fs::minor(status.st_rdev));
        let sysfs = PathBuf::from(format!("/sys/dev/char/{}:{}", number.0, number.1));
        let of_dax_bus = fs::canonicalize(sysfs.join("subsystem")).is_ok_and(|bus| bus.ends_with("dax"));
        if !of_dax_bus {
            return Err(not_dax("a character device of another kind"));
        }
        let len = sysfs_number(&sysfs.join("size")).map_err(io("size in sysfs"))?;
        // Kernels before 5.10 have no `align` attribute here and map in units of 2 MiB.
        let align = sysfs_number(&sysfs.join("align")).unwrap_or(2 << 20);
        if align > LARGEST_UNIT {
            return Err(DaxError::AlignTooLarge { path: path.to_owned(), align });
        }
        let file = File::options().read(true).write(write).open(path).map_err(io("open"))?;
        // The kernel shows 0 to users who may not know the address.
        let physical_start = sysfs_number(&sysfs.join("resource")).ok().filter(|start| *start > 0);
        let (name, claimed) = (path.display().to_string(), AtomicBool::new(false));
        let device = Self { file: Arc::new(file), name, base: 0, len, align, node: Node::Dax, physical_start, claimed };
        device.probe(write).map_err(io("map"))?;
        Ok(device)
    }

    /// A stand-in for a device: an unnamed file of `len` bytes on the tmpfs of `dir`.
    ///
    /// # Errors
    /// [`DaxError::Tmpfs`].
    pub fn on_tmpfs(dir: &Path, len: u64) -> Result<Self, DaxError> {
        let file = Arc::new(unnamed_tmpfs_file(dir, len)?);
        let name = format!("a file on {}", dir.display());
        let align = rustix::param::page_size() as u64;
        Ok(Self {
            file,
            name,
            base: 0,
            len,
            align,
            node: Node::Tmpfs,
            physical_start: None,
            claimed: AtomicBool::new(false),
        })
    }

    /// A stand-in for a device: `len` bytes of a file from `before` bytes below `offset`. Bytes
    /// before the start of the file must never be mapped. They are the reserve of an altmap whose
    /// range begins before its namespace.
    pub(crate) fn from_file(file: Arc<File>, name: String, offset: u64, before: u64, len: u64) -> Self {
        let (align, base) = (rustix::param::page_size() as u64, offset.wrapping_sub(before));
        let node = if is_on_tmpfs(&file) { Node::Tmpfs } else { Node::File };
        Self { file, name, base, len, align, node, physical_start: None, claimed: AtomicBool::new(false) }
    }

    /// A stand-in for a device: the whole of a named file.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn from_file_path(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        let len = file.metadata()?.len();
        Ok(Self::from_file(Arc::new(file), path.display().to_string(), 0, 0, len))
    }

    /// A part of the device: `len` bytes from `before` bytes below `offset`. Bytes before the start
    /// of the device must never be mapped.
    pub(crate) fn part(&self, name: String, offset: u64, before: u64, len: u64) -> Self {
        let base = self.base.wrapping_add(offset).wrapping_sub(before);
        let (file, claimed) = (Arc::clone(&self.file), AtomicBool::new(false));
        Self { file, name, base, len, align: self.align, node: self.node, physical_start: None, claimed }
    }

    /// Maps the first unit once, because a device that can be opened may still refuse to be mapped.
    fn probe(&self, write: bool) -> io::Result<()> {
        let mut options = MmapOptions::new();
        options.len(self.align as usize);
        match write {
            true => options.map_raw(&*self.file).map(drop),
            false => options.map_raw_read_only(&*self.file).map(drop),
        }
    }

    /// Splits the device into `parts` pieces of equal size, one for each altmap. Each is a multiple
    /// of 2 MiB, so that blocks can be aligned.
    ///
    /// # Errors
    /// The device has less than 2 MiB for each piece.
    pub fn split(&self, parts: u64) -> Result<Vec<DaxDevice>, DaxError> {
        let len = self.len / parts.max(1) / LARGEST_UNIT * LARGEST_UNIT;
        if len == 0 {
            let need = parts.saturating_mul(LARGEST_UNIT);
            return Err(DaxError::TooSmall { name: self.name.clone(), len: self.len, need });
        }
        let part = |nr: u64| Self {
            file: Arc::clone(&self.file),
            name: if parts > 1 { format!("{} (part {} of {parts})", self.name, nr + 1) } else { self.name.clone() },
            base: self.base + nr * len,
            len,
            align: self.align,
            node: self.node,
            physical_start: None,
            claimed: AtomicBool::new(false),
        };
        Ok((0..parts).map(part).collect())
    }

    /// Claims the device for an altmap; false if another altmap has it.
    pub(crate) fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::Acquire)
    }

    /// Releases the claim taken by `claim`.
    pub(crate) fn release_claim(&self) {
        self.claimed.store(false, Ordering::Release);
    }

    /// Size in bytes.
    pub fn len_bytes(&self) -> u64 {
        self.len
    }

    /// Physical address of the first byte, if the kernel reveals it to this user; `None` for a part
    /// of a device.
    pub fn physical_start(&self) -> Option<u64> {
        self.physical_start
    }

    /// Mapping unit in bytes: offsets, lengths and addresses of mappings must be multiples of it.
    pub fn align(&self) -> u64 {
        self.align
    }

    /// Path or description, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `dax` for a real device, `dax-on-tmpfs` or `dax-on-file` for a file in its place.
    pub fn kind(&self) -> &'static str {
        match self.node {
            Node::Dax => "dax",
            Node::Tmpfs => "dax-on-tmpfs",
            Node::File => "dax-on-file",
        }
    }

    /// True if a file stands in for the device. A file may lack room for its blocks.
    pub(crate) fn is_file(&self) -> bool {
        self.node != Node::Dax
    }

    /// True if blocks mapped read-only can later be written without another fault, as on tmpfs.
    pub(crate) fn read_maps_for_writers(&self) -> bool {
        self.node == Node::Tmpfs
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Translates an offset in the device to an offset in the file.
    pub(crate) fn file_offset(&self, offset: u64) -> u64 {
        self.base.wrapping_add(offset)
    }
}

/// Reads a number from sysfs: decimal, or hexadecimal with `0x`.
fn sysfs_number(path: &Path) -> io::Result<u64> {
    let text = fs::read_to_string(path)?;
    let text = text.trim();
    let number = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    number.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {text:?}: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_no_dax_device_are_refused_by_name() {
        for (path, says) in [
            ("/dev/null", "of another kind"),
            ("/dev/shm", "a directory"),
            ("/proc/self/status", "a regular file"),
            ("/does/not/exist", "No such file"),
        ] {
            let error = DaxDevice::open(Path::new(path)).unwrap_err().to_string();
            assert!(error.contains(path) && error.contains(says), "{error}");
        }
    }

    #[test]
    fn parts_of_a_device_do_not_overlap() {
        let device = DaxDevice::on_tmpfs(Path::new("/dev/shm"), 15 << 20).unwrap();
        let parts = device.split(3).unwrap();
        let places: Vec<_> = parts.iter().map(|part| (part.file_offset(0), part.len_bytes())).collect();
        assert_eq!(places, [(0, 4 << 20), (4 << 20, 4 << 20), (8 << 20, 4 << 20)]);
        assert!(parts[0].claim() && parts[1].claim() && !parts[0].claim());
        assert!(matches!(device.split(8), Err(DaxError::TooSmall { .. })));
    }

    #[test]
    fn every_dax_device_of_this_machine_opens() {
        let devices: Vec<_> = fs::read_dir("/sys/bus/dax/drivers/device_dax")
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("dax"))
            .collect();
        if devices.is_empty() {
            eprintln!("skipped: this machine has no device bound to device_dax");
        }
        for entry in devices {
            let path = Path::new("/dev").join(entry.file_name());
            match DaxDevice::open(&path) {
                Ok(device) => assert!(device.len_bytes() > 0),
                Err(DaxError::AlignTooLarge { align, .. }) => assert!(align > LARGEST_UNIT),
                Err(error) => panic!("{error}"),
            }
        }
    }
}
