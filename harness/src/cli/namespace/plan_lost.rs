//! The commands `pfnbench namespace plan` and `pfnbench namespace lost`.

use super::memory_args::{MemmapArg, NearbyMemoryArgs};
use crate::cli::{Answer, Json, print, print_json, print_raw};
use crate::pmem::capacity::{
    Breakdown, CapacityLoss, CapacityRequest, CapacityResult, CapacityTarget, LOSS_SIZES, NeighbourPlacement,
    capacity_losses,
};
use crate::pmem::{KernelRules, PmemError};
use crate::present::report::picture::plain;
use crate::present::terminal::Grid;
use crate::size::parse_size;
use clap::{Args, ValueEnum};
use memmap_layouts::ByteSize;
use serde_json::{Map, Value, json};

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench namespace plan --size 1500G
  pfnbench namespace plan --usable 1500G             the size to request
  pfnbench namespace plan --size 4G --start 0x1fc000000 \\
      --ram 0x100000000-0x1fbffffff
  pfnbench namespace plan --size 3G --align 1G --start 0x120000000 --json

Exit codes: 0 the namespace is possible under the rules since the series; 1 it
is not; 2 a size, start or alignment is invalid, or a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct PlanArgs {
    /// Size of the namespace, e.g. 16M or 1500G
    #[arg(long, value_name = "SIZE", value_parser = parse_size, required_unless_present = "usable")]
    size: Option<u64>,
    /// Size of the data; prints the size of the namespace to request
    #[arg(long, value_name = "SIZE", value_parser = parse_size, conflicts_with = "size")]
    usable: Option<u64>,
    /// Alignment of the data: 4K, 2M or 1G
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "2M")]
    align: u64,
    /// Where the records are stored
    #[arg(long, alias = "map", value_enum, default_value_t = MemmapArg::Dev)]
    memmap: MemmapArg,
    /// Physical address of the first byte of the namespace
    #[arg(long, value_name = "ADDRESS", value_parser = parse_size, default_value = "0x100000000")]
    start: u64,
    #[command(flatten)]
    nearby: NearbyMemoryArgs,
    /// Alignment of the region; sizes are multiples of it
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "16M")]
    region_align: u64,
    #[command(flatten)]
    pub(super) json: Json,
}

fn cell(of_rules: &CapacityResult, line: usize) -> String {
    match &of_rules.result {
        Ok(breakdown) => {
            let bytes = breakdown.lines()[line].1;
            let share = bytes as f64 / breakdown.raw_bytes as f64 * 100.0;
            match bytes {
                0 => "–".to_owned(),
                _ if share < 0.005 => format!("{} (< 0.01 %)", ByteSize(bytes)),
                _ => format!("{} ({share:.2} %)", ByteSize(bytes)),
            }
        }
        Err(_) if line == 0 => of_rules.size.map_or_else(|| "none".to_owned(), |size| ByteSize(size).to_string()),
        Err(_) => "refused".to_owned(),
    }
}

fn result_json(of_rules: &CapacityResult) -> Value {
    let division = match &of_rules.result {
        Ok(breakdown) => json!(breakdown),
        Err(refusal) => json!({ "refused": refusal.json() }),
    };
    json!({ "size_bytes": of_rules.size, "division": division })
}

