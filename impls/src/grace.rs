//! Readers and grace periods: a writer that has unpublished something waits until no reader can still
//! use it.
//!
//! This module replaces the kernel's RCU. As with the sched flavour of RCU, a reader costs two
//! stores to thread-local memory, plus a fence here. There are no deferred callbacks.
//! [`Grace::synchronize`] waits, so that the cost of a removal appears where it is caused. The
//! scheme is the two-phase one of user-space RCU (Desnoyers et al., IEEE TPDS 2012):
//!
//! ```text
//!              reader                                 writer
//!   phase := Domain.phase                      unpublish the object (clear bits)
//!   slot.active[phase] += 1                    fence
//!   fence                                      wait until every slot.active[not phase] was 0
//!   test bit, follow pointer, read             flip Domain.phase, fence
//!   slot.active[phase] -= 1   (release)        wait until every slot.active[old phase] was 0, fence
//!                                              no reader can still see the object: free it
//! ```
//!
//! If the reader's fence comes first, the writer sees its count and waits. If the writer's comes
//! first, the reader no longer finds the object. New readers count in the other phase and cannot
//! delay the writer.
//!
//! Every thread has its own slot in each domain. The number of slots grows with the number of
//! threads. Living threads never share one. When a thread ends with its counts at zero, its slot is
//! reused.
//!
//! **A forgotten reader** (`mem::forget`, `Box::leak`) counts forever. This is correct: a leaked
//! reader may have given out references that live as long as the layout. Removal from the same
//! thread then fails with [`GraceError::ReaderHeld`]. Removal from other threads waits while that
//! thread lives, and fails with [`GraceError::ReaderLeaked`] once it has ended. Nothing is freed in
//! either case.

use crate::sync::{AtomicU32, AtomicUsize, Ordering, fence, yield_now};
use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

/// Why a grace period cannot end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraceError {
    /// The calling thread itself holds a reader and would wait for itself.
    #[error("this thread holds a reader of the layout and would wait for itself; drop the reader first")]
    ReaderHeld,
    /// A thread ended without dropping its reader.
    #[error(
        "a thread ended without dropping its reader of the layout, so no later grace period can end; drop \
         readers before their thread ends"
    )]
    ReaderLeaked,
}

/// States of a slot: unused, owned by a living thread, or left by a thread that ended with a count
/// above zero.
const FREE: u32 = 0;
const OWNED: u32 = 1;
const LEAKED: u32 = 2;

/// The reader counts of one thread, on separate cache lines to avoid false sharing.
#[derive(Debug)]
#[repr(align(128))]
struct Slot {
    /// Live readers of this thread, by the phase in which they began. Only the owner writes.
    /// Pointer-sized, because forgotten readers count forever and must not overflow it.
    active: [AtomicUsize; 2],
    state: AtomicU32,
}

impl Slot {
    fn owned() -> Self {
        Self { active: [AtomicUsize::new(0), AtomicUsize::new(0)], state: AtomicU32::new(OWNED) }
    }

    fn enter(&self, phase: usize) {
        let active = &self.active[phase];
        active.store(active.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        // Pairs with the fences of `Domain::synchronize`.
        fence(Ordering::SeqCst);
    }

    fn leave(&self, phase: usize) {
        let active = &self.active[phase];
        // Release: the reads made under this reader happen before the writer that sees the count go
        // down.
        active.store(active.load(Ordering::Relaxed) - 1, Ordering::Release);
    }

    fn is_idle(&self) -> bool {
        self.active.iter().all(|count| count.load(Ordering::Relaxed) == 0)
    }

    /// Releases the slot when its owner thread ends. Called on that thread only.
    fn abandon(&self) {
        // Release: the next owner starts from the counts that this one left.
        self.state.store(if self.is_idle() { FREE } else { LEAKED }, Ordering::Release);
    }
}

/// State of the grace periods of one layout: the current phase, and all slots.
#[derive(Debug)]
struct Domain {
    /// Unique among all layouts that the process ever had.
    id: u64,
    /// Nonzero once the layout was dropped; threads may then drop their slots of it.
    closed: AtomicU32,
    phase: AtomicUsize,
    slots: Mutex<Vec<Arc<Slot>>>,
}

impl Domain {
    fn new() -> Self {
        // Not part of the protocol, so the standard library's atomic, not loom's.
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let id = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Self { id, closed: AtomicU32::new(0), phase: AtomicUsize::new(0), slots: Mutex::new(Vec::new()) }
    }

