//! Changes of a region: creating, disabling, enabling and destroying namespaces.

use super::placement::{NamespaceSpec, Placed};
use super::{Region, RegionAlign, RegionError, Uuid};
use crate::nvdimm::division::{Division, Surroundings};
use crate::nvdimm::info_block::{Contents, InfoBlock, Signature};
use crate::nvdimm::label::{Label, LabelError, Table};
use crate::nvdimm::storage::Storage;
use crate::nvdimm::{Host, INFO_BLOCK_OFFSET};
use crate::rules::RuleSet;
use zerocopy::IntoBytes;

impl<S: Storage> Region<S> {
    /// Creates a namespace in the first free extent that is large enough. Returns how it was divided, if it
    /// has records.
    ///
    /// # Errors
    /// [`RegionError`]; no namespace is created. A refusal writes nothing.
    pub fn create_namespace(
        &mut self,
        wanted: &NamespaceSpec,
        around: &Surroundings<'_>,
        host: &Host,
        rules: &RuleSet,
    ) -> Result<Option<Division>, RegionError> {
        let Placed { label, after, division } = self.place(wanted, around, host, rules)?;
        self.settle()?;
        if let Some((signature, division)) = &division {
            self.write_info_block(&label, &contents(wanted, *signature, division, host), rules)?;
        }
        self.keep(after)?;
        Ok(division.map(|(_, division)| division))
    }

    /// Marks a namespace as disabled or enabled in its label.
    ///
    /// # Errors
    /// There is no such namespace, or the labels cannot be written.
    pub fn set_disabled(&mut self, uuid: &Uuid, is_disabled: bool) -> Result<(), RegionError> {
        self.label(uuid)?;
        self.change(|table| {
            for label in table.labels.iter_mut().filter(|label| label.uuid == *uuid) {
                label.is_disabled = is_disabled;
            }
        })
    }

    /// Removes a namespace from the labels. Its bytes stay on the medium until another namespace
    /// overwrites them.
    ///
    /// # Errors
    /// There is no such namespace, it is enabled, or the labels cannot be written.
    pub fn destroy_namespace(&mut self, uuid: &Uuid) -> Result<(), RegionError> {
        let label = self.label(uuid)?;
        if !label.is_disabled {
            return Err(RegionError::Enabled { name: label.name.clone() });
        }
        self.change(|table| table.labels.retain(|label| label.uuid != *uuid))
    }

    /// Sets the alignment in bytes of future namespaces. Source: `align_store` of a region.
    ///
    /// # Errors
    /// The alignment is not a power of two times the number of the region's DIMMs, is below a page on each
    /// of them, or exceeds the region.
    pub fn set_align(&mut self, align: u64, host: &Host) -> Result<(), RegionError> {
        let (align, size, page) = (RegionAlign::new(align, self.mappings()), self.table.size, host.page_bytes);
        if !align.is_valid(size, page) {
            return Err(RegionError::Align { align, size, page });
        }
        self.change(|table| table.align = align)
    }

    fn write_info_block(&self, label: &Label, contents: &Contents, rules: &RuleSet) -> Result<(), RegionError> {
        self.check_medium()?;
        let at = label.offset + INFO_BLOCK_OFFSET;
        let medium = |what| move |source| RegionError::Medium { what, at, source };
        let mut block = contents.block();
        if rules.keeps_stale_fields {
            let stale = self.read_info_block(label)?;
            if let Some(stale) = InfoBlock::read(&stale) {
                block = block.over(stale);
            }
        }
        self.medium.write_at(block.as_bytes(), at).map_err(medium("write"))?;
        self.medium.barrier().map_err(medium("flush"))
    }

    fn change(&mut self, change: impl FnOnce(&mut Table)) -> Result<(), RegionError> {
        let table = self.changed(change)?;
        self.keep(table)
    }

    fn keep(&mut self, table: Table) -> Result<(), RegionError> {
        self.settle()?;
        self.current = table.write(&self.labels, self.current)?;
        self.damaged = None;
        self.table = table;
        Ok(())
    }

    /// Makes the labels that were read durable before the first change. They may be from a process
    /// that was killed before its barrier, so a change must not yet overwrite the durable copy.
    fn settle(&mut self) -> Result<(), RegionError> {
        if !self.is_settled {
            self.medium.barrier().map_err(|source| RegionError::Medium { what: "flush", at: 0, source })?;
            self.labels
                .barrier()
                .map_err(|source| LabelError::Io { what: "flush the previous contents of", source })?;
            self.is_settled = true;
        }
        Ok(())
    }
}

fn contents(wanted: &NamespaceSpec, signature: Signature, division: &Division, host: &Host) -> Contents {
    // Padding is less than a section or the alignment of the data, so 1 GiB at most.
    let narrow = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX);
    Contents {
        signature,
        uuid: wanted.instance,
        parent_uuid: wanted.uuid,
        minor: division.minor,
        dataoff: division.dataoff,
        npfns: division.npfns,
        records: wanted.records,
        start_pad: narrow(division.start_pad),
        end_trunc: narrow(division.end_trunc),
        align: narrow(wanted.align),
        page_bytes: narrow(host.page_bytes),
        record_bytes: host.record_bytes,
    }
}
