//! Reads and validates the info block of a namespace, and finds its data.

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
    /// Finds out what a namespace is. A namespace whose label says fsdax or devdax never becomes raw
    /// here. Linux falls back to a raw block device if the info block is of another kind (`ENODEV`:
    /// signature, checksum, parent), and before 5.7 for any invalid block (B-15).
    ///
    /// # Errors
    /// The medium cannot be read, or the info block is invalid.
    pub fn probe(&self, label: &Label, host: &Host, rules: &RuleSet) -> Result<Personality, RegionError> {
        self.probe_at(self.start, label, host, rules)
    }

    /// Like [`probe`](Self::probe), as if the region began elsewhere.
    ///
    /// # Errors
    /// Those of [`probe`](Self::probe), or the namespace would end above the physical address space.
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
            // The bytes at the place of the info block belong to another namespace.
            return match label.kind {
                NamespaceKind::Raw => Ok(Personality::Raw),
                _ => Err(InfoBlockError::Signature.into()),
            };
        }
        let bytes = self.read_info_block(label)?;
        let Some(block) = InfoBlock::read(&bytes) else { return Ok(Personality::Raw) };
        let validate_as = |signature| block.validate(signature, &label.uuid, namespace, host, None, rules);
        let validated = match signature(label.kind) {
            Some(signature) => validate_as(signature).map(|settings| (signature, settings)),
            None => match validate_as(Signature::Pfn) {
                Err(error) if error.errno() == Errno::NODEV => {
                    validate_as(Signature::Dax).map(|settings| (Signature::Dax, settings))
                }
                validated => validated.map(|settings| (Signature::Pfn, settings)),
            },
        };
        let is_ignored = |error: &InfoBlockError| {
            rules.unusable_block_is_raw || label.kind == NamespaceKind::Raw && error.errno() == Errno::NODEV
        };
        match validated {
            Ok((signature, settings)) => Ok(Personality::Pages(signature, settings)),
            Err(error) if is_ignored(&error) => Ok(Personality::Raw),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the bytes where the info block of a namespace is, or would be.
    ///
    /// # Errors
    /// The medium cannot be read there.
    pub(crate) fn read_info_block(&self, label: &Label) -> Result<[u8; INFO_BLOCK_BYTES], RegionError> {
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
