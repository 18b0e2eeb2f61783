//! The command `pfnbench gate`.

use super::{Answer, Json, print, print_json};
use crate::analysis::limits::{Judged, Judgement, LimitsFile};
use crate::record::instructions::{self, FILE_NAME};
use crate::record::reader::read_instructions;
use anyhow::bail;
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo bench --bench instructions && pfnbench gate        count, then check
  pfnbench gate --limits limits.toml results/MACHINE/RUN   the counts of a run
  pfnbench gate --write                                    make new limits

Counts and limits are instructions per operation. This command only reads files;
it measures nothing.

Exit codes: 0 every limit holds; 1 a limit is exceeded; 2 no verdict (a file
cannot be read, or a case has no count) or a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct GateArgs {
    /// TOML file of limits
    #[arg(long, value_name = "FILE", default_value = "benches/limits.toml")]
    limits: PathBuf,
    /// An instructions.jsonl, or a folder that contains one [default: the output of `cargo bench
    /// --bench instructions`]
    counts: Option<PathBuf>,
    /// Replace the limits for the toolchain of the counts: lookups get the exact count, updates
    /// 10 % more
    #[arg(long, conflicts_with = "json")]
    write: bool,
    #[command(flatten)]
    json: Json,
}

impl GateArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let left = || instructions::default_folder(Path::new("")).join(FILE_NAME);
        let counts = self.counts.clone().unwrap_or_else(left);
        if self.counts.is_none() && !counts.exists() {
            bail!("{} does not exist; cargo bench --bench instructions writes it", counts.display());
        }
        let mut rows = read_instructions(&counts)?;
        // Limits are for this project's code. That of a kernel is another compiler's.
        let had_some = !rows.is_empty();
        rows.retain(|row| row.compiler.is_none());
        if had_some && rows.is_empty() {
            bail!("{} has counts of compiled kernels only, which have no limits", counts.display());
        }
        if self.write {
            LimitsFile::read_or_new(&self.limits)?.write(&rows)?;
            print(format!("{}: {} limits for {}", self.limits.display(), rows.len(), rows[0].toolchain.name()))?;
            return Ok(Answer::Yes);
        }
        let judgement = LimitsFile::read(&self.limits)?.judge(&rows)?;
        if self.json.json {
            let answer = match (judgement.exceeded.is_empty(), judgement.not_counted.is_empty()) {
                (false, _) => "exceeded",
                (true, false) => "cannot judge",
                (true, true) => "holds",
            };
            print_json(&json!({ "answer": answer, "judgement": judgement }))?;
        } else {
            self.show(&judgement)?;
        }
        // An exceeded limit decides the verdict, even if other cases were not counted.
        if judgement.exceeded.is_empty() && !judgement.not_counted.is_empty() {
            let names = judgement.not_counted.join(", ");
            bail!("{} has no counts of {names}, for which {} has limits", counts.display(), self.limits.display());
        }
        Ok(if judgement.exceeded.is_empty() { Answer::Yes } else { Answer::No })
    }

    fn show(&self, judgement: &Judgement) -> anyhow::Result<()> {
        let line = |judged: &Judged| {
            let Judged { name, limit, measured, difference } = judged;
            format!("  {name:<36} limit {limit}, measured {measured}, difference {difference:+}")
        };
        if !judgement.exceeded.is_empty() {
            print(format!("Exceeded limits, in instructions per operation with {}:", judgement.toolchain))?;
            judgement.exceeded.iter().map(line).try_for_each(print)?;
        }
        if !judgement.below.is_empty() {
            print("Counts below their limits; --write lowers the limits:")?;
            judgement.below.iter().map(line).try_for_each(print)?;
        }
        if !judgement.without_limit.is_empty() {
            print(format!("Cases without a limit; --write adds one: {}", judgement.without_limit.join(", ")))?;
        }
        let (held, exceeded) = (judgement.held, judgement.exceeded.len());
        print(format!("{}: {held} limits hold, {exceeded} exceeded", self.limits.display()))
    }
}
