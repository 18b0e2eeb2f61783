//! Cases with readers concurrent with a writer: T-40 to T-42.
//!
//! A writer adds and removes memory and pauses in between, while readers check it. Index and
//! records are atomics, so neither a tool nor a crash reveals a record that is not ready. The check
//! word does: it names the record's pfn and life. Threads are plain (spawn and join) and print
//! nothing, so that sanitizers only see the layout.

use super::*;
use crate::page::Life;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Minimum number of reads of valid records for a case to be conclusive.
const VALID_READS: u64 = 10_000;
/// Minimum number of toggles for a case to be conclusive.
const TOGGLES: u64 = 50;
/// Time limit for reaching these numbers.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two toggles, so that readers see both states.
const DWELL: Duration = Duration::from_micros(100);

/// One batch of reads; returns how many valid and ready records it found.
trait Batch<L>: Fn(&L, PfnRange) -> Result<u64, String> + Clone + Send + 'static {}
impl<L, B: Fn(&L, PfnRange) -> Result<u64, String> + Clone + Send + 'static> Batch<L> for B {}

/// Reader threads that run until they are told to stop or find an error.
struct Onlookers {
    stop: Arc<AtomicBool>,
    valid_reads: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Check>>,
}

impl Onlookers {
    /// Starts one reader per CPU, less one for the writer.
    fn begin<L: Memmap>(layout: &Arc<L>, seen: PfnRange, batch: impl Batch<L>) -> Self {
        let (stop, valid_reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let nr = thread::available_parallelism().map_or(1, |nr| nr.get() - 1).clamp(1, 8);
        let threads = (0..nr).map(|_| {
            let (layout, stop, valid_reads) = (Arc::clone(layout), Arc::clone(&stop), Arc::clone(&valid_reads));
            let batch = batch.clone();
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    valid_reads.fetch_add(batch(&layout, seen)?, Ordering::Relaxed);
                }
                Ok(())
            })
        });
        let threads = threads.collect();
        Self { stop, valid_reads, threads }
    }

    /// True once enough was read, or a reader has stopped by itself.
    fn done(&self) -> bool {
        self.valid_reads.load(Ordering::Relaxed) >= VALID_READS || self.threads.iter().any(JoinHandle::is_finished)
    }

    fn end(mut self) -> Check {
        self.stop.store(true, Ordering::Relaxed);
        for thread in std::mem::take(&mut self.threads) {
            thread.join().map_err(|_| "a reader panicked".to_owned())??;
        }
        let valid_reads = self.valid_reads.load(Ordering::Relaxed);
        check!(
            valid_reads >= VALID_READS,
            "readers found only {valid_reads} valid records, too few for a result ({VALID_READS})"
        );
        Ok(())
    }
}

/// Stops the readers if the writer panics.
impl Drop for Onlookers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Adds and removes `toggled` while readers check `seen`, until they have read enough.
fn toggle<L: Hotplug>(layout: &Arc<L>, toggled: PfnRange, seen: PfnRange, batch: impl Batch<L>) -> Check {
    // The same device each time, so that records of earlier lives are still on it.
    let device = if L::CAPS.records_on_device.any() { Some(device::<L>(toggled)?) } else { None };
    let onlookers = Onlookers::begin(layout, seen, batch);
    let began = Instant::now();
    let mut toggles = 0;
    let toggled = loop {
        if toggles >= TOGGLES && onlookers.done() || began.elapsed() > PATIENCE {
            break Ok(());
        }
        if let Err(error) = toggle_once(&**layout, toggled, device.as_ref()) {
            break Err(error);
        }
        toggles += 1;
    };
    onlookers.end()?;
    toggled
}

fn toggle_once<L: Hotplug>(layout: &L, toggled: PfnRange, device: Option<&Arc<DaxDevice>>) -> Check {
    let altmap = device.map(|device| Altmap::for_range::<L::Geometry>(Arc::clone(device), toggled, layout.backed()));
    let altmap = altmap.transpose().map_err(text)?.map(Arc::new);
    let how = AddParams { altmap, ..AddParams::default() };
    layout.add(toggled, &how, &mut ()).map_err(text)?;
    thread::sleep(DWELL);
    layout.remove(toggled, &RemoveParams::default(), &mut ()).map_err(text)?;
    thread::sleep(DWELL);
    Ok(())
}

/// The life of a record that must be ready; `None` for one that is never initialised. The error
/// says what is wrong with the record.
fn life<L: Hotplug>(page: &L::Record, pfn: Pfn) -> Result<Option<Life>, String> {
    if page.is_of(pfn) {
        return Ok(Some(page.life()));
    }
    if is_right::<L>(page, pfn) { Ok(None) } else { Err(format!("the record of {pfn} {}", says(page))) }
}

/// A sample of the page frames of a range, from every part of it.
fn some(seen: PfnRange) -> impl Iterator<Item = Pfn> {
    (seen.start()..seen.end()).step_by((seen.nr_pages() / 16).max(1) as usize).map(|pfn| Pfn(pfn + 5))
}

/// The lives of the records of memory that is present.
fn lives<L: Hotplug>(layout: &L, seen: PfnRange) -> Result<Vec<Option<Life>>, String> {
    let reader = layout.reader();
    let life_of = |pfn| life::<L>(reader.valid_to_page(pfn).ok_or_else(|| format!("{pfn} is not valid"))?, pfn);
    some(seen).map(life_of).collect()
}

