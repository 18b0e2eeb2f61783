//! The commands `pfnbench namespace plan` and `pfnbench namespace lost`.

use super::MapArg;
use super::around::AroundArgs;
use super::remedy::{Tried, tried};
use crate::cli::{Answer, Json, print, print_json};
use crate::pmem::capacity::{HOST, LOST_SIZES, Lost, Neighbours, Plan, PlanError, Time, Waterfall, lost};
use crate::pmem::refusal::{Refusal, Subject, of_plan};
use crate::present::report::picture::plain;
use crate::present::table;
use crate::size::{argument, parse_size};
use anyhow::Context;
use clap::Args;
use memmap_layouts::Bytes;
use memmap_layouts::nvdimm::division::{DivisionError, MIN_HOST_BYTES};
use memmap_layouts::nvdimm::forecast::MACHINE_SPACE_BYTES;
use memmap_layouts::nvdimm::region::DEFAULT_ALIGN;
use serde_json::{Map, Value, json};

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench namespace plan --size 1500G
  pfnbench namespace plan --usable 1500G                 the size to ask for
  pfnbench namespace plan --size 4G --start 0x1fc000000 --ram 0x100000000-0x1fbffffff
  pfnbench namespace plan --size 3G --align 1G --start 0x120000000 --json

Exit codes: 0 it can be had since the series, 1 it cannot, 2 a size or an alignment that cannot be.")]
pub(super) struct PlanArgs {
    /// Size of the namespace, e.g. 16M or 1500G
    #[arg(long, value_name = "SIZE", value_parser = parse_size, required_unless_present = "usable")]
    size: Option<u64>,
    /// Wanted size of the data; prints the namespace size to request
    #[arg(long, value_name = "SIZE", value_parser = parse_size, conflicts_with = "size")]
    usable: Option<u64>,
    /// Alignment of the data: 4K, 2M or 1G.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "2M")]
    align: u64,
    /// Where the records are stored
    #[arg(long, value_enum, default_value_t = MapArg::Dev)]
    map: MapArg,
    /// Physical address of the first byte of the namespace
    #[arg(long, value_name = "ADDRESS", value_parser = parse_size, default_value = "0x100000000")]
    start: u64,
    #[command(flatten)]
    around: AroundArgs,
    /// Sizes are multiples of this, the alignment of the region.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "16M")]
    region_align: u64,
    #[command(flatten)]
    pub(super) json: Json,
}

/// The result under the rules of one time: a size and where its bytes go, or why it is refused.
struct Column {
    time: Time,
    size: Option<u64>,
    result: Result<Waterfall, PlanError>,
    /// Arguments that would work instead, if the request is refused.
    works: Vec<String>,
}

impl Column {
    fn cell(&self, nr: usize) -> String {
        match &self.result {
            Ok(waterfall) => {
                let bytes = waterfall.lines()[nr].1;
                let share = bytes as f64 / waterfall.raw_bytes as f64 * 100.0;
                match bytes {
                    0 => "–".to_owned(),
                    _ if share < 0.005 => format!("{} (< 0.01 %)", Bytes(bytes)),
                    _ => format!("{} ({share:.2} %)", Bytes(bytes)),
                }
            }
            Err(_) if nr == 0 => self.size.map_or_else(|| "none".to_owned(), |size| Bytes(size).to_string()),
            Err(_) => "refused".to_owned(),
        }
    }

    fn refusal(&self, error: &PlanError, subject: &Subject) -> Refusal {
        of_plan::refusal(error, &subject.clone().with(self.works.clone()))
    }

    fn value(&self, subject: &Subject) -> Value {
        let division = match &self.result {
            Ok(waterfall) => json!(waterfall),
            Err(error) => json!({ "refused": self.refusal(error, subject).json() }),
        };
        json!({ "size_bytes": self.size, "division": division })
    }
}

impl PlanArgs {
    /// Rejects requests that no device could hold.
    fn check(&self) -> Result<(), PlanError> {
        let (step, start) = (self.region_align, self.start);
        if !step.is_power_of_two() || step < HOST.page_bytes {
            return Err(PlanError::RegionAlign { align: step });
        }
        let off = start % HOST.page_bytes;
        if off != 0 {
            return Err(PlanError::StartOffPage { start, off });
        }
        // No kernel supports this alignment, whatever the size.
        if !HOST.aligns.contains(&self.align) {
            let (align, page, aligns) = (self.align, HOST.page_bytes, HOST.aligns);
            return Err(DivisionError::Align { align, page, aligns }.into());
        }
        if self.usable == Some(0) {
            return Err(PlanError::NothingWanted);
        }
        match self.size {
            Some(size) if size == 0 || size % step != 0 => Err(PlanError::Size { size, step }),
            Some(size) if size < MIN_HOST_BYTES => Err(DivisionError::BelowMinimum { size }.into()),
            _ => Ok(()),
        }
    }

