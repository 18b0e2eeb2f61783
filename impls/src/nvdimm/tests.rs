//! Namespaces over real files, on machines of several layouts.

use super::division::{DivisionError, Surroundings};
use super::forecast::{ForecastError, Held, Mapped, forecast};
use super::info_block::{Contents, INFO_BLOCK_BYTES, InfoBlock, Signature};
use super::label::{InvalidTable, LABEL_FILE_BYTES, Label, LabelError, NamespaceKind, Table, checksum_of};
use super::namespace::{Enabled, NamespaceError, altmap_shape, disable, enable};
use super::region::{FoundError, Personality, Region, RegionError, Wanted};
use super::scene::SectionDax;
use super::storage::{Access, DeviceStorage, Medium, Storage, StorageError};
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

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A medium and its labels in a folder that goes with them.
struct Media {
    dir: TempDir,
    /// The medium is mapped as a DAX device is.
    is_mapped: bool,
}

impl Media {
    fn new() -> Self {
        Self { dir: tempfile::tempdir_in("/dev/shm").unwrap(), is_mapped: false }
    }

    fn mapped() -> Self {
        Self { is_mapped: true, ..Self::new() }
    }

    fn medium(&self) -> std::path::PathBuf {
        self.dir.path().join("medium")
    }

    fn labels(&self) -> std::path::PathBuf {
        self.dir.path().join("medium.labels")
    }

    fn region(&self, start: u64, size: u64, align: u64) -> Region<Medium> {
        drop(Medium::create(&self.medium(), size).unwrap());
        let medium = self.open_medium(Access::Write);
        let labels = Medium::create(&self.labels(), LABEL_FILE_BYTES).unwrap();
        Region::create(medium, labels, start, align, &Host::X86_64).unwrap()
    }

    fn open_medium(&self, access: Access) -> Medium {
        match self.is_mapped {
            true => {
                let device = DaxDevice::played_by(&self.medium()).unwrap();
                Medium::Device(DeviceStorage::over(device, &self.medium(), access).unwrap())
            }
            false => Medium::open(&self.medium(), access).unwrap(),
        }
    }

    fn open(&self, start: Option<u64>, access: Access) -> Result<Region<Medium>, RegionError> {
        let labels = Medium::open(&self.labels(), access).unwrap();
        Region::open(self.open_medium(access), labels, start)
    }
}

fn wanted(nr: u8, size: u64, align: u64, kind: NamespaceKind, records: RecordsOn) -> Wanted {
    let name = "subsection-test".to_owned();
    Wanted { size, align, kind, records, name, uuid: [nr; 16], instance: [nr | 0x80; 16], skips_to_sub_section: false }
}

fn create(region: &mut Region<Medium>, wanted: &Wanted) -> Result<(), RegionError> {
    region.create_namespace(wanted, &Surroundings::default(), &Host::X86_64, &RuleSet::MERGED).map(drop)
}

fn machine<L: Hotplug + SectionFlags + Inspect>() -> Machine<L> {
    let boot = BootMap::default();
    Machine::boot(&boot, MachineConfig::default(), &Config::default(), RecordStore::unlimited()).unwrap()
}

fn up<L: Hotplug + SectionFlags + Inspect>(region: &Region<Medium>, machine: &Machine<L>, nr: u8) -> Enabled {
    enable(region, region.label(&[nr; 16]).unwrap(), &Host::X86_64, machine, &mut ()).unwrap()
}

/// Every record of the data is there and is its own page frame's.
fn data_is_readable<L: Hotplug + SectionFlags + Inspect>(machine: &Machine<L>, enabled: &Enabled) {
    assert_eq!(enabled.mapping.as_ref().unwrap().first_wrong_record(machine.layout(), drop), None);
}

