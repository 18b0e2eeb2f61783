//! Block I/O on the data of a namespace.
//!
//! Blocks lie behind `start_pad` and `dataoff`, which is where a padded block of an old kernel says
//! and where its data still is: block I/O goes through what is mapped. DAX counted page frames from
//! the namespace's own start, and is refused for such blocks.
//!
//! Source: `pmem_do_bvec`, `pmem_attach_disk`.

use super::storage::Storage;
use super::{Extent, region::Personality};
use std::io;

/// The data of one namespace, from its first block to its last.
#[derive(Debug)]
pub struct Data<'a, S> {
    medium: &'a S,
    begin: u64,
    len: u64,
}

impl<'a, S: Storage> Data<'a, S> {
    /// The data of a namespace that begins `offset` bytes into the medium.
    pub(super) fn of(medium: &'a S, offset: u64, namespace: Extent, personality: &Personality) -> Self {
        let (begin, len) = match personality {
            Personality::Raw => (0, namespace.size),
            Personality::Pages(_, settings) => (settings.block_io_offset(), settings.data_bytes(namespace)),
        };
        Self { medium, begin: offset + begin, len }
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
