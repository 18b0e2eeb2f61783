//! Kinds of physical memory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The kind of a range of physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// RAM that is present at boot.
    Ram,
    /// RAM that a driver added later, e.g. `System RAM (kmem)`.
    HotplugRam,
    /// Persistent memory, e.g. an NVDIMM.
    Persistent,
    /// Memory reserved for a purpose by the firmware and offered through DAX (`EFI_MEMORY_SP`).
    SoftReserved,
    /// Addresses at which memory may appear later (a CXL window).
    Window,
}

impl Kind {
    /// Number of kinds.
    pub(super) const NR: usize = 5;

    /// True for memory that is added after boot.
    pub fn is_added(self) -> bool {
        self != Kind::Ram
    }

    /// The kind of memory that a name stands for, in the kernel's terms or in common ones; `None` if it
    /// is not memory.
    ///
    /// Drivers append their name in parentheses, and capitalisation has changed over the years.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        // Emphasis of Markdown.
        let name = name.trim_matches(['*', '_']);
        let (base, driver) = known_name(name).unwrap_or_else(|| match name.split_once(" (") {
            Some((base, driver)) => (base, Some(driver)),
            None => (name, None),
        });
        let base = base.trim().to_ascii_lowercase();
        match base.as_str() {
            // The same memory at other addresses.
            "system ram" if driver.is_some_and(|driver| driver.starts_with("boot alias")) => None,
            "system ram" if driver.is_some() => Some(Kind::HotplugRam),
            "system ram" | "ram" | "usable" | "available" | "free" | "conventional" => Some(Kind::Ram),
            "persistent memory" | "pmem" | "persistent" => Some(Kind::Persistent),
            "soft reserved" => Some(Kind::SoftReserved),
            _ if base.starts_with("cxl window") => Some(Kind::Window),
            _ if base.split(|c: char| !c.is_ascii_alphanumeric()).next() == Some("cxl") => Some(Kind::SoftReserved),
            _ => None,
        }
    }
}

/// A name of the kernel and the driver in parentheses behind it. What else follows is a note of whoever
/// pasted the line: taken for a part of the name, it would lose the memory.
fn known_name(name: &str) -> Option<(&str, Option<&str>)> {
    const NAMES: [&str; 3] = ["system ram", "persistent memory", "soft reserved"];
    let len = NAMES
        .iter()
        .find(|known| {
            name.get(..known.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(known))
                && !name[known.len()..].starts_with(|next: char| next.is_alphanumeric())
        })?
        .len();
    let (base, rest) = name.split_at(len);
    let driver = rest.trim_start().strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(driver, _)| driver);
    let is_driver = |driver: &&str| {
        *driver == "boot alias" || driver.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    Some((base, driver.filter(is_driver)))
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Ram => "RAM",
            Kind::HotplugRam => "hot-added RAM",
            Kind::Persistent => "persistent memory",
            Kind::SoftReserved => "soft reserved",
            Kind::Window => "window for memory",
        })
    }
}
