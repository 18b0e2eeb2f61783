//! Forecasts, compared with what the machine does.

use super::*;

/// The forecast for a namespace, without a machine.
fn predicted(
    region: &Region<StorageFile>,
    label: &Label,
    rules: &RuleSet,
    around: Surroundings<'_>,
) -> Result<(), Errno> {
    let personality = region.probe(label, &Host::X86_64, rules).map_err(|error| error.errno())?;
    let Personality::Pages(_, settings) = personality else { return Ok(()) };
    let mapped = Mapped::new(&settings, region.namespace(label));
    forecast(&mapped, &around, &Host::X86_64, rules).map_err(|error| error.errno())
}

#[test]
fn the_machine_does_what_is_predicted() {
    fn compare<L: Hotplug<Geometry = X86_64> + SectionFlags + Inspect>() -> [usize; 2] {
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
                let actual = enable(&region, label, &Host::X86_64, &machine, &mut ()).map_err(|error| error.errno());
                let predicted = predicted(&region, label, &rules, Surroundings::default());
                assert_eq!(actual.as_ref().map(drop), predicted.as_ref().copied(), "{} {offset:#x} {size:#x}", L::ID);
                match actual {
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
    let [refused, up] = compare::<SectionDax>();
    assert!(refused > 100 && up > 100, "{refused} {up}");
    let [refused, up] = compare::<DaxX86>();
    assert!(refused == 0 && up > 300, "{refused} {up}");
}

/// The info blocks are valid, but some have too little room for the records.
#[test]
fn too_little_room_for_records_is_predicted() {
    let media = Media::new();
    let mut region = media.region(4 * GIB, GIB, 16 * MIB);
    create(&mut region, &wanted(1, GIB, 2 * MIB, NamespaceKind::FsDax, RecordsOn::Medium)).unwrap();
    let (label, machine) = (region.labels()[0].clone(), machine::<DaxX86>());
    let mut seen = [0; 2];
    for dataoff in (1..=18).map(|nr| nr * 2 * MIB) {
        forge(&region, &label, Contents { dataoff, align: 2 << 20, ..forged(&label) });
        let actual = enable(&region, &label, &Host::X86_64, &machine, &mut ());
        let predicted = predicted(&region, &label, &RuleSet::MERGED, Surroundings::default());
        assert_eq!(actual.as_ref().map(drop).map_err(|error| error.errno()), predicted, "{dataoff:#x}");
        seen[usize::from(predicted.is_ok())] += 1;
        actual.iter().for_each(|enabled| disable(enabled, &machine).unwrap());
    }
    assert_eq!(seen, [8, 10]);
}

#[test]
fn conflicts_with_neighbours_are_predicted() {
    fn enable_in_turn<L: Hotplug<Geometry = X86_64> + SectionFlags + Inspect>() -> [Result<(), Errno>; 3] {
        let (rules, media) = (<L::Rules as Rules>::SET, Media::new());
        let ram = [Extent { start: 4 * GIB, size: 64 * MIB }];
        let range = PfnRange::new(ram[0].start / 4096, ram[0].end() / 4096).unwrap();
        let map = BootMap::new([BootRange { range, node: 0 }]).unwrap();
        let machine =
            Machine::<L>::boot(&map, MachineConfig::default(), &Config::default(), RecordStore::unlimited()).unwrap();
        let mut region = media.region(4 * GIB + 64 * MIB, 256 * MIB, 16 * MIB);
        for nr in [1, 2, 3] {
            let wanted = wanted(nr, 80 * MIB, 2 * MIB, NamespaceKind::FsDax, RecordsOn::Ram);
            region.create_namespace(&wanted, &Surroundings::default(), &Host::X86_64, &rules).unwrap();
        }
        let mut mapped = Vec::new();
        [0, 1, 2].map(|nr| {
            let label = &region.labels()[nr];
            let predicted = predicted(&region, label, &rules, Surroundings { ram: &ram, regions: &mapped });
            let actual = enable(&region, label, &Host::X86_64, &machine, &mut ());
            assert_eq!(actual.as_ref().map(drop).map_err(|error| error.errno()), predicted, "{} {nr}", L::ID);
            if actual.is_ok() {
                mapped.push(region.namespace(label));
            }
            predicted
        })
    }
    // The first begins in a section with RAM. The second begins in the section where the first would
    // have ended, and the third in the section where the second ends.
    assert_eq!(enable_in_turn::<VmemmapSection>(), [Err(Errno::NXIO), Ok(()), Err(Errno::NOMEM)]);
    assert_eq!(enable_in_turn::<Subsection>(), [Ok(()); 3]);
    let beyond = Extent { start: (1 << 46) - 2 * MIB, size: 16 * MIB };
    let mapped = Mapped { extent: beyond, dataoff: 2 * MIB, records: RecordsOn::Ram };
    let result = forecast(&mapped, &Surroundings::default(), &Host::X86_64, &RuleSet::MERGED);
    assert_eq!(result, Err(ForecastError::Beyond { beyond: 14 * MIB }));
}
