//! The names of the cases in a piece of work.

use super::LookupWork;
use super::work::Work;
use crate::case::{self, LookupCase, Memory, REFERENCE, ReadersGroup, hotplug_cases, on_map, own_cost_name};
use memmap_layouts::X86_64;
use std::collections::BTreeSet;

/// Every lookup case of the works, each once, however many maps it is measured on. The layouts are
/// those of the common list.
pub fn lookup_cases(works: &[LookupWork]) -> Vec<LookupCase> {
    let layouts = case::layouts::<X86_64>();
    let (mut cases, mut known) = (Vec::new(), BTreeSet::new());
    for work in works {
        for &memory in &work.memory {
            let asked = |id: &str| work.layouts.is_empty() || work.layouts.iter().any(|layout| layout == id);
            let can = layouts.iter().filter(|entry| {
                asked(entry.id) && (memory == Memory::Boot || entry.caps.hotplug_granule_pages.is_some())
            });
            for entry in can {
                if known.insert((work.group, memory, entry.id)) {
                    cases.push(LookupCase { group: work.group, memory, layout: entry.id });
                }
            }
        }
    }
    cases
}

/// Names of all cases of the work.
pub fn names(work: &Work) -> Vec<String> {
    let mut known = BTreeSet::new();
    let lookup_names = |work: &LookupWork| -> Vec<String> {
        lookup_cases(std::slice::from_ref(work)).iter().map(|case| on_map(&case.name(), &work.map)).collect()
    };
    let lookups = work.lookups.iter().flat_map(lookup_names).filter(|name| known.insert(name.clone()));
    let hotplug = hotplug_cases(&work.hotplug).into_iter().map(|case| case.name());
    let layouts = case::layouts::<X86_64>();
    let plugged = || layouts.iter().filter(|entry| entry.caps.hotplug_granule_pages.is_some());
    let reader_names = |group: &ReadersGroup| plugged().map(|entry| group.case(entry.id)).collect::<Vec<_>>();
    let readers = work.readers.iter().flat_map(reader_names);
    let own_cost = work.own_cost.then(|| own_cost_name(REFERENCE));
    lookups.chain(hotplug).chain(readers).chain(own_cost).collect()
}

/// Names of all cases of the work without their layouts, each once.
pub fn names_without_layouts(work: &Work) -> Vec<String> {
    let mut known = BTreeSet::new();
    let lookups = work.lookups.iter().flat_map(|work| {
        let of_memory = work.memory.iter().map(|&memory| on_map(&work.group.name(memory), &work.map));
        of_memory.collect::<Vec<_>>()
    });
    lookups.filter(|name| known.insert(name.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Filter;
    use crate::workload::{self, Workload};
    use regex::Regex;

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
        for entry in case::layouts::<X86_64>() {
            assert!(all.iter().any(|name| name.ends_with(&format!("/{}", entry.id))), "{}", entry.id);
        }
        assert!(all.contains(&"pfn_valid/added/random/cold/subsection@scattered-8192".to_owned()));
    }

    #[test]
    fn filters_select_exclude_and_survive_serialisation() {
        let regex = |text| Some(Regex::new(text).unwrap());
        let added = Filter::new(regex("^pfn_valid/added"), regex("/dax"));
        let wanted: Vec<String> = names(&works()).into_iter().filter(|name| added.wants(name)).collect();
        assert!(wanted.iter().all(|name| name.starts_with("pfn_valid/added/") && !name.contains("dax")), "{wanted:?}");
        assert!(wanted.len() >= 8, "{wanted:?}");
        let written = serde_json::to_string(&added).unwrap();
        let read: Filter = serde_json::from_str(&written).unwrap();
        assert!(
            names(&works()).iter().all(|name| Filter::default().wants(name) && added.wants(name) == read.wants(name))
        );
    }

    #[test]
    fn filters_accept_case_names_of_schema_1() {
        let regex = |text| Some(Regex::new(text).unwrap());
        let wanted = |filter: Filter| names(&works()).into_iter().filter(|name| filter.wants(name)).collect::<Vec<_>>();
        let added = wanted(Filter::new(regex("^pfn_valid/added/"), None));
        assert!(!added.is_empty());
        assert_eq!(wanted(Filter::new(regex("^pfn_valid/hot/"), None)), added);
        assert_eq!(wanted(Filter::new(None, regex("/hot/"))), wanted(Filter::new(None, regex("/added/"))));
    }
}