fn t67<L: Hotplug<Geometry = X86_64> + SectionFlags + Inspect>(media: &Media) {
    let mut region = media.region(4 * GIB, 256 * MIB, 16 * MIB);
    let machine = machine::<L>();
    let section = 4 * GIB / (128 * MIB);
    let map = |nr: u64| {
        machine
            .layout()
            .section_state(section + nr)
            .map_or(0, |state| state.subsection_map.first().copied().unwrap_or(0))
    };
    let record_pages = || {
        let accounting = machine.layout().accounting();
        (accounting.ram_record_bytes + accounting.device_record_bytes) / 4096
    };
    let mut enabled = Vec::new();
    for nr in 1..=10 {
        create(&mut region, &wanted(nr, 16 * MIB, 2 * MIB, NamespaceKind::FsDax, RecordsOn::Medium)).unwrap();
        let one = up(&region, &machine, nr);
        let Personality::Pages(Signature::Pfn, settings) = one.personality else { panic!("{one:?}") };
        assert_eq!((settings.dataoff, settings.npfns * 4096, settings.end_trunc), (2 * MIB, 14 * MIB, 0));
        data_is_readable(&machine, &one);
        enabled.push(one);
    }
    assert_eq!((map(0), map(1), record_pages()), (u64::MAX, 0xffff, 640));
    // The second alone goes and comes back; its neighbours do not notice.
    disable(&enabled[1], &machine).unwrap();
    assert_eq!(map(0), 0xffff_ffff_ffff_00ff);
    enabled.iter().enumerate().filter(|(nr, _)| *nr != 1).for_each(|(_, one)| data_is_readable(&machine, one));
    enabled[1] = up(&region, &machine, 2);
    assert_eq!(map(0), u64::MAX);
    for (nr, one) in (1..=10).zip(&enabled) {
        disable(one, &machine).unwrap();
        region.set_disabled(&[nr; 16], true).unwrap();
        region.set_disabled(&[nr; 16], false).unwrap();
        let again = up(&region, &machine, nr);
        data_is_readable(&machine, &again);
        disable(&again, &machine).unwrap();
        let error = region.destroy_namespace(&[nr; 16]).unwrap_err();
        assert_eq!(error.errno(), Errno::BUSY);
        region.set_disabled(&[nr; 16], true).unwrap();
        region.destroy_namespace(&[nr; 16]).unwrap();
    }
    assert_eq!((map(0), map(1), record_pages(), region.labels().len()), (0, 0, 0, 0));
    assert!(!machine.layout().reader().pfn_valid(Pfn(4 * GIB / 4096)));
}

#[test]
fn t67_ten_small_namespaces_side_by_side() {
    for media in [Media::new, Media::mapped] {
        t67::<Subsection>(&media());
        t67::<Dax>(&media());
        t67::<DaxX86>(&media());
    }
}

#[test]
fn t66_the_info_block_survives_records_on_pages_of_64_kib() {
    let host = Host::ARM64_64K;
    let shape = altmap_shape(Extent { start: 4 * GIB, size: GIB }, 512 * MIB, &host, &RuleSet::MERGED);
    assert_eq!((shape.base_pfn, shape.reserve), (4 * GIB / (64 * KIB), 1));
    assert!(shape.reserve * host.page_bytes >= INFO_BLOCK_OFFSET + INFO_BLOCK_BYTES as u64);
    assert_eq!((shape.reserve + shape.free) * host.page_bytes, 512 * MIB);
    // On this machine's pages, with records: the block is what it was.
    for media in [Media::new(), Media::mapped()] {
        records_leave_the_info_block(&media);
    }
}

fn records_leave_the_info_block(media: &Media) {
    let mut region = media.region(4 * GIB, 256 * MIB, 16 * MIB);
    create(&mut region, &wanted(1, 128 * MIB, 2 * MIB, NamespaceKind::DevDax, RecordsOn::Medium)).unwrap();
    let block = || {
        let mut bytes = [0; INFO_BLOCK_BYTES];
        region.medium().read_at(&mut bytes, INFO_BLOCK_OFFSET).unwrap();
        bytes
    };
    let (before, machine) = (block(), machine::<Dax>());
    let enabled = up(&region, &machine, 1);
    data_is_readable(&machine, &enabled);
    let altmap = enabled.mapping.as_ref().unwrap().altmap.as_ref().unwrap();
    assert_eq!(altmap.used().alloc, 512, "the records are on the medium");
    assert_eq!(block(), before);
    disable(&enabled, &machine).unwrap();
    assert_eq!((block(), altmap.used().alloc), (before, 0));
}

#[test]
fn t68_small_alignments_and_forged_blocks() {
    let media = Media::new();
    let mut region = media.region(4 * GIB, 8 * GIB, 4 * KIB);
    let odd = |nr| wanted(nr, GIB + 8 * KIB, 4 * KIB, NamespaceKind::FsDax, RecordsOn::Medium);
    create(&mut region, &odd(1)).unwrap();
    let machine = machine::<Subsection>();
    for _ in 0..2 {
        let enabled = up(&region, &machine, 1);
        let Personality::Pages(_, settings) = enabled.personality else { panic!() };
        assert_eq!(settings.end_trunc, 8 * KIB);
        disable(&enabled, &machine).unwrap();
    }
    // The second would begin 8 KiB past a sub-section.
    assert_eq!(create(&mut region, &odd(2)).unwrap_err().errno(), Errno::INVAL);
    assert_eq!(region.labels().len(), 1);
    // A raw one there, on which somebody writes an info block.
    create(&mut region, &wanted(3, GIB + 8 * KIB, 4 * KIB, NamespaceKind::Raw, RecordsOn::Ram)).unwrap();
    let forge = |start_pad: u32, end_trunc: u32| {
        let contents = Contents {
            signature: Signature::Pfn,
            uuid: [9; 16],
            parent_uuid: [3; 16],
            minor: 4,
            dataoff: 18 * MIB,
            npfns: 1,
            records: RecordsOn::Medium,
            start_pad,
            end_trunc,
            align: 4096,
            page_bytes: 4096,
            record_bytes: 64,
        };
        let at = region.label(&[3; 16]).unwrap().offset + INFO_BLOCK_OFFSET;
        region.medium().write_at(contents.block().as_bytes(), at).unwrap();
        enable(&region, region.label(&[3; 16]).unwrap(), &Host::X86_64, &machine, &mut ())
    };
    assert_eq!(forge(0, 0).unwrap_err().errno(), Errno::OPNOTSUPP);
    let enabled = forge(0x1f_e000, 0x4000).unwrap();
    assert!(matches!(enabled.personality, Personality::Pages(_, settings) if !settings.has_dax()));
    disable(&enabled, &machine).unwrap();

    let media = Media::new();
    let mut region = media.region(4 * GIB, 8 * GIB, 16 * MIB);
    for (nr, align) in [(1, GIB), (2, 2 * MIB), (3, 4 * KIB)] {
        create(&mut region, &wanted(nr, 2 * GIB, align, NamespaceKind::FsDax, RecordsOn::Medium)).unwrap();
        disable(&up(&region, &machine, nr), &machine).unwrap();
    }
}

