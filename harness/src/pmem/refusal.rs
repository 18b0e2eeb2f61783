//! A refusal in six parts: what is refused, the rule, the distance to a valid value, what is in the
//! way, the cost, and a request that works.

pub mod files_error;
mod holder;
pub mod of_files;
mod of_info_block;
pub mod of_machine;
pub mod of_plan;
pub mod of_region;
pub mod rule;
pub mod shell;

use memmap_layouts::Bytes;
use memmap_layouts::nvdimm::Extent;
use memmap_layouts::nvdimm::namespace::NamespaceError;
use memmap_layouts::nvdimm::region::{CreateRegionError, RegionError};
use memmap_layouts::nvdimm::scene::SceneError;
use memmap_layouts::nvdimm::storage::StorageError;
use rule::Rule;
use rustix::io::Errno;
use serde_json::{Value, json};
use std::fmt;
use thiserror::Error;

use crate::pmem::capacity::PlanError;
use files_error::FilesError;

/// The request that an error refers to, and what lies around it. It is attached to the error as
/// context.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Text for messages; if it is empty, they say "the request".
    pub what: String,
    /// Address range of the request, if it is known.
    pub extent: Option<Extent>,
    /// Names and address ranges of what lies around it.
    pub around: Vec<(String, Extent)>,
    /// The region as command-line arguments: its medium, and its labels if they are in another
    /// place than the default.
    pub region: Option<String>,
    /// Requests that were tried instead and would succeed, as arguments.
    pub works: Vec<String>,
}

/// A range as text: first and last address in hexadecimal, and the size.
pub fn range(extent: &Extent) -> String {
    format!("{:#x}-{:#x} ({})", extent.start, extent.end().saturating_sub(1), Bytes(extent.size))
}

impl Subject {
    /// A request without an address range.
    pub fn of(what: impl Into<String>) -> Self {
        Self { what: what.into(), ..Self::default() }
    }

    /// A request with an address range.
    pub fn at(what: &str, extent: Extent) -> Self {
        Self { what: format!("{what} at {}", range(&extent)), extent: Some(extent), ..Self::default() }
    }

    /// Adds what lies around the request.
    pub fn among(mut self, around: Vec<(String, Extent)>) -> Self {
        self.around = around;
        self
    }

    /// Adds the region, as command-line arguments.
    pub fn of_region(mut self, arguments: String) -> Self {
        self.region = Some(arguments);
        self
    }

    /// Arguments for a namespace of the region.
    fn named(&self, name: &str) -> String {
        format!("{} {}", self.region.as_deref().unwrap_or("MEDIUM"), shell::last_word(name))
    }

    /// Adds requests that were tried and would succeed.
    pub fn with(mut self, works: Vec<String>) -> Self {
        self.works = works;
        self
    }

    /// The neighbour that ends last, at or below an address.
    fn in_front_of(&self, at: u64) -> Option<String> {
        let in_front = self.around.iter().filter(|(_, other)| other.end() <= at).max_by_key(|(_, other)| other.end());
        in_front.map(|(name, other)| format!("{name} in front of it, {}", range(other)))
    }

    /// The neighbour that begins first, at or above an address.
    fn behind(&self, at: u64) -> Option<String> {
        let behind = self.around.iter().filter(|(_, other)| other.start >= at).min_by_key(|(_, other)| other.start);
        behind.map(|(name, other)| format!("{name} behind it, {}", range(other)))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.what.is_empty() { "the request" } else { &self.what })
    }
}

/// A name that no namespace has, or more than one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no namespace, or more than one, is called {name:?}")]
pub struct NotOne {
    /// The name that was requested.
    pub name: String,
    /// UUIDs of the namespaces with this name.
    pub found: Vec<String>,
    /// Names of all namespaces of the region.
    pub there: Vec<String>,
}

/// Why a request is refused, for people and for programs.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The rule that the request breaks.
    pub rule: &'static Rule,
    /// The request, as text.
    pub what: String,
    /// The distance to valid values, and in which direction.
    pub off_by: Option<String>,
    /// What is in the way.
    pub who: Option<String>,
    /// What is lost, or would be lost.
    pub cost: Option<String>,
    /// A request that works, as text.
    pub fix: String,
    /// Arguments of requests that work, to replace the original ones. Empty if none was tried, or
    /// none works.
    pub works: Vec<String>,
    /// The error number of the kernel, where a kernel refuses the same request.
    pub errno: Option<i32>,
}

