//! The command `pfnbench strand`.

use super::range_arg::parse_extent;
use super::{Answer, Json, print, print_json, print_raw, tell};
use crate::audit::place_namespaces;
use crate::kernel_version::KernelVersion;
use crate::map::inventory::Span;
use crate::map::source::Source;
use crate::map::{PhysicalMap, Reading};
use crate::present::report::picture::plain;
use crate::present::terminal::Grid;
use crate::size::{argument, parse_size};
use crate::strand::namespaces::{NAMESPACE_ALIGNMENTS, NamespaceAlignment, alignments};
use crate::strand::{
    Candidate, Candidates, Chosen, DEVICE_UNIT, LARGEST_BLOCK, Loss, SMALLEST_BLOCK, Stranding, chosen_block_size,
};
use anyhow::bail;
use clap::{Args, ValueEnum};
use memmap_layouts::ByteSize;
use serde::Serialize;
use serde_json::json;
use std::path::Path;
use std::str::FromStr;

/// One past the highest physical address of x86-64.
const ADDRESS_END: u64 = 1 << 52;
/// The largest size of memory blocks that x86-64 takes, in bytes. Source: `set_memory_block_size_order`.
const LARGEST_SET: u64 = 64 << 30;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench strand iomem.txt
  sudo cxl list -v | pfnbench strand -
  pfnbench strand 0xc050000000+242G --block-size 2G
  pfnbench strand 0x148200000-0x33fffffff --map iomem.txt
  pfnbench strand builtin:cxl-memory-hole-4g --csv > lost.csv

The driver that makes RAM of a device cuts each of its ranges inwards to whole
memory blocks. 2M is the unit of device memory, 128M to 2G are the memory
blocks of x86-64, and 16M is one of ppc64.

Exit codes: 0 nothing is lost at the block size that applies; 1 something is
lost; 2 cannot judge, or a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct StrandArgs {
    /// Memory map: a file, - for standard input, or builtin:NAME; or ranges: FIRST-LAST
    /// (hexadecimal addresses) or START+SIZE
    #[arg(id = "input", value_name = "FILE|RANGE", required = true)]
    input: Vec<Input>,
    /// Map with the RAM around ranges that are given by hand, from which the block size follows
    #[arg(long, value_name = "FILE")]
    map: Option<Source>,
    /// Size of a memory block, as in /sys/devices/system/memory/block_size_bytes (hexadecimal there)
    /// [default: what the map states, else what the kernel chooses]
    #[arg(long, value_name = "SIZE", value_parser = block_size)]
    block_size: Option<u64>,
    /// Kernel that chooses the block size, e.g. 6.12
    #[arg(long, value_name = "VERSION", default_value_t = KernelVersion::CURRENT)]
    kernel: KernelVersion,
    /// The machine is a guest, whose kernel chooses blocks by the end of RAM
    #[arg(long)]
    guest: bool,
    /// Ranges to include beside those that can strand
    #[arg(long, value_enum, value_name = "KIND")]
    include: Option<Include>,
    /// Print CSV instead of a table
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    json: Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Include {
    /// RAM that is present at boot
    Ram,
}

/// A map, or a range that is given by hand.
#[derive(Clone, Debug)]
enum Input {
    Map(Source),
    Range(Span),
}

impl FromStr for Input {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_file = Path::new(text).exists();
        let extent = match parse_extent(text) {
            Ok(extent) if !is_file => extent,
            Err(error) if !is_file && text.starts_with("0x") => return Err(error),
            _ => {
                let Ok(source) = text.parse::<Source>();
                return Ok(Self::Map(source));
            }
        };
        let span = Span { start: extent.start, end: extent.end() };
        if span.end > ADDRESS_END {
            return Err(format!("{span} ends above the physical addresses of x86-64, 52 bits; try 0xc050000000+242G"));
        }
        Ok(Self::Range(span))
    }
}

fn block_size(text: &str) -> Result<u64, String> {
    let bytes = parse_size(text).map_err(|error| error.to_string())?;
    let is_valid = bytes.is_power_of_two() && (DEVICE_UNIT..=LARGEST_SET).contains(&bytes);
    is_valid.then_some(bytes).ok_or_else(|| {
        format!("block size {} is not a power of two from 2 MiB to 64 GiB; try --block-size 128M", ByteSize(bytes))
    })
}

/// From where the block size that applies is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum From {
    Option,
    Map,
    Kernel,
}

/// A row of the CSV.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    kind: String,
    first_byte: String,
    last_byte: String,
    bytes: u64,
    block_bytes: u64,
    front_bytes: u64,
    behind_bytes: u64,
    blocks: u64,
}