#[test]
fn t69_alignments_of_a_region_and_sizes_of_its_namespaces() {
    let media = Media::new();
    let mut region = media.region(4 * GIB, 256 * MIB, 16 * MIB);
    for align in [3 * MIB, 2 * KIB, 512 * MIB, 0, u64::MAX] {
        assert_eq!(region.set_align(align, &Host::X86_64).unwrap_err().errno(), Errno::INVAL, "{align}");
    }
    let size = |region: &mut Region<_>, size| {
        create(region, &wanted(1, size, 2 * MIB, NamespaceKind::FsDax, RecordsOn::Medium)).unwrap_err()
    };
    let error = size(&mut region, 16 * MIB + 4 * KIB);
    assert_eq!(error.errno(), Errno::INVAL);
    assert!(error.to_string().contains("4 KiB past one; 32 MiB works"), "{error}");
    assert_eq!(size(&mut region, 0).errno(), Errno::INVAL);
    assert_eq!(size(&mut region, !(16 * MIB - 1)).errno(), Errno::NOSPC);
    assert_eq!(size(&mut region, 512 * MIB).errno(), Errno::NOSPC);
    region.set_align(4096, &Host::X86_64).unwrap();
    assert_eq!((region.align(), media_align(&media, region)), (4096, 4096));
}

#[test]
fn a_namespace_with_records_begins_on_the_next_sub_section_if_it_may_skip() {
    let media = Media::new();
    let mut region = media.region(4 * GIB, 256 * MIB, 4 * KIB);
    create(&mut region, &wanted(1, 8 * KIB, 2 * MIB, NamespaceKind::Raw, RecordsOn::Ram)).unwrap();
    let second = wanted(2, 16 * MIB, 2 * MIB, NamespaceKind::FsDax, RecordsOn::Medium);
    assert_eq!(create(&mut region, &second).unwrap_err().errno(), Errno::INVAL);
    let skips = |wanted| Wanted { skips_to_sub_section: true, ..wanted };
    create(&mut region, &skips(second)).unwrap();
    create(&mut region, &wanted(3, 8 * KIB, 2 * MIB, NamespaceKind::Raw, RecordsOn::Ram)).unwrap();
    let offsets: Vec<_> = region.labels().iter().map(|label| (label.uuid[0], label.offset)).collect();
    assert_eq!(offsets, [(1, 0), (3, 8 * KIB), (2, 2 * MIB)]);
    // What is skipped is not promised.
    let fits = |region: &Region<_>, size| {
        let wanted = skips(wanted(4, size, 2 * MIB, NamespaceKind::FsDax, RecordsOn::Medium));
        region.would_hold(&wanted, &Surroundings::default(), &Host::X86_64, &RuleSet::MERGED)
    };
    let all = skips(wanted(4, GIB, 2 * MIB, NamespaceKind::FsDax, RecordsOn::Medium));
    let Err(RegionError::NoSpace { largest, .. }) = create(&mut region, &all) else { panic!("no room for 1 GiB") };
    assert_eq!(largest, 238 * MIB);
    assert!(fits(&region, largest) && !fits(&region, largest + 4 * KIB));
    // A region that has no such place: nothing with records, and by the old rules all.
    let media = Media::new();
    let mut odd = media.region(4 * GIB + MIB, 256 * MIB, 16 * MIB);
    let one = skips(wanted(1, 208 * MIB, 2 * MIB, NamespaceKind::FsDax, RecordsOn::Medium));
    let error = create(&mut odd, &one).unwrap_err();
    assert!(matches!(error, RegionError::Division(DivisionError::StartMisaligned { .. })), "{error}");
    let before = <crate::rules::Before as Rules>::SET;
    assert!(odd.would_hold(&one, &Surroundings::default(), &Host::X86_64, &before));
    create(&mut odd, &Wanted { kind: NamespaceKind::Raw, ..one }).unwrap();
}

