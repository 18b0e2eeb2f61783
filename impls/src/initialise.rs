//! Initialisation of an addition's records by several threads.
//!
//! Source: `padata_do_multithreaded`, which `deferred_init_memmap` uses for the records of boot
//! memory (`mm/mm_init.c`, `kernel/padata.c`). Threads, including the caller, take parts from a
//! common list until none is left. The kernel initialises added memory in the calling thread only.
//! More than one thread here measures what the kernel could gain.

use crate::geometry::Geometry;
use crate::pfn::PfnRange;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

/// Parts per thread. More than one, so that others can take over the work of a delayed thread.
const PARTS_A_THREAD: u64 = 4;

/// Calls `init` once for every page frame of `chunks`, in parts. When it returns, the writes of all
/// threads are visible to the caller, who may publish. If a thread cannot be spawned, the others do
/// its share. `done` is called in the calling thread with the number of page frames completed so
/// far.
pub(crate) fn in_threads<G: Geometry>(
    chunks: impl Iterator<Item = PfnRange> + Clone,
    threads: NonZeroU32,
    init: impl Fn(PfnRange) + Sync,
    mut done: impl FnMut(u64),
) {
    if threads.get() == 1 {
        let mut nr_pages = 0;
        for chunk in chunks {
            init(chunk);
            nr_pages += chunk.nr_pages();
            done(nr_pages);
        }
        return;
    }
    let parts = parts::<G>(chunks, threads);
    let (next, nr_pages) = (AtomicUsize::new(0), AtomicU64::new(0));
    // Joining the threads makes their writes visible to the caller.
    let take = || {
        let part = *parts.get(next.fetch_add(1, Ordering::Relaxed))?;
        init(part);
        Some(nr_pages.fetch_add(part.nr_pages(), Ordering::Relaxed) + part.nr_pages())
    };
    let work = || while take().is_some() {};
    thread::scope(|scope| {
        for _ in 1..threads.get().min(u32::try_from(parts.len()).unwrap_or(u32::MAX)) {
            if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        while let Some(nr_pages) = take() {
            done(nr_pages);
        }
    });
}

/// Splits `chunks` into parts of similar size. They are aligned to sub-sections, and none crosses a
/// section boundary.
fn parts<G: Geometry>(chunks: impl Iterator<Item = PfnRange> + Clone, threads: NonZeroU32) -> Vec<PfnRange> {
    let nr_pages: u64 = chunks.clone().map(PfnRange::nr_pages).sum();
    let wanted = nr_pages.div_ceil(u64::from(threads.get()) * PARTS_A_THREAD).max(1);
    // A power of two of at most a section, so that no part crosses one.
    let step =
        wanted.next_power_of_two().clamp(G::PAGES_PER_SUBSECTION.min(G::PAGES_PER_SECTION), G::PAGES_PER_SECTION);
    chunks.flat_map(|chunk| chunk.split_at_multiples(step)).collect()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::geometry::X86_64;
    use std::sync::Mutex;

    fn range(start: u64, nr: u64) -> PfnRange {
        PfnRange::from_len(start, nr).unwrap()
    }

    #[test]
    fn every_page_is_in_one_part_whatever_the_number_of_threads() {
        let (s, u) = (X86_64::PAGES_PER_SECTION, X86_64::PAGES_PER_SUBSECTION);
        let shapes = [
            vec![range(5 * u, u)],
            vec![range(s - u, u), range(s, s), range(2 * s, 3 * u)],
            vec![range(7 * s, s)],
            vec![],
        ];
        for chunks in shapes {
            for threads in [1, 2, 3, 64, u32::MAX] {
                let done = Mutex::new(Vec::new());
                let threads = NonZeroU32::new(threads).unwrap();
                let (mut told, all) = (Vec::new(), chunks.iter().map(|chunk| chunk.nr_pages()).sum());
                let init = |part| done.lock().unwrap().push(part);
                in_threads::<X86_64>(chunks.iter().copied(), threads, init, |nr_pages| told.push(nr_pages));
                assert!(told.iter().all(|nr_pages| *nr_pages <= all) && told.windows(2).all(|pair| pair[0] < pair[1]));
                assert!(threads.get() > 1 || told.last().copied().unwrap_or(0) == all);
                let mut done = done.into_inner().unwrap();
                done.sort_by_key(|part| part.start());
                let pages = |ranges: &[PfnRange]| ranges.iter().flat_map(|r| r.start()..r.end()).collect::<Vec<_>>();
                assert!(pages(&done) == pages(&chunks), "{threads}: {done:?}");
                let in_one_section =
                    |part: &PfnRange| X86_64::section_nr(part.start()) == X86_64::section_nr(part.end() - 1);
                assert!(done.iter().all(in_one_section));
            }
        }
    }

    #[test]
    fn threads_share_the_work() {
        let parts = parts::<X86_64>(std::iter::once(range(0, 1 << 15)), NonZeroU32::new(2).unwrap());
        assert_eq!((parts.len(), parts[0].nr_pages()), (8, 1 << 12));
        // Never less than a sub-section.
        assert_eq!(super::parts::<X86_64>(std::iter::once(range(0, 512)), NonZeroU32::new(2).unwrap()).len(), 1);
    }
}
