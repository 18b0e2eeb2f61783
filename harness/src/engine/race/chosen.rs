//! The layouts of a race: those that the user chose and whose records fit the given memory.

use super::RaceError;
use crate::case::{NO_CHECK, layouts_of};
use crate::engine::contestant::{Entry, again, unserved};
use crate::engine::field::Means;
use crate::engine::layouts::{entries, entries_and_named};
use crate::engine::no_check;
use crate::workload::tier::Tier;
use memmap_layouts::layouts::FlatIndexes;
use memmap_layouts::{Geometry, X86_64};

/// The layouts with these ids, in the order of reports; if there are no ids, all but those that take
/// part only when they are named. An id that occurs twice selects the layout twice, for an A/A test.
///
/// # Errors
/// No layout has one of the ids.
pub fn chosen<G: Geometry>(names: &[String]) -> Result<Vec<Entry<G>>, RaceError> {
    if names.is_empty() {
        return Ok(entries::<G>());
    }
    // Some layouts exist for x86-64 only. They are known on every map, and raced on theirs.
    let known: Vec<&str> = entries_and_named::<X86_64>().iter().map(|entry| entry.id).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(RaceError::NoSuchLayout { name: name.clone(), known: known.join(", ") });
    }
    let all = entries_and_named::<G>();
    let times = |entry: Entry<G>| {
        let nr = names.iter().filter(|name| *name == entry.id).count();
        (1..=nr).map(move |time| if time == 1 { entry } else { again(entry, time) })
    };
    Ok(all.into_iter().flat_map(times).collect())
}

/// The ids of a race whose user named no layout: none, which stands for the default ones, or in the
/// longer tiers all of these and the whole family of flat indexes.
pub fn of_tier(tier: Tier) -> Vec<String> {
    if tier < Tier::Quick {
        return Vec::new();
    }
    let family = layouts_of::<FlatIndexes, X86_64>().into_iter().map(|layout| layout.id);
    entries::<X86_64>().iter().map(|entry| entry.id).chain(family).map(str::to_owned).collect()
}

/// The layouts that a user named, without the bound, which takes part in any case.
///
/// # Errors
/// Only the bound was named.
pub fn without_bound(names: &[String]) -> Result<Vec<String>, RaceError> {
    let layouts: Vec<String> = names.iter().filter(|name| *name != NO_CHECK).cloned().collect();
    match layouts.is_empty() && !names.is_empty() {
        true => Err(RaceError::OnlyTheBound),
        false => Ok(layouts),
    }
}

/// The contestants of a race: the layouts with these ids, and the bound that no lookup can beat.
///
/// # Errors
/// No layout has one of the ids.
pub fn contestants<G: Geometry>(names: &[String]) -> Result<Vec<Entry<G>>, RaceError> {
    let mut all = chosen::<G>(names)?;
    all.push(no_check::entry::<G>());
    Ok(all)
}

/// Those of the layouts with these ids that exist for x86-64 but not for this architecture, each with
/// the reason.
pub fn of_x86_64_only<G: Geometry>(names: &[String]) -> Vec<(&'static str, String)> {
    let here = entries_and_named::<G>();
    let of_x86_64 = match names.is_empty() {
        true => entries::<X86_64>(),
        false => entries_and_named::<X86_64>(),
    };
    let is_missing = |id: &str| here.iter().all(|entry| entry.id != id);
    let is_asked = |id: &str| names.is_empty() || names.iter().any(|name| name == id);
    let missing = of_x86_64.into_iter().map(|entry| entry.id).filter(|id| is_missing(id) && is_asked(id));
    let reason = format!("the layout is for x86-64, and this map needs the address width of {}", G::ID);
    missing.map(|id| (id, reason.clone())).collect()
}

/// Layouts, split by whether the given memory can hold their records.
pub struct Served<G: Geometry> {
    /// The layouts that can be raced.
    pub entries: Vec<Entry<G>>,
    /// Ids of the layouts that cannot be raced, with the reason.
    pub left_out: Vec<(&'static str, String)>,
}

impl<G: Geometry> Served<G> {
    /// Splits layouts by whether `means` can hold their records.
    pub fn new(entries: Vec<Entry<G>>, means: &Means) -> Self {
        let mut served = Self { entries: Vec::new(), left_out: Vec::new() };
        for entry in entries {
            let by_device = means.device.as_ref().and_then(|device| unserved(&entry, device));
            match by_device.or_else(|| entry.refuses(&means.backing)) {
                Some(reason) => served.left_out.push((entry.id, reason)),
                None => served.entries.push(entry),
            }
        }
        served
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::race::test_support::{run, settings};
    use memmap_layouts::X86_64;

    #[test]
    fn an_unknown_layout_id_is_an_error() {
        let error = chosen::<X86_64>(&["holey".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("holey") && error.contains("subsection"), "{error}");
    }

    #[test]
    fn the_bound_is_named_beside_a_layout_or_not_at_all() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(without_bound(&names(&["flat", NO_CHECK])).unwrap(), ["flat"]);
        assert!(without_bound(&[]).unwrap().is_empty());
        let error = without_bound(&names(&[NO_CHECK])).unwrap_err().to_string();
        assert!(error.contains("takes part in every race of lookups"), "{error}");
    }

    #[test]
    fn a_layout_can_race_against_itself() {
        let names = ["subsection", "flat", "subsection"].map(str::to_owned);
        let ids: Vec<_> = chosen::<X86_64>(&names).unwrap().iter().map(|entry| entry.id).collect();
        assert_eq!(ids, ["flat", "subsection", "subsection#2"]);
        let mut settings = settings();
        settings.job.conditions.layouts = names.to_vec();
        let kept = run(&settings).unwrap();
        assert!(kept.rows().any(|row| row.layout == "subsection#2" && row.metric == "time" && row.value.is_some()));
    }
}
