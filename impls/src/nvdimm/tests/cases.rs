//! The numbered cases (T-64 and up) on real files.

use super::*;

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
    // Disabling and enabling the second affects none of its neighbours.
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
    // With the pages of this machine: writing records leaves the info block unchanged.
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
    // Create a raw namespace there, and write an info block into it.
    create(&mut region, &wanted(3, GIB + 8 * KIB, 4 * KIB, NamespaceKind::Raw, RecordsOn::Ram)).unwrap();
    let forge = |start_pad: u32, end_trunc: u32| {
        let label = region.label(&[3; 16]).unwrap();
        forge(&region, label, Contents { start_pad, end_trunc, ..forged(label) });
        enable(&region, label, &Host::X86_64, &machine, &mut ())
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
    assert!(error.to_string().contains("region alignment of 16 MiB (4 KiB past one); 32 MiB works"), "{error}");
    assert_eq!(size(&mut region, 0).errno(), Errno::INVAL);
    assert_eq!(size(&mut region, !(16 * MIB - 1)).errno(), Errno::NOSPC);
    assert_eq!(size(&mut region, 512 * MIB).errno(), Errno::NOSPC);
    region.set_align(4096, &Host::X86_64).unwrap();
    assert_eq!((region.align(), media_align(&media, region)), (4096, 4096));
}

/// Six DIMMs that take turns: the kernel divides the alignment by six first.
#[test]
fn an_interleaved_region_is_aligned_on_each_of_its_dimms() {
    let (media, host) = (Media::new(), Host::X86_64);
    drop(StorageFile::create(&media.medium(), GIB).unwrap());
    let create_region = |align: RegionAlign| {
        let medium = media.open_medium(Access::Write);
        Region::create_with_label_file(medium, &media.labels(), 4 * GIB, align, &host)
    };
    let error = create_region(RegionAlign::new(16 * MIB, 6)).unwrap_err().to_string();
    assert!(error.contains("16 MiB is not 6 times a power of two from 24 KiB (6 × 4 KiB)"), "{error}");
    assert!(error.contains("96 MiB (6 × 16 MiB) works"), "{error}");
    let mut region = create_region(RegionAlign::default_for(GIB, 6, 4096)).unwrap();
    assert_eq!((region.align(), region.mappings(), region.free()), (96 * MIB, 6, vec![(0, 960 * MIB)]));
    let one = |nr, size| wanted(nr, size, 2 * MIB, NamespaceKind::FsDax, RecordsOn::Medium);
    assert!(matches!(create(&mut region, &one(1, 128 * MIB)), Err(RegionError::Size { .. })));
    create(&mut region, &one(1, 96 * MIB)).unwrap();
    create(&mut region, &one(2, 192 * MIB)).unwrap();
    let machine = machine::<DaxX86>();
    for (nr, start) in [(1, 4 * GIB), (2, 4 * GIB + 96 * MIB)] {
        assert_eq!(region.namespace(region.label(&[nr; 16]).unwrap()).start, start);
        let enabled = up(&region, &machine, nr);
        data_is_readable(&machine, &enabled);
        disable(&enabled, &machine).unwrap();
    }
    for align in [16 * MIB, 4 * KIB, 18 * MIB, 1536 * MIB, 0] {
        assert_eq!(region.set_align(align, &host).unwrap_err().errno(), Errno::INVAL, "{align}");
    }
    region.set_align(24 * KIB, &host).unwrap();
    drop(region);
    let region = media.open(None, Access::Read).unwrap();
    assert_eq!((region.align(), region.mappings(), region.labels().len()), (24 * KIB, 6, 2));
    // Files of older versions have 0 DIMMs, which stands for 1.
    drop(region);
    let of_older = Media::new();
    drop(of_older.region(4 * GIB, 256 * MIB, 16 * MIB));
    rewrite_labels(&of_older, |copy| copy[56..60].fill(0));
    let region = of_older.open(None, Access::Read).unwrap();
    assert_eq!((region.align(), region.mappings()), (16 * MIB, 1));
    drop(region);
    rewrite_labels(&of_older, |copy| copy[56..60].copy_from_slice(&70_000u32.to_le_bytes()));
    let error = of_older.open(None, Access::Read).unwrap_err().to_string();
    assert!(error.contains("70000 DIMMs exceed the limit"), "{error}");
}

/// Changes both copies of the labels, and renews their checksums.
fn rewrite_labels(media: &Media, change: impl Fn(&mut [u8])) {
    let mut bytes = std::fs::read(media.labels()).unwrap();
    for copy in bytes.chunks_mut((LABEL_FILE_BYTES / 2) as usize) {
        change(copy);
        let sum = checksum_of(copy).unwrap();
        copy[504..512].copy_from_slice(&sum.to_le_bytes());
    }
    std::fs::write(media.labels(), bytes).unwrap();
}

fn media_align(media: &Media, region: Region<StorageFile>) -> u64 {
    drop(region);
    media.open(None, Access::Read).unwrap().align()
}

/// T-64 on a medium: the data of a namespace that an old kernel padded is still at its place.
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
    // An old and a new kernel find the data at the same place.
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
    // Accesses beyond the end fail, even if offset plus length overflows.
    for offset in [division.usable() - 511, division.usable(), u64::MAX - 511] {
        assert!(data.read_at(&mut bytes, offset).is_err() && data.write_at(&bytes, offset).is_err());
    }
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
