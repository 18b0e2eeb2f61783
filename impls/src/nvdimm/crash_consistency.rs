//! Crash consistency: a change that is interrupted at any point leaves the old state or the new one.
//! The tests open every state that the failure model of [`storage`](super::storage) allows, or a
//! random sample.

use super::division::Surroundings;
use super::label::{LABEL_FILE_BYTES, NamespaceKind};
use super::region::{NamespaceSpec, Personality, Region, RegionError};
use super::storage::{SECTOR_BYTES, STORE_BYTES, Storage};
use super::{Host, RecordsOn};
use crate::rules::RuleSet;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;

type Sector = Box<[u8; SECTOR_BYTES]>;
type Image = BTreeMap<(usize, u64), Sector>;

#[derive(Clone, Debug)]
enum Event {
    Write { file: usize, sector: u64, data: Sector },
    Barrier { file: usize },
}

/// The contents of a medium and its labels, and the log of writes and barriers.
#[derive(Clone, Debug, Default)]
struct Recorder {
    image: Rc<RefCell<Image>>,
    log: Rc<RefCell<Vec<Event>>>,
}

/// One of the two files: 0 is the medium, 1 the labels.
#[derive(Clone, Debug)]
struct Recorded {
    recorder: Recorder,
    file: usize,
    len: u64,
}

impl Recorder {
    fn files(&self) -> (Recorded, Recorded) {
        let file = |file, len| Recorded { recorder: self.clone(), file, len };
        (file(0, 1 << 30), file(1, LABEL_FILE_BYTES))
    }
}

impl Storage for Recorded {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.len)
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let image = self.recorder.image.borrow();
        for (nr, part) in buffer.chunks_mut(SECTOR_BYTES).enumerate() {
            let sector = image.get(&(self.file, offset / SECTOR_BYTES as u64 + nr as u64));
            part.copy_from_slice(&sector.map_or([0; SECTOR_BYTES], |sector| **sector)[..part.len()]);
        }
        Ok(())
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        assert_eq!(
            (bytes.len() % SECTOR_BYTES, offset % SECTOR_BYTES as u64),
            (0, 0),
            "only whole sectors are written"
        );
        for (nr, part) in bytes.chunks(SECTOR_BYTES).enumerate() {
            let (sector, data) = (offset / SECTOR_BYTES as u64 + nr as u64, Sector::new(part.try_into().unwrap()));
            self.recorder.image.borrow_mut().insert((self.file, sector), data.clone());
            self.recorder.log.borrow_mut().push(Event::Write { file: self.file, sector, data });
        }
        Ok(())
    }
    fn barrier(&self) -> io::Result<()> {
        self.recorder.log.borrow_mut().push(Event::Barrier { file: self.file });
        Ok(())
    }
}

/// The observable state of a region: labels, alignment, and what each namespace is.
type Observed = (Vec<super::label::Label>, u64, Vec<Personality>);

fn observe(region: &Region<Recorded>) -> Observed {
    let probe = |label| region.probe(label, &Host::X86_64, &RuleSet::MERGED).unwrap();
    (region.labels().to_vec(), region.align(), region.labels().iter().map(probe).collect())
}

fn open(recorder: &Recorder) -> Result<Region<Recorded>, RegionError> {
    let (medium, labels) = recorder.files();
    Region::open(medium, labels, None)
}

/// Up to this many pending units, all subsets are opened; above, a random sample.
const MAX_EXHAUSTIVE: usize = 10;

/// A failure model.
#[derive(Clone, Copy)]
struct Model {
    /// Atomic write unit in bytes.
    unit: usize,
    /// Number of states to open if there are too many to open all.
    sample: usize,
}

/// Files and disks.
const SECTORS: Model = Model { unit: SECTOR_BYTES, sample: 10_000 };
/// Mapped devices.
const STORES: Model = Model { unit: STORE_BYTES, sample: 10_000 };

/// An atomic write: its sector, the byte range in the sector, and the new contents.
type Unit = ((usize, u64), std::ops::Range<usize>, Sector);