#[test]
fn a_region_of_a_file_that_is_there_leaves_its_bytes() {
    let media = Media::new();
    std::fs::write(media.medium(), vec![0xa5; 1 << 20]).unwrap();
    let found = || {
        let medium = media.open_medium(Access::Write);
        Region::found(medium, &media.labels(), 4 * GIB, 4 * KIB, &Host::X86_64)
    };
    let region = found().unwrap();
    assert_eq!((region.extent().size, region.labels().len()), (1 << 20, 0));
    drop(region);
    assert!(std::fs::read(media.medium()).unwrap().iter().all(|byte| *byte == 0xa5));
    let error = found().unwrap_err();
    assert!(matches!(&error, FoundError::Storage(error) if error.errno() == Errno::EXIST), "{error}");
    assert_eq!(std::fs::read_dir(media.dir.path()).unwrap().count(), 2);
}

#[test]
fn a_region_is_at_least_a_page_and_begins_with_one() {
    let media = Media::new();
    std::fs::write(media.medium(), [0; 4095]).unwrap();
    let found = |start| {
        let medium = media.open_medium(Access::Write);
        Region::found(medium, &media.labels(), start, 4 * KIB, &Host::X86_64).map(drop)
    };
    assert!(matches!(found(4 * GIB), Err(FoundError::Region(RegionError::Smaller { size: 4095, .. }))));
    std::fs::write(media.medium(), [0; 4096]).unwrap();
    assert!(matches!(found(4 * GIB + 1), Err(FoundError::Region(RegionError::StartOffPage { off: 1, .. }))));
    assert!(!media.labels().exists());
    found(4 * GIB).unwrap();
}

fn media_align(media: &Media, region: Region<Medium>) -> u64 {
    drop(region);
    media.open(None, Access::Read).unwrap().align()
}

#[test]
fn a_shifted_region_works_by_sub_sections_and_not_by_sections() {
    fn after<L: Hotplug<Geometry = X86_64> + SectionFlags + Inspect>(shift: u64) -> Result<(), Errno> {
        let media = Media::new();
        let mut region = media.region(4 * GIB, 2 * GIB, 16 * MIB);
        let wanted = wanted(1, GIB, 2 * MIB, NamespaceKind::FsDax, RecordsOn::Medium);
        let rules = <L::Rules as Rules>::SET;
        region.create_namespace(&wanted, &Surroundings::default(), &Host::X86_64, &rules).unwrap();
        drop(region);
        let region = media.open(Some(4 * GIB + shift), Access::Write).unwrap();
        let machine = machine::<L>();
        let enabled =
            enable(&region, &region.labels()[0], &Host::X86_64, &machine, &mut ()).map_err(|error| error.errno())?;
        if enabled.mapping.is_none() {
            return Err(Errno::NODEV);
        }
        data_is_readable(&machine, &enabled);
        disable(&enabled, &machine).map_err(|error| error.errno())
    }
    for shift in (0..64).map(|nr| nr * 2 * MIB) {
        assert_eq!(after::<DaxX86>(shift), Ok(()), "{shift:#x}");
    }
    assert_eq!(after::<DaxX86>(MIB), Err(Errno::OPNOTSUPP));
    assert_eq!(after::<VmemmapSection>(0), Ok(()));
}

/// What is foretold of a namespace, without its machine.
fn foretold(region: &Region<Medium>, label: &Label, rules: &RuleSet, held: Held<'_>) -> Result<(), Errno> {
    let personality = region.probe(label, &Host::X86_64, rules).map_err(|error| error.errno())?;
    let Personality::Pages(_, settings) = personality else { return Ok(()) };
    let (extent, dataoff, records) = (settings.mapped(region.namespace(label)), settings.dataoff, settings.records);
    forecast(&Mapped { extent, dataoff, records }, held, &Host::X86_64, rules).map_err(|error| error.errno())
}

#[test]
fn what_is_foretold_happens() {
    fn as_foretold<L: Hotplug<Geometry = X86_64> + SectionFlags + Inspect>() -> [usize; 2] {
        let (rules, machine) = (<L::Rules as Rules>::SET, machine::<L>());
        let (mut refused, mut up) = (0, 0);
        for offset in (0..64).map(|nr| nr * 2 * MIB) {
            for (size, records) in [
                (16 * MIB, RecordsOn::Medium),
                (64 * MIB, RecordsOn::Medium),
                (112 * MIB, RecordsOn::Medium),
                (128 * MIB, RecordsOn::Medium),
                (144 * MIB, RecordsOn::Medium),
                (144 * MIB, RecordsOn::Ram),
            ] {
                let media = Media::new();
                let mut region = media.region(4 * GIB + offset, 256 * MIB, 16 * MIB);
                let wanted = wanted(1, size, 2 * MIB, NamespaceKind::FsDax, records);
                let created = region.create_namespace(&wanted, &Surroundings::default(), &Host::X86_64, &rules);
                if created.is_err() {
                    continue;
                }
                let label = &region.labels()[0];
                let happens = enable(&region, label, &Host::X86_64, &machine, &mut ()).map_err(|error| error.errno());
                let foretold = foretold(&region, label, &rules, Held::default());
                assert_eq!(happens.as_ref().map(drop), foretold.as_ref().copied(), "{} {offset:#x} {size:#x}", L::ID);
                match happens {
                    Ok(enabled) => {
                        disable(&enabled, &machine).unwrap();
                        up += 1;
                    }
                    Err(_) => refused += 1,
                }
            }
        }
        [refused, up]
    }
    let [refused, up] = as_foretold::<SectionDax>();
    assert!(refused > 100 && up > 100, "{refused} {up}");
    let [refused, up] = as_foretold::<DaxX86>();
    assert!(refused == 0 && up > 300, "{refused} {up}");
}

