//! Hotplug cases, cases of readers beside a writer, and cases that compare hot-add with a bare
//! populate.

use super::layout::layouts;
use super::position::Position;
use memmap_layouts::{ByteSize, Capabilities, Geometry, X86_64};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::thread;

/// Sizes of additions and removals in bytes: 2 MiB, 16 MiB, 128 MiB and 1 GiB.
pub const HOTPLUG_SIZES: [u64; 4] = [2 << 20, 16 << 20, 128 << 20, 1 << 30];

/// Values of `op` in hotplug rows: three times of an addition, and one of a removal.
pub const OPS: [&str; 4] = [HOT_ADD, "hot_add_read", "hot_add_write", HOT_REMOVE];

/// Operation name: the call that adds memory, without access to the new records.
pub const HOT_ADD: &str = "hot_add";

/// Operation name: the call that removes memory.
pub const HOT_REMOVE: &str = "hot_remove";

/// Where an addition lies relative to earlier ones, and whether those are still present. The three
/// variants differ as follows:
///
/// | | `again` | `growth` | `fresh` |
/// | --- | --- | --- | --- |
/// | addresses | always the same | the next section | the next section |
/// | the addition before | removed | stays | removed |
/// | pages of records | those just freed | any others | those just freed |
/// | blocks of a file that simulates a device | reused | new | new |
/// | page tables, section descriptors | exist | exist | new where none cover the addresses |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Addresses {
    /// A re-add: the same addresses are added and removed in a loop. The kernel hands out the pages
    /// that the removal has just put on its per-CPU free lists.
    Again,
    /// Memory that grows: each addition follows the one before and stays while later ones are
    /// timed. Its record pages are therefore not those that a removal has just freed. The addresses
    /// were added once before, untimed, to allocate their page tables.
    Growth,
    /// Every addition uses physical addresses where nothing was added before in this process, and
    /// is removed before the next one.
    Fresh,
}

impl Addresses {
    /// All variants, in the order of reports.
    pub const ALL: [Addresses; 3] = [Self::Again, Self::Growth, Self::Fresh];

    /// Name in rows and workloads, e.g. `again`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Again => "again",
            Self::Growth => "growth",
            Self::Fresh => "fresh",
        }
    }
}

/// One hotplug workload. Layouts run it in turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HotplugGroup {
    /// Bytes added or removed by one operation.
    pub size_bytes: u64,
    /// Where in a section an addition begins.
    pub position: Position,
    /// Where an addition lies relative to earlier ones.
    pub addresses: Addresses,
    /// Number of threads that initialise the new records.
    pub init_threads: NonZeroU32,
}

impl HotplugGroup {
    /// The default: a re-add that begins with a section, its records initialised by one thread.
    pub const fn plain(size_bytes: u64) -> Self {
        Self { size_bytes, position: Position::First, addresses: Addresses::Again, init_threads: NonZeroU32::MIN }
    }

    /// True if everything except the size has its default.
    pub fn is_plain(&self) -> bool {
        *self == Self::plain(self.size_bytes)
    }

    /// The operations that are timed. Growth has no removals of its own: a whole walk is removed at
    /// once, untimed.
    pub fn ops(&self) -> impl Iterator<Item = &'static str> + use<> {
        let removes = self.addresses != Addresses::Growth;
        OPS.into_iter().filter(move |op| removes || *op != HOT_REMOVE)
    }

    /// What differs from the default: `/later`, `/unaligned`, `/growth`, `/fresh`, `/4threads`;
    /// empty for the default.
    pub fn variant(&self) -> String {
        let mut variant = String::new();
        if self.position != Position::First {
            variant.push_str(&format!("/{}", self.position.name()));
        }
        if self.addresses != Addresses::Again {
            variant.push_str(&format!("/{}", self.addresses.name()));
        }
        if self.init_threads.get() > 1 {
            variant.push_str(&format!("/{}threads", self.init_threads));
        }
        variant
    }

    /// Name without the layout, e.g. `hotplug/2MiB` or `hotplug/1GiB/4threads`.
    pub fn name(&self) -> String {
        format!("hotplug/{}{}", ByteSize(self.size_bytes).to_string().replace(' ', ""), self.variant())
    }

    /// True if a layout with these capabilities supports the workload, provided the map has room
    /// for it.
    fn is_offered(&self, caps: &Capabilities) -> bool {
        let nr_pages = self.size_bytes >> X86_64::PAGE_SHIFT;
        let has_parts = caps.hotplug_granule_pages < Some(X86_64::PAGES_PER_SECTION);
        caps.hotplug_granule_pages.is_some_and(|pages| nr_pages.is_multiple_of(pages))
            && (self.position == Position::First || has_parts)
            && self.position.has::<X86_64>(self.size_bytes)
    }
}

/// A hotplug workload on one layout.
#[derive(Clone, Copy, Debug)]
pub struct HotplugCase {
    /// Size, position, addresses and number of threads.
    pub group: HotplugGroup,
    /// Id of the layout, e.g. `subsection`.
    pub layout: &'static str,
}

impl HotplugCase {
    /// Full name of the case, e.g. `hotplug/2MiB/dax` or `hotplug/2MiB/later/dax`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.group.name(), self.layout)
    }
}

/// Number of CPUs that this process may use; 1 if it is unknown.
pub fn processors() -> u32 {
    thread::available_parallelism().map_or(1, |nr| u32::try_from(nr.get()).unwrap_or(u32::MAX))
}

