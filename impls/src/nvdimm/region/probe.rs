//! What a namespace is: its info block, read and validated, and its data.

use super::placement::signature;
use super::{Region, RegionError};
use crate::nvdimm::info_block::{INFO_BLOCK_BYTES, InfoBlock, InfoBlockError, Settings, Signature};
use crate::nvdimm::label::{InvalidTable, Label, NamespaceKind};
use crate::nvdimm::storage::Storage;
use crate::nvdimm::{Data, Extent, Host, INFO_BLOCK_OFFSET};
use crate::rules::RuleSet;
use rustix::io::Errno;

/// What a probe finds a namespace to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Personality {
    /// A raw block device that uses the whole namespace.
    Raw,
    /// A namespace with records.
    Pages(Signature, Settings),
}

impl<S: Storage> Region<S> {
    /// What a namespace is. A label that says pages is never taken for raw here. Linux goes on to a
    /// raw block device for a block that is none of its kind (`ENODEV`: signature, checksum,
    /// parent), and before 5.7 for whatever it did not understand (B-15).
    ///
    /// # Errors
    /// The medium cannot be read, or the info block is not one to go by.
    pub fn probe(&self, label: &Label, host: &Host, rules: &RuleSet) -> Result<Personality, RegionError> {
        self.probe_at(self.start, label, host, rules)
    }

    /// Like [`probe`](Self::probe), as if the region began elsewhere.
    ///
    /// # Errors
    /// As [`probe`](Self::probe); the namespace would leave the physical space.
    pub fn probe_at(
        &self,
        start: u64,
        label: &Label,
        host: &Host,
        rules: &RuleSet,
    ) -> Result<Personality, RegionError> {
        let size = label.size;
        let namespace = start.checked_add(label.offset).and_then(|start| Extent::new(start, size));
        let namespace = namespace.ok_or(RegionError::InvalidTable(InvalidTable::Region { start, size }))?;
        if size < INFO_BLOCK_OFFSET + INFO_BLOCK_BYTES as u64 {
            // What lies there is not its own.
            return match label.kind {
                NamespaceKind::Raw => Ok(Personality::Raw),
                _ => Err(InfoBlockError::Signature.into()),
            };
        }
        let bytes = self.read_info_block(label)?;
        let Some(block) = InfoBlock::read(&bytes) else { return Ok(Personality::Raw) };
        let as_of = |signature| block.validate(signature, &label.uuid, namespace, host, None, rules);
        let tried = match signature(label.kind) {
            Some(signature) => as_of(signature).map(|settings| (signature, settings)),
            None => match as_of(Signature::Pfn) {
                Err(error) if error.errno() == Errno::NODEV => {
                    as_of(Signature::Dax).map(|settings| (Signature::Dax, settings))
                }
                tried => tried.map(|settings| (Signature::Pfn, settings)),
            },
        };
        let forgotten = |error: &InfoBlockError| {
            rules.unusable_block_is_raw || label.kind == NamespaceKind::Raw && error.errno() == Errno::NODEV
        };
        match tried {
            Ok((signature, settings)) => Ok(Personality::Pages(signature, settings)),
            Err(error) if forgotten(&error) => Ok(Personality::Raw),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the bytes where the info block of a namespace is, or would be.
    ///
    /// # Errors
    /// The medium cannot be read there.
    pub fn read_info_block(&self, label: &Label) -> Result<[u8; INFO_BLOCK_BYTES], RegionError> {
        let at = label.offset + INFO_BLOCK_OFFSET;
        let mut bytes = [0; INFO_BLOCK_BYTES];
        self.medium.read_at(&mut bytes, at).map_err(|source| RegionError::Medium { what: "read", at, source })?;
        Ok(bytes)
    }

    /// The data of a namespace, for block I/O.
    pub fn data(&self, label: &Label, personality: &Personality) -> Data<'_, S> {
        let (begin, len) = match personality {
            Personality::Raw => (0, label.size),
            Personality::Pages(_, settings) => (settings.block_io_offset(), settings.data_bytes(self.namespace(label))),
        };
        Data::new(&self.medium, label.offset + begin, len)
    }
}