impl Refusal {
    /// The refusal for an error with its context; `None` if the error is not about namespaces.
    pub fn of(error: &anyhow::Error) -> Option<Self> {
        let none = Subject::default();
        let subject = error.downcast_ref::<Subject>().unwrap_or(&none);
        if let Some(error) = error.downcast_ref::<PlanError>() {
            return Some(of_plan::refusal(error, subject));
        }
        if let Some(error) = error.downcast_ref::<NamespaceError>() {
            return Some(of_machine::refusal(error, subject));
        }
        if let Some(error) = error.downcast_ref::<RegionError>() {
            return Some(of_region::refusal(error, subject));
        }
        match error.downcast_ref::<CreateRegionError>() {
            Some(CreateRegionError::Region(error)) => return Some(of_region::refusal(error, subject)),
            Some(CreateRegionError::Storage(error)) => return Some(of_region::of_label_file(error)),
            None => {}
        }
        match error.downcast_ref::<SceneError>() {
            Some(SceneError::Namespace(error)) => return Some(of_machine::refusal(error, subject)),
            Some(SceneError::Storage(error)) => return Some(of_region::of_storage(error)),
            _ => {}
        }
        if let Some(error) = error.downcast_ref::<FilesError>() {
            return Some(of_files::refusal(error, subject));
        }
        if let Some(error) = error.downcast_ref::<StorageError>() {
            return Some(of_region::of_storage(error));
        }
        error.downcast_ref::<NotOne>().map(|error| of_region::of_name(error, subject))
    }

    /// The refusal for a medium that became shorter than its region.
    pub fn of_shrunk_medium(subject: &Subject) -> Self {
        Self::by(&rule::TRUNCATED, subject)
            .errno(Errno::NXIO)
            .off_by("it became shorter while it was mapped")
            .cost("the records on what is gone, and its data")
            .fix("its length again (truncate on the file), then pfnbench namespace check")
    }

    fn by(rule: &'static Rule, subject: &Subject) -> Self {
        let what = format!("{subject} {}", rule.wrong);
        Self { rule, what, off_by: None, who: None, cost: None, fix: String::new(), works: Vec::new(), errno: None }
    }

    fn off_by(mut self, off_by: impl Into<String>) -> Self {
        self.off_by = Some(off_by.into());
        self
    }

    fn who(mut self, who: Option<String>) -> Self {
        self.who = who;
        self
    }

    fn cost(mut self, cost: impl Into<String>) -> Self {
        self.cost = Some(cost.into());
        self
    }

    fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = fix.into();
        self
    }

    /// Sets requests that were tried and work; without any, sets `otherwise` as advice.
    fn works_or(self, subject: &Subject, otherwise: impl Into<String>) -> Self {
        match subject.works.as_slice() {
            [] => self.fix(otherwise),
            works => Self { works: works.to_vec(), ..self }.fix(format!("{} works", works.join(" or "))),
        }
    }

    fn errno(mut self, errno: Errno) -> Self {
        self.errno = Some(errno.raw_os_error());
        self
    }

    /// The refusal as JSON, for programs.
    pub fn json(&self) -> Value {
        json!({
            "code": self.rule.code, "what": self.what, "rule": self.rule.rule, "source": self.rule.source,
            "off_by": self.off_by, "who": self.who, "cost": self.cost, "fix": self.fix,
            "works": self.works, "errno": self.errno,
        })
    }

    /// Label and text of the lines below the first.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let rule = format!("{} ({})", self.rule.rule, self.rule.source);
        let parts = [
            ("rule", Some(rule)),
            ("off by", self.off_by.clone()),
            ("who", self.who.clone()),
            ("cost", self.cost.clone()),
            ("fix", Some(self.fix.clone())),
            ("see", Some(format!("pfnbench namespace explain {}", self.rule.code))),
        ];
        parts.into_iter().filter_map(|(label, text)| Some((label, text?))).collect()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.rule.code, self.what)?;
        for (label, text) in self.lines() {
            write!(f, "\n  {label:<7} {text}")?;
        }
        Ok(())
    }
}

/// The distance of an address to the multiples of `grid` below and above it; `off` is `at` modulo
/// `grid`.
fn distance(at: u64, off: u64, grid: u64) -> String {
    let below = at - off;
    let short = grid - off;
    format!("{} past {below:#x}, {} short of {:#x}", Bytes(off), Bytes(short), below.saturating_add(grid))
}