/// A block that leaves less room for records than the namespace needs, under a good checksum.
#[test]
fn too_little_room_for_records_is_foretold() {
    let media = Media::new();
    let mut region = media.region(4 * GIB, GIB, 16 * MIB);
    create(&mut region, &wanted(1, GIB, 2 * MIB, NamespaceKind::FsDax, RecordsOn::Medium)).unwrap();
    let (label, machine) = (region.labels()[0].clone(), machine::<DaxX86>());
    let mut seen = [0; 2];
    for dataoff in (1..=18).map(|nr| nr * 2 * MIB) {
        let contents = Contents {
            signature: Signature::Pfn,
            uuid: [9; 16],
            parent_uuid: label.uuid,
            minor: 4,
            dataoff,
            npfns: 1,
            records: RecordsOn::Medium,
            start_pad: 0,
            end_trunc: 0,
            align: 2 << 20,
            page_bytes: 4096,
            record_bytes: 64,
        };
        region.medium().write_at(contents.block().as_bytes(), label.offset + INFO_BLOCK_OFFSET).unwrap();
        let happens = enable(&region, &label, &Host::X86_64, &machine, &mut ());
        let foretold = foretold(&region, &label, &RuleSet::MERGED, Held::default());
        assert_eq!(happens.as_ref().map(drop).map_err(|error| error.errno()), foretold, "{dataoff:#x}");
        seen[usize::from(foretold.is_ok())] += 1;
        happens.iter().for_each(|enabled| disable(enabled, &machine).unwrap());
    }
    assert_eq!(seen, [8, 10]);
}

#[test]
fn neighbours_are_foretold_as_they_are_met() {
    fn of<L: Hotplug<Geometry = X86_64> + SectionFlags + Inspect>() -> [Result<(), Errno>; 2] {
        let (rules, media) = (<L::Rules as Rules>::SET, Media::new());
        let ram = [Extent { start: 4 * GIB, size: 64 * MIB }];
        let range = PfnRange::new(ram[0].start / 4096, ram[0].end() / 4096).unwrap();
        let map = BootMap::new([BootRange { range, node: 0 }]).unwrap();
        let machine =
            Machine::<L>::boot(&map, MachineConfig::default(), &Config::default(), RecordStore::unlimited()).unwrap();
        let mut region = media.region(4 * GIB + 64 * MIB, 256 * MIB, 16 * MIB);
        for nr in [1, 2] {
            let wanted = wanted(nr, 80 * MIB, 2 * MIB, NamespaceKind::FsDax, RecordsOn::Ram);
            region.create_namespace(&wanted, &Surroundings::default(), &Host::X86_64, &rules).unwrap();
        }
        let mut mapped = Vec::new();
        [0, 1].map(|nr| {
            let label = &region.labels()[nr];
            let foretold = foretold(&region, label, &rules, Held { ram: &ram, mapped: &mapped });
            let happens = enable(&region, label, &Host::X86_64, &machine, &mut ());
            assert_eq!(happens.as_ref().map(drop).map_err(|error| error.errno()), foretold, "{} {nr}", L::ID);
            if happens.is_ok() {
                mapped.push(region.namespace(label));
            }
            foretold
        })
    }
    // The second begins in the section in which the first would have ended.
    assert_eq!(of::<VmemmapSection>(), [Err(Errno::NXIO), Ok(())]);
    assert_eq!(of::<Subsection>(), [Ok(()), Ok(())]);
    let beyond = Extent { start: (1 << 46) - 2 * MIB, size: 16 * MIB };
    let mapped = Mapped { extent: beyond, dataoff: 2 * MIB, records: RecordsOn::Ram };
    let told = forecast(&mapped, Held::default(), &Host::X86_64, &RuleSet::MERGED);
    assert_eq!(told, Err(ForecastError::Beyond { beyond: 14 * MIB }));
}

