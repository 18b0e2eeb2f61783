//! Whether added memory fits into the free memory of a guest, and how much would.

use super::need::Need;
use super::request::{RecordsIn, Request, RequestError};
use crate::kernel_version::KernelVersion;
use serde::Serialize;

/// How much of the added memory can be records of it at most: a page of 4 KiB has records of 64 pages.
pub fn most_per_free_byte(request: &Request) -> u64 {
    request.page_bytes / request.record_bytes
}

/// How often the RAM of a guest kata-containers adds at most in one request of a DIMM: with records of 64 bytes,
/// they take 75 % of an idle guest.
///
/// Source: kata-containers pull request 4862, "from experimentation".
pub const KATA_FACTOR: u64 = 48;

/// Free memory of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Free {
    /// Bytes that records and, apart from them, page tables can take.
    pub bytes: u64,
    /// Bytes that both can take together.
    pub limit_bytes: u64,
    /// True if the size was given; else it is the assumption of [`Free::of_idle_guest`].
    pub is_given: bool,
}

impl Free {
    /// Free memory as the guest states it (`MemFree` in `/proc/meminfo`).
    ///
    /// # Errors
    /// It is more than the guest's RAM.
    pub fn given(request: &Request, bytes: u64) -> Result<Self, RequestError> {
        if bytes > request.guest_bytes {
            return Err(RequestError::FreeAboveGuest { free: bytes, guest: request.guest_bytes });
        }
        Ok(Self { bytes, limit_bytes: bytes, is_given: true })
    }

    /// What an idle guest is assumed to have: 75 % of its RAM for records, and everything but its own records for
    /// all. The share is that of [`KATA_FACTOR`].
    pub fn of_idle_guest(request: &Request) -> Self {
        let guest = request.guest_bytes;
        let own = request.records_of(guest).min(guest);
        // In this order, no product overflows and 4096 bytes are not rounded to 0.
        let bytes = guest / 4 * 3 + guest % 4 * 3 / 4;
        Self { bytes, limit_bytes: guest - own, is_given: false }
    }

    /// Whether memory with this need can be added.
    pub fn holds(&self, need: &Need) -> bool {
        need.ram_records <= self.bytes && need.tables() <= self.bytes && need.ram() <= self.limit_bytes
    }
}

/// A way of adding all of the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// In one request.
    Whole,
    /// In steps, and nothing is online before the end; or it is online in ZONE_MOVABLE, which records and page
    /// tables cannot use.
    Steps,
    /// In steps, each of which is online in a kernel zone before the next (`auto_online_blocks`).
    StepsOnline,
}

/// What becomes of one way of adding the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Way {
    /// The way.
    pub order: Order,
    /// Size of a step in bytes.
    pub step_bytes: u64,
    /// Number of steps.
    pub steps: u64,
    /// The first step that does not fit, from 1; `None` if all fit.
    pub first_failing: Option<u64>,
    /// RAM in bytes that the guest needs of its own, before added memory helps.
    pub own_ram_bytes: u64,
}

/// What is needed up to the end of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StepRow {
    /// Number of the step, from 1.
    pub step: u64,
    /// Bytes added by it and all before.
    pub added_bytes: u64,
    /// What they need.
    #[serde(flatten)]
    pub need: Need,
    /// Whether that fits while nothing is online.
    pub fits: bool,
}

/// Whether memory can be added to a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// What is asked.
    pub request: Request,
    /// Free memory of the guest.
    pub free: Free,
    /// What all of the added memory needs.
    pub need: Need,
    /// Bytes of added memory that are left for use: all but the records in it.
    pub usable_bytes: u64,
    /// The three ways of adding it; the steps are those of the request, or blocks if it is one step.
    pub ways: [Way; 3],
    /// The first, the last and a few other steps, with the first that fails.
    pub steps: Vec<StepRow>,
    /// The largest single request that fits, in bytes; 0 if none does.
    pub largest_step_bytes: u64,
    /// The largest total of steps that fits before any is online, in bytes; 0 if none does.
    pub largest_total_bytes: u64,
    /// Most bytes that free memory of this size can have records of in RAM; `None` if the records are elsewhere.
    pub bound_bytes: Option<u64>,
    /// RAM of the guest times [`KATA_FACTOR`], for comparison.
    pub kata_bytes: u64,
    /// Order of the largest allocation.
    pub largest_order: u32,
    /// Page tables in bytes that are needed in addition if no allocation of that order succeeds.
    pub fallback_bytes: u64,
}

