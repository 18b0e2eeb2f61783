//! Interrupted at any point, a change leaves the old state or the new one: every state that the
//! model of [`storage`](super::storage) allows is opened.

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

/// Medium and labels, and what is written to them.
#[derive(Clone, Debug, Default)]
struct Recorder {
    image: Rc<RefCell<Image>>,
    log: Rc<RefCell<Vec<Event>>>,
}

/// One of the files.
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
        assert_eq!((bytes.len() % SECTOR_BYTES, offset % SECTOR_BYTES as u64), (0, 0), "whole sectors are written");
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

/// Everything that can be seen of a region.
type Seen = (Vec<super::label::Label>, u64, Vec<Personality>);

fn look(region: &Region<Recorded>) -> Seen {
    let probe = |label| region.probe(label, &Host::X86_64, &RuleSet::MERGED).unwrap();
    (region.labels().to_vec(), region.align(), region.labels().iter().map(probe).collect())
}

fn open(recorder: &Recorder) -> Result<Region<Recorded>, RegionError> {
    let (medium, labels) = recorder.files();
    Region::open(medium, labels, None)
}

/// How many subsets of pending sectors are opened one by one; of more a sample.
const ALL_OF: usize = 10;

/// What lands whole or not at all, and how many states are opened where there are more than all can
/// be.
#[derive(Clone, Copy)]
struct Model {
    unit: usize,
    sample: usize,
}

/// Of files and disks.
const SECTORS: Model = Model { unit: SECTOR_BYTES, sample: 10_000 };
/// Of a device that is mapped.
const STORES: Model = Model { unit: STORE_BYTES, sample: 10_000 };

/// A unit that may land: where in a sector, and what.
type Unit = ((usize, u64), std::ops::Range<usize>, Sector);

fn land(image: &mut Image, (key, bytes, data): &Unit) {
    let sector = image.entry(*key).or_insert_with(|| Sector::new([0; SECTOR_BYTES]));
    sector[bytes.clone()].copy_from_slice(&data[bytes.clone()]);
}

/// Opens every state that a loss of power may leave of what was written over `before`, or a sample;
/// how many. The states differ in what has landed since the last barrier of each file; the longest
/// wait before one has all of them.
fn open_every_state(before: &Image, log: &[Event], model: Model, mut seen: impl FnMut(Seen)) -> usize {
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
                    let (landed, rest): (Vec<_>, _) = pending.into_iter().partition(|((owner, _), ..)| owner == file);
                    landed.iter().for_each(|unit| land(&mut image, unit));
                    pending = rest;
                }
            }
        }
        // What is written once, as it was before, is there whether it lands or not.
        let mut writes = BTreeMap::new();
        for (key, bytes, _) in &pending {
            *writes.entry((*key, bytes.start)).or_insert(0) += 1;
        }
        pending.retain(|(key, bytes, data)| {
            let old = image.get(key).map_or([0; SECTOR_BYTES], |sector| **sector);
            old[bytes.clone()] != data[bytes.clone()] || writes[&(*key, bytes.start)] > 1
        });
        let nr_subsets = if pending.len() <= ALL_OF { 1 << pending.len() } else { model.sample };
        for nr in 0..nr_subsets {
            // A share of chance, so that nearly none and nearly all are among them.
            let share = random.random_range(0.0..=1.0);
            let lands = |bit: usize, random: &mut Pcg64| match pending.len() <= ALL_OF {
                true => nr >> bit & 1 == 1,
                false => random.random_bool(share),
            };
            let mut state = image.clone();
            for (bit, unit) in pending.iter().enumerate() {
                if lands(bit, &mut random) {
                    land(&mut state, unit);
                }
            }
            let crashed = Recorder { image: Rc::new(RefCell::new(state)), log: Rc::default() };
            seen(look(&open(&crashed).unwrap()));
            opened += 1;
        }
    }
    opened
}

/// Runs a change, then opens every state of it; how many.
fn interrupted_everywhere(recorder: &Recorder, model: Model, change: impl FnOnce(&mut Region<Recorded>)) -> usize {
    let before = recorder.image.borrow().clone();
    let old = look(&open(recorder).unwrap());
    recorder.log.borrow_mut().clear();
    let mut region = open(recorder).unwrap();
    change(&mut region);
    let new = look(&region);
    assert_eq!(look(&open(recorder).unwrap()), new);
    let log = recorder.log.borrow().clone();
    let mut seen = BTreeSet::new();
    let opened = open_every_state(&before, &log, model, |found| {
        assert!(found == old || found == new, "a third state: {found:?}");
        seen.insert(found == new);
    });
    assert_eq!(seen.len(), 2, "the old and the new state are both among them");
    opened
}

