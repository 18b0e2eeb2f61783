//! The table of messages, from the files in `harness/messages/`.

use super::derive::Derivation;
use super::place::PlaceForm;
use regex::Regex;
use regex::bytes::{RegexSet, RegexSetBuilder};
use serde::{Deserialize, Serialize};
use std::sync::{LazyLock, OnceLock};

/// The files, in the order in which their messages are tried.
const FILES: [&str; 14] = [
    include_str!("../../messages/linux-hotplug.toml"),
    include_str!("../../messages/linux-nvdimm.toml"),
    include_str!("../../messages/linux-dax.toml"),
    include_str!("../../messages/linux-cxl.toml"),
    include_str!("../../messages/linux-firmware.toml"),
    include_str!("../../messages/linux-guest.toml"),
    include_str!("../../messages/ndctl.toml"),
    include_str!("../../messages/daxctl.toml"),
    include_str!("../../messages/cxl.toml"),
    include_str!("../../messages/qemu.toml"),
    include_str!("../../messages/shell.toml"),
    include_str!("../../messages/hyper-v.toml"),
    include_str!("../../messages/chmem.toml"),
    include_str!("../../messages/benchmark-tools.toml"),
];

/// The program that prints a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Program {
    /// The kernel, in its log.
    #[default]
    Linux,
    /// ndctl and its library.
    Ndctl,
    /// daxctl and its library.
    Daxctl,
    /// The command cxl.
    Cxl,
    /// QEMU, in its monitor or on standard error.
    Qemu,
    /// A shell that writes to a file of sysfs.
    Bash,
    /// Hyper-V on a Windows host.
    HyperV,
    /// chmem, of util-linux.
    Chmem,
    /// criterion, iai, valgrind, and what reads hardware counters.
    BenchmarkTools,
}

impl Program {
    /// All programs, in the order of their messages.
    pub const ALL: [Self; 9] = [
        Self::Linux,
        Self::Ndctl,
        Self::Daxctl,
        Self::Cxl,
        Self::Qemu,
        Self::Bash,
        Self::HyperV,
        Self::Chmem,
        Self::BenchmarkTools,
    ];

    /// Its name as people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linux => "Linux",
            Self::Ndctl => "ndctl",
            Self::Daxctl => "daxctl",
            Self::Cxl => "cxl",
            Self::Qemu => "QEMU",
            Self::Bash => "bash",
            Self::HyperV => "Hyper-V",
            Self::Chmem => "chmem",
            Self::BenchmarkTools => "benchmark tools",
        }
    }
}

/// A message that a program prints.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Its stable name, e.g. `hotplug-block-unaligned`.
    pub id: String,
    /// The program.
    #[serde(skip_deserializing)]
    pub program: Program,
    /// Source file and function.
    pub origin: String,
    /// The first release of Linux that has it; `None` if it is older than the sources that were read.
    pub since: Option<String>,
    /// The last release of Linux that has it; `None` if current ones have it.
    pub until: Option<String>,
    /// Its formats as the source has them, with conversions of `printf`.
    pub formats: Vec<String>,
    /// Regular expression with named groups; the names give the units of the values.
    #[serde(skip_serializing)]
    pub pattern: String,
    /// A line that has it.
    pub example: String,
    /// What it means.
    pub meaning: String,
    /// The rule, with `{name}` for values.
    pub rule: Option<String>,
    /// Commands that show more.
    pub check: Vec<String>,
    /// What to do.
    pub fix: String,
    /// The error code that the caller gets.
    pub errno: Option<String>,
    /// Documentation.
    pub see: Vec<String>,
    /// Error codes of pfnbench for the same rule.
    #[serde(default)]
    pub codes: Vec<String>,
    /// How the line gives a physical range.
    #[serde(default, skip_serializing)]
    pub(super) place: Option<PlaceForm>,
    /// What is computed from the values.
    #[serde(default, skip_serializing)]
    pub(super) derive: Vec<Derivation>,
}

impl Message {
    /// The kernels that print it, e.g. `Linux 4.17 and later`; `None` if that is not known to be limited.
    pub fn kernels(&self) -> Option<String> {
        match (&self.since, &self.until) {
            (None, None) => None,
            (Some(since), None) => Some(format!("Linux {since} and later")),
            (None, Some(until)) => Some(format!("Linux {until} and earlier")),
            (Some(since), Some(until)) => Some(format!("Linux {since} to {until}")),
        }
    }
}

/// A file of the table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageFile {
    program: Program,
    message: Vec<Message>,
}

