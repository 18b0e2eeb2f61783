//! A refusal in six parts: what is refused, the rule, the distance to a valid value, what is in the
//! way, the cost, and a request that works.

mod capacity;
mod info_block;
mod lock_holders;
mod machine;
mod placement;
mod region;
mod region_files;
pub mod rule;
pub mod shell;
mod storage;
mod subject;

pub use subject::Subject;

use memmap_layouts::ByteSize;
use memmap_layouts::nvdimm::Extent;
use rule::Rule;
use rustix::io::Errno;
use serde_json::{Value, json};
use std::error::Error;
use std::fmt;

/// Why a request is refused, for people and for programs. There is a constructor for each kind of
/// error.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The rule that the request breaks.
    pub rule: &'static Rule,
    /// The request and what is wrong with it, as a sentence.
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
    /// The refusal for a medium that became shorter than its region while it was mapped.
    pub fn from_shrunk_medium(subject: &Subject) -> Self {
        Self::new(&rule::TRUNCATED, subject)
            .errno(Errno::NXIO)
            .off_by("it became shorter while it was mapped")
            .cost("the data and records in the missing part")
            .fix("restore its length (truncate on the file), then run pfnbench namespace check")
    }

    /// A refusal without details.
    fn new(rule: &'static Rule, subject: &Subject) -> Self {
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

    /// Sets the suggestions of the subject; without any, sets `otherwise` as advice.
    fn works_or(self, subject: &Subject, otherwise: impl Into<String>) -> Self {
        match subject.suggestions.as_slice() {
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

    /// Labels and texts of the lines below the first.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let rule = format!("{} ({})", self.rule.rule, self.rule.source);
        let parts = [
            ("rule", Some(rule)),
            ("off by", self.off_by.clone()),
            ("who", self.who.clone()),
            ("cost", self.cost.clone()),
            ("fix", Some(self.fix.clone())),
            ("see", Some(self.rule.command())),
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

impl Error for Refusal {}

/// A range as text: first and last address in hexadecimal, and the size.
fn range(extent: &Extent) -> String {
    format!("{:#x}-{:#x} ({})", extent.start, extent.end().saturating_sub(1), ByteSize(extent.size))
}

/// The distance of an address to the multiples of `grid` below and above it; `off` is `at` modulo
/// `grid`. All are in bytes.
pub(crate) fn distance(at: u64, off: u64, grid: u64) -> String {
    let below = at - off;
    let short = grid - off;
    format!("{} past {below:#x}, {} short of {:#x}", ByteSize(off), ByteSize(short), below.saturating_add(grid))
}
