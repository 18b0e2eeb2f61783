//! Arguments that select what is measured, shared by `run` and `duel`.

use super::{BackingArg, CasesArgs, margin_percent};
use crate::analysis::judge::MARGIN;
use crate::case::LookupOp;
use crate::map::source::Source;
use clap::Args;

/// What is measured, and the margin below which a difference is negligible.
#[derive(Args, Clone, Debug)]
pub(super) struct SubjectArgs {
    /// Measure only this layout; repeatable. A run that names a layout twice is an A/A test, which
    /// shows the noise of comparisons
    #[arg(long, value_name = "ID")]
    pub(super) layout: Vec<String>,
    /// Measure only this lookup, e.g. pfn_valid; repeatable. A run always measures hotplug too
    #[arg(long, value_name = "LOOKUP")]
    pub(super) op: Vec<LookupOp>,
    #[command(flatten)]
    pub(super) cases: CasesArgs,
    /// Use only this memory map: a file, - for standard input, or builtin:NAME. Default: the map of
    /// this machine
    #[arg(long, value_name = "FILE")]
    pub(super) map: Option<Source>,
    /// Backing store of records: linux, anon, tmpfs[:DIR], tmpfs-huge[:DIR], thp, hugetlb, file:DIR
    /// or dax:/dev/daxX.Y (`pfnbench list` describes each). Default: linux if the machine has
    /// transparent huge pages, else anon
    #[arg(long)]
    pub(super) backing: Option<BackingArg>,
    /// Seed of all random numbers; the same seed gives the same queries
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Margin in percent, 0.1 to 50: times that differ by less are equal
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
            backing: None,
            seed: 1,
            margin: MARGIN,
        }
    }
}
