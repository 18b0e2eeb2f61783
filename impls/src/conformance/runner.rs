//! Runs the list on layouts.

use super::list::{Case, FromMegabyteOne, On, Runner, cases_for_all, cases_with_hotplug};
use super::*;
use std::panic::catch_unwind;

pub(super) fn run_in_this_thread<F: Family>(selects: Selects<'_>) -> Vec<Run> {
    let mut suite = Suite { on: On::X86, selects, unreadable: None, runs: Vec::new() };
    F::show::<X86_64>(&mut suite);
    suite.on = On::Pages64K;
    F::show::<Arm64Pages64K>(&mut suite);
    suite.on = On::FromMegabyteOne;
    F::show::<FromMegabyteOne>(&mut suite);
    // By layout, in the order of the list; then by number.
    let order: Vec<&str> = suite.runs.iter().map(|run| run.layout).collect();
    let place = |run: &Run| order.iter().position(|layout| *layout == run.layout);
    suite.runs.sort_by_key(|run| (place(run), !run.is_numbered(), run.is_numbered().then_some(run.case)));
    suite.runs
}

/// Whether to run a case, by the id of the layout and the id of the case.
pub type Selects<'a> = &'a dyn Fn(&str, &str) -> bool;

pub(super) struct Suite<'a> {
    pub(super) on: On,
    pub(super) selects: Selects<'a>,
    /// The layout whose records are at invalid addresses.
    pub(super) unreadable: Option<&'static str>,
    pub(super) runs: Vec<Run>,
}

impl Suite<'_> {
    pub(super) fn run<G: Geometry>(&mut self, layout: &'static str, caps: Capabilities, cases: Vec<Case<Runner>>) {
        let held = Held::to(caps);
        let refused = BACKING.with_borrow(RamBacking::refuses_devices).filter(|_| caps.records_on_device.any());
        let selects = self.selects;
        for case in cases.into_iter().filter(|case| case.on == self.on && selects(layout, case.id)) {
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

impl<G: Geometry> Visitor<G> for Suite<'_> {
    fn fixed<L: Memmap<Geometry = G>>(&mut self) {
        self.run::<G>(L::ID, L::CAPS, cases_for_all::<L>());
        if L::CAPS.hotplug_granule_pages.is_some() {
            self.declares_hotplug_only(L::ID);
            return;
        }
        // The names come from a layout that has hotplug; none of the cases is run.
        self.run::<G>(L::ID, L::CAPS, cases_with_hotplug::<crate::layouts::Subsection<G>>());
    }

    fn hotplug<L: Hotplug<Geometry = G> + Inspect + SectionFlags>(&mut self) {
        self.run::<G>(L::ID, L::CAPS, cases_for_all::<L>());
        self.run::<G>(L::ID, L::CAPS, cases_with_hotplug::<L>());
    }
}
