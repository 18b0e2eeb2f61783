//! Any labels with right checksums are refused, or name namespaces that lie within their region and apart.

#![no_main]

use libfuzzer_sys::fuzz_target;
use memmap_layouts::nvdimm::label::{LABEL_FILE_BYTES, Table, checksum_of};
use memmap_layouts::nvdimm::storage::Storage;
use std::io;

#[derive(Debug)]
struct Bytes(Vec<u8>);

impl Storage for Bytes {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let offset = offset as usize;
        let part = self.0.get(offset..offset + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(part);
        Ok(())
    }
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
    fn barrier(&self) -> io::Result<()> {
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let mut bytes = vec![0; LABEL_FILE_BYTES as usize];
    let len = data.len().min(bytes.len());
    bytes[..len].copy_from_slice(&data[..len]);
    for copy in bytes.chunks_mut(LABEL_FILE_BYTES as usize / 2) {
        copy[..16].copy_from_slice(b"PFNBENCH LABELS\0");
        let sum = checksum_of(copy).unwrap();
        copy[504..512].copy_from_slice(&sum.to_le_bytes());
    }
    match Table::read(&Bytes(bytes)) {
        Ok((table, ..)) => {
            assert!(table.labels.iter().all(|label| label.size > 0 && label.end() <= table.size));
            assert!(table.labels.windows(2).all(|pair| pair[0].end() <= pair[1].offset));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
