//! Cases of hotplug, of readers beside it, and of what it costs on top of the unavoidable.

use super::layout::layouts;
use super::position::Position;
use memmap_layouts::{Bytes, Capabilities, Geometry, X86_64};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::thread;

/// Sizes of additions and removals.
pub const HOTPLUG_SIZES: [u64; 4] = [2 << 20, 16 << 20, 128 << 20, 1 << 30];

/// Operations in rows: the three figures of an addition, and removal.
pub const OPS: [&str; 4] = [HOT_ADD, "hot_add_read", "hot_add_write", HOT_REMOVE];

/// An addition, the call alone.
pub const HOT_ADD: &str = "hot_add";

/// A removal.
pub const HOT_REMOVE: &str = "hot_remove";

/// Where additions lie relative to the ones before, and whether those are still there. What differs between the three:
///
/// | | `again` | `growth` | `fresh` |
/// | --- | --- | --- | --- |
/// | addresses | always the same | the next section | the next section |
/// | the addition before | removed | stays | removed |
/// | pages of records | those just freed | any others | those just freed |
/// | blocks of a file that plays a device | reused | new | new |
/// | page tables, section descriptors | exist | exist | new where none reach there |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Addresses {
    /// A re-add: the same addresses are added and removed in a loop. The kernel hands out the pages that the removal has just
    /// put on its per-CPU free lists.
    Again,
    /// Memory that grows: each addition lies behind the one before and stays while the next ones are timed, so its record pages
    /// are not those that a removal has just freed. The addresses were added once before, untimed, for their page tables.
    Growth,
    /// At addresses where nothing was added before in this process. Each addition is removed before the next.
    Fresh,
}

impl Addresses {
    /// All, in the order of reports.
    pub const ALL: [Addresses; 3] = [Self::Again, Self::Growth, Self::Fresh];

    /// Name in rows and workloads.
    pub fn name(self) -> &'static str {
        match self {
            Self::Again => "again",
            Self::Growth => "growth",
            Self::Fresh => "fresh",
        }
    }
}

/// Additions and removals in which layouts take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HotplugGroup {
    /// Size in bytes.
    pub size_bytes: u64,
    /// Where in a section it begins.
    pub position: Position,
    /// Where it lies relative to the additions before.
    pub addresses: Addresses,
    /// Threads that initialise records.
    pub init_threads: NonZeroU32,
}

impl HotplugGroup {
    /// The default: a re-add that begins with a section, its records initialised by one thread.
    pub const fn plain(size_bytes: u64) -> Self {
        Self { size_bytes, position: Position::First, addresses: Addresses::Again, init_threads: NonZeroU32::MIN }
    }

    /// Is it the usual?
    pub fn is_plain(&self) -> bool {
        *self == Self::plain(self.size_bytes)
    }

    /// The operations that are timed. Growth has no removals of its own: a whole walk is removed at once, untimed.
    pub fn ops(&self) -> impl Iterator<Item = &'static str> + use<> {
        let removes = self.addresses != Addresses::Growth;
        OPS.into_iter().filter(move |op| removes || *op != HOT_REMOVE)
    }

    /// What differs from the default: `/later`, `/unaligned`, `/growth`, `/fresh`, `/4threads`; empty for the default.
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

    /// `hotplug/2MiB`, `hotplug/1GiB/4threads`.
    pub fn name(&self) -> String {
        format!("hotplug/{}{}", Bytes(self.size_bytes).to_string().replace(' ', ""), self.variant())
    }

    /// Does a layout offer it, where there is room?
    fn is_offered(&self, caps: &Capabilities) -> bool {
        let nr_pages = self.size_bytes >> X86_64::PAGE_SHIFT;
        let has_parts = caps.hotplug_granule_pages < Some(X86_64::PAGES_PER_SECTION);
        caps.hotplug_granule_pages.is_some_and(|pages| nr_pages.is_multiple_of(pages))
            && (self.position == Position::First || has_parts)
            && self.position.has::<X86_64>(self.size_bytes)
    }
}