impl Budget {
    /// Computes whether the memory fits. `free` is the free memory of the guest in bytes, if it is known. The cost
    /// does not depend on the sizes.
    ///
    /// # Errors
    /// The request breaks a rule of Linux of that version, or `free` is more than the guest has.
    pub fn new(request: Request, free: Option<u64>, version: KernelVersion) -> Result<Self, RequestError> {
        request.check(version)?;
        let free = match free {
            Some(bytes) => Free::given(&request, bytes)?,
            None => Free::of_idle_guest(&request),
        };
        let (add, step) = (request.add_bytes, request.step_bytes.min(request.add_bytes));
        let request = Request { step_bytes: step, ..request };
        let part = if step < add { step } else { request.block_bytes };
        let need = request.need(add, step);
        let bound = free.bytes.saturating_mul(most_per_free_byte(&request));
        Ok(Self {
            usable_bytes: add.saturating_sub(need.block_records),
            ways: [way(&request, &free, Order::Whole, add), way(&request, &free, Order::Steps, part), {
                way(&request, &free, Order::StepsOnline, part)
            }],
            steps: rows(&request, &free),
            largest_step_bytes: largest(&request, &free, None),
            largest_total_bytes: largest(&request, &free, Some(part)),
            bound_bytes: (request.records_in == RecordsIn::Ram).then_some(bound),
            kata_bytes: request.guest_bytes.saturating_mul(KATA_FACTOR),
            largest_order: request.largest_order(),
            fallback_bytes: request.fallback_tables(add),
            request,
            free,
            need,
        })
    }

    /// The way that the request asks for: in steps if there are several, each online before the next if
    /// `auto_online`. One request is online only after all of it was added.
    pub fn way(&self, auto_online: bool) -> &Way {
        let [whole, steps, online] = &self.ways;
        match (self.request.nr_steps(), auto_online) {
            (..=1, _) => whole,
            (_, false) => steps,
            (_, true) => online,
        }
    }
}

/// The bytes that are added after `step` steps.
fn added(request: &Request, step_bytes: u64, step: u64) -> u64 {
    step_bytes.saturating_mul(step).min(request.add_bytes)
}

fn way(request: &Request, free: &Free, order: Order, step_bytes: u64) -> Way {
    let steps = request.add_bytes.div_ceil(step_bytes);
    let holds = |step| free.holds(&request.need(added(request, step_bytes, step), step_bytes));
    // A step that is online gives more than the next one needs, because records are smaller than pages by a factor
    // of four at least. So only the first needs memory that the guest has.
    let alone = if order == Order::StepsOnline { 1 } else { steps };
    let first_failing = (!holds(alone)).then(|| {
        let (mut fits, mut fails) = (0, alone);
        while fails - fits > 1 {
            let middle = fits + (fails - fits) / 2;
            if holds(middle) { fits = middle } else { fails = middle }
        }
        fails
    });
    let own_ram_bytes = request.need(added(request, step_bytes, alone), step_bytes).ram();
    Way { order, step_bytes, steps, first_failing, own_ram_bytes }
}

/// Rows of the steps 1, 2, 4, 8 and so on, of the last, and of the last that fits and the first that does not.
fn rows(request: &Request, free: &Free) -> Vec<StepRow> {
    let (step_bytes, nr) = (request.step_bytes, request.nr_steps());
    let powers = std::iter::successors(Some(1u64), |step| step.checked_mul(2)).take_while(|&step| step < nr);
    let failing = way(request, free, Order::Steps, step_bytes).first_failing;
    let around = failing.into_iter().flat_map(|step| [step - 1, step]).filter(|&step| step > 0);
    let mut shown: Vec<u64> = powers.chain([nr]).chain(around).collect();
    shown.sort_unstable();
    shown.dedup();
    let row = |step| {
        let added_bytes = added(request, step_bytes, step);
        let need = request.need(added_bytes, step_bytes);
        StepRow { step, added_bytes, need, fits: free.holds(&need) }
    };
    shown.into_iter().map(row).collect()
}

/// The most bytes that fit, in whole blocks: in one request, or in steps of a size while nothing is online.
fn largest(request: &Request, free: &Free, step: Option<u64>) -> u64 {
    let block = request.block_bytes;
    let holds = |blocks: u64| {
        let total = blocks * block;
        free.holds(&request.need(total, step.unwrap_or(total)))
    };
    let most = (request.address_end - request.start) / block;
    // With 1 GiB pages, a request that ends with a whole gigabyte needs a table less than one that ends before. So
    // needs grow with the size only among those that end at the same place in a gigabyte.
    let places = ((1 << 30) / block).max(1);
    let largest_at = |place: u64| {
        let blocks = |nr: u64| place + nr * places;
        let (mut fits, mut fails) = (None, most.checked_sub(place).map_or(0, |rest| rest / places + 1));
        let mut first = 0;
        while first < fails {
            let middle = first + (fails - first) / 2;
            if holds(blocks(middle)) { (fits, first) = (Some(middle), middle + 1) } else { fails = middle }
        }
        fits.map(blocks)
    };
    (1..=places).filter_map(largest_at).max().unwrap_or(0) * block
}

#[cfg(test)]
mod tests {
    use super::super::need::tests::any_request;
    use super::super::request::DirectMap;
    use super::super::request::tests::request;
    use super::*;
    use proptest::prelude::*;

    const GIB: u64 = 1 << 30;
    const MIB: u64 = 1 << 20;

    fn budget(request: Request, free: Option<u64>) -> Budget {
        Budget::new(request, free, KernelVersion::CURRENT).unwrap()
    }

    fn whole(guest_bytes: u64, add_bytes: u64) -> Request {
        Request { guest_bytes, add_bytes, step_bytes: add_bytes, ..request() }
    }