/// T-64 on a medium: the data of a padded block of an old kernel is where it was.
#[test]
fn t64_data_behind_old_pads_is_read_and_written_by_block_io() {
    let media = Media::new();
    let ram = [Extent { start: 4 * GIB, size: 64 * MIB }];
    let before = <crate::rules::Before as Rules>::SET;
    let mut region = media.region(4 * GIB + 64 * MIB, 256 * MIB, 16 * MIB);
    let around = Surroundings { ram: &ram, regions: &[] };
    let wanted = wanted(1, 256 * MIB, 2 * MIB, NamespaceKind::FsDax, RecordsOn::Medium);
    let division = region.create_namespace(&wanted, &around, &Host::X86_64, &before).unwrap().unwrap();
    assert_eq!(division.start_pad, 64 * MIB);
    let label = region.labels()[0].clone();
    let probed = |rules| region.probe(&label, &Host::X86_64, rules).unwrap();
    // Written by an old kernel, read by a new one, at the same place.
    let (old, new) = (probed(&before), probed(&RuleSet::MERGED));
    let data = region.data(&label, &old);
    data.write_at(&[0x5a; 512], 4096).unwrap();
    data.barrier().unwrap();
    let mut bytes = [0; 512];
    region.medium().read_at(&mut bytes, 64 * MIB + division.dataoff + 4096).unwrap();
    assert_eq!(bytes, [0x5a; 512]);
    let data = region.data(&label, &new);
    bytes = [0; 512];
    data.read_at(&mut bytes, 4096).unwrap();
    assert_eq!((bytes, data.len_bytes().unwrap()), ([0x5a; 512], division.usable()));
    let Personality::Pages(_, settings) = new else { panic!("{new:?}") };
    assert!(!settings.has_dax());
    // Nothing behind its end, whatever the arithmetic.
    for offset in [division.usable() - 511, division.usable(), u64::MAX - 511] {
        assert!(data.read_at(&mut bytes, offset).is_err() && data.write_at(&bytes, offset).is_err());
    }
}

#[test]
fn a_refused_enable_leaves_the_holes_of_its_medium() {
    use std::os::unix::fs::MetadataExt;
    let media = Media::new();
    let before = <crate::rules::Before as Rules>::SET;
    let mut region = media.region(4 * GIB + 2 * MIB, GIB, 16 * MIB);
    let wanted = wanted(1, GIB, 2 * MIB, NamespaceKind::FsDax, RecordsOn::Medium);
    region.create_namespace(&wanted, &Surroundings::default(), &Host::X86_64, &before).unwrap();
    let blocks = || std::fs::metadata(media.medium()).unwrap().blocks();
    let (had, machine) = (blocks(), machine::<SectionDax>());
    // The records of all sections but the last one find room.
    let error = enable(&region, &region.labels()[0], &Host::X86_64, &machine, &mut ()).unwrap_err();
    assert_eq!((error.errno(), blocks()), (Errno::NOMEM, had));
}

#[test]
fn one_copy_of_the_labels_serves_where_the_other_cannot_be_read() {
    let media = Media::new();
    let mut region = media.region(4 * GIB, 256 * MIB, 16 * MIB);
    create(&mut region, &wanted(1, 64 * MIB, 2 * MIB, NamespaceKind::FsDax, RecordsOn::Medium)).unwrap();
    drop(region);
    for len in [32 << 10, 40_000, LABEL_FILE_BYTES - 1] {
        std::fs::File::options().write(true).open(media.labels()).unwrap().set_len(len).unwrap();
        let mut region = media.open(None, Access::Write).unwrap();
        assert!(region.damaged_copy().is_some() && region.labels().len() == 1, "{len}");
        let disabled = region.labels()[0].is_disabled;
        region.set_disabled(&[1; 16], !disabled).unwrap();
        assert_eq!(std::fs::metadata(media.labels()).unwrap().len(), LABEL_FILE_BYTES);
    }
    std::fs::File::options().write(true).open(media.labels()).unwrap().set_len(1000).unwrap();
    let error = media.open(None, Access::Read).unwrap_err();
    assert!(matches!(error, RegionError::Label(LabelError::Io { .. })), "{error}");
}

#[test]
fn a_region_begins_with_a_page_wherever_it_is_put() {
    let media = Media::new();
    drop(media.region(4 * GIB, 256 * MIB, 16 * MIB));
    for start in [4 * GIB + 1, 4 * GIB + 2048, 4095] {
        let error = media.open(Some(start), Access::Write).unwrap_err();
        assert!(matches!(error, RegionError::StartOffPage { .. }), "{error}");
    }
    let mut forged = Table { start: 4 * GIB + 1, size: GIB, align: 4096, labels: Vec::new() };
    assert_eq!(forged.check(), Err(InvalidTable::Start(4 * GIB + 1)));
}