impl StrandArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let mut reading = self.reading()?;
        place_namespaces(&mut reading);
        let Reading { map, inventory, .. } = reading;
        let mut candidates = Candidates::new(&map, &inventory, self.include.is_some());
        let given = self.given()?;
        if !given.is_empty() {
            candidates = Candidates { ranges: given, ..Candidates::default() };
        }
        let chosen = chosen_block_size(self.kernel, &map, &inventory, !self.guest);
        let applies = self.block_size.map(|bytes| (bytes, From::Option));
        let applies = applies.or_else(|| Some((inventory.block_bytes?, From::Map)));
        // A block size of a map that is none is as good as none.
        let applies = applies.filter(|(bytes, _)| bytes.is_power_of_two() && *bytes >= 4096);
        let applies = applies.or_else(|| chosen.map(|chosen| (chosen.block_bytes, From::Kernel)));
        let more: Vec<u64> = applies.iter().map(|(bytes, _)| *bytes).collect();
        let stranding = Stranding::new(&candidates, &map, &more);
        let namespaces = alignments(&inventory);
        let answer = answer(&stranding, applies.map(|(bytes, _)| bytes));
        if self.json.json {
            print_json(&json!({
                "stranding": stranding,
                "applies": applies.map(|(bytes, from)| json!({ "block_bytes": bytes, "from": from })),
                "kernel": self.kernel,
                "chosen": chosen,
                "beside": candidates.beside,
                "unplaced": candidates.unplaced,
                "namespaces": namespaces,
                "warnings": map.warnings,
            }))?;
            return Ok(answer);
        }
        map.warnings.iter().for_each(|warning| tell(&format!("warning: {warning}")));
        if candidates.ranges.is_empty() {
            unjudged(&candidates).iter().for_each(|line| tell(line));
            tell(
                "no range can strand: there are no windows, regions, DAX devices, soft-reserved or persistent ranges \
                 with known addresses. Give a range by hand, e.g. pfnbench strand 0xc050000000+242G",
            );
            return Ok(answer);
        }
        if self.csv {
            print_csv(&stranding)?;
            return Ok(answer);
        }
        print(table(&stranding))?;
        self.print_sentences(&stranding, &candidates, applies, chosen)?;
        print_namespaces(&namespaces)?;
        Ok(answer)
    }

    /// What the map says; nothing if there are ranges only.
    fn reading(&self) -> anyhow::Result<Reading> {
        let mut maps = self.input.iter().filter_map(|input| match input {
            Input::Map(source) => Some(source),
            Input::Range(_) => None,
        });
        let source = match (maps.next(), &self.map) {
            (Some(_), Some(_)) => bail!("two maps were given; give the map once, and ranges beside it"),
            (Some(source), None) | (None, Some(source)) => source,
            (None, None) => {
                let (name, origin) = ("ranges".to_owned(), "the command line".to_owned());
                let map = PhysicalMap { name, origin, ranges: Vec::new(), warnings: Vec::new() };
                return Ok(Reading::of_map(map));
            }
        };
        if maps.next().is_some() {
            bail!("two maps were given; join them: cat FILE FILE | pfnbench strand -");
        }
        Ok(source.read()?)
    }

    /// The ranges that are given by hand.
    fn given(&self) -> anyhow::Result<Vec<Candidate>> {
        let ranges = self.input.iter().filter_map(|input| match input {
            Input::Range(span) => Some(Candidate::given(*span)),
            Input::Map(_) => None,
        });
        let mut ranges: Vec<Candidate> = ranges.collect();
        ranges.sort_by_key(|range| range.span);
        let overlapping = ranges.windows(2).find(|pair| pair[0].span.overlaps(pair[1].span));
        if let Some([first, second]) = overlapping {
            bail!("the ranges {} and {} overlap; give each byte once", first.span, second.span);
        }
        Ok(ranges)
    }

    fn print_sentences(
        &self,
        stranding: &Stranding,
        candidates: &Candidates,
        applies: Option<(u64, From)>,
        chosen: Option<Chosen>,
    ) -> anyhow::Result<()> {
        match applies {
            Some((bytes, from)) => {
                print(format!("Block size: {}, {}.", ByteSize(bytes), self.origin(from, chosen)))?;
                print(at_block_size(stranding, bytes))?;
                for line in details(stranding, bytes) {
                    print(line)?;
                }
            }
            None => print(
                "The block size is unknown: it depends on the end of RAM, which no map states. Give --block-size SIZE, \
                 or --map FILE.",
            )?,
        }
        print(best(stranding))?;
        for line in unjudged(candidates) {
            print(line)?;
        }
        Ok(())
    }

    /// Where the block size that applies comes from, in words.
    fn origin(&self, from: From, chosen: Option<Chosen>) -> String {
        match (from, chosen) {
            (From::Option, _) => "as given".to_owned(),
            (From::Map, _) => "as the map states".to_owned(),
            (From::Kernel, None) => "as the kernel chooses".to_owned(),
            (From::Kernel, Some(chosen)) => {
                let host = if self.guest { "in a guest" } else { "on bare metal" };
                let advice = match chosen.advice_bytes {
                    Some(bytes) => format!(" and CXL windows that advise {}", ByteSize(bytes)),
                    None => String::new(),
                };
                let end = chosen.end_of_ram;
                format!("as Linux {} on x86-64 chooses {host} with RAM up to {end:#x}{advice}", self.kernel)
            }
        }
    }
}