fn apply(image: &mut Image, (key, bytes, data): &Unit) {
    let sector = image.entry(*key).or_insert_with(|| Sector::new([0; SECTOR_BYTES]));
    sector[bytes.clone()].copy_from_slice(&data[bytes.clone()]);
}

/// Opens every state that a power failure may leave when `log` is written over `before`, or a sample.
/// Returns the number of states. They differ in which units since the last barrier of each file are
/// durable. It is enough to look just before each barrier, because most units are pending there.
fn open_every_state(before: &Image, log: &[Event], model: Model, mut check: impl FnMut(Observed)) -> usize {
    let mut random = Pcg64::seed_from_u64(7);
    let barriers: Vec<_> = (0..log.len()).filter(|nr| matches!(log[*nr], Event::Barrier { .. })).collect();
    let mut opened = 0;
    for point in barriers.into_iter().chain([log.len()]) {
        let (mut image, mut pending) = (before.clone(), Vec::<Unit>::new());
        for event in &log[..point] {
            match event {
                Event::Write { file, sector, data } => {
                    let unit = |begin| ((*file, *sector), begin..begin + model.unit, data.clone());
                    pending.extend((0..SECTOR_BYTES).step_by(model.unit).map(unit));
                }
                Event::Barrier { file } => {
                    let (durable, rest): (Vec<_>, _) = pending.into_iter().partition(|((owner, _), ..)| owner == file);
                    durable.iter().for_each(|unit| apply(&mut image, unit));
                    pending = rest;
                }
            }
        }
        // A unit that is written once, with its old contents, does not change the state.
        let mut writes = BTreeMap::new();
        for (key, bytes, _) in &pending {
            *writes.entry((*key, bytes.start)).or_insert(0) += 1;
        }
        pending.retain(|(key, bytes, data)| {
            let old = image.get(key).map_or([0; SECTOR_BYTES], |sector| **sector);
            old[bytes.clone()] != data[bytes.clone()] || writes[&(*key, bytes.start)] > 1
        });
        let nr_subsets = if pending.len() <= MAX_EXHAUSTIVE { 1 << pending.len() } else { model.sample };
        for nr in 0..nr_subsets {
            // A random share, so that the sample includes states with almost no and almost all units.
            let share = random.random_range(0.0..=1.0);
            let is_durable = |bit: usize, random: &mut Pcg64| match pending.len() <= MAX_EXHAUSTIVE {
                true => nr >> bit & 1 == 1,
                false => random.random_bool(share),
            };
            let mut state = image.clone();
            for (bit, unit) in pending.iter().enumerate() {
                if is_durable(bit, &mut random) {
                    apply(&mut state, unit);
                }
            }
            let crashed = Recorder { image: Rc::new(RefCell::new(state)), log: Rc::default() };
            check(observe(&open(&crashed).unwrap()));
            opened += 1;
        }
    }
    opened
}

/// Runs a change, then opens every state that it may leave. Returns the number of states.
fn interrupted_everywhere(recorder: &Recorder, model: Model, change: impl FnOnce(&mut Region<Recorded>)) -> usize {
    let before = recorder.image.borrow().clone();
    let old = observe(&open(recorder).unwrap());
    recorder.log.borrow_mut().clear();
    let mut region = open(recorder).unwrap();
    change(&mut region);
    let new = observe(&region);
    assert_eq!(observe(&open(recorder).unwrap()), new);
    let log = recorder.log.borrow().clone();
    let mut seen = BTreeSet::new();
    let opened = open_every_state(&before, &log, model, |found| {
        assert!(found == old || found == new, "a third state: {found:?}");
        seen.insert(found == new);
    });
    assert_eq!(seen.len(), 2, "the old and the new state are both among them");
    opened
}