#[test]
fn what_the_medium_does_not_give_is_said() {
    let media = Media::new();
    let mut region = media.region(4 * GIB, 256 * MIB, 16 * MIB);
    create(&mut region, &wanted(1, 64 * MIB, 2 * MIB, NamespaceKind::FsDax, RecordsOn::Medium)).unwrap();
    // A second opener, of either file.
    for path in [media.medium(), media.labels()] {
        let error = Medium::open(&path, Access::Read).unwrap_err();
        assert!(matches!(error, StorageError::Busy { .. }) && error.errno() == Errno::BUSY, "{error}");
    }
    // Shorter while it is open: no room for records, and no new length.
    let shorten = |len| std::fs::File::options().write(true).open(media.medium()).unwrap().set_len(len).unwrap();
    shorten(16 * KIB);
    let machine = machine::<Dax>();
    let error = enable(&region, &region.labels()[0], &Host::X86_64, &machine, &mut ()).unwrap_err();
    assert!(matches!(error, NamespaceError::Region(RegionError::Truncated { .. })), "{error}");
    assert_eq!(std::fs::metadata(media.medium()).unwrap().len(), 16 * KIB);
    assert_eq!(machine.layout().accounting().device_record_bytes, 0);
    shorten(4096);
    let label = &region.labels()[0];
    assert_eq!(region.probe(label, &Host::X86_64, &RuleSet::MERGED).unwrap_err().errno(), Errno::NXIO);
    let error =
        create(&mut region, &wanted(2, 64 * MIB, 2 * MIB, NamespaceKind::FsDax, RecordsOn::Medium)).unwrap_err();
    assert!(error.to_string().contains("are missing at its end"), "{error}");
    drop(region);
    let error = media.open(None, Access::Read).unwrap_err();
    assert!(matches!(error, RegionError::Truncated { .. }), "{error}");
    shorten(256 * MIB);
    // For reading alone: nothing is changed.
    let mut region = media.open(None, Access::Read).unwrap();
    let before = std::fs::read(media.labels()).unwrap();
    let error = create(&mut region, &wanted(2, 64 * MIB, 2 * MIB, NamespaceKind::Raw, RecordsOn::Ram)).unwrap_err();
    assert!(error.to_string().contains("write"), "{error}");
    assert_eq!((std::fs::read(media.labels()).unwrap(), region.labels().len()), (before, 1));
    let pipe = media.dir.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    for path in ["/dev/null", "/dev/shm", pipe.to_str().unwrap()] {
        let error = Medium::open(Path::new(path), Access::Read).unwrap_err();
        assert!(matches!(error, StorageError::NoMedium { .. }), "{error}");
    }
}

#[test]
fn any_byte_of_the_labels_may_be_damaged_and_one_copy_serves() {
    let media = Media::new();
    let mut region = media.region(4 * GIB, 256 * MIB, 16 * MIB);
    create(&mut region, &wanted(1, 64 * MIB, 2 * MIB, NamespaceKind::FsDax, RecordsOn::Medium)).unwrap();
    drop(region);
    let whole = std::fs::read(media.labels()).unwrap();
    let nr_labels = |bytes: &[u8]| {
        std::fs::write(media.labels(), bytes).unwrap();
        let region = media.open(None, Access::Read);
        region.map(|region| {
            assert!(region.damaged_copy().is_some() || bytes == whole);
            region.labels().len()
        })
    };
    for at in 0..whole.len() {
        // Each byte of the first label and the headers, then a sample.
        if at % (32 << 10) > 1024 && at % 61 != 0 {
            continue;
        }
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        assert!(matches!(nr_labels(&bytes), Ok(1)), "byte {at}");
    }
    let mut both = whole.clone();
    (both[40], both[(32 << 10) + 40]) = (0xff, 0xff);
    let error = nr_labels(&both).unwrap_err();
    assert!(error.to_string().contains("damaged") && error.errno() == Errno::NXIO, "{error}");
    assert!(nr_labels(&whole[..100]).is_err() && nr_labels(&[]).is_err());
    assert!(InfoBlock::read(&whole[..100]).is_none());
}

#[test]
fn labels_that_overlap_are_refused_by_name_and_distance() {
    let media = Media::new();
    let mut region = media.region(4 * GIB, 256 * MIB, 16 * MIB);
    for nr in 1..=2 {
        create(&mut region, &wanted(nr, 32 * MIB, 2 * MIB, NamespaceKind::FsDax, RecordsOn::Medium)).unwrap();
    }
    drop(region);
    let (mut bytes, copy) = (std::fs::read(media.labels()).unwrap(), (LABEL_FILE_BYTES / 2) as usize);
    for base in [0, copy] {
        // The second label begins 4 MiB before the end of the first.
        let at = base + 512 + 256 + 80;
        bytes[at..at + 8].copy_from_slice(&(28 * MIB).to_le_bytes());
        let sum = checksum_of(&bytes[base..base + copy]).unwrap();
        bytes[base + 504..base + 512].copy_from_slice(&sum.to_le_bytes());
    }
    std::fs::write(media.labels(), &bytes).unwrap();
    let error = media.open(None, Access::Read).unwrap_err();
    assert!(error.to_string().contains("overlap by 4 MiB") && error.errno() == Errno::INVAL, "{error}");
    let by = match error {
        RegionError::Label(LabelError::Invalid(InvalidTable::Overlap { by, .. })) => by,
        error => panic!("{error}"),
    };
    assert_eq!((by, std::fs::read(media.labels()).unwrap()), (4 * MIB, bytes));
}