/// Kills a process at every point of a change, which others see as it was then; lets the next one
/// make another change, and loses power in it. How many states were opened.
fn killed_then_interrupted(
    recorder: &Recorder,
    model: Model,
    first: impl Fn(&mut Region<Recorded>),
    second: impl Fn(&mut Region<Recorded>),
) -> usize {
    let before = recorder.image.borrow().clone();
    let copy = |image: &Image| Recorder { image: Rc::new(RefCell::new(image.clone())), log: Rc::default() };
    let whole = copy(&before);
    let old = look(&open(&whole).unwrap());
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
        let between = look(&open(&next).unwrap());
        second(&mut open(&next).unwrap());
        let new = look(&open(&next).unwrap());
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

/// Ten changes of a region, each interrupted; how many states were opened.
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
    // Where one was before: its old info block is in the way.
    interrupt(&|region| create(region, &wanted(4, NamespaceKind::FsDax)));
    interrupt(&|region| region.set_disabled(&[4; 16], true).unwrap());
    interrupt(&|region| region.set_disabled(&[4; 16], false).unwrap());
    // By the old rules, which keep what was in the fields that they do not know.
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
    // All that differ: a change of a nearly empty region writes few sectors.
    let opened = ten_changes(SECTORS);
    assert!(opened > 64, "{opened}");
}

#[test]
fn so_does_one_that_is_torn_within_a_sector() {
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
    // Every label moves by one place.
    let mut opened = interrupted_everywhere(&recorder, SECTORS, |region| region.destroy_namespace(&[1; 16]).unwrap());
    opened += interrupted_everywhere(&recorder, SECTORS, |region| {
        region.create_namespace(&raw(121), &around, &Host::X86_64, &RuleSet::MERGED).unwrap();
    });
    assert!(opened > 10_000, "{opened}");
}

/// The next process must not take what it reads for what lasts.
#[test]
fn so_does_a_change_after_one_that_was_killed() {
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
        // Into the place of one that is gone, and whose end may not last.
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

/// The labels of a new region get their name behind the last barrier: all of them have landed then.
#[test]
fn a_region_has_whole_labels_or_none() {
    let recorder = Recorder::default();
    let (medium, labels) = recorder.files();
    drop(Region::create(medium, labels, 4 << 30, 16 << 20, &Host::X86_64).unwrap());
    let log = recorder.log.borrow();
    assert!(matches!(log.last(), Some(Event::Barrier { file: 1 })), "{:?}", log.last());
    // Its medium, which may be new, lasts before the first label is written.
    let first = |is_it: fn(&Event) -> bool| log.iter().position(is_it).unwrap();
    let medium_lasts = first(|event| matches!(event, Event::Barrier { file: 0 }));
    assert!(medium_lasts < first(|event| matches!(event, Event::Write { file: 1, .. })));
    // A medium that is there already is not touched.
    assert!(log.iter().any(|event| matches!(event, Event::Write { file: 1, .. })));
    assert!(!log.iter().any(|event| matches!(event, Event::Write { file: 0, .. })));
}

#[test]
fn half_an_info_block_does_not_make_a_namespace_raw() {
    let recorder = Recorder::default();
    let (medium, labels) = recorder.files();
    let mut region = Region::create(medium, labels, 4 << 30, 16 << 20, &Host::X86_64).unwrap();
    let around = Surroundings::default();
    region.create_namespace(&wanted(1, NamespaceKind::FsDax), &around, &Host::X86_64, &RuleSet::MERGED).unwrap();
    // Something else destroys a sector of it.
    recorder.image.borrow_mut().insert((0, 8 + 3), Sector::new([0xff; SECTOR_BYTES]));
    let label = &region.labels()[0];
    let error = region.probe(label, &Host::X86_64, &RuleSet::MERGED).unwrap_err();
    assert!(error.to_string().contains("checksum"), "{error}");
    // Old kernels took it for a block device without records (B-15).
    let before = <crate::rules::Before as crate::rules::Rules>::SET;
    assert_eq!(region.probe(label, &Host::X86_64, &before).unwrap(), Personality::Raw);
}