/// Kills a process at every point of a change. Other processes still see everything it wrote. Then
/// the next process makes another change, during which power fails. Returns the number of states.
fn killed_then_interrupted(
    recorder: &Recorder,
    model: Model,
    first: impl Fn(&mut Region<Recorded>),
    second: impl Fn(&mut Region<Recorded>),
) -> usize {
    let before = recorder.image.borrow().clone();
    let copy = |image: &Image| Recorder { image: Rc::new(RefCell::new(image.clone())), log: Rc::default() };
    let whole = copy(&before);
    let old = observe(&open(&whole).unwrap());
    first(&mut open(&whole).unwrap());
    let log = whole.log.borrow().clone();
    let mut opened = 0;
    for cut in 0..=log.len() {
        let mut image = before.clone();
        for event in &log[..cut] {
            if let Event::Write { file, sector, data } = event {
                image.insert((*file, *sector), data.clone());
            }
        }
        let next = copy(&image);
        let between = observe(&open(&next).unwrap());
        second(&mut open(&next).unwrap());
        let new = observe(&open(&next).unwrap());
        let both = [&log[..cut], &next.log.borrow()].concat();
        opened += open_every_state(&before, &both, model, |found| {
            assert!([&old, &between, &new].contains(&&found), "a fourth state, cut at {cut}: {found:?}");
        });
    }
    opened
}

fn wanted(nr: u8, kind: NamespaceKind) -> NamespaceSpec {
    let (size, align) = (64 << 20, 2 << 20);
    let name = format!("namespace0.{nr}");
    NamespaceSpec {
        size,
        align,
        kind,
        records: RecordsOn::Medium,
        name,
        uuid: [nr; 16],
        instance: [nr | 0x80; 16],
        skips_to_sub_section: false,
    }
}

/// Makes ten changes of a region, each interrupted. Returns the number of states.
fn ten_changes(model: Model) -> usize {
    let recorder = Recorder::default();
    let (medium, labels) = recorder.files();
    drop(Region::create(medium, labels, 4 << 30, 16 << 20, &Host::X86_64).unwrap());
    let create = |region: &mut Region<Recorded>, wanted: &NamespaceSpec| {
        region.create_namespace(wanted, &Surroundings::default(), &Host::X86_64, &RuleSet::MERGED).unwrap();
    };
    let mut opened = 0;
    let mut interrupt = |change: &dyn Fn(&mut Region<Recorded>)| {
        opened += interrupted_everywhere(&recorder, model, change);
    };
    for (nr, kind) in [(1, NamespaceKind::FsDax), (2, NamespaceKind::DevDax), (3, NamespaceKind::Raw)] {
        interrupt(&|region| create(region, &wanted(nr, kind)));
    }
    interrupt(&|region| region.set_disabled(&[1; 16], true).unwrap());
    interrupt(&|region| region.destroy_namespace(&[1; 16]).unwrap());
    // At the place of a destroyed namespace, over its old info block.
    interrupt(&|region| create(region, &wanted(4, NamespaceKind::FsDax)));
    interrupt(&|region| region.set_disabled(&[4; 16], true).unwrap());
    interrupt(&|region| region.set_disabled(&[4; 16], false).unwrap());
    // By the old rules, which keep stale values in fields that they do not know.
    interrupt(&|region| {
        let before = <crate::rules::Before as crate::rules::Rules>::SET;
        let around = Surroundings::default();
        region.create_namespace(&wanted(5, NamespaceKind::FsDax), &around, &Host::X86_64, &before).map(drop).unwrap();
    });
    interrupt(&|region| region.set_align(4096, &Host::X86_64).unwrap());
    opened
}

#[test]
fn an_interrupted_change_leaves_the_old_state_or_the_new_one() {
    // Few states differ: a change of a nearly empty region writes few sectors.
    let opened = ten_changes(SECTORS);
    assert!(opened > 64, "{opened}");
}

#[test]
fn so_does_a_change_with_writes_torn_inside_a_sector() {
    let opened = ten_changes(STORES);
    assert!(opened > 15_000, "{opened}");
}

#[test]
fn so_does_a_change_of_many_labels() {
    let recorder = Recorder::default();
    let (medium, labels) = recorder.files();
    let mut region = Region::create(medium, labels, 4 << 30, 4096, &Host::X86_64).unwrap();
    let raw = |nr: u8| NamespaceSpec { size: 8192, ..wanted(nr, NamespaceKind::Raw) };
    let around = Surroundings::default();
    for nr in 1..=120 {
        region.create_namespace(&raw(nr), &around, &Host::X86_64, &RuleSet::MERGED).unwrap();
    }
    region.set_disabled(&[1; 16], true).unwrap();
    drop(region);
    // Every label moves by one slot.
    let mut opened = interrupted_everywhere(&recorder, SECTORS, |region| region.destroy_namespace(&[1; 16]).unwrap());
    opened += interrupted_everywhere(&recorder, SECTORS, |region| {
        region.create_namespace(&raw(121), &around, &Host::X86_64, &RuleSet::MERGED).unwrap();
    });
    assert!(opened > 10_000, "{opened}");
}

