//! The cases of a race, by name, and filters over them.

mod hotplug;
mod lookup;

pub use hotplug::{
    Addresses, HotplugCase, HotplugGroup, ReadersGroup, default_groups, default_readers, full_groups, full_readers,
    hotplug_cases, own_cost_name, plain_groups, processors,
};
pub use lookup::{LookupCase, lookup_cases};

use crate::contestant::entries;
use memmap_layouts::X86_64;
use regex::Regex;
use thiserror::Error;

/// Names of all cases of `pfnbench run`.
pub fn names() -> Vec<String> {
    let lookups = lookup_cases().into_iter().map(|case| case.name());
    let hotplug = hotplug_cases(&default_groups()).into_iter().map(|case| case.name());
    let entries = entries::<X86_64>();
    let plugged = || entries.iter().filter(|entry| entry.caps.hotplug_granule_pages.is_some());
    let readers = default_readers()
        .into_iter()
        .flat_map(|group| plugged().map(move |entry| format!("{}/{}", group.name(), entry.id)).collect::<Vec<_>>());
    let own_cost = std::iter::once(own_cost_name(crate::race::REFERENCE));
    lookups.chain(hotplug).chain(readers).chain(own_cost).collect()
}

/// Which cases are wanted.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    only: Option<Regex>,
    but: Option<Regex>,
}

/// A filter that selects nothing.
#[derive(Debug, Error)]
#[error(
    "the filter selects no case; names are like pfn_valid/boot/random/flat, hotplug/2MiB/subsection and readers/dax, and \
     pfnbench list --cases prints them"
)]
pub struct SelectsNothing;

impl Filter {
    /// Cases that `only` finds, if given, without those that `but` finds.
    ///
    /// # Errors
    /// No case is left: an empty run is no success.
    pub fn new(only: Option<Regex>, but: Option<Regex>) -> Result<Self, SelectsNothing> {
        let filter = Self { only, but };
        let selects = names().iter().any(|name| filter.wants(name));
        selects.then_some(filter).ok_or(SelectsNothing)
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

    #[test]
    fn names_are_distinct_and_every_layout_has_some() {
        let mut all = names();
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
        for entry in entries::<X86_64>() {
            assert!(all.iter().any(|name| name.ends_with(&format!("/{}", entry.id))), "{}", entry.id);
        }
    }

    #[test]
    fn filters_take_and_leave_out() {
        let regex = |text| Some(Regex::new(text).unwrap());
        let hot = Filter::new(regex("^pfn_valid/hot"), regex("/dax")).unwrap();
        let wanted: Vec<String> = names().into_iter().filter(|name| hot.wants(name)).collect();
        assert!(wanted.iter().all(|name| name.starts_with("pfn_valid/hot/") && !name.contains("dax")), "{wanted:?}");
        assert!(wanted.len() >= 8, "{wanted:?}");
        assert!(names().iter().all(|name| Filter::default().wants(name)));
        assert!(Filter::new(regex("nothing_like_it"), None).is_err());
        assert!(Filter::new(None, regex(".")).is_err());
    }
}
