//! Runs the list on layouts.

use super::list::{
    Case, FromMegabyteOne, Runner, cases_for_all, cases_from_megabyte_one, cases_with_hotplug, cases_with_pages_of_64k,
};
use super::*;
use std::panic::catch_unwind;

pub(super) fn run_in_this_thread<F: Family>(selects: Selects<'_>) -> Vec<Run> {
    let mut suite = Suite::new(selects);
    F::show::<X86_64>(&mut OnX86(&mut suite));
    F::show::<Arm64Pages64K>(&mut OnPagesOf64K(&mut suite));
    F::show::<FromMegabyteOne>(&mut OnMemoryFromMegabyteOne(&mut suite));
    // By layout, in the order of the list; then by number.
    let order: Vec<&str> = suite.runs.iter().map(|run| run.layout).collect();
    let place = |run: &Run| order.iter().position(|layout| *layout == run.layout);
    suite.runs.sort_by_key(|run| (place(run), !run.is_numbered(), run.is_numbered().then_some(run.case)));
    suite.runs
}

/// Whether to run a case, by the id of the layout and the id of the case.
pub type Selects<'a> = &'a dyn Fn(&str, &str) -> bool;

pub(super) struct Suite<'a> {
    selects: Selects<'a>,
    /// The layout whose records are at invalid addresses.
    unreadable: Option<&'static str>,
    pub(super) runs: Vec<Run>,
}

impl<'a> Suite<'a> {
    pub(super) fn new(selects: Selects<'a>) -> Self {
        Self { selects, unreadable: None, runs: Vec::new() }
    }

    pub(super) fn run<G: Geometry>(&mut self, layout: &'static str, caps: Capabilities, cases: Vec<Case<Runner>>) {
        let held = Held::to(caps);
        let refused = BACKING.with_borrow(RamBacking::refuses_devices).filter(|_| caps.records_on_device.any());
        let selects = self.selects;
        for case in cases.into_iter().filter(|case| selects(layout, case.id)) {
            let unreadable = self.unreadable.filter(|id| *id == layout).map(|_| "its records are at invalid addresses");
            let outcome = match refused.or(unreadable).or(case.needs.lacking::<G>(&caps)) {
                Some(why) => Outcome::Skipped(why),
                None => match catch_unwind(|| (case.run)(&held)) {
                    Ok(done) => done.map_or_else(Outcome::Failed, |()| Outcome::Passed),
                    Err(panic) => Outcome::Failed(format!("a panic: {}", panic_message(&*panic))),
                },
            };
            // Reading such a record would end the process.
            if case.id == "record_addresses" && matches!(outcome, Outcome::Failed(_)) {
                self.unreadable = Some(layout);
            }
            self.runs.push(Run { layout, case: case.id, name: case.name, outcome });
        }
    }

    /// Fails a layout that declares hotplug without the traits for it. None of the cases with
    /// hotplug can run on it.
    fn declares_hotplug_only(&mut self, layout: &'static str) {
        let (case, name) = ("hotplug_traits", "declared_hotplug_is_implemented");
        let selects = self.selects;
        if selects(layout, case) && self.runs.iter().all(|run| (run.layout, run.case) != (layout, case)) {
            let what = "CAPS declares hotplug_granule_pages, but the layout does not implement all of Hotplug, Inspect \
                        and SectionFlags";
            self.runs.push(Run { layout, case, name, outcome: Outcome::Failed(what.to_owned()) });
        }
    }
}

/// The message of a panic.
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

struct OnX86<'s, 'a>(&'s mut Suite<'a>);

impl Visitor<X86_64> for OnX86<'_, '_> {
    fn fixed<L: Memmap<Geometry = X86_64>>(&mut self) {
        self.0.run::<X86_64>(L::ID, L::CAPS, cases_for_all::<L>());
        if L::CAPS.hotplug_granule_pages.is_some() {
            self.0.declares_hotplug_only(L::ID);
            return;
        }
        // The names come from a layout that has hotplug; none of the cases is run.
        self.0.run::<X86_64>(L::ID, L::CAPS, cases_with_hotplug::<crate::layouts::Subsection>());
    }

    fn hotplug<L: Hotplug<Geometry = X86_64> + Inspect + SectionFlags>(&mut self) {
        self.0.run::<X86_64>(L::ID, L::CAPS, cases_for_all::<L>());
        self.0.run::<X86_64>(L::ID, L::CAPS, cases_with_hotplug::<L>());
    }
}

struct OnPagesOf64K<'s, 'a>(&'s mut Suite<'a>);

impl Visitor<Arm64Pages64K> for OnPagesOf64K<'_, '_> {
    fn fixed<L: Memmap<Geometry = Arm64Pages64K>>(&mut self) {
        if L::CAPS.hotplug_granule_pages.is_none() {
            let names = cases_with_pages_of_64k::<crate::layouts::Subsection<Arm64Pages64K>>();
            self.0.run::<Arm64Pages64K>(L::ID, L::CAPS, names);
        }
    }

    fn hotplug<L: Hotplug<Geometry = Arm64Pages64K> + Inspect + SectionFlags>(&mut self) {
        self.0.run::<Arm64Pages64K>(L::ID, L::CAPS, cases_with_pages_of_64k::<L>());
    }
}

struct OnMemoryFromMegabyteOne<'s, 'a>(&'s mut Suite<'a>);

impl Visitor<FromMegabyteOne> for OnMemoryFromMegabyteOne<'_, '_> {
    fn fixed<L: Memmap<Geometry = FromMegabyteOne>>(&mut self) {
        self.0.run::<FromMegabyteOne>(L::ID, L::CAPS, cases_from_megabyte_one::<L>());
    }

    fn hotplug<L: Hotplug<Geometry = FromMegabyteOne> + Inspect + SectionFlags>(&mut self) {
        self.0.run::<FromMegabyteOne>(L::ID, L::CAPS, cases_from_megabyte_one::<L>());
    }
}