/// Whatever is in a block whose checksum is right, it is refused or says what can be.
#[test]
fn no_contents_of_a_block_or_of_labels_break_anything() {
    use rand::{RngExt, SeedableRng};
    let mut random = rand_pcg::Pcg64::seed_from_u64(60);
    // Numbers at which sums and products go over, and any.
    let number = |random: &mut rand_pcg::Pcg64| match random.random_range(0..6) {
        0 => 0,
        1 => u64::MAX - random.random_range(0..4),
        2 => 1 << random.random_range(0..64),
        3 => random.random_range(0..1 << 30),
        4 => (1 << random.random_range(12..57)) - 4096,
        _ => random.random(),
    };
    let namespace = Extent { start: 4 * GIB, size: GIB };
    let mut good = 0;
    for _ in 0..200_000 {
        let [dataoff, npfns, start_pad, end_trunc, align, page] = std::array::from_fn(|_| number(&mut random));
        let often =
            |random: &mut rand_pcg::Pcg64, usual: u64, other: u64| if random.random_bool(0.7) { usual } else { other };
        let contents = Contents {
            signature: if random.random_bool(0.5) { Signature::Pfn } else { Signature::Dax },
            uuid: [1; 16],
            parent_uuid: [2; 16],
            minor: random.random_range(0..6),
            dataoff: often(&mut random, 18 * MIB, dataoff),
            npfns,
            records: if random.random_bool(0.5) { RecordsOn::Ram } else { RecordsOn::Medium },
            start_pad: often(&mut random, 0, start_pad) as u32,
            end_trunc: often(&mut random, 0, end_trunc) as u32,
            align: often(&mut random, 2 * MIB, align) as u32,
            page_bytes: often(&mut random, 4096, page) as u32,
            record_bytes: 64,
        };
        for host in [Host::X86_64, Host::ARM64_64K] {
            for rules in [RuleSet::MERGED, <crate::rules::Before as Rules>::SET] {
                let validated = contents.block().validate(contents.signature, &[2; 16], namespace, &host, None, &rules);
                match validated {
                    Ok(settings) => {
                        good += 1;
                        let mapped = settings.mapped(namespace);
                        assert!(mapped.start >= namespace.start && mapped.end() <= namespace.end() && mapped.size > 0);
                        assert!(
                            settings.dataoff >= HEAD_BYTES.next_multiple_of(host.page_bytes)
                                && settings.data_bytes(namespace) > 0
                        );
                        assert!(settings.data_bytes(namespace) <= namespace.size);
                        let shape = altmap_shape(mapped, settings.dataoff, &host, &rules);
                        assert!(shape.base_pfn * host.page_bytes <= mapped.start, "{settings:?}");
                    }
                    Err(error) => {
                        assert!(!error.to_string().is_empty() && error.errno().raw_os_error() > 0)
                    }
                }
            }
        }
    }
    assert!(good > 10_000, "{good}");
    // Labels: fields of a file that is right otherwise, each copy sealed again.
    let media = Media::new();
    let mut region = media.region(4 * GIB, 256 * MIB, 16 * MIB);
    for nr in 1..=3 {
        create(&mut region, &wanted(nr, 16 * MIB, 2 * MIB, NamespaceKind::FsDax, RecordsOn::Medium)).unwrap();
    }
    drop(region);
    let whole = std::fs::read(media.labels()).unwrap();
    let copy = (LABEL_FILE_BYTES / 2) as usize;
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..3000 {
        let mut bytes = whole.clone();
        for _ in 0..random.random_range(1..4) {
            let field = [20, 24, 32, 40, 48, 512 + 80, 512 + 88, 512 + 96, 768 + 16, 768 + 80, 768 + 88];
            let at = field[random.random_range(0..field.len())];
            let value = number(&mut random).to_le_bytes();
            let len = if matches!(at, 20 | 608) { 4 } else { 8 };
            for base in [0, copy] {
                bytes[base + at..base + at + len].copy_from_slice(&value[..len]);
            }
        }
        for base in [0, copy] {
            let sum = checksum_of(&bytes[base..base + copy]).unwrap();
            bytes[base + 504..base + 512].copy_from_slice(&sum.to_le_bytes());
        }
        std::fs::write(media.labels(), &bytes).unwrap();
        match Table::read(&Medium::open(&media.labels(), Access::Read).unwrap()) {
            Ok((table, ..)) => {
                taken += 1;
                assert!(table.labels.iter().all(|label| label.size > 0 && label.end() <= table.size));
                assert!(table.labels.windows(2).all(|pair| pair[0].end() <= pair[1].offset), "{table:?}");
            }
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().is_empty());
            }
        }
    }
    assert!(taken > 50 && refused > 500, "{taken} {refused}");
}