/// Yes if nothing is lost at the block size that applies. If that is unknown, only what holds for each size of
/// x86-64 is an answer.
fn answer(stranding: &Stranding, applies: Option<u64>) -> Answer {
    let lost = |bytes| stranding.at(bytes).map_or(0, |(lost, _)| lost);
    match applies {
        _ if stranding.ranges.is_empty() => Answer::CannotJudge,
        Some(bytes) if lost(bytes) == 0 => Answer::Yes,
        Some(_) => Answer::No,
        None if lost(LARGEST_BLOCK) == 0 => Answer::Yes,
        None if lost(SMALLEST_BLOCK) > 0 => Answer::No,
        None => Answer::CannotJudge,
    }
}

/// Bytes in MiB: exact to three decimals, with a mark if that is 0.
fn mib(bytes: u64) -> String {
    match plain(bytes as f64 / 1_048_576.0) {
        text if text == "0" && bytes > 0 => "<0.001".to_owned(),
        text => text,
    }
}

fn table(stranding: &Stranding) -> Grid {
    let mut table = Grid::plain();
    let heading = stranding.block_sizes.iter().map(|&block| argument(block));
    table.set_header(std::iter::once("MiB lost with blocks of".to_owned()).chain(heading));
    for RangeCells { label, cells } in stranding.ranges.iter().map(RangeCells::new) {
        table.add_row(std::iter::once(label).chain(cells));
    }
    if stranding.ranges.len() > 1 {
        let lost = stranding.lost_bytes.iter().map(|&lost| mib(lost));
        table.add_row(std::iter::once(format!("total of {}", ByteSize(stranding.total_bytes))).chain(lost));
    }
    let blocks = stranding.blocks.iter().map(ToString::to_string);
    table.add_row(std::iter::once("memory blocks".to_owned()).chain(blocks));
    table.right_align(1..1 + stranding.block_sizes.len());
    table
}

/// The row of a range: its start, and below that what it is.
struct RangeCells {
    label: String,
    cells: Vec<String>,
}

impl RangeCells {
    fn new(losses: &crate::strand::RangeLosses) -> Self {
        let range = &losses.range;
        let kind = range.kind.to_string();
        let name = range.name.as_deref().unwrap_or(&kind);
        let assumed = if range.base_assumed { " (base assumed)" } else { "" };
        let label = format!("{:#x}{assumed}\n{} {name}", range.span.start, ByteSize(range.span.bytes()));
        Self { label, cells: losses.losses.iter().map(|loss| mib(loss.bytes())).collect() }
    }
}

fn at_block_size(stranding: &Stranding, block: u64) -> String {
    let (lost, blocks) = stranding.at(block).unwrap_or_default();
    let total = stranding.total_bytes;
    if lost == 0 {
        return format!(
            "Nothing of {} is lost. Number of memory blocks, with those of boot RAM: {blocks}.",
            ByteSize(total)
        );
    }
    let share = lost as f64 / total as f64 * 100.0;
    format!(
        "{} of {} is lost ({share:.2} %). Number of memory blocks, with those of boot RAM: {blocks}.",
        ByteSize(lost),
        ByteSize(total)
    )
}

/// Number of ranges whose loss in front and behind is printed.
const MOST_DETAILS: usize = 8;

/// The largest losses, in front and behind.
fn details(stranding: &Stranding, block: u64) -> Vec<String> {
    let Some(size) = stranding.block_sizes.iter().position(|&known| known == block) else { return Vec::new() };
    let mut losing: Vec<(Span, Loss)> = stranding
        .ranges
        .iter()
        .map(|losses| (losses.range.span, losses.losses[size]))
        .filter(|(_, loss)| loss.bytes() > 0)
        .collect();
    losing.sort_by_key(|(span, loss)| (std::cmp::Reverse(loss.bytes()), *span));
    let lines = losing.iter().take(MOST_DETAILS).map(|(span, loss)| match loss.blocks {
        0 => format!("  {span}: all of it, it has no whole block"),
        _ => {
            let (front, behind) = (ByteSize(loss.front_bytes), ByteSize(loss.behind_bytes));
            format!("  {span}: {front} in front, {behind} behind")
        }
    });
    let mut lines: Vec<String> = lines.collect();
    if losing.len() > MOST_DETAILS {
        lines.push(format!("  and {} other ranges; --csv lists all", losing.len() - MOST_DETAILS));
    }
    lines
}

