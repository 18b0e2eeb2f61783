//! The cases of a race, by name, and filters over them.

mod hotplug;
mod lookup;

pub use hotplug::{
    Addresses, HotplugCase, HotplugGroup, ReadersGroup, hotplug_cases, own_cost_name, plain_groups, processors,
    several_threads,
};
pub use lookup::{LookupCase, LookupGroup};

use crate::contestant::entries;
use crate::row::Sections;
use crate::work::Work;
use crate::workload::{LookupWork, THIS_MACHINE};
use memmap_layouts::X86_64;
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use thiserror::Error;

/// Every lookup case of workloads, from the one list of layouts; each once, however many maps it is measured on.
pub fn lookup_cases(works: &[LookupWork]) -> Vec<LookupCase> {
    let layouts = entries::<X86_64>();
    let (mut cases, mut known) = (Vec::new(), BTreeSet::new());
    for work in works {
        for &sections in &work.sections {
            let asked = |id: &str| work.layouts.is_empty() || work.layouts.iter().any(|layout| layout == id);
            let can = layouts.iter().filter(|entry| {
                asked(entry.id) && (sections == Sections::Boot || entry.caps.hotplug_granule_pages.is_some())
            });
            for entry in can {
                if known.insert((work.group, sections, entry.id)) {
                    cases.push(LookupCase { group: work.group, sections, layout: entry.id });
                }
            }
        }
    }
    cases
}

/// The name of a case on a map: on the main map its own, else `pfn_valid/boot/random/flat@scattered-64`.
pub fn on_map(name: &str, map: &str) -> String {
    match map {
        THIS_MACHINE => name.to_owned(),
        other => format!("{name}@{}", other.strip_prefix("builtin:").unwrap_or(other)),
    }
}

/// Names of the cases of workloads.
pub fn names(work: &Work) -> Vec<String> {
    let mut known = BTreeSet::new();
    let of_work = |work: &LookupWork| -> Vec<String> {
        lookup_cases(std::slice::from_ref(work)).iter().map(|case| on_map(&case.name(), &work.map)).collect()
    };
    let lookups = work.lookups.iter().flat_map(of_work).filter(|name| known.insert(name.clone()));
    let hotplug = hotplug_cases(&work.hotplug).into_iter().map(|case| case.name());
    let entries = entries::<X86_64>();
    let plugged = || entries.iter().filter(|entry| entry.caps.hotplug_granule_pages.is_some());
    let of_readers = |group: &ReadersGroup| plugged().map(|entry| group.case(entry.id)).collect::<Vec<_>>();
    let readers = work.readers.iter().flat_map(of_readers);
    let own_cost = work.own_cost.then(|| own_cost_name(crate::race::REFERENCE));
    lookups.chain(hotplug).chain(readers).chain(own_cost).collect()
}

/// Which cases are wanted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "FilterText", into = "FilterText")]
pub struct Filter {
    only: Option<Regex>,
    but: Option<Regex>,
}

/// A filter as text.
#[derive(Serialize, Deserialize)]
struct FilterText {
    only: Option<String>,
    but: Option<String>,
}

impl From<Filter> for FilterText {
    fn from(filter: Filter) -> Self {
        let text = |regex: Option<Regex>| regex.map(|regex| regex.to_string());
        Self { only: text(filter.only), but: text(filter.but) }
    }
}

impl TryFrom<FilterText> for Filter {
    type Error = regex::Error;

    fn try_from(text: FilterText) -> Result<Self, regex::Error> {
        let regex = |text: Option<String>| text.map(|text| Regex::new(&text)).transpose();
        Ok(Self { only: regex(text.only)?, but: regex(text.but)? })
    }
}

/// A filter that selects nothing.
#[derive(Debug, Error)]
#[error(
    "the filter selects no case{among}; names are like pfn_valid/boot/random/flat, hotplug/2MiB/subsection and readers/dax, \
     and pfnbench list --cases prints them"
)]
pub struct SelectsNothing {
    /// Among which cases, in words.
    pub among: String,
}

impl Filter {
    /// Cases that `only` finds, if given, without those that `but` finds.
    pub fn new(only: Option<Regex>, but: Option<Regex>) -> Self {
        Self { only, but }
    }

    /// Is a case to run?
    pub fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.is_match(name))
            && !self.but.as_ref().is_some_and(|but| but.is_match(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{self, Workload};

    fn works() -> Work {
        workload::everything(&Workload::builtin(), None)
    }

    #[test]
    fn names_are_distinct_and_every_layout_has_some() {
        let mut all = names(&works());
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
        for entry in entries::<X86_64>() {
            assert!(all.iter().any(|name| name.ends_with(&format!("/{}", entry.id))), "{}", entry.id);
        }
        assert!(all.contains(&"pfn_valid/hot/random/cold/subsection@scattered-8192".to_owned()));
    }

    #[test]
    fn filters_take_and_leave_out_and_survive_being_written() {
        let regex = |text| Some(Regex::new(text).unwrap());
        let hot = Filter::new(regex("^pfn_valid/hot"), regex("/dax"));
        let wanted: Vec<String> = names(&works()).into_iter().filter(|name| hot.wants(name)).collect();
        assert!(wanted.iter().all(|name| name.starts_with("pfn_valid/hot/") && !name.contains("dax")), "{wanted:?}");
        assert!(wanted.len() >= 8, "{wanted:?}");
        let written = serde_json::to_string(&hot).unwrap();
        let read: Filter = serde_json::from_str(&written).unwrap();
        assert!(
            names(&works()).iter().all(|name| Filter::default().wants(name) && hot.wants(name) == read.wants(name))
        );
    }
}