    /// Allocates or reuses a slot for a thread that has none in this domain.
    fn register(&self) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let free = slots
            .iter()
            .find(|slot| slot.state.compare_exchange(FREE, OWNED, Ordering::Acquire, Ordering::Relaxed).is_ok());
        if let Some(slot) = free {
            return Arc::clone(slot);
        }
        let slot = Arc::new(Slot::owned());
        slots.push(Arc::clone(&slot));
        slot
    }

    fn phase(&self) -> usize {
        self.phase.load(Ordering::Relaxed) & 1
    }

    /// Waits for a grace period. One caller at a time (the layout's writer lock).
    fn synchronize(&self) -> Result<(), GraceError> {
        // A copy: a thread that registers from now on cannot see what was unpublished, and need not
        // wait for this lock.
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let phase = self.phase();
        fence(Ordering::SeqCst);
        Self::wait(&slots, phase ^ 1)?;
        self.phase.store(phase ^ 1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        Self::wait(&slots, phase)?;
        fence(Ordering::SeqCst);
        Ok(())
    }

    fn wait(slots: &[Arc<Slot>], phase: usize) -> Result<(), GraceError> {
        for slot in slots {
            let mut patience = Patience::default();
            // Acquire pairs with the release of `Slot::leave`.
            while slot.active[phase].load(Ordering::Acquire) != 0 {
                if slot.state.load(Ordering::Acquire) == LEAKED {
                    return Err(GraceError::ReaderLeaked);
                }
                patience.pause();
            }
        }
        Ok(())
    }
}

/// Backoff: spins, then yields, then sleeps. Most reader batches end within a microsecond.
#[derive(Default)]
struct Patience(u32);

impl Patience {
    fn pause(&mut self) {
        self.0 = self.0.saturating_add(1);
        #[cfg(not(loom))]
        match self.0 {
            0..64 => return std::hint::spin_loop(),
            64..256 => {}
            _ => return std::thread::sleep(std::time::Duration::from_micros(50)),
        }
        yield_now();
    }
}

thread_local! {
    /// This thread's slots: one per domain that it has read.
    static MINE: RefCell<Slots> = const { RefCell::new(Slots(Vec::new())) };
}

struct Slots(Vec<(Arc<Domain>, Arc<Slot>)>);

impl Slots {
    fn find(&self, domain: &Arc<Domain>) -> Option<&Arc<Slot>> {
        self.0.iter().find(|(known, _)| Arc::ptr_eq(known, domain)).map(|(_, slot)| slot)
    }

