//! Media and labels that are damaged, truncated or read-only.

use super::*;

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
    // The altmap is exhausted at the last section.
    let error = enable(&region, &region.labels()[0], &Host::X86_64, &machine, &mut ()).unwrap_err();
    assert_eq!((error.errno(), blocks()), (Errno::NOMEM, had));
}

#[test]
fn the_first_copy_of_the_labels_is_used_if_the_second_cannot_be_read() {
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
fn errors_of_the_medium_are_reported() {
    let media = Media::new();
    let mut region = media.region(4 * GIB, 256 * MIB, 16 * MIB);
    create(&mut region, &wanted(1, 64 * MIB, 2 * MIB, NamespaceKind::FsDax, RecordsOn::Medium)).unwrap();
    // A second opener, of either file.
    for path in [media.medium(), media.labels()] {
        let error = StorageFile::open(&path, Access::Read).unwrap_err();
        assert!(matches!(error, StorageError::Busy { .. }) && error.errno() == Errno::BUSY, "{error}");
    }
    // Truncated while open: there is no room for records, and the file is not extended.
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
    // Opened read-only: a change fails and leaves everything as it was.
    let mut region = media.open(None, Access::Read).unwrap();
    let before = std::fs::read(media.labels()).unwrap();
    let error = create(&mut region, &wanted(2, 64 * MIB, 2 * MIB, NamespaceKind::Raw, RecordsOn::Ram)).unwrap_err();
    assert!(error.to_string().contains("write"), "{error}");
    assert_eq!((std::fs::read(media.labels()).unwrap(), region.labels().len()), (before, 1));
    let pipe = media.dir.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    for path in ["/dev/null", "/dev/shm", pipe.to_str().unwrap()] {
        let error = StorageFile::open(Path::new(path), Access::Read).unwrap_err();
        assert!(matches!(error, StorageError::NoMedium { .. }), "{error}");
    }
}

#[test]
fn with_any_damaged_byte_the_other_copy_of_the_labels_is_used() {
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
fn overlapping_labels_are_refused_with_names_and_size_of_the_overlap() {
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

/// An info block or labels with a valid checksum and random contents are refused, or consistent.
#[test]
fn random_contents_are_refused_or_consistent() {
    use rand::{RngExt, SeedableRng};
    let mut random = rand_pcg::Pcg64::seed_from_u64(60);
    // Numbers at which sums and products overflow, and random ones.
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
        let often = |random: &mut rand_pcg::Pcg64, default: u64, other: u64| {
            if random.random_bool(0.7) { default } else { other }
        };
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
    // Labels: change some fields of a valid file, and recompute the checksum of each copy.
    let media = Media::new();
    let mut region = media.region(4 * GIB, 256 * MIB, 16 * MIB);
    for nr in 1..=3 {
        create(&mut region, &wanted(nr, 16 * MIB, 2 * MIB, NamespaceKind::FsDax, RecordsOn::Medium)).unwrap();
    }
    drop(region);
    let whole = std::fs::read(media.labels()).unwrap();
    let copy = (LABEL_FILE_BYTES / 2) as usize;
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..3000 {
        let mut bytes = whole.clone();
        for _ in 0..random.random_range(1..4) {
            let field = [20, 24, 32, 40, 48, 56, 512 + 80, 512 + 88, 512 + 96, 768 + 16, 768 + 80, 768 + 88];
            let at = field[random.random_range(0..field.len())];
            let value = number(&mut random).to_le_bytes();
            let len = if matches!(at, 20 | 56 | 608) { 4 } else { 8 };
            for base in [0, copy] {
                bytes[base + at..base + at + len].copy_from_slice(&value[..len]);
            }
        }
        for base in [0, copy] {
            let sum = checksum_of(&bytes[base..base + copy]).unwrap();
            bytes[base + 504..base + 512].copy_from_slice(&sum.to_le_bytes());
        }
        std::fs::write(media.labels(), &bytes).unwrap();
        match Table::read(&StorageFile::open(&media.labels(), Access::Read).unwrap()) {
            Ok((table, ..)) => {
                accepted += 1;
                assert!(table.labels.iter().all(|label| label.size > 0 && label.end() <= table.size));
                assert!(table.labels.windows(2).all(|pair| pair[0].end() <= pair[1].offset), "{table:?}");
            }
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().is_empty());
            }
        }
    }
    assert!(accepted > 50 && refused > 500, "{accepted} {refused}");
}
