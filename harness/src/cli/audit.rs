//! The command `pfnbench audit`.

use super::map::notes;
use super::{Answer, Json, print, print_json, tell};
use crate::audit::shift::check_shift;
use crate::audit::{Audit, AuditListing, Options, audit};
use crate::files::replace;
use crate::kernel_version::KernelVersion;
use crate::map::source::{Source, read_all};
use crate::present::audit::{losses, page, svg, table};
use crate::size::parse_size;
use anyhow::{Context, bail};
use clap::Args;
use memmap_layouts::ByteSize;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo ndctl list -RNDv > machine.txt; sudo cat /proc/iomem >> machine.txt
  pfnbench audit machine.txt
  pfnbench audit iomem.txt ndctl.json cxl.json lsmem.txt
  pfnbench audit machine.txt --kernel 5.2 --kernel 6.12
  pfnbench audit machine.txt --shift 64M     after firmware moved the regions
  pfnbench audit machine.txt -o audit.html

Each byte is in one row, and the rows add up. What would win back a loss is
named with the bytes that it gains by the same rules, each loss alone.

Exit codes: 0 success; 1 with --strict, sources contradict each other or lines
were not understood; 2 the text names no memory or cannot be parsed, or a usage
error.
All codes: pfnbench explain exit-codes")]
pub(super) struct AuditArgs {
    /// Descriptions of the machine, in any format of `pfnbench map`; - for standard input. Several files
    /// describe one machine. Default: this machine
    #[arg(value_name = "FILE")]
    sources: Vec<Source>,
    /// Kernel whose rules apply, e.g. 5.2; twice to compare. Default: those that created what exists
    #[arg(long, value_name = "VERSION")]
    kernel: Vec<KernelVersion>,
    /// Size of a memory block. Default: as the text states, or as Linux would choose it
    #[arg(long, value_name = "SIZE", value_parser = parse_block_size)]
    block_size: Option<u64>,
    /// Move everything but RAM by so many bytes first, as other firmware might; may be negative
    #[arg(long, value_name = "SIZE", value_parser = parse_shift, allow_hyphen_values = true)]
    shift: Option<i64>,
    /// Write a page (.html) or a picture (.svg); repeatable
    #[arg(short, long, value_name = "PATH")]
    output: Vec<PathBuf>,
    /// Exit 1 if sources contradict each other, or lines were not understood
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    json: Json,
}

fn parse_block_size(text: &str) -> Result<u64, String> {
    let bytes = parse_size(text).map_err(|error| error.to_string())?;
    match bytes.is_power_of_two() && (2 << 20..=64 << 30).contains(&bytes) {
        true => Ok(bytes),
        false => Err(format!("{} is not a power of two from 2 MiB to 64 GiB; try 128M", ByteSize(bytes))),
    }
}

fn parse_shift(text: &str) -> Result<i64, String> {
    let (sign, size) = match text.strip_prefix('-') {
        Some(size) => (-1, size),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let bytes = parse_size(size).map_err(|error| error.to_string())?;
    let bytes = i64::try_from(bytes).map_err(|_| format!("{text:?} is beyond the address space; try 64M"))?;
    match bytes % 4096 {
        0 => Ok(sign * bytes),
        _ => Err(format!("{text:?} is not a multiple of a page of 4 KiB; try 64M")),
    }
}

impl AuditArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        if self.kernel.len() > 4 {
            bail!("{} kernels were given; an audit compares at most 4", self.kernel.len());
        }
        for path in &self.output {
            let known = path.extension().is_some_and(|extension| extension == "html" || extension == "svg");
            if !known {
                bail!("{} is neither a page nor a picture; try -o audit.html or -o audit.svg", path.display());
            }
        }
        let sources = if self.sources.is_empty() { vec![Source::default()] } else { self.sources.clone() };
        let reading = read_all(&sources)?;
        self.shift.map_or(Ok(()), |by| check_shift(&reading, by).context("--shift is not possible"))?;
        let options = Options { kernel: None, block_bytes: self.block_size, shift: self.shift };
        let audits: Vec<Audit> = match &self.kernel[..] {
            [] => vec![audit(&reading, &options)],
            kernels => {
                kernels.iter().map(|kernel| audit(&reading, &Options { kernel: Some(*kernel), ..options })).collect()
            }
        };
        let is_doubtful = !reading.contradictions.is_empty() || !reading.unknown.is_empty();
        let answer = if self.strict && is_doubtful { Answer::No } else { Answer::Yes };
        let name = &reading.map.name;
        for path in &self.output {
            let text = match path.extension() {
                Some(extension) if extension == "svg" => svg(name, &audits)?,
                _ => page(name, &reading.map.origin, &audits)?,
            };
            replace(path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
        }
        if self.json.json {
            print_json(&AuditListing { audits, machine: super::map::listing(&reading)? })?;
            return Ok(answer);
        }
        reading.map.warnings.iter().for_each(|warning| tell(&format!("warning: {warning}")));
        notes(&reading).iter().for_each(|note| tell(note));
        if audits.iter().all(|audit| audit.rows.is_empty()) {
            print("no memory: only addresses for it")?;
        } else {
            print(table(&audits))?;
        }
        self.print_rest(&audits)?;
        self.output.iter().for_each(|path| tell(&format!("wrote {}", path.display())));
        Ok(answer)
    }

    /// Prints what the table does not show.
    fn print_rest(&self, audits: &[Audit]) -> anyhow::Result<()> {
        let Some(last) = audits.last() else { return Ok(()) };
        print(format!("Memory blocks have {}, {}.", ByteSize(last.block_bytes), last.block_reason))?;
        let unused: u64 = last.unused_addresses.iter().map(|part| part.span.bytes()).sum();
        if unused > 0 {
            print(format!("{} of windows are unused addresses. They are no memory, and in no row:", ByteSize(unused)))?;
            for part in last.unused_addresses.iter().take(MOST_SHOWN) {
                print(format!("  {}: {}", part.window, part.span))?;
            }
            let more = last.unused_addresses.len().saturating_sub(MOST_SHOWN);
            if more > 0 {
                print(format!("  and {more} more parts (--json lists all)"))?;
            }
        }
        for note in &last.notes {
            print(format!("note: {note}"))?;
        }
        audits.iter().try_for_each(print_losses)
    }
}

/// The most losses and unused parts that are printed.
const MOST_SHOWN: usize = 12;

/// Prints the largest losses of an audit.
fn print_losses(audit: &Audit) -> anyhow::Result<()> {
    let losses = losses(audit);
    if !losses.is_empty() {
        let kernel = audit.kernel.map_or_else(String::new, |kernel| format!(" with Linux {kernel}"));
        print(format!("\nLosses{kernel}, the largest first:"))?;
    }
    for loss in losses.iter().take(MOST_SHOWN) {
        print(loss)?;
    }
    let more = losses.len().saturating_sub(MOST_SHOWN);
    if more > 0 {
        print(format!("and {more} more losses (--json and -o audit.html have all)"))?;
    }
    Ok(())
}