    /// Finds the slot of a domain and moves it to the front. A thread that reads many layouts in
    /// turn thus pays for the list search only once per layout.
    fn move_to_front(&mut self, domain: &Arc<Domain>) -> Option<&Arc<Slot>> {
        let at = self.0.iter().position(|(known, _)| Arc::ptr_eq(known, domain))?;
        if at > 0 {
            self.0.swap(0, at);
        }
        self.0.first().map(|(_, slot)| slot)
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        for (_, slot) in &self.0 {
            slot.abandon();
        }
    }
}

/// Tracks the readers of one layout and waits for grace periods.
#[derive(Debug)]
pub struct Grace {
    domain: Arc<Domain>,
}

impl Default for Grace {
    fn default() -> Self {
        Self { domain: Arc::new(Domain::new()) }
    }
}

impl Drop for Grace {
    fn drop(&mut self) {
        self.domain.closed.store(1, Ordering::Relaxed);
    }
}

impl Grace {
    /// Starts a reader on this thread. Nothing that it can see is retired while it lives.
    ///
    /// Cost: two stores and a fence, about 4 ns on a current x86-64. No memory is shared with other
    /// readers.
    pub fn read(&self) -> ReadGuard<'_> {
        let slot = MINE.with_borrow_mut(|mine| {
            if let Some(slot) = mine.move_to_front(&self.domain) {
                return Arc::as_ptr(slot);
            }
            // Drop the slots of layouts that no longer exist.
            mine.0.retain(|(domain, _)| domain.closed.load(Ordering::Relaxed) == 0);
            let slot = self.domain.register();
            let address = Arc::as_ptr(&slot);
            mine.0.push((Arc::clone(&self.domain), slot));
            address
        });
        // SAFETY: the domain keeps every slot it ever gave out, and `self` keeps the domain for the
        // guard's lifetime.
        let slot: &Slot = unsafe { &*slot };
        let phase = self.domain.phase();
        slot.enter(phase);
        ReadGuard { slot, phase, not_send: PhantomData }
    }

    /// A number that is unique among all layouts that the process ever had.
    pub(crate) fn id(&self) -> u64 {
        self.domain.id
    }

    /// True if the calling thread holds a reader of this layout.
    pub fn held_by_this_thread(&self) -> bool {
        MINE.with_borrow(|mine| mine.find(&self.domain).is_some_and(|slot| !slot.is_idle()))
    }

    /// Waits for a grace period: until every reader that began before the call has ended. The
    /// caller must serialise calls.
    ///
    /// # Errors
    /// [`GraceError`] if such a reader can never end; nothing is changed.
    pub fn synchronize(&self) -> Result<(), GraceError> {
        if self.held_by_this_thread() {
            return Err(GraceError::ReaderHeld);
        }
        self.domain.synchronize()
    }
}

/// A live reader; dropping it ends the reader. Neither `Send` nor `Sync`, because the count is in
/// the slot of the thread that started it.
///
/// ```compile_fail
/// fn send<T: Send>(_: T) {}
/// let grace = memmap_layouts::grace::Grace::default();
/// send(grace.read());
/// ```
/// The same compiles without the bound, so the bound is what fails above:
/// ```
/// fn send<T>(_: T) {}
/// let grace = memmap_layouts::grace::Grace::default();
/// send(grace.read());
/// ```
#[derive(Debug)]
pub struct ReadGuard<'a> {
    slot: &'a Slot,
    phase: usize,
    not_send: PhantomData<*const ()>,
}

