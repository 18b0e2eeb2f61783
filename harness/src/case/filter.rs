//! Filters over the names of cases.

use super::old_names::old_name;
use regex::Regex;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Selects cases by regular expressions over their names.
///
/// ```
/// use pfnbench::case::Filter;
/// use regex::Regex;
///
/// let filter = Filter::new(Some(Regex::new("^pfn_valid/")?), Some(Regex::new("added")?));
/// assert!(filter.wants("pfn_valid/boot/random/flat") && !filter.wants("pfn_valid/added/random/subsection"));
/// # Ok::<(), regex::Error>(())
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "FilterText", into = "FilterText")]
pub struct Filter {
    only: Option<Regex>,
    but: Option<Regex>,
}

/// The serialised form of a [`Filter`]: its regular expressions as text.
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

/// The filter selects no case.
#[derive(Debug, Error)]
#[error(
    "the filter selects no case{among}; names are like pfn_valid/boot/random/flat, hotplug/2MiB/subsection and readers/dax; \
     pfnbench list --cases prints all"
)]
pub struct SelectsNothing {
    /// The set of cases that was searched, in words; inserted into the error message.
    pub among: String,
}

impl Filter {
    /// Selects the cases that match `only` (all cases if `None`), except those that match `but`.
    pub fn new(only: Option<Regex>, but: Option<Regex>) -> Self {
        Self { only, but }
    }

    /// The command line arguments that make this filter.
    pub fn arguments(&self) -> Vec<(&'static str, String)> {
        let options = [("--filter", &self.only), ("--exclude", &self.but)];
        options.into_iter().filter_map(|(option, regex)| Some((option, regex.as_ref()?.to_string()))).collect()
    }

    /// True if the case is selected, by its current name or its name in schema 1.
    pub fn wants(&self, name: &str) -> bool {
        let old = old_name(name);
        let finds = |regex: &Regex| regex.is_match(name) || regex.is_match(&old);
        self.only.as_ref().is_none_or(finds) && !self.but.as_ref().is_some_and(finds)
    }
}