/// The next process must not assume that what it reads is durable.
#[test]
fn so_does_a_change_after_a_killed_process() {
    let recorder = Recorder::default();
    let (medium, labels) = recorder.files();
    let mut region = Region::create(medium, labels, 4 << 30, 16 << 20, &Host::X86_64).unwrap();
    let create = |nr, kind| {
        move |region: &mut Region<Recorded>| {
            let around = Surroundings::default();
            region.create_namespace(&wanted(nr, kind), &around, &Host::X86_64, &RuleSet::MERGED).map(drop).unwrap();
        }
    };
    create(1, NamespaceKind::FsDax)(&mut region);
    create(2, NamespaceKind::Raw)(&mut region);
    region.set_disabled(&[1; 16], true).unwrap();
    drop(region);
    let small = Model { sample: 500, ..SECTORS };
    let mut opened = 0;
    for kind in [NamespaceKind::Raw, NamespaceKind::FsDax] {
        opened += killed_then_interrupted(&recorder, small, create(3, kind), create(4, NamespaceKind::Raw));
        opened += killed_then_interrupted(&recorder, small, create(3, kind), |region| {
            region.set_disabled(&[2; 16], true).unwrap();
        });
        // At the place of a destroyed namespace, whose destruction may not be durable.
        opened += killed_then_interrupted(
            &recorder,
            small,
            |region| region.destroy_namespace(&[1; 16]).unwrap(),
            |region| {
                if region.label(&[1; 16]).is_err() {
                    create(5, kind)(region);
                }
            },
        );
    }
    assert!(opened > 500, "{opened}");
}

/// The label file of a new region gets its name after the last barrier, when all labels are durable.
#[test]
fn a_new_region_has_complete_labels_or_none() {
    let recorder = Recorder::default();
    let (medium, labels) = recorder.files();
    drop(Region::create(medium, labels, 4 << 30, 16 << 20, &Host::X86_64).unwrap());
    let log = recorder.log.borrow();
    assert!(matches!(log.last(), Some(Event::Barrier { file: 1 })), "{:?}", log.last());
    // The medium, which may be new, is durable before the first label is written.
    let first = |is_it: fn(&Event) -> bool| log.iter().position(is_it).unwrap();
    let medium_is_durable = first(|event| matches!(event, Event::Barrier { file: 0 }));
    assert!(medium_is_durable < first(|event| matches!(event, Event::Write { file: 1, .. })));
    // The medium itself is not written.
    assert!(log.iter().any(|event| matches!(event, Event::Write { file: 1, .. })));
    assert!(!log.iter().any(|event| matches!(event, Event::Write { file: 0, .. })));
}

#[test]
fn a_damaged_info_block_does_not_make_a_namespace_raw() {
    let recorder = Recorder::default();
    let (medium, labels) = recorder.files();
    let mut region = Region::create(medium, labels, 4 << 30, 16 << 20, &Host::X86_64).unwrap();
    let around = Surroundings::default();
    region.create_namespace(&wanted(1, NamespaceKind::FsDax), &around, &Host::X86_64, &RuleSet::MERGED).unwrap();
    // Damage one sector of the info block.
    recorder.image.borrow_mut().insert((0, 8 + 3), Sector::new([0xff; SECTOR_BYTES]));
    let label = &region.labels()[0];
    let error = region.probe(label, &Host::X86_64, &RuleSet::MERGED).unwrap_err();
    assert!(error.to_string().contains("checksum"), "{error}");
    // Old kernels treated it as a block device without records (B-15).
    let before = <crate::rules::Before as crate::rules::Rules>::SET;
    assert_eq!(region.probe(label, &Host::X86_64, &before).unwrap(), Personality::Raw);
}