impl Drop for ReadGuard<'_> {
    fn drop(&mut self) {
        self.slot.leave(self.phase);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc;
    use std::time::Duration;

    /// Otherwise the later of two equal layouts would be slower to read, by the length of the list.
    #[test]
    fn the_domain_read_last_is_found_first() {
        let graces: Vec<Grace> = (0..5).map(|_| Grace::default()).collect();
        graces.iter().for_each(|grace| drop(grace.read()));
        for grace in [&graces[4], &graces[0], &graces[2]] {
            for _ in 0..2 {
                drop(grace.read());
                let first = MINE.with_borrow(|mine| Arc::ptr_eq(&mine.0[0].0, &grace.domain));
                assert!(first && !grace.held_by_this_thread());
            }
        }
        assert_eq!(MINE.with_borrow(|mine| mine.0.len()), 5, "no slot is lost");
    }

    #[test]
    fn a_writer_waits_for_earlier_readers_only() {
        let grace = Grace::default();
        let retired = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (began, wait_began) = mpsc::channel();
            let (end, wait_end) = mpsc::channel::<()>();
            let (grace, retired) = (&grace, &retired);
            scope.spawn(move || {
                let guard = grace.read();
                began.send(()).unwrap();
                wait_end.recv().unwrap();
                assert!(!retired.load(Ordering::SeqCst), "retired under a live reader");
                drop(guard);
            });
            wait_began.recv().unwrap();
            let writer = scope.spawn(move || {
                grace.synchronize().unwrap();
                retired.store(true, Ordering::SeqCst);
            });
            // Readers that start while the writer waits must not delay it, nor be delayed.
            for _ in 0..1000 {
                drop(grace.read());
            }
            std::thread::sleep(Duration::from_millis(20));
            assert!(!retired.load(Ordering::SeqCst));
            end.send(()).unwrap();
            writer.join().unwrap();
        });
        assert!(retired.load(Ordering::SeqCst));
    }

    #[test]
    fn a_thread_that_holds_a_reader_cannot_wait() {
        let grace = Grace::default();
        let outer = grace.read();
        let inner = grace.read();
        assert_eq!(grace.synchronize(), Err(GraceError::ReaderHeld));
        drop(outer);
        assert_eq!(grace.synchronize(), Err(GraceError::ReaderHeld));
        drop(inner);
        assert_eq!(grace.synchronize(), Ok(()));
        let other = Grace::default();
        let _reader_of_another_layout = other.read();
        assert_eq!(grace.synchronize(), Ok(()));
    }

    #[test]
    fn a_slot_is_reused_only_if_its_counts_are_zero() {
        let grace = Grace::default();
        let slots = || grace.domain.slots.lock().unwrap().len();
        for _ in 0..4 {
            std::thread::scope(|scope| scope.spawn(|| drop(grace.read())).join().unwrap());
        }
        assert_eq!(slots(), 1, "one thread after another needs one slot");
        std::thread::scope(|scope| scope.spawn(|| std::mem::forget(grace.read())).join().unwrap());
        assert_eq!(grace.synchronize(), Err(GraceError::ReaderLeaked));
        std::thread::scope(|scope| scope.spawn(|| drop(grace.read())).join().unwrap());
        assert_eq!(slots(), 2, "the slot of a forgotten reader is not used again");
        assert_eq!(grace.synchronize(), Err(GraceError::ReaderLeaked));
    }

    #[test]
    fn threads_drop_the_slots_of_dropped_layouts() {
        // Another thread that has read the same layouts must drop their slots too.
        let (to_other, layouts) = mpsc::channel::<Arc<Grace>>();
        let (done, other_done) = mpsc::channel();
        let other = std::thread::spawn(move || {
            for grace in layouts {
                drop(grace.read());
                drop(grace);
                done.send(MINE.with_borrow(|mine| mine.0.len())).unwrap();
            }
        });
        for _ in 0..100 {
            let grace = Arc::new(Grace::default());
            drop(grace.read());
            to_other.send(Arc::clone(&grace)).unwrap();
            assert!(other_done.recv().unwrap() <= 2);
            drop(grace);
            assert!(MINE.with_borrow(|mine| mine.0.len()) <= 2);
        }
        drop(to_other);
        other.join().unwrap();
    }
}