/// Checks that valid records are ready, and do not change while the reader lives.
fn there_or_not<L: Hotplug>(layout: &L, seen: PfnRange) -> Result<u64, String> {
    let reader = layout.reader();
    let mut lives = Vec::with_capacity(32);
    for pfn in some(seen) {
        if let Some(page) = reader.valid_to_page(pfn) {
            lives.push((page, pfn, life::<L>(page, pfn)?));
        }
    }
    // Long enough for a writer that does not wait to release them.
    (0..200).for_each(|_| std::hint::spin_loop());
    for &(page, pfn, before) in &lives {
        let after = life::<L>(page, pfn)?;
        check_lives(pfn, before, after)?;
    }
    Ok(lives.len() as u64)
}

fn check_lives(pfn: Pfn, before: Option<Life>, after: Option<Life>) -> Check {
    check!(before == after, "the record of {pfn} changed from {before:?} to {after:?} while a reader held it");
    Ok(())
}

/// The usage of the section may be freed at any time. Validity is checked repeatedly, and valid
/// records must be ready.
fn asked_often<L: Hotplug>(layout: &L, seen: PfnRange) -> Result<u64, String> {
    let reader = layout.reader();
    let mut valid_reads = 0;
    for pfn in some(seen) {
        (0..8).for_each(|_| _ = std::hint::black_box(reader.pfn_section_valid(pfn)));
        if let Some(page) = reader.valid_to_page(pfn) {
            life::<L>(page, pfn)?;
            valid_reads += 1;
        }
    }
    Ok(valid_reads)
}

pub(super) fn t_40_neighbour_stays_while_another_toggles<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    neighbour_stays_while_another_toggles::<L>()
}

fn neighbour_stays_while_another_toggles<L: Hotplug + Inspect>() -> Check {
    let layout = Arc::new(boot::<L>(&BootMap::default())?);
    let (s, u) = (s::<L>(), u::<L>());
    let neighbour = range(8 * s + 5 * u, u);
    add(&*layout, neighbour).map_err(text)?;
    let first = lives(&*layout, neighbour)?;
    toggle(&layout, range(8 * s + 6 * u, u), neighbour, move |layout: &L, seen| {
        let now = lives(layout, seen)?;
        check!(now == first, "the records of the neighbour changed from {first:?} to {now:?}");
        Ok(now.len() as u64)
    })
}

pub(super) fn t_41_toggled_memory_is_never_seen_half<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    toggled_is_never_seen_half::<L>()
}

/// In a live section if the layout supports it: there the kernel's own guarantee is weaker (D-1,
/// D-2).
fn toggled_is_never_seen_half<L: Hotplug + Inspect>() -> Check {
    let layout = Arc::new(boot::<L>(&BootMap::default())?);
    let (start, unit) = (8 * s::<L>(), granule::<L>());
    if unit < s::<L>() {
        add(&*layout, range(start, unit)).map_err(text)?;
    }
    let toggled = range(start + unit, unit);
    toggle(&layout, toggled, toggled, there_or_not::<L>)
}

pub(super) fn t_42_usage_goes_while_it_is_asked<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    usage_goes_while_it_is_asked::<L>()
}

fn usage_goes_while_it_is_asked<L: Hotplug + Inspect>() -> Check {
    let layout = Arc::new(boot::<L>(&BootMap::default())?);
    let toggled = range(8 * s::<L>(), granule::<L>());
    toggle(&layout, toggled, toggled, asked_often::<L>)?;
    check!(accounts(&*layout).heap_usages == 0, "{:?}", layout.accounting());
    Ok(())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::layouts::Subsection;
    use crate::layouts::visit;
    use crate::rules::{RuleSet, Rules};

    /// The kernel's order in a live section: first the bit, then the records (D-1).
    #[derive(Clone, Copy, Debug, Default)]
    struct PublishFirst;

    impl Rules for PublishFirst {
        const LAYOUT_ID: Option<&'static str> = Some("publish-first");
        const ABOUT: &'static str = "a twin with a defect that the suite must detect";
        const SET: RuleSet = RuleSet { populate_first: false, ..RuleSet::MERGED };
    }

    /// The kernel's removal of records: at once, without a grace period (D-2).
    #[derive(Clone, Copy, Debug, Default)]
    struct NoGrace;

    impl Rules for NoGrace {
        const LAYOUT_ID: Option<&'static str> = Some("no-grace");
        const ABOUT: &'static str = "a twin with a defect that the suite must detect";
        const SET: RuleSet = RuleSet { grace_for_records: false, ..RuleSet::MERGED };
    }

    /// A twin misbehaves only when a reader and its writer meet, which is likely but not certain;
    /// hence several tries.
    fn is_caught<R: Rules>() -> String {
        let caught = (0..20).find_map(|_| toggled_is_never_seen_half::<Subsection<X86_64, R>>().err());
        caught.expect("readers did not detect the defect in 20 tries")
    }

    #[test]
    fn a_twin_that_publishes_before_it_populates_is_caught_by_the_check_word() {
        let caught = is_caught::<PublishFirst>();
        assert!(caught.contains("the record of"), "{caught}");
    }

    #[test]
    fn a_twin_that_does_not_wait_for_readers_is_caught_by_the_check_word() {
        let caught = is_caught::<NoGrace>();
        assert!(caught.contains("the record of"), "{caught}");
    }

    /// T-40 to T-42 as a separate test, which `scripts/sanitize` runs.
    #[test]
    fn real_layouts_under_readers() {
        struct UnderReaders;
        impl Visitor<X86_64> for UnderReaders {
            fn fixed<L: Memmap<Geometry = X86_64>>(&mut self) {}
            fn hotplug<L: Hotplug<Geometry = X86_64> + Inspect + SectionFlags>(&mut self) {
                if granule::<L>() < s::<L>() {
                    neighbour_stays_while_another_toggles::<L>().unwrap();
                }
                usage_goes_while_it_is_asked::<L>().unwrap();
                toggled_is_never_seen_half::<L>().unwrap();
            }
        }
        visit::<X86_64>(&mut UnderReaders);
    }
}
