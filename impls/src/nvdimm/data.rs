//! Block I/O on the data of a namespace.
//!
//! The data begins `start_pad` plus `dataoff` bytes into the namespace. That also holds for padded
//! namespaces that old kernels created, because block I/O goes through the mapping. DAX is refused
//! for those: old kernels counted page frames from the start of the namespace, without the padding.
//!
//! Source: `pmem_do_bvec`, `pmem_attach_disk`.

use super::storage::Storage;
use std::io;

/// The data of one namespace, from its first block to its last.
#[derive(Debug)]
pub struct Data<'a, S> {
    medium: &'a S,
    begin: u64,
    len: u64,
}

impl<'a, S: Storage> Data<'a, S> {
    /// `len` bytes of data that begin `begin` bytes into the medium.
    pub(super) fn new(medium: &'a S, begin: u64, len: u64) -> Self {
        Self { medium, begin, len }
    }

    fn place(&self, offset: u64, len: usize) -> io::Result<u64> {
        let end = offset.checked_add(len as u64).filter(|end| *end <= self.len);
        end.map(|_| self.begin + offset).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl<S: Storage> Storage for Data<'_, S> {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.len)
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.medium.read_at(buffer, self.place(offset, buffer.len())?)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.medium.write_at(bytes, self.place(offset, bytes.len())?)
    }
    fn barrier(&self) -> io::Result<()> {
        self.medium.barrier()
    }
}