/// The largest block size that loses nothing, and what it costs.
fn best(stranding: &Stranding) -> String {
    let blocks_with = |block| stranding.at(block).map(|(_, blocks)| blocks);
    let device = match stranding.at(DEVICE_UNIT) {
        Some((0, _)) => " As device memory (device DAX, units of 2 MiB) nothing is lost.".to_owned(),
        Some((lost, _)) => format!(" As device memory (device DAX, units of 2 MiB) {} is lost.", ByteSize(lost)),
        None => String::new(),
    };
    let sentence = match stranding.lossless_bytes {
        Some(bytes) if bytes >= SMALLEST_BLOCK => {
            let cost = match (blocks_with(bytes), blocks_with(LARGEST_BLOCK)) {
                (Some(blocks), Some(_)) if bytes == LARGEST_BLOCK => format!(" (number of blocks: {blocks})"),
                (Some(blocks), Some(fewest)) => format!(". Number of blocks: {blocks}, with 2 GiB {fewest}"),
                _ => String::new(),
            };
            format!("The largest block size that loses nothing is {}{cost}.", ByteSize(bytes))
        }
        lossless => {
            let (lost, blocks) = stranding.at(SMALLEST_BLOCK).unwrap_or_default();
            let ends = match lossless {
                Some(bytes) => format!("the ranges are aligned to {} only", ByteSize(bytes)),
                None => "the ranges end inside pages".to_owned(),
            };
            format!(
                "No block size of x86-64 loses nothing, because {ends}. 128 MiB, the smallest, loses least: {}. Number \
                 of blocks: {blocks}.",
                ByteSize(lost)
            )
        }
    };
    sentence + &device
}

/// What is not judged, and why.
fn unjudged(candidates: &Candidates) -> Vec<String> {
    let mut lines = Vec::new();
    if !candidates.beside.is_empty() {
        let bytes: u64 = candidates.beside.iter().map(|part| part.span.bytes()).sum();
        let shown = candidates
            .beside
            .iter()
            .take(MOST_DETAILS)
            .map(|part| format!("{} of {}", part.span, part.name.clone().unwrap_or_else(|| part.kind.to_string())));
        let more = candidates.beside.len().saturating_sub(MOST_DETAILS);
        let more = if more > 0 { format!(" and {more} others") } else { String::new() };
        lines.push(format!(
            "Not judged, because it lies beside the devices and regions in it (free capacity, headers or records): {}, \
             {}{more}.",
            ByteSize(bytes),
            shown.collect::<Vec<_>>().join(", ")
        ));
    }
    if !candidates.unplaced.is_empty() {
        lines.push(format!("Not judged, because no source states the start: {}.", candidates.unplaced.join(", ")));
    }
    lines
}

fn print_csv(stranding: &Stranding) -> anyhow::Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for losses in &stranding.ranges {
        for (&block_bytes, loss) in stranding.block_sizes.iter().zip(&losses.losses) {
            let Candidate { name, kind, span, .. } = &losses.range;
            writer.serialize(Row {
                name: name.as_deref().unwrap_or_default(),
                kind: kind.to_string(),
                first_byte: format!("{:#x}", span.start),
                last_byte: format!("{:#x}", span.end - 1),
                bytes: span.bytes(),
                block_bytes,
                front_bytes: loss.front_bytes,
                behind_bytes: loss.behind_bytes,
                blocks: loss.blocks,
            })?;
        }
    }
    print_raw(String::from_utf8(writer.into_inner()?)?.trim_end())
}

fn print_namespaces(namespaces: &[NamespaceAlignment]) -> anyhow::Result<()> {
    if namespaces.is_empty() {
        return Ok(());
    }
    let mut table = Grid::plain();
    let heading = NAMESPACE_ALIGNMENTS.iter().map(|&bytes| argument(bytes));
    table.set_header(std::iter::once("namespace".to_owned()).chain(heading));
    let mut unknown = Vec::new();
    for namespace in namespaces {
        let Some(is_multiple) = namespace.is_multiple else {
            unknown.push(namespace.name.as_str());
            continue;
        };
        let cells = is_multiple.map(|yes| if yes { "yes" } else { "no" }.to_owned());
        table.add_row(std::iter::once(namespace.name.clone()).chain(cells));
    }
    if unknown.len() < namespaces.len() {
        print("Both ends of a namespace are multiples of:")?;
        print(table)?;
    }
    if !unknown.is_empty() {
        let more = unknown.len().saturating_sub(MOST_DETAILS);
        let more = if more > 0 { format!(" and {more} others") } else { String::new() };
        let shown = unknown.iter().take(MOST_DETAILS).copied().collect::<Vec<_>>().join(", ");
        print(format!("Alignment unknown, because no source states where the region starts: {shown}{more}."))?;
    }
    Ok(())
}