/// The messages with their patterns, which have the same indices.
pub(super) struct Table {
    pub messages: Vec<Message>,
    /// Compiled when a line matches: few of them are needed.
    patterns: Vec<OnceLock<Regex>>,
    /// All patterns, for bytes of ASCII: finds the patterns that are worth a try in one pass.
    set: RegexSet,
}

/// Memory of the automaton of all patterns; it is built as far as lines need it.
const AUTOMATON_BYTES: usize = 32 << 20;

impl Table {
    /// The indices of the messages that the text may have, the most specific first.
    pub fn candidates(&self, text: &str) -> impl Iterator<Item = usize> {
        self.set.matches(text.as_bytes()).into_iter()
    }

    /// The pattern of a message.
    pub fn pattern(&self, index: usize) -> &Regex {
        self.patterns[index].get_or_init(|| Regex::new(&self.messages[index].pattern).expect("the patterns are tested"))
    }
}

fn parse(text: &str) -> Vec<Message> {
    let file: MessageFile = toml::from_str(text).expect("the table of messages is tested");
    file.message.into_iter().map(|message| Message { program: file.program, ..message }).collect()
}

pub(super) static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let messages: Vec<Message> = FILES.iter().flat_map(|text| parse(text)).collect();
    let mut set = RegexSetBuilder::new(messages.iter().map(|message| &message.pattern));
    let set = set.unicode(false).dfa_size_limit(AUTOMATON_BYTES).build().expect("the patterns are tested");
    Table { patterns: messages.iter().map(|_| OnceLock::new()).collect(), set, messages }
});

/// All messages, in the order in which they are tried.
pub fn messages() -> &'static [Message] {
    &TABLE.messages
}

/// The message with an id; `None` if there is none.
pub fn by_id(id: &str) -> Option<&'static Message> {
    messages().iter().find(|message| message.id.eq_ignore_ascii_case(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel_version::KernelVersion;
    use crate::message::recognise;
    use crate::message::value::{Unit, canonical};
    use std::collections::BTreeSet;

    fn names(pattern: &str) -> BTreeSet<String> {
        let pattern = Regex::new(pattern).unwrap();
        pattern.capture_names().flatten().map(|name| canonical(name).to_owned()).collect()
    }

    #[test]
    fn every_message_recognises_its_own_example() {
        for message in messages() {
            let found = recognise(&message.example).unwrap_or_else(|| panic!("{} is not recognised", message.id));
            assert_eq!(found.message.id, message.id, "{} is shadowed", message.id);
        }
    }

    #[test]
    fn ids_are_unique_and_fields_are_filled() {
        let ids: BTreeSet<&str> = messages().iter().map(|message| &*message.id).collect();
        assert_eq!(ids.len(), messages().len());
        for message in messages() {
            let Message { id, origin, formats, meaning, check, fix, see, since, until, .. } = message;
            assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{id}");
            assert!(![origin, meaning, fix].iter().any(|text| text.trim().is_empty()), "{id}");
            assert!(!formats.is_empty() && !check.is_empty() && !see.is_empty(), "{id}");
            assert!(meaning.ends_with('.') && fix.ends_with('.'), "{id}");
            assert!(message.rule.as_ref().is_none_or(|rule| rule.ends_with('.')), "{id}");
            for version in [since, until].into_iter().flatten() {
                assert!(version.parse::<KernelVersion>().is_ok(), "{id}: {version}");
            }
        }
    }

    #[test]
    fn every_placeholder_is_a_group_and_every_group_has_a_unit() {
        let placeholder = Regex::new(r"\{(\w+)\}").unwrap();
        for message in messages() {
            let names = names(&message.pattern);
            for name in &names {
                assert!(Unit::of_group(name).is_some(), "{}: {name} has no unit", message.id);
            }
            let texts = [Some(&message.meaning), message.rule.as_ref(), Some(&message.fix)];
            for text in texts.into_iter().flatten().chain(&message.check) {
                for found in placeholder.captures_iter(text) {
                    assert!(names.contains(&found[1]), "{}: no group {}", message.id, &found[1]);
                }
            }
        }
    }

    #[test]
    fn every_derivation_says_something_of_the_example() {
        for message in messages().iter().filter(|message| !message.derive.is_empty()) {
            let found = recognise(&message.example).unwrap();
            for derivation in &message.derive {
                assert!(!derivation.facts(&found).is_empty(), "{}: {derivation:?}", message.id);
            }
        }
        for message in messages().iter().filter(|message| message.place.is_some()) {
            assert!(recognise(&message.example).unwrap().place().is_some(), "{}", message.id);
        }
    }
}