/// Run with `RUSTFLAGS="--cfg loom" cargo test -p memmap-layouts --release --lib grace`.
#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::atomic::AtomicBool;

    /// A reader that finds the bit set must find the object alive, in every interleaving.
    fn race(rounds: usize, wait: fn(&Domain) -> Result<(), GraceError>) {
        loom::model(move || {
            let domain = Arc::new(Domain::new());
            let slot = domain.register();
            let bit = loom::sync::Arc::new(AtomicBool::new(true));
            let alive = loom::sync::Arc::new(AtomicBool::new(true));
            let reader = loom::thread::spawn({
                let (domain, bit, alive) = (Arc::clone(&domain), bit.clone(), alive.clone());
                move || {
                    for _ in 0..rounds {
                        let phase = domain.phase();
                        slot.enter(phase);
                        if bit.load(Ordering::Acquire) {
                            assert!(alive.load(Ordering::Relaxed), "read after retirement");
                        }
                        slot.leave(phase);
                    }
                }
            });
            bit.store(false, Ordering::Release);
            wait(&domain).unwrap();
            alive.store(false, Ordering::Relaxed);
            reader.join().unwrap();
        });
    }

    #[test]
    fn nothing_is_retired_under_a_reader() {
        race(1, Domain::synchronize);
    }

    #[test]
    fn nothing_is_retired_under_a_second_reader() {
        race(2, Domain::synchronize);
    }

    #[test]
    #[should_panic(expected = "read after retirement")]
    fn without_a_grace_period_the_model_finds_the_bug() {
        race(1, |_| Ok(()));
    }

    /// A record: [`READY`] once it is initialised, [`GONE`] once it is released.
    #[derive(Default)]
    struct Record {
        check: loom::sync::atomic::AtomicU64,
    }

    const READY: u64 = 7;
    const GONE: u64 = 0xfd;

    /// The life cycle of a sub-section, with the map that the layouts use. Records are written,
    /// then the bit is set. The bit is cleared, a grace period passes, then the records are
    /// released. A reader that finds the bit set must find the record initialised as long as it
    /// reads.
    fn life_of_a_sub_section(publish_first: bool) {
        use crate::subsection_map::{BitWords, SubsectionMap};
        loom::model(move || {
            let domain = Arc::new(Domain::new());
            let slot = domain.register();
            let map = loom::sync::Arc::new(BitWords::<1>::default());
            let record = loom::sync::Arc::new(Record::default());
            let reader = loom::thread::spawn({
                let (domain, map, record) = (Arc::clone(&domain), map.clone(), record.clone());
                move || {
                    let phase = domain.phase();
                    slot.enter(phase);
                    if map.test(5) {
                        for _ in 0..2 {
                            assert_eq!(record.check.load(Ordering::Relaxed), READY, "a record that is not initialised");
                        }
                    }
                    slot.leave(phase);
                }
            });
            if publish_first {
                map.set(5..6);
                record.check.store(READY, Ordering::Relaxed);
            } else {
                record.check.store(READY, Ordering::Relaxed);
                map.set(5..6);
            }
            map.clear(5..6);
            domain.synchronize().unwrap();
            record.check.store(GONE, Ordering::Relaxed);
            reader.join().unwrap();
        });
    }

    #[test]
    fn a_reader_that_finds_the_bit_finds_the_record_initialised() {
        life_of_a_sub_section(false);
    }

    #[test]
    #[should_panic(expected = "a record that is not initialised")]
    fn with_the_bit_set_first_the_model_finds_the_bug() {
        life_of_a_sub_section(true);
    }

    /// Two consecutive grace periods: a reader that loaded the phase before the first must not be
    /// missed by the second.
    #[test]
    fn the_second_grace_period_waits_for_a_late_reader() {
        loom::model(|| {
            let domain = Arc::new(Domain::new());
            let slot = domain.register();
            let bit = loom::sync::Arc::new(AtomicBool::new(true));
            let alive = loom::sync::Arc::new(AtomicBool::new(true));
            let reader = loom::thread::spawn({
                let (domain, bit, alive) = (Arc::clone(&domain), bit.clone(), alive.clone());
                move || {
                    let phase = domain.phase();
                    slot.enter(phase);
                    if bit.load(Ordering::Acquire) {
                        assert!(alive.load(Ordering::Relaxed), "read after retirement");
                    }
                    slot.leave(phase);
                }
            });
            domain.synchronize().unwrap();
            bit.store(false, Ordering::Release);
            domain.synchronize().unwrap();
            alive.store(false, Ordering::Relaxed);
            reader.join().unwrap();
        });
    }
}