impl PlanArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let request = CapacityRequest {
            target: match self.usable {
                Some(usable) => CapacityTarget::Usable(usable),
                None => CapacityTarget::Size(self.size.unwrap_or_default()),
            },
            start: self.start,
            align: self.align,
            records: self.memmap.records(),
            nearby: self.nearby.nearby(),
            region_align: self.region_align,
        };
        let results = request.evaluate().map_err(PmemError::Refused)?;
        if self.json.json {
            let rules: Map<_, _> =
                results.iter().map(|of_rules| (of_rules.rules.name(), result_json(of_rules))).collect();
            print_json(&json!({ "start": self.start, "align_bytes": self.align, "rules": rules }))?;
        } else {
            self.print(&results)?;
        }
        let is_possible =
            results.iter().any(|of_rules| of_rules.rules == KernelRules::Merged && of_rules.result.is_ok());
        Ok(if is_possible { Answer::Yes } else { Answer::No })
    }

    fn print(&self, results: &[CapacityResult]) -> anyhow::Result<()> {
        let mut table = Grid::new();
        table.set_header([String::new()].into_iter().chain(results.iter().map(|of_rules| of_rules.rules.heading())));
        for (nr, (label, _)) in Breakdown::default().lines().into_iter().enumerate() {
            table.add_row([label.to_owned()].into_iter().chain(results.iter().map(|of_rules| cell(of_rules, nr))));
        }
        table.right_align(1..3);
        print(table)?;
        for of_rules in results {
            let heading = of_rules.rules.heading();
            match (&of_rules.result, self.usable) {
                (Ok(breakdown), None) => print(format!("{heading}: {} bytes usable", breakdown.usable_bytes))?,
                (Ok(breakdown), Some(wanted)) => print(format!(
                    "{heading}: for {} of data request {} ({} bytes), {} bytes of which are usable",
                    ByteSize(wanted),
                    ByteSize(breakdown.raw_bytes),
                    breakdown.raw_bytes,
                    breakdown.usable_bytes
                ))?,
                (Err(refusal), _) => print(format!("{heading}: {refusal}"))?,
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum NeighboursArg {
    /// RAM that ends where the namespace starts
    Front,
    /// Another region that starts where the namespace ends
    Behind,
    /// RAM in front and a region behind
    Both,
}

impl NeighboursArg {
    fn placement(self) -> NeighbourPlacement {
        match self {
            NeighboursArg::Front => NeighbourPlacement::Front,
            NeighboursArg::Behind => NeighbourPlacement::Behind,
            NeighboursArg::Both => NeighbourPlacement::Both,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench namespace lost
  pfnbench namespace lost --neighbours front
  pfnbench namespace lost --csv > lost.csv

Records are on the medium, and the data is aligned to 2 MiB.

Exit codes: 0 success; 2 a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct LostArgs {
    /// RAM and regions that share the sections of the namespace
    #[arg(long, value_enum, default_value_t = NeighboursArg::Both)]
    neighbours: NeighboursArg,
    /// Print CSV instead of a table
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    pub(super) json: Json,
}

impl LostArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let losses = capacity_losses(self.neighbours.placement());
        if self.json.json {
            print_json(&losses)?;
            return Ok(Answer::Yes);
        }
        if self.csv {
            let mut writer = csv::Writer::from_writer(Vec::new());
            losses.iter().try_for_each(|loss| writer.serialize(loss))?;
            print_raw(String::from_utf8(writer.into_inner()?)?.trim_end())?;
            return Ok(Answer::Yes);
        }
        let mut table = Grid::new();
        let heading =
            LOSS_SIZES.iter().flat_map(|size| ["before", "since"].map(|rules| format!("{} {rules}", ByteSize(*size))));
        table.set_header(std::iter::once("offset".to_owned()).chain(heading));
        for at_offset in losses.chunks(LOSS_SIZES.len()) {
            let text = |bytes, refused| {
                if refused { "refused".to_owned() } else { format!("{} MiB", plain(bytes as f64 / 1_048_576.0)) }
            };
            let cells = |loss: &CapacityLoss| {
                [text(loss.before_bytes, loss.before_refused), text(loss.merged_bytes, loss.merged_refused)]
            };
            let offset = at_offset.first().map_or(0, |loss| loss.offset_bytes);
            let cells: Vec<String> =
                std::iter::once(ByteSize(offset).to_string()).chain(at_offset.iter().flat_map(cells)).collect();
            table.add_row(cells);
        }
        table.right_align(0..1 + 2 * LOSS_SIZES.len());
        print(table)?;
        Ok(Answer::Yes)
    }
}
