//! `pfnbench namespace plan` and `lost`.

use super::MapArg;
use crate::capacity::{LOST_SIZES, Lost, Plan, Time, lost};
use crate::cli::{Answer, Json, print, print_json};
use crate::table;
use crate::units::parse_size;
use anyhow::bail;
use clap::Args;
use comfy_table::CellAlignment;
use memmap_layouts::Bytes;
use memmap_layouts::nvdimm::Extent;
use memmap_layouts::nvdimm::division::{DivisionError, Surroundings};
use serde_json::{Map, Value, json};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench namespace plan --size 1500G
  pfnbench namespace plan --usable 1500G                 the size to ask for
  pfnbench namespace plan --size 4G --start 0x1fc000000 --ram 0x100000000-0x1fbffffff
  pfnbench namespace plan --size 3G --align 1G --start 0x120000000 --json

Exit codes: 0 it can be had since the series, 1 it cannot, 2 a size or an alignment that cannot be.")]
pub(super) struct PlanArgs {
    /// Bytes of the namespace, e.g. 16M or 1500G.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, required_unless_present = "usable")]
    size: Option<u64>,
    /// Bytes of data that are wanted: finds the size to ask for.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, conflicts_with = "size")]
    usable: Option<u64>,
    /// Alignment of the data: 4K, 2M or 1G.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "2M")]
    align: u64,
    /// Where the records lie.
    #[arg(long, value_enum, default_value_t = MapArg::Dev)]
    map: MapArg,
    /// Physical address of the first byte.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address, default_value = "0x100000000")]
    start: u64,
    /// RAM around it, as first and last byte; may be given again.
    #[arg(long, value_name = "FIRST-LAST", value_parser = parse_extent)]
    ram: Vec<Extent>,
    /// Another region of persistent memory, as first and last byte; may be given again.
    #[arg(long, value_name = "FIRST-LAST", value_parser = parse_extent)]
    region: Vec<Extent>,
    /// Sizes are multiples of this, the alignment of the region.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "16M")]
    region_align: u64,
    #[command(flatten)]
    json: Json,
}

/// A physical address: hexadecimal with 0x, or a size.
pub(super) fn parse_address(text: &str) -> Result<u64, String> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).map_err(|error| format!("{text:?} is not an address: {error}")),
        None => parse_size(text),
    }
}

/// First and last byte, as `/proc/iomem` has them; bare digits are hexadecimal.
fn parse_extent(text: &str) -> Result<Extent, String> {
    let hex = |part: &str| u64::from_str_radix(part.trim().trim_start_matches("0x"), 16).ok();
    let ends = text.split_once('-').and_then(|(first, last)| Some((hex(first)?, hex(last)?)));
    let extent = ends.and_then(|(first, last)| Extent::new(first, last.checked_sub(first)?.checked_add(1)?));
    extent.ok_or_else(|| format!("{text:?} is no range; write 0x100000000-0x1fbffffff, first and last byte"))
}

fn error_value(error: &DivisionError) -> Value {
    json!({ "refused": error.to_string(), "errno": error.errno().raw_os_error() })
}

impl PlanArgs {
    fn size(&self, plan: &Plan<'_>, time: Time) -> anyhow::Result<u64> {
        let step = self.region_align;
        let Some(usable) = self.usable else { return Ok(self.size.unwrap_or_default()) };
        match plan.size_for(usable, step, time) {
            Some(size) => Ok(size),
            None => bail!(
                "no namespace at {:#x} has {} of data: it would leave the physical space",
                self.start,
                Bytes(usable)
            ),
        }
    }

