//! Case names of schema 1, which called added memory `hot`: `pfn_valid/hot/random` is now
//! `pfn_valid/added/random`.

use super::memory::Memory;
use super::op::LookupOp;

/// Prefix of the names of instruction-count cases.
const PREFIX: &str = "instructions/";

/// Replaces the memory component `from` by `to` if `name` is the name of a lookup case.
fn with_memory(name: &str, from: &str, to: &str) -> String {
    let (prefix, rest) = name.strip_prefix(PREFIX).map_or(("", name), |rest| (PREFIX, rest));
    let mut parts: Vec<&str> = rest.split('/').collect();
    // The memory component follows the lookup and its mode, and precedes anything that a user
    // chose.
    let before = parts.iter().position(|part| [from, to, Memory::Boot.name()].contains(part));
    if parts[0].parse::<LookupOp>().is_ok()
        && let Some(at) = before
        && parts[at] == from
    {
        parts[at] = to;
    }
    format!("{prefix}{}", parts.join("/"))
}

/// Converts a case name of schema 1 or later to its current form.
pub fn current_name(name: &str) -> String {
    with_memory(name, "hot", Memory::Added.name())
}

/// Converts a current case name to its form in schema 1.
pub fn old_name(name: &str) -> String {
    with_memory(name, Memory::Added.name(), "hot")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_memory_of_lookups_is_renamed() {
        for (old, new) in [
            ("pfn_valid/hot/random/flat", "pfn_valid/added/random/flat"),
            ("pfn_valid/chained/preempt/hot/random/cold/dax", "pfn_valid/chained/preempt/added/random/cold/dax"),
            ("instructions/next_valid_pfn/hot/sparse", "instructions/next_valid_pfn/added/sparse"),
            ("pfn_valid/hot/random/hot", "pfn_valid/added/random/hot"),
        ] {
            assert_eq!((current_name(old), old_name(new)), (new.to_owned(), old.to_owned()));
            assert_eq!(current_name(new), new);
        }
        for same in
            ["hotplug/2MiB/hot", "hot_add/2MiB/subsection", "readers/hot", "", "pfn_valid", "pfn_valid/boot/random/hot"]
        {
            assert_eq!(current_name(same), same);
        }
    }
}
