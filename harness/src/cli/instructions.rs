//! The command `pfnbench instructions`.

use super::{Answer, Json, print, print_json, tell};
use crate::case::Layout;
use crate::engine::compiled;
use crate::engine::contestant::Entry;
use crate::engine::race::chosen;
use crate::interrupt::Interrupt;
use crate::present::instructions::table;
use crate::record::instructions::{self, FILE_NAME, Toolchain};
use crate::run::instructions::{LayoutCounts, count, count_by_time_stamp};
use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use memmap_layouts::X86_64;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench instructions                             every layout
  pfnbench instructions && pfnbench gate            count, check the limits
  pfnbench instructions -o c.jsonl --layout sparse  one layout
  pfnbench gate --limits mine.toml --write c.jsonl  limits of your own
  pfnbench instructions -o c.jsonl --kernel 6.1     Linux's own code too

Counts are exact. They depend on the compiler and its options, not on the load.

Exit codes: 0 every layout was counted; 1 a layout failed; 2 nothing was
counted, or a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct InstructionsArgs {
    /// Count only this layout; repeatable. Needs --output, so that the counts of all layouts are
    /// kept
    #[arg(long, value_name = "ID", requires = "output")]
    layout: Vec<String>,
    /// Write the counts to this file [default: target/pfnbench-instructions/instructions.jsonl, where
    /// `pfnbench gate` looks for them]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Count the lookups of this compiled kernel too, added before with `pfnbench kernel add`;
    /// repeatable. Needs --output
    #[arg(long, value_name = "VERSION", requires = "output")]
    kernel: Vec<String>,
    /// Count lookups by the time-stamp counter instead of callgrind: in a machine that QEMU emulates
    /// with -icount shift=0, where it advances by one for each instruction. Needs --output
    #[arg(long, requires = "output")]
    by_time_stamp: bool,
    #[command(flatten)]
    json: Json,
}

impl InstructionsArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let interrupt = Interrupt::listen()?;
        let kernels = compiled::choose(&self.kernel, 0)?;
        let mut ids = self.layout.clone();
        if !ids.is_empty() {
            ids.extend(kernels.into_iter().map(|kernel| kernel.id));
        }
        let layouts: Vec<Layout> = chosen::<X86_64>(&ids)?.iter().map(Entry::layout).collect();
        let path = self.output.clone().unwrap_or_else(|| instructions::default_folder(Path::new("")).join(FILE_NAME));
        let toolchain = Toolchain::this();
        if let Some(unusual) = toolchain.unusual() {
            tell(&format!("warning: this program was {unusual}; limits are for plain release builds"));
        }
        let style = ProgressStyle::with_template("{spinner} {msg} {pos}/{len}").expect("a valid template");
        let bar = ProgressBar::new(layouts.len() as u64).with_style(style);
        bar.enable_steady_tick(Duration::from_millis(200));
        let program = std::env::current_exe().context("cannot find this program")?;
        let counts = if self.by_time_stamp {
            count_by_time_stamp(&layouts).map(|rows| LayoutCounts { rows, failed: Vec::new() })
        } else {
            count(&program, &layouts, &interrupt, |id| {
                bar.inc(1);
                bar.set_message(format!("counting {id}"));
            })
        };
        bar.finish_and_clear();
        let counts = counts?;
        for failed in &counts.failed {
            tell(&format!("{} was not counted: {}", failed.layout, failed.reason));
        }
        if counts.rows.is_empty() {
            bail!("nothing was counted, so {} was not written", path.display());
        }
        instructions::write(&path, &counts.rows)?;
        if self.json.json {
            print_json(&json!({ "file": path, "rows": counts.rows, "failed": counts.failed }))?;
        } else {
            print(format!("Instructions per operation, compiled with {}", toolchain.name()))?;
            table(&counts.rows).iter().try_for_each(print)?;
            print("hot_add and hot_remove: updates of the index only, without records and system calls.")?;
            print(path.display())?;
        }
        Ok(if counts.failed.is_empty() { Answer::Yes } else { Answer::No })
    }
}
