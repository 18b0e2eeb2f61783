//! Arguments that say what is measured, the same for a run and a duel.

use super::{BackingArg, CasesArgs, margin_percent};
use crate::analysis::judge::MARGIN;
use crate::case::LookupOp;
use crate::map::source::Source;
use clap::Args;

/// What is measured, and from which difference on it matters.
#[derive(Args, Clone, Debug)]
pub(super) struct SubjectArgs {
    /// Measure only this layout; may be given several times. In a run, the same one twice shows what a comparison cannot see.
    #[arg(long, value_name = "ID")]
    pub(super) layout: Vec<String>,
    /// Measure only this lookup; may be given several times. A run measures hotplug whatever the lookups are.
    #[arg(long, value_name = "LOOKUP")]
    pub(super) op: Vec<LookupOp>,
    #[command(flatten)]
    pub(super) cases: CasesArgs,
    /// Memory map in place of all others: a file, - for standard input, or builtin:NAME; this machine's by default.
    #[arg(long, value_name = "FILE")]
    pub(super) map: Option<Source>,
    /// Where records lie: linux, anon, tmpfs[:DIR], tmpfs-huge[:DIR], thp, hugetlb, file:DIR or dax:/dev/daxX.Y (`pfnbench
    /// list` describes each). Default: linux where the machine has transparent huge pages, else anon.
    #[arg(long, default_value_t, hide_default_value = true)]
    pub(super) backing: BackingArg,
    /// Seed of everything random.
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Differences up to so many percent are negligible: "equal" means that the time differs by less.
    #[arg(long, value_name = "PERCENT", default_value = "2", value_parser = margin_percent)]
    pub(super) margin: f64,
}

impl Default for SubjectArgs {
    fn default() -> Self {
        Self {
            layout: Vec::new(),
            op: Vec::new(),
            cases: CasesArgs::default(),
            map: None,
            backing: BackingArg::default(),
            seed: 1,
            margin: MARGIN,
        }
    }
}
