//! The examination of a machine: what disturbs measuring there, and what would enable more.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a point stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Good for measuring.
    Ok,
    /// Disturbs figures or makes some impossible.
    Unfit,
    /// The machine does not tell.
    Unknown,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Ok => "ok",
            Verdict::Unfit => "unfit",
            Verdict::Unknown => "unknown",
        })
    }
}

/// One point of the examination.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Finding {
    /// What was looked at.
    pub point: String,
    /// How it stands.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
    /// What it means for figures, and the command that mends it; empty if all is well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub advice: String,
    /// True if figures of the main job suffer from it; the other points only enable more.
    pub matters: bool,
}

/// One of the two lists of points.
#[derive(Debug)]
pub struct List<'a> {
    /// What its points are.
    pub heading: &'static str,
    /// What is said of each.
    pub column: &'static str,
    /// The points.
    pub findings: Vec<&'a Finding>,
}

impl Finding {
    /// How it stands in a word: of points that only enable more, whether they are there.
    pub fn word(&self) -> &'static str {
        match (self.verdict, self.matters) {
            (Verdict::Ok, true) => "ok",
            (Verdict::Ok, false) => "yes",
            (Verdict::Unfit, true) => "unfit",
            (Verdict::Unfit, false) => "no",
            (Verdict::Unknown, _) => "unknown",
        }
    }
}

/// The examination of a machine.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Examination {
    /// Point by point.
    pub findings: Vec<Finding>,
}

impl Examination {
    /// What disturbs measuring, and what would enable more.
    pub fn lists(&self) -> [List<'_>; 2] {
        [(true, "What disturbs measuring", "verdict"), (false, "What would enable more", "there")].map(
            |(matters, heading, column)| List {
                heading,
                column,
                findings: self.findings.iter().filter(|finding| finding.matters == matters).collect(),
            },
        )
    }

    /// Unfit if any point that matters is, else unknown if any is, else ok.
    pub fn verdict(&self) -> Verdict {
        let matters = || self.findings.iter().filter(|finding| finding.matters).map(|finding| finding.verdict);
        if matters().any(|verdict| verdict == Verdict::Unfit) {
            Verdict::Unfit
        } else if matters().any(|verdict| verdict == Verdict::Unknown) {
            Verdict::Unknown
        } else {
            Verdict::Ok
        }
    }
}
