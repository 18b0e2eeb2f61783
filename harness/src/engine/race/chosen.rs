//! The layouts of a race: those that the user chose and whose records fit the given memory.

use super::RaceError;
use crate::engine::contestant::{Entry, again, unserved};
use crate::engine::field::Means;
use crate::engine::layouts::entries;
use memmap_layouts::Geometry;

/// The layouts with these ids, in the order of reports; all of them if there are no ids. An id that
/// occurs twice selects the layout twice, for an A/A test.
///
/// # Errors
/// No layout has one of the ids.
pub fn chosen<G: Geometry>(names: &[String]) -> Result<Vec<Entry<G>>, RaceError> {
    let all = entries::<G>();
    if let Some(name) = names.iter().find(|name| all.iter().all(|entry| entry.id != **name)) {
        let known = all.iter().map(|entry| entry.id).collect::<Vec<_>>().join(", ");
        return Err(RaceError::NoSuchLayout { name: name.clone(), known });
    }
    if names.is_empty() {
        return Ok(all);
    }
    let times = |entry: Entry<G>| {
        let nr = names.iter().filter(|name| *name == entry.id).count();
        (1..=nr).map(move |time| if time == 1 { entry } else { again(entry, time) })
    };
    Ok(all.into_iter().flat_map(times).collect())
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