/// A hotplug case.
#[derive(Clone, Copy, Debug)]
pub struct HotplugCase {
    /// What is done.
    pub group: HotplugGroup,
    /// The layout.
    pub layout: &'static str,
}

impl HotplugCase {
    /// `hotplug/2MiB/dax`, `hotplug/2MiB/later/dax`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.group.name(), self.layout)
    }
}

/// Processors of this machine.
pub fn processors() -> u32 {
    thread::available_parallelism().map_or(1, |nr| u32::try_from(nr.get()).unwrap_or(u32::MAX))
}

/// 1, 2, 4, … and the number itself.
fn powers_of_two_up_to(number: u32) -> impl Iterator<Item = u32> {
    let powers = std::iter::successors(Some(1u32), |power| power.checked_mul(2));
    powers.take_while(move |&power| power < number).chain(std::iter::once(number))
}

/// 2, 4, … threads, up to one a processor.
pub fn several_threads() -> Vec<NonZeroU32> {
    powers_of_two_up_to(processors()).filter(|&threads| threads > 1).filter_map(NonZeroU32::new).collect()
}

/// The usual group of every size.
pub fn plain_groups() -> Vec<HotplugGroup> {
    HOTPLUG_SIZES.map(HotplugGroup::plain).into()
}

/// Readers beside a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadersGroup {
    /// Threads that read.
    pub readers: NonZeroU32,
}

impl ReadersGroup {
    /// As many as there are processors, less one for their company.
    pub fn usual() -> Self {
        Self { readers: NonZeroU32::new(processors() - 1).unwrap_or(NonZeroU32::MIN) }
    }

    /// From one reader to one a processor, which is one too many and says so.
    pub fn every() -> Vec<Self> {
        let mut numbers: Vec<u32> = powers_of_two_up_to(processors()).chain([Self::usual().readers.get()]).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.into_iter().filter_map(NonZeroU32::new).map(|readers| Self { readers }).collect()
    }

    /// `readers`, `readers/4threads`.
    pub fn name(&self) -> String {
        let threads = format!("/{}threads", self.readers);
        format!("readers{}", if *self == Self::usual() { "" } else { &threads })
    }

    /// `readers/dax`.
    pub fn case(&self, layout: &str) -> String {
        format!("{}/{layout}", self.name())
    }

    /// Do readers and their company need more processors than there are?
    pub fn is_oversubscribed(&self) -> bool {
        self.readers.get() >= processors()
    }
}

/// Hot-add against a bare populate: `own_cost/subsection`.
pub fn own_cost_name(layout: &str) -> String {
    format!("own_cost/{layout}")
}

/// The cases of groups: a group for each layout that offers it.
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
    fn names_say_what_is_unusual() {
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
    fn growth_is_a_case_of_its_own_without_removals() {
        let plain = HotplugGroup::plain(2 << 20);
        let growth = HotplugGroup { addresses: Addresses::Growth, ..plain };
        let cases: Vec<String> = hotplug_cases(&[growth]).iter().map(HotplugCase::name).collect();
        assert!(cases.contains(&"hotplug/2MiB/growth/subsection".to_owned()), "{cases:?}");
        assert!(!growth.is_plain());
        assert_eq!(plain.ops().collect::<Vec<_>>(), OPS);
        assert_eq!(growth.ops().collect::<Vec<_>>(), ["hot_add", "hot_add_read", "hot_add_write"]);
    }

    #[test]
    fn cases_are_those_that_layouts_offer() {
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
    fn threads_double_up_to_the_processors() {
        let up_to = |number| powers_of_two_up_to(number).collect::<Vec<_>>();
        assert_eq!((up_to(1), up_to(2), up_to(6), up_to(8)), (vec![1], vec![1, 2], vec![1, 2, 4, 6], vec![1, 2, 4, 8]));
    }
}
