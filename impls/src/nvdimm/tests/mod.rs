//! Namespaces over real files, on machines of several layouts.

mod cases;
mod forecasts;
mod media;

use super::altmap_shape::altmap_shape;
use super::division::Surroundings;
use super::forecast::{ForecastError, Mapped, forecast};
use super::info_block::{Contents, INFO_BLOCK_BYTES, InfoBlock, Signature};
use super::label::{InvalidTable, LABEL_FILE_BYTES, Label, LabelError, NamespaceKind, Table, checksum_of};
use super::namespace::{Enabled, NamespaceError, disable, enable};
use super::region::{NamespaceSpec, Personality, Region, RegionAlign, RegionError};
use super::scene::SectionDax;
use super::storage::{Access, DeviceStorage, Storage, StorageError, StorageFile};
use super::{Extent, HEAD_BYTES, Host, INFO_BLOCK_OFFSET, RecordsOn};
use crate::backing::DaxDevice;
use crate::geometry::X86_64;
use crate::layouts::{Dax, DaxX86, Subsection, VmemmapSection};
use crate::machine::{Machine, MachineConfig};
use crate::memmap::*;
use crate::pfn::{Pfn, PfnRange};
use crate::rules::{RuleSet, Rules};
use crate::store::RecordStore;
use rustix::io::Errno;
use std::path::Path;
use tempfile::TempDir;
use zerocopy::IntoBytes;

pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;
pub(super) const GIB: u64 = 1 << 30;

/// A medium and its labels in a temporary folder, deleted on drop.
pub(super) struct Media {
    pub(super) dir: TempDir,
    /// True if the medium is accessed through a mapping, like a DAX device.
    is_mapped: bool,
}

impl Media {
    pub(super) fn new() -> Self {
        Self { dir: tempfile::tempdir_in("/dev/shm").unwrap(), is_mapped: false }
    }

    pub(super) fn mapped() -> Self {
        Self { is_mapped: true, ..Self::new() }
    }

    pub(super) fn medium(&self) -> std::path::PathBuf {
        self.dir.path().join("medium")
    }

    pub(super) fn labels(&self) -> std::path::PathBuf {
        self.dir.path().join("medium.labels")
    }

    pub(super) fn region(&self, start: u64, size: u64, align: u64) -> Region<StorageFile> {
        drop(StorageFile::create(&self.medium(), size).unwrap());
        let medium = self.open_medium(Access::Write);
        let labels = StorageFile::create(&self.labels(), LABEL_FILE_BYTES).unwrap();
        Region::create(medium, labels, start, align, &Host::X86_64).unwrap()
    }

    pub(super) fn open_medium(&self, access: Access) -> StorageFile {
        match self.is_mapped {
            true => {
                let device = DaxDevice::from_file_path(&self.medium()).unwrap();
                StorageFile::Device(DeviceStorage::from_device(device, &self.medium(), access).unwrap())
            }
            false => StorageFile::open(&self.medium(), access).unwrap(),
        }
    }

    pub(super) fn open(&self, start: Option<u64>, access: Access) -> Result<Region<StorageFile>, RegionError> {
        let labels = StorageFile::open(&self.labels(), access).unwrap();
        Region::open(self.open_medium(access), labels, start)
    }
}

pub(super) fn wanted(nr: u8, size: u64, align: u64, kind: NamespaceKind, records: RecordsOn) -> NamespaceSpec {
    let name = "subsection-test".to_owned();
    NamespaceSpec {
        size,
        align,
        kind,
        records,
        name,
        uuid: [nr; 16],
        instance: [nr | 0x80; 16],
        skips_to_sub_section: false,
    }
}

pub(super) fn create(region: &mut Region<StorageFile>, wanted: &NamespaceSpec) -> Result<(), RegionError> {
    region.create_namespace(wanted, &Surroundings::default(), &Host::X86_64, &RuleSet::MERGED).map(drop)
}

fn machine<L: Hotplug + SectionFlags + Inspect>() -> Machine<L> {
    let boot = BootMap::default();
    Machine::boot(&boot, MachineConfig::default(), &Config::default(), RecordStore::unlimited()).unwrap()
}

fn up<L: Hotplug + SectionFlags + Inspect>(region: &Region<StorageFile>, machine: &Machine<L>, nr: u8) -> Enabled {
    enable(region, region.label(&[nr; 16]).unwrap(), &Host::X86_64, machine, &mut ()).unwrap()
}

/// Asserts that every page frame of the data has its own record.
fn data_is_readable<L: Hotplug + SectionFlags + Inspect>(machine: &Machine<L>, enabled: &Enabled) {
    assert_eq!(enabled.mapping.as_ref().unwrap().first_wrong_record(machine.layout(), drop), None);
}

/// A valid info block that another program could have written for a namespace: page-aligned data
/// after 18 MiB.
fn forged(label: &Label) -> Contents {
    Contents {
        signature: Signature::Pfn,
        uuid: [9; 16],
        parent_uuid: label.uuid,
        minor: 4,
        dataoff: 18 * MIB,
        npfns: 1,
        records: RecordsOn::Medium,
        start_pad: 0,
        end_trunc: 0,
        align: 4096,
        page_bytes: 4096,
        record_bytes: 64,
    }
}

/// Writes it to the place of the namespace's info block.
fn forge(region: &Region<StorageFile>, label: &Label, contents: Contents) {
    region.medium().write_at(contents.block().as_bytes(), label.offset + INFO_BLOCK_OFFSET).unwrap();
}
