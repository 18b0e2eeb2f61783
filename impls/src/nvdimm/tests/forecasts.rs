//! What is foretold of a machine, beside the machine.

use super::*;

/// What is foretold of a namespace, without its machine.
fn foretold(
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
                let foretold = foretold(&region, label, &rules, Surroundings::default());
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
        forge(&region, &label, Contents { dataoff, align: 2 << 20, ..forged(&label) });
        let happens = enable(&region, &label, &Host::X86_64, &machine, &mut ());
        let foretold = foretold(&region, &label, &RuleSet::MERGED, Surroundings::default());
        assert_eq!(happens.as_ref().map(drop).map_err(|error| error.errno()), foretold, "{dataoff:#x}");
        seen[usize::from(foretold.is_ok())] += 1;
        happens.iter().for_each(|enabled| disable(enabled, &machine).unwrap());
    }
    assert_eq!(seen, [8, 10]);
}

#[test]
fn neighbours_are_foretold_as_they_are_met() {
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
            let foretold = foretold(&region, label, &rules, Surroundings { ram: &ram, regions: &mapped });
            let happens = enable(&region, label, &Host::X86_64, &machine, &mut ());
            assert_eq!(happens.as_ref().map(drop).map_err(|error| error.errno()), foretold, "{} {nr}", L::ID);
            if happens.is_ok() {
                mapped.push(region.namespace(label));
            }
            foretold
        })
    }
    // The first begins in a section with RAM; the second in that in which the first would have
    // ended, and the third in the second's.
    assert_eq!(enable_in_turn::<VmemmapSection>(), [Err(Errno::NXIO), Ok(()), Err(Errno::NOMEM)]);
    assert_eq!(enable_in_turn::<Subsection>(), [Ok(()); 3]);
    let beyond = Extent { start: (1 << 46) - 2 * MIB, size: 16 * MIB };
    let mapped = Mapped { extent: beyond, dataoff: 2 * MIB, records: RecordsOn::Ram };
    let told = forecast(&mapped, &Surroundings::default(), &Host::X86_64, &RuleSet::MERGED);
    assert_eq!(told, Err(ForecastError::Beyond { beyond: 14 * MIB }));
}