/// The powers of two below `number`, then `number` itself: 6 gives 1, 2, 4, 6.
fn powers_of_two_up_to(number: u32) -> impl Iterator<Item = u32> {
    let powers = std::iter::successors(Some(1u32), |power| power.checked_mul(2));
    powers.take_while(move |&power| power < number).chain(std::iter::once(number))
}

/// Thread counts above one: powers of two, then one thread per CPU.
pub fn several_threads() -> Vec<NonZeroU32> {
    powers_of_two_up_to(processors()).filter(|&threads| threads > 1).filter_map(NonZeroU32::new).collect()
}

/// The default workload for each of [`HOTPLUG_SIZES`].
pub fn plain_groups() -> Vec<HotplugGroup> {
    HOTPLUG_SIZES.map(HotplugGroup::plain).into()
}

/// A workload of reader threads beside a thread that hot-adds and hot-removes memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadersGroup {
    /// Number of reader threads.
    pub readers: NonZeroU32,
}

impl ReadersGroup {
    /// The default: one reader per CPU, less one CPU for the writer.
    pub fn usual() -> Self {
        Self { readers: NonZeroU32::new(processors() - 1).unwrap_or(NonZeroU32::MIN) }
    }

    /// Reader counts from one to one per CPU. The last leaves no CPU for the writer; see
    /// [`Self::is_oversubscribed`].
    pub fn every() -> Vec<Self> {
        let mut numbers: Vec<u32> = powers_of_two_up_to(processors()).chain([Self::usual().readers.get()]).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.into_iter().filter_map(NonZeroU32::new).map(|readers| Self { readers }).collect()
    }

    /// Name without the layout: `readers` for the default, else e.g. `readers/4threads`.
    pub fn name(&self) -> String {
        let threads = format!("/{}threads", self.readers);
        format!("readers{}", if *self == Self::usual() { "" } else { &threads })
    }

    /// Full name of the case on a layout, e.g. `readers/dax`.
    pub fn case(&self, layout: &str) -> String {
        format!("{}/{layout}", self.name())
    }

    /// True if the readers and the writer together need more CPUs than there are.
    pub fn is_oversubscribed(&self) -> bool {
        self.readers.get() >= processors()
    }
}

/// Name of the case that compares hot-add with a bare populate, e.g. `own_cost/subsection`.
pub fn own_cost_name(layout: &str) -> String {
    format!("own_cost/{layout}")
}

/// Every combination of a workload and a layout that supports it.
pub fn hotplug_cases(groups: &[HotplugGroup]) -> Vec<HotplugCase> {
    let layouts = layouts::<X86_64>();
    let of_group = |&group: &HotplugGroup| {
        let offered = layouts.iter().filter(move |entry| group.is_offered(&entry.caps));
        offered.map(move |entry| HotplugCase { group, layout: entry.id }).collect::<Vec<_>>()
    };
    groups.iter().flat_map(of_group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_contain_what_differs_from_the_default() {
        let plain = HotplugGroup::plain(2 << 20);
        let later = HotplugGroup { position: Position::Later, addresses: Addresses::Fresh, ..plain };
        let init_threads = NonZeroU32::new(4).unwrap();
        let threads = HotplugGroup { init_threads, ..HotplugGroup::plain(1 << 30) };
        assert_eq!(
            [plain, later, threads].map(|group| group.name()),
            ["hotplug/2MiB", "hotplug/2MiB/later/fresh", "hotplug/1GiB/4threads"]
        );
        assert!(plain.is_plain() && !later.is_plain() && !threads.is_plain());
    }

    #[test]
    fn growth_has_its_own_case_without_removals() {
        let plain = HotplugGroup::plain(2 << 20);
        let growth = HotplugGroup { addresses: Addresses::Growth, ..plain };
        let cases: Vec<String> = hotplug_cases(&[growth]).iter().map(HotplugCase::name).collect();
        assert!(cases.contains(&"hotplug/2MiB/growth/subsection".to_owned()), "{cases:?}");
        assert!(!growth.is_plain());
        assert_eq!(plain.ops().collect::<Vec<_>>(), OPS);
        assert_eq!(growth.ops().collect::<Vec<_>>(), ["hot_add", "hot_add_read", "hot_add_write"]);
    }

    #[test]
    fn cases_cover_the_layouts_that_support_them() {
        let later = HotplugGroup { position: Position::Later, ..HotplugGroup::plain(2 << 20) };
        let unaligned = HotplugGroup { position: Position::Unaligned, ..HotplugGroup::plain(128 << 20) };
        for group in [later, unaligned] {
            let cases = hotplug_cases(&[group]);
            assert!(cases.iter().any(|case| case.layout == "subsection"), "{cases:?}");
            assert!(
                cases.iter().all(|case| !["flat", "sparse", "vmemmap-section"].contains(&case.layout)),
                "{cases:?}"
            );
        }
        assert!(hotplug_cases(&[HotplugGroup::plain(128 << 20)]).iter().any(|case| case.layout == "sparse"));
    }

    #[test]
    fn thread_counts_double_up_to_the_number_of_cpus() {
        let up_to = |number| powers_of_two_up_to(number).collect::<Vec<_>>();
        assert_eq!((up_to(1), up_to(2), up_to(6), up_to(8)), (vec![1], vec![1, 2], vec![1, 2, 4, 6], vec![1, 2, 4, 8]));
    }
}
