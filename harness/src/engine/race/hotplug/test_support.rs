//! Races for the tests of this folder and of its neighbours.

use super::HotplugWindow;
use crate::case::REFERENCE;
use crate::engine::field::{Field, Lineup};
use crate::engine::layouts::entries;
use crate::engine::race::test_support::{Kept, small_machine};
use crate::engine::race::{Race, Settings};
use crate::interrupt::Interrupt;
use crate::record::row::Row;
use memmap_layouts::{Geometry, X86_64};

/// Pages of a section.
pub(super) const SECTION: u64 = X86_64::PAGES_PER_SECTION;

/// A race of the reference layout alone, with its own window.
pub(in crate::engine::race) fn on_the_reference(
    settings: &Settings,
    test: impl FnOnce(&mut Race<'_, X86_64>, &mut HotplugWindow),
) {
    on(&[REFERENCE], settings, test);
}

/// A race of these layouts, with its own window.
pub(super) fn on(layouts: &[&str], settings: &Settings, test: impl FnOnce(&mut Race<'_, X86_64>, &mut HotplugWindow)) {
    let entries: Vec<_> = entries::<X86_64>().into_iter().filter(|entry| layouts.contains(&entry.id)).collect();
    let (interrupt, mut kept) = (Interrupt::default(), Kept::default());
    let field = Field::boot(small_machine(), &Lineup::once(&entries), &settings.means, &interrupt).unwrap();
    let mut window = HotplugWindow::new(&field, field.plan.latency.unwrap()).unwrap();
    test(&mut Race::new(field, settings, &interrupt, &mut kept), &mut window);
}

pub(super) fn value(race: &Race<'_, X86_64>, op: &str, metric: &str) -> Row {
    race.outcome.rows.iter().find(|row| row.op == op && row.metric == metric).unwrap().clone()
}
