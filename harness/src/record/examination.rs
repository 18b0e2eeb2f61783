//! Results of `pfnbench doctor`: what disturbs measurements on a machine, and what would enable
//! more of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The result of one check of the doctor, or of all checks together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Fit for measuring.
    Ok,
    /// Disturbs measurements or makes some impossible.
    Unfit,
    /// The machine does not provide the information.
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

/// The result of one check of the doctor.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Finding {
    /// The property that was checked.
    pub point: String,
    /// The verdict on the property.
    pub verdict: Verdict,
    /// What the check observed.
    pub seen: String,
    /// What the observation means for measurements, and a command that fixes it; left out if
    /// nothing needs fixing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub advice: String,
    /// True if the property affects the main measurements. False if it only enables additional
    /// ones.
    pub matters: bool,
}

/// One of the two groups of checks.
#[derive(Debug)]
pub struct List<'a> {
    /// Heading of the group.
    pub heading: &'static str,
    /// Heading of the verdict column: `verdict` or `there`.
    pub column: &'static str,
    /// The checks of the group.
    pub findings: Vec<&'a Finding>,
}

impl Finding {
    /// The verdict in one word. Checks that only enable more are `yes` or `no` instead of `ok` or
    /// `unfit`.
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

/// All checks that the doctor made at one time.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Examination {
    /// The result of each check.
    pub findings: Vec<Finding>,
}

impl Examination {
    /// Splits the checks into those that disturb measurements and those that would enable more.
    pub fn lists(&self) -> [List<'_>; 2] {
        [(true, "Settings that affect measurements", "verdict"), (false, "Settings that enable more", "available")].map(
            |(matters, heading, column)| List {
                heading,
                column,
                findings: self.findings.iter().filter(|finding| finding.matters == matters).collect(),
            },
        )
    }

    /// The overall verdict, over the checks that matter: unfit if any is unfit, else unknown if any
    /// is unknown, else ok.
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
