//! The request that a refusal refers to, and what is around it.

use super::{range, shell};
use memmap_layouts::nvdimm::Extent;
use std::fmt;

/// The request that an error refers to, and what is around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Text for messages; if it is empty, they say "the request".
    pub what: String,
    /// Address range of the request in bytes, if it is known.
    pub extent: Option<Extent>,
    /// Names and address ranges of what is around it.
    pub neighbours: Vec<(String, Extent)>,
    /// The region as command-line arguments: its medium, and its label file if that is not the
    /// default one.
    pub region: Option<String>,
    /// Arguments of requests that were tried instead and would succeed.
    pub suggestions: Vec<String>,
}

impl Subject {
    /// A request without an address range.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), ..Self::default() }
    }

    /// A request with an address range.
    pub fn at(what: &str, extent: Extent) -> Self {
        Self { what: format!("{what} at {}", range(&extent)), extent: Some(extent), ..Self::default() }
    }

    /// Sets what is around the request.
    #[must_use]
    pub fn with_neighbours(self, neighbours: Vec<(String, Extent)>) -> Self {
        Self { neighbours, ..self }
    }

    /// Sets the region, as command-line arguments.
    #[must_use]
    pub fn with_region_arguments(self, arguments: String) -> Self {
        Self { region: Some(arguments), ..self }
    }

    /// Sets the arguments of requests that were tried and would succeed.
    #[must_use]
    pub fn with_suggestions(self, suggestions: Vec<String>) -> Self {
        Self { suggestions, ..self }
    }

    /// Arguments for a namespace of the region, quoted for a shell.
    pub(super) fn arguments_for(&self, namespace: &str) -> String {
        format!("{} {}", self.region.as_deref().unwrap_or("MEDIUM"), shell::last_word(namespace))
    }

    /// The neighbour that ends last, at or below an address.
    pub(super) fn below(&self, address: u64) -> Option<String> {
        let below = self.neighbours.iter().filter(|(_, other)| other.end() <= address);
        below.max_by_key(|(_, other)| other.end()).map(|(name, other)| format!("{name} below it, {}", range(other)))
    }

    /// The neighbour that starts first, at or above an address.
    pub(super) fn above(&self, address: u64) -> Option<String> {
        let above = self.neighbours.iter().filter(|(_, other)| other.start >= address);
        above.min_by_key(|(_, other)| other.start).map(|(name, other)| format!("{name} above it, {}", range(other)))
    }

    /// Names and ranges of the first three neighbours; `None` if there are none.
    pub(super) fn first_neighbours(&self) -> Option<String> {
        let named = self.neighbours.iter().take(3).map(|(name, extent)| format!("{name} at {}", range(extent)));
        let more = self.neighbours.len().saturating_sub(3);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let named = named.collect::<Vec<_>>().join(", ");
        (!named.is_empty()).then(|| format!("{named}{more}"))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.what.is_empty() { "the request" } else { &self.what })
    }
}
