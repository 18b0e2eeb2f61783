//! The kernel's memory, from `/proc/kcore`: an ELF core file with a segment for each mapped range.

use super::error::RunningError;
use object::elf::{FileHeader64, PT_LOAD};
use object::endian::LittleEndian;
use object::read::elf::{FileHeader, ProgramHeader};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A range of the kernel's memory.
#[derive(Clone, Copy, Debug)]
struct Segment {
    address: u64,
    len: u64,
    /// Where it begins in the file.
    offset: u64,
}

/// The kernel's memory.
#[derive(Debug)]
pub struct Kcore {
    file: File,
    segments: Vec<Segment>,
}

impl Kcore {
    /// Opens a core file.
    ///
    /// # Errors
    /// It cannot be read, or it is no core file.
    pub fn open(path: &Path) -> Result<Self, RunningError> {
        let unreadable = |source| RunningError::Unreadable { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(unreadable)?;
        // The headers are at the beginning; the memory behind them is as large as the address space.
        let mut headers = Vec::new();
        Read::by_ref(&mut file).take(1 << 20).read_to_end(&mut headers).map_err(unreadable)?;
        let header = FileHeader64::<LittleEndian>::parse(&headers[..]).map_err(|_| RunningError::NotACore)?;
        let programs = header.program_headers(LittleEndian, &headers[..]).map_err(|_| RunningError::NotACore)?;
        let loaded = programs.iter().filter(|program| program.p_type(LittleEndian) == PT_LOAD);
        let segment = |program: &<FileHeader64<LittleEndian> as FileHeader>::ProgramHeader| Segment {
            address: program.p_vaddr(LittleEndian),
            len: program.p_memsz(LittleEndian),
            offset: program.p_offset(LittleEndian),
        };
        let segments = loaded.map(segment).collect();
        Ok(Self { file, segments })
    }

    /// Fills a buffer with the memory at an address.
    ///
    /// # Errors
    /// The memory does not exist or is hidden.
    pub fn read(&self, address: u64, into: &mut [u8]) -> Result<(), RunningError> {
        let inside = |segment: &&Segment| address.checked_sub(segment.address).is_some_and(|at| at < segment.len);
        let segment = self.segments.iter().find(inside).ok_or(RunningError::NoMemory(address))?;
        let at = segment.offset + (address - segment.address);
        let unreadable = |source| RunningError::Unreadable { path: "/proc/kcore".into(), source };
        self.file.read_exact_at(into, at).map_err(unreadable)
    }

    /// The 64-bit word at an address.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn word(&self, address: u64) -> Result<u64, RunningError> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_found_by_its_address() {
        let mut core = vec![0u8; 64 + 56];
        core[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0]);
        let mut put = |at: usize, bytes: &[u8]| core[at..at + bytes.len()].copy_from_slice(bytes);
        put(16, &4u16.to_le_bytes());
        put(18, &62u16.to_le_bytes());
        put(20, &1u32.to_le_bytes());
        put(32, &64u64.to_le_bytes());
        put(52, &64u16.to_le_bytes());
        put(54, &56u16.to_le_bytes());
        put(56, &1u16.to_le_bytes());
        put(64, &1u32.to_le_bytes());
        put(72, &120u64.to_le_bytes());
        put(80, &0xffff_8000_0000_0000_u64.to_le_bytes());
        put(96, &16u64.to_le_bytes());
        put(104, &16u64.to_le_bytes());
        core.extend([7u64.to_le_bytes(), 9u64.to_le_bytes()].concat());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("core");
        std::fs::write(&path, &core).unwrap();
        let kcore = Kcore::open(&path).unwrap();
        assert_eq!(kcore.word(0xffff_8000_0000_0008).unwrap(), 9);
        let told = kcore.word(0x1000).unwrap_err().to_string();
        assert_eq!(told, "/proc/kcore has no memory at 0x1000");
        std::fs::write(&path, "text").unwrap();
        assert!(Kcore::open(&path).unwrap_err().to_string().contains("not a 64-bit ELF"));
        assert!(Kcore::open(&dir.path().join("none")).unwrap_err().to_string().contains("cannot read"));
    }
}
