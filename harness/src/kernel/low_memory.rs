//! Memory below 2 GiB, for code whose addresses have 32 bits.

use super::error::ImageError;
use std::io;
use std::ptr::NonNull;

/// Upper bound of the size of an image; a real one has some 20 KiB.
pub(super) const MOST_BYTES: usize = 16 << 20;

/// The error for a file that refers to what lies outside of it.
pub(super) fn outside() -> ImageError {
    ImageError::NotAnObject("it refers to what lies outside of it".to_owned())
}

/// An offset from the start of a section that lies at `start`.
pub(super) fn within(start: usize, offset: u64) -> Result<usize, ImageError> {
    let offset = usize::try_from(offset).ok().filter(|offset| *offset <= MOST_BYTES);
    offset.map(|offset| start + offset).ok_or_else(outside)
}

/// Memory below 2 GiB.
pub(super) struct LowMemory {
    start: NonNull<u8>,
    /// Size in bytes.
    pub(super) len: usize,
}

// SAFETY: the memory is owned; nothing is tied to the thread that mapped it.
unsafe impl Send for LowMemory {}
// SAFETY: shared access only reads the pointer and the length.
unsafe impl Sync for LowMemory {}

impl LowMemory {
    pub(super) fn new(len: usize) -> Result<Self, ImageError> {
        let (access, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT);
        // SAFETY: an anonymous mapping at an address that the kernel chooses replaces nothing.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, access, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(ImageError::NoMemory(io::Error::last_os_error()));
        }
        let start = NonNull::new(start.cast::<u8>()).expect("the kernel never maps page 0 on its own");
        let memory = Self { start, len };
        if memory.address() + len > 1 << 31 {
            return Err(ImageError::NoMemory(io::Error::from(io::ErrorKind::AddrNotAvailable)));
        }
        Ok(memory)
    }

    pub(super) fn address(&self) -> usize {
        self.start.addr().get()
    }

    /// The bytes at an offset.
    pub(super) fn bytes(&mut self, at: usize, len: usize) -> Result<&mut [u8], ImageError> {
        if at > self.len || len > self.len - at {
            return Err(outside());
        }
        // SAFETY: inside the mapping, which is writable until `protect` is called on that part.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().add(at), len) })
    }

    /// The bytes at an offset, as an array.
    pub(super) fn array<const N: usize>(&mut self, at: usize) -> Result<[u8; N], ImageError> {
        Ok(self.bytes(at, N)?.try_into().expect("so many bytes"))
    }

    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) -> Result<(), ImageError> {
        self.bytes(at, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    pub(super) fn protect(&self, at: usize, len: usize, access: i32) -> Result<(), ImageError> {
        // SAFETY: whole pages of this mapping, to which no reference exists.
        match unsafe { libc::mprotect(self.start.as_ptr().add(at).cast(), len, access) } {
            0 => Ok(()),
            _ => Err(ImageError::NoMemory(io::Error::last_os_error())),
        }
    }
}

impl Drop for LowMemory {
    fn drop(&mut self) {
        // SAFETY: the mapping is owned; whoever calls its code holds the image.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