    fn check(&self) -> anyhow::Result<()> {
        let step = self.region_align;
        if !step.is_power_of_two() || step < 4096 {
            bail!("a region cannot be aligned to {}: a power of two from 4 KiB on works, as 16M", Bytes(step));
        }
        if self.usable == Some(0) {
            bail!("0 B of data need no namespace; write a size, as --usable 1G");
        }
        let Some(size) = self.size else { return Ok(()) };
        let off = size % step;
        if size == 0 || off != 0 {
            let (below, above) = (size - off, size.saturating_add(step - off));
            let below = if below > 0 { format!("{} or ", Bytes(below)) } else { String::new() };
            bail!(
                "a namespace of {} ({size} bytes) is refused: sizes are multiples of the region's alignment of {} \
                 (Linux since 5.7), and this is {} past one; {below}{} works, or --region-align 4K",
                Bytes(size),
                Bytes(step),
                Bytes(off),
                Bytes(above)
            );
        }
        if Extent::new(self.start, size).is_none() {
            bail!("{} at {:#x} leave the physical space of 56 bits", Bytes(size), self.start);
        }
        Ok(())
    }

    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        self.check()?;
        let records = self.map.records();
        let around = Surroundings { ram: &self.ram, regions: &self.region };
        let plan = Plan { start: self.start, align: self.align, records, around };
        // An alignment that no kernel serves is bad usage, whatever the size.
        if let Err(error @ DivisionError::Align { .. }) = plan.waterfall(self.region_align, Time::Merged) {
            return Err(error.into());
        }
        let mut columns = Vec::new();
        for time in Time::BOTH {
            let size = self.size(&plan, time)?;
            columns.push((time, size, plan.waterfall(size, time)));
        }
        let is_had = columns.iter().any(|(time, _, result)| *time == Time::Merged && result.is_ok());
        if self.json.json {
            let mut of_times = Map::new();
            for (time, size, result) in &columns {
                let value = match result {
                    Ok(waterfall) => json!(waterfall),
                    Err(error) => error_value(error),
                };
                let name = if *time == Time::Before { "before" } else { "merged" };
                of_times.insert(name.into(), json!({ "size_bytes": size, "division": value }));
            }
            print_json(&json!({ "start": self.start, "align_bytes": self.align, "rules": of_times }))?;
        } else {
            self.print(&columns)?;
        }
        Ok(if is_had { Answer::Yes } else { Answer::No })
    }

    fn print(&self, columns: &[(Time, u64, Result<crate::capacity::Waterfall, DivisionError>)]) -> anyhow::Result<()> {
        let mut table = table::empty();
        let headings = columns.iter().map(|(time, ..)| time.heading());
        table.set_header([""].into_iter().chain(headings));
        let labels = crate::capacity::Waterfall::default().lines().map(|(label, _)| label);
        for (nr, label) in labels.into_iter().enumerate() {
            let cell = |(_, size, result): &(Time, u64, Result<crate::capacity::Waterfall, DivisionError>)| match result
            {
                Ok(waterfall) => {
                    let bytes = waterfall.lines()[nr].1;
                    let share = bytes as f64 / waterfall.raw_bytes as f64 * 100.0;
                    if bytes == 0 { "–".to_owned() } else { format!("{} ({share:.2} %)", Bytes(bytes)) }
                }
                Err(_) if nr == 0 => Bytes(*size).to_string(),
                Err(_) => "refused".to_owned(),
            };
            let cells: Vec<String> = std::iter::once(label.to_owned()).chain(columns.iter().map(cell)).collect();
            table.add_row(cells);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        print(table)?;
        for (time, _, result) in columns {
            if let Err(error) = result {
                print(format!("{}: {error}", time.heading()))?;
            }
        }
        if let (Some(usable), Some((_, size, _))) = (self.usable, columns.last()) {
            print(format!("for {} of data ask for {} ({size} bytes)", Bytes(usable), Bytes(*size)))?;
        }
        Ok(())
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench namespace lost
  pfnbench namespace lost --json

Each namespace lies between RAM that ends where it begins and a region that begins where it ends; records are on the medium,
and data is aligned to 2 MiB.")]
pub(super) struct LostArgs {
    #[command(flatten)]
    json: Json,
}

impl LostArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let lost = lost();
        if self.json.json {
            print_json(&lost)?;
            return Ok(Answer::Yes);
        }
        let mut table = table::empty();
        let heading =
            LOST_SIZES.iter().flat_map(|size| ["before", "since"].map(|time| format!("{} {time}", Bytes(*size))));
        table.set_header(std::iter::once("offset".to_owned()).chain(heading));
        for of_offset in lost.chunks(LOST_SIZES.len()) {
            let text = |bytes, refused| if refused { "refused".to_owned() } else { Bytes(bytes).to_string() };
            let cells =
                |one: &Lost| [text(one.before_bytes, one.before_refused), text(one.merged_bytes, one.merged_refused)];
            let first = of_offset.first().map_or(0, |one| one.offset_bytes);
            let cells: Vec<String> =
                std::iter::once(Bytes(first).to_string()).chain(of_offset.iter().flat_map(cells)).collect();
            table.add_row(cells);
        }
        for column in table.column_iter_mut() {
            column.set_cell_alignment(CellAlignment::Right);
        }
        print(table)?;
        Ok(Answer::Yes)
    }
}
