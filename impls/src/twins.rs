//! Deliberately wrong twins of the publication and grace period protocols, which `scripts/sanitize`
//! must report. Next to each is the correct version, for which nothing may be reported. Only under
//! `--cfg twin`, because the twins are undefined behaviour.
//!
//! Threads are plain (spawn and join) and print nothing, as in `conformance::concurrent`.

use crate::geometry::X86_64;
use crate::grace::Grace;
use crate::memmap::Config;
use crate::section::{Descriptor, MemSection, SECTION_HAS_MEM_MAP, SectionIndex, SectionTable};
use crate::store::RecordStore;
use crate::subsection_map::{BitWords, SubsectionMap};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The sub-section that is added or removed.
const BIT: u32 = 5;

/// A record with a plain word, as in the kernel, and the map that announces it. Real records
/// consist of atomics, on which the sanitizer would not report a missing ordering.
#[derive(Default)]
struct Published<M> {
    map: M,
    record: UnsafeCell<u64>,
}

// SAFETY: it holds for maps that release and acquire: the record is written before its bit is set
// and read by who saw the bit. The twin breaks this.
unsafe impl<M: Sync> Sync for Published<M> {}

/// A writer that initialises a record and then publishes it, concurrent with a reader that tests
/// the bit before it reads.
fn publish<M: Default + Send + Sync + 'static>(set: fn(&M), test: fn(&M) -> bool) {
    let published = Arc::new(Published::<M>::default());
    let reader = thread::spawn({
        let published = Arc::clone(&published);
        move || {
            while !test(&published.map) {
                thread::yield_now();
            }
            // SAFETY: as for `Sync`.
            unsafe { *published.record.get() }
        }
    });
    // SAFETY: as for `Sync`.
    unsafe { *published.record.get() = 7 };
    set(&published.map);
    assert_eq!(reader.join().unwrap(), 7);
}

#[test]
fn right_a_record_is_published_by_the_map() {
    publish::<BitWords<1>>(|map| map.set(BIT..BIT + 1), |map| map.test(BIT));
}

/// Wrong: the bit is set with a relaxed store, so nothing orders the record before it, whatever the
/// reader does.
#[test]
fn wrong_a_record_is_published_with_a_relaxed_store() {
    publish::<AtomicU64>(
        |map| map.store(map.load(Ordering::Relaxed) | 1 << BIT, Ordering::Relaxed),
        |map| map.load(Ordering::Acquire) >> BIT & 1 != 0,
    );
}

/// A section as in the layouts: found through the table, read under a grace period guard.
struct Machine {
    table: SectionTable<X86_64, BitWords<1>>,
    grace: Grace,
    /// True once the reader has loaded the usage pointer.
    followed: AtomicBool,
    freed: AtomicBool,
}

impl Machine {
    /// Section 8, as if hot-added.
    fn section(&self) -> &MemSection<BitWords<1>> {
        self.table.section_or_new(8).unwrap()
    }

    /// A correct reader that is slow between loading the usage pointer and testing the bit.
    fn look(&self) -> bool {
        let _guard = self.grace.read();
        let section = self.table.roots().section_of_any(8 << 15).unwrap();
        assert_ne!(section.word() & SECTION_HAS_MEM_MAP, 0);
        // SAFETY: a usage is freed after a grace period, which the guard holds up. The twin breaks
        // this.
        let usage = unsafe { section.usage() }.unwrap();
        self.followed.store(true, Ordering::Release);
        // Bounded, because a correct writer waits for this reader before it frees anything.
        let began = Instant::now();
        while !self.freed.load(Ordering::Acquire) && began.elapsed() < Duration::from_millis(200) {
            thread::yield_now();
        }
        usage.subsection_map.test(BIT)
    }
}

/// A writer that hides a section, waits, and frees its usage, concurrent with a reader that found
/// it before.
fn retire(wait: fn(&Grace)) {
    let table = SectionTable::new(0, &Config::default(), &RecordStore::unlimited()).unwrap();
    let (followed, freed) = (AtomicBool::new(false), AtomicBool::new(false));
    let machine = Arc::new(Machine { table, grace: Grace::default(), followed, freed });
    let (section, usage) = (machine.section(), machine.table.usages().allocate().unwrap());
    // SAFETY: just allocated, and ours.
    unsafe { &*usage }.subsection_map.set(BIT..BIT + 1);
    section.set_usage(usage);
    section.set_word(SECTION_HAS_MEM_MAP);
    let reader = thread::spawn({
        let machine = Arc::clone(&machine);
        move || machine.look()
    });
    while !machine.followed.load(Ordering::Acquire) {
        thread::yield_now();
    }
    section.set_word(0);
    section.set_usage(ptr::null_mut());
    wait(&machine.grace);
    // SAFETY: hidden, and a grace period has passed. The twin breaks this.
    unsafe { machine.table.usages().retire(usage) };
    machine.freed.store(true, Ordering::Release);
    assert!(reader.join().unwrap());
}

#[test]
fn right_a_usage_is_freed_after_grace() {
    retire(|grace| grace.synchronize().unwrap());
}

/// Wrong: a reader that found the usage before it was hidden may still use it; without a grace
/// period the writer cannot know.
#[test]
fn wrong_a_usage_is_freed_without_grace() {
    retire(|_| ());
}