    /// Published: a DIMM of 120 GiB fails with a guest of 2 GiB and works with 4 GiB (kata-containers/runtime issue
    /// 1244); a guest of 256 MiB takes 12 GiB at most (kata-containers pull request 4862), and not 15 GiB (issue
    /// 1621).
    #[test]
    fn published_plugs_succeed_and_fail() {
        let fits = |guest, add| budget(whole(guest, add), None).way(false).first_failing.is_none();
        assert!(!fits(2 * GIB, 120 * GIB) && fits(4 * GIB, 120 * GIB));
        assert!(fits(256 * MIB, 12 * GIB) && !fits(256 * MIB, 12 * GIB + 128 * MIB) && !fits(256 * MIB, 15 * GIB));
        let told = budget(whole(256 * MIB, 12 * GIB), None);
        assert_eq!((told.kata_bytes, told.largest_step_bytes), (12 * GIB, 12 * GIB));
    }

    #[test]
    fn blocks_that_are_online_pay_for_the_next() {
        let request = Request { step_bytes: 128 * MIB, ..whole(2 * GIB, 1 << 40) };
        let told = budget(request, Some(8 * MIB));
        let [whole, steps, online] = told.ways;
        assert_eq!((whole.first_failing, steps.first_failing, online.first_failing), (Some(1), Some(4), None));
        assert_eq!((told.way(false), told.way(true)), (&steps, &online));
        assert!(online.own_ram_bytes < 3 * MIB && whole.own_ram_bytes > 16 * GIB);
        assert_eq!(told.largest_total_bytes, 3 * 128 * MIB);
        let shown: Vec<u64> = told.steps.iter().map(|row| row.step).collect();
        assert!(shown.contains(&3) && shown.contains(&4) && shown.ends_with(&[8192]), "{shown:?}");
        let one = budget(Request { step_bytes: 1 << 40, ..request }, Some(8 * MIB));
        assert_eq!(one.way(true).order, Order::Whole, "one request is online after all of it was added");
        assert_eq!(one.ways[1].step_bytes, 128 * MIB, "blocks, to compare with");
    }

    #[test]
    fn records_in_blocks_cost_added_memory() {
        let told = budget(Request { records_in: RecordsIn::Block, ..whole(2 * GIB, 64 * GIB) }, None);
        assert_eq!((told.need.block_records, told.usable_bytes), (GIB, 63 * GIB), "2 MiB of each block of 128 MiB");
        assert_eq!((told.way(false).first_failing, told.bound_bytes), (None, None));
    }

    #[test]
    fn more_free_memory_than_ram_is_refused() {
        let told = Budget::new(request(), Some(3 * GIB), KernelVersion::CURRENT).unwrap_err().to_string();
        assert!(told.contains("3 GiB of free memory is more than the guest's 2 GiB; try --free 1G"), "{told}");
        assert_eq!(budget(request(), Some(0)).largest_step_bytes, 0);
    }

    #[test]
    fn the_largest_memory_ends_with_the_address_space() {
        let altmap = Request { records_in: RecordsIn::Device, direct_map: DirectMap::Pud, ..whole(1 << 40, GIB) };
        assert_eq!(budget(altmap, None).largest_step_bytes, altmap.address_end - altmap.start);
    }

    proptest! {
        #[test]
        fn what_is_said_to_fit_fits_and_more_does_not(
            any in any_request(), blocks in 1u64..3000, per_step in 1u64..40, free in 0u64..1 << 31,
        ) {
            let block = any.block_bytes;
            let request = Request { add_bytes: blocks * block, step_bytes: per_step * block, ..any };
            let free = Some(free.min(request.guest_bytes));
            let Ok(told) = Budget::new(request, free, KernelVersion::CURRENT) else { return Ok(()) };
            let single = |total: u64| {
                request.start + total <= request.address_end && told.free.holds(&request.need(total, total))
            };
            let largest = told.largest_step_bytes;
            prop_assert!(largest == 0 || single(largest));
            prop_assert!((1..20).all(|more| !single(largest + more * block)), "{:?}", told);
            // Step by step, with memory that is online.
            let step = told.ways[2].step_bytes;
            let (mut have, mut before, mut failing) = (i128::from(told.free.bytes), 0i128, None);
            for nr in 1..=told.ways[2].steps {
                let total = (nr * step).min(request.add_bytes);
                let need = i128::from(request.need(total, step).ram());
                have -= need - before;
                before = need;
                if have < 0 {
                    failing = Some(nr);
                    break;
                }
                have += i128::from(step);
            }
            prop_assert_eq!(told.ways[2].first_failing, failing);
            let [whole, steps, online] = told.ways;
            prop_assert!(online.first_failing.is_none() || steps.first_failing.is_some());
            // One request with 1 GiB pages needs fewer tables than steps.
            let whole_needs_less = request.direct_map == DirectMap::Pud;
            prop_assert!(steps.first_failing.is_none() || whole.first_failing.is_some() || whole_needs_less);
            for row in &told.steps {
                prop_assert_eq!(row.fits, told.free.holds(&row.need));
            }
        }
    }
}