    fn plan(&self) -> Plan<'_> {
        let around = self.around.surroundings();
        Plan { start: self.start, align: self.align, records: self.map.records(), around }
    }

    fn result(&self, time: Time) -> Result<(u64, Waterfall), (Option<u64>, PlanError)> {
        let plan = self.plan();
        let size = match self.usable {
            Some(usable) => plan.size_for(usable, self.region_align, time).map_err(|error| (None, error))?,
            None => self.size.unwrap_or_default(),
        };
        plan.waterfall(size, time).map(|waterfall| (size, waterfall)).map_err(|error| (Some(size), error))
    }

    /// Arguments that would work instead under the rules of one time.
    fn remedies(&self, error: &PlanError, time: Time) -> Vec<String> {
        let with = |arguments: String, change: &dyn Fn(&mut Self)| {
            let mut request = self.clone();
            change(&mut request);
            Tried::new(arguments, request)
        };
        let step = self.region_align.max(1);
        let size =
            |size| with(format!("--size {}", argument(size)), &|args| (args.size, args.usable) = (Some(size), None));
        let usable = |usable| {
            with(format!("--usable {}", argument(usable)), &|args| (args.size, args.usable) = (None, Some(usable)))
        };
        let start = |start: u64| with(format!("--start {start:#x}"), &|args| args.start = start);
        let align = |align| with(format!("--align {}", argument(align)), &|args| args.align = align);
        let region_align =
            |align| with(format!("--region-align {}", argument(align)), &|args| args.region_align = align);
        let in_ram = |align| {
            with(format!("--map mem --align {}", argument(align)), &|args| {
                (args.map, args.align) = (MapArg::Mem, align)
            })
        };
        let grid = HOST.compat_bytes;
        let on_grid = |at: u64| at.checked_next_multiple_of(grid);
        let candidates: Vec<Tried<Self>> = match error {
            PlanError::Size { size: asked, step } => {
                let (below, above) = self.plan().sizes_beside(*asked, *step);
                below.into_iter().chain(above).map(size).chain([region_align(HOST.page_bytes)]).collect()
            }
            PlanError::RegionAlign { .. } => {
                vec![region_align(DEFAULT_ALIGN), region_align(grid), region_align(HOST.page_bytes)]
            }
            PlanError::StartOffPage { start: at, .. } => {
                let below = at - at % grid;
                vec![start(below), start(below.saturating_add(grid))]
            }
            PlanError::Division(DivisionError::StartMisaligned { start: at, off, compat }) => {
                vec![start(at.saturating_add(compat - off)), start(at - off)]
            }
            PlanError::Division(DivisionError::Align { aligns, .. }) => {
                aligns.iter().rev().map(|one| align(*one)).collect()
            }
            PlanError::Division(DivisionError::BelowMinimum { .. }) => (0..2)
                .filter_map(|nr| MIN_HOST_BYTES.checked_next_multiple_of(step)?.checked_add(nr * step))
                .map(size)
                .collect(),
            // Starting at a section boundary avoids occupying an additional section.
            PlanError::Machine(_) => {
                let below = self.start - self.start % HOST.section_bytes;
                vec![start(below.saturating_add(HOST.section_bytes)), start(below), in_ram(self.align)]
            }
            PlanError::Division(DivisionError::TooSmall { works, .. }) => {
                let larger = works.and_then(|works| works.checked_next_multiple_of(step)).map(size).into_iter();
                larger.chain([in_ram(self.align), align(grid), in_ram(grid)]).collect()
            }
            PlanError::BeyondSpace { start: at, size: asked } => {
                let last = MACHINE_SPACE_BYTES.saturating_sub(*asked);
                let room = MACHINE_SPACE_BYTES.saturating_sub(*at);
                vec![size(room - room % step), start(last - last % grid)]
            }
            PlanError::Overlaps { start: at, overlap, .. } => {
                let room = overlap.other.start.saturating_sub(*at);
                let mut behind: Vec<_> =
                    self.around.ram.iter().chain(&self.around.region).filter_map(|one| on_grid(one.end())).collect();
                behind.sort_unstable();
                behind.retain(|behind| behind > at);
                std::iter::once(size(room - room % step)).chain(behind.into_iter().map(start)).collect()
            }
            PlanError::NoSize { most, .. } => vec![usable(*most), in_ram(self.align)],
            PlanError::NothingWanted => vec![usable(1 << 30), usable(1)],
        };
        // If the user gave the size of the data, only requests by size of data are suggested.
        let is_meant = |one: &Tried<Self>| self.usable.is_none() || one.request.usable.is_some();
        tried(candidates.into_iter().filter(is_meant), |args| args.check().is_ok() && args.result(time).is_ok())
    }

    /// The requested namespace and what is around it.
    fn subject(&self) -> Subject {
        of_plan::subject(self.start, self.size, self.around.named())
    }

    fn column(&self, time: Time) -> Column {
        match self.result(time) {
            Ok((size, waterfall)) => Column { time, size: Some(size), result: Ok(waterfall), works: Vec::new() },
            Err((size, error)) => {
                let works = self.remedies(&error, time);
                Column { time, size, result: Err(error), works }
            }
        }
    }

    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let subject = self.subject();
        self.check().map_err(|error| {
            let works = self.remedies(&error, Time::Merged);
            anyhow::Error::new(error).context(subject.clone().with(works))
        })?;
        let columns = Time::BOTH.map(|time| self.column(time));
        // A size that exceeds the physical address space is impossible under any rules.
        if let Some(Column { result: Err(error), works, .. }) = columns.last()
            && error.is_beyond_space()
        {
            return Err(error.clone()).context(subject.with(works.clone()));
        }
        if self.json.json {
            let of_times: Map<_, _> =
                columns.iter().map(|of| (of.time.name().to_owned(), of.value(&subject))).collect();
            print_json(&json!({ "start": self.start, "align_bytes": self.align, "rules": of_times }))?;
        } else {
            self.print(&columns, &subject)?;
        }
        let is_had = columns.iter().any(|of| of.time == Time::Merged && of.result.is_ok());
        Ok(if is_had { Answer::Yes } else { Answer::No })
    }

    fn print(&self, columns: &[Column], subject: &Subject) -> anyhow::Result<()> {
        let mut table = table::empty();
        table.set_header([""].into_iter().chain(columns.iter().map(|of| of.time.heading())));
        for (nr, (label, _)) in Waterfall::default().lines().into_iter().enumerate() {
            table.add_row([label.to_owned()].into_iter().chain(columns.iter().map(|of| of.cell(nr))));
        }
        table::right_align(&mut table, 1..3);
        print(table)?;
        for of in columns {
            match (&of.result, self.usable) {
                (Ok(waterfall), None) => {
                    print(format!("{}: {} bytes usable", of.time.heading(), waterfall.usable_bytes))?
                }
                (Ok(waterfall), Some(wanted)) => print(format!(
                    "{}: for {} of data ask for {} ({} bytes), {} bytes of which are usable",
                    of.time.heading(),
                    Bytes(wanted),
                    Bytes(waterfall.raw_bytes),
                    waterfall.raw_bytes,
                    waterfall.usable_bytes
                ))?,
                (Err(error), _) => print(format!("{}: {}", of.time.heading(), of.refusal(error, subject)))?,
            }
        }
        Ok(())
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench namespace lost
  pfnbench namespace lost --neighbours front           RAM in front of it, nobody behind
  pfnbench namespace lost --csv > lost.csv

The neighbours are RAM that ends where the namespace begins, and a region that begins where it ends; records are on the medium, and
data is aligned to 2 MiB.")]
pub(super) struct LostArgs {
    /// RAM and other regions near the namespace
    #[arg(long, value_enum, default_value_t = Neighbours::Both)]
    neighbours: Neighbours,
    /// Print CSV instead of a table
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    pub(super) json: Json,
}

impl LostArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let lost = lost(self.neighbours);
        if self.json.json {
            print_json(&lost)?;
            return Ok(Answer::Yes);
        }
        if self.csv {
            let mut writer = csv::Writer::from_writer(Vec::new());
            lost.iter().try_for_each(|one| writer.serialize(one))?;
            print(String::from_utf8(writer.into_inner()?)?.trim_end())?;
            return Ok(Answer::Yes);
        }
        let mut table = table::empty();
        let heading =
            LOST_SIZES.iter().flat_map(|size| ["before", "since"].map(|time| format!("{} {time}", Bytes(*size))));
        table.set_header(std::iter::once("offset".to_owned()).chain(heading));
        for of_offset in lost.chunks(LOST_SIZES.len()) {
            let text = |bytes, refused| {
                if refused { "refused".to_owned() } else { format!("{} MiB", plain(bytes as f64 / 1_048_576.0)) }
            };
            let cells =
                |one: &Lost| [text(one.before_bytes, one.before_refused), text(one.merged_bytes, one.merged_refused)];
            let first = of_offset.first().map_or(0, |one| one.offset_bytes);
            let cells: Vec<String> =
                std::iter::once(Bytes(first).to_string()).chain(of_offset.iter().flat_map(cells)).collect();
            table.add_row(cells);
        }
        table::right_align(&mut table, 0..1 + 2 * LOST_SIZES.len());
        print(table)?;
        Ok(Answer::Yes)
    }
}
