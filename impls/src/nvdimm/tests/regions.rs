//! Regions: what they are made of, and where namespaces lie in them.

use super::*;

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
