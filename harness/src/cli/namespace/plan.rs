//! The command `pfnbench namespace plan`.

use super::from_args::FromArgs;
use super::kernel_args::KernelsArgs;
use super::memory_args::{MemmapArg, NearbyMemoryArgs};
use crate::cli::{Answer, Json, print, print_json};
use crate::kernel_version::KernelVersion;
use crate::pmem::capacity::{Breakdown, CapacityRequest, CapacityResult, CapacityTarget};
use crate::pmem::described_region::DescribedRegion;
use crate::pmem::{HOST, KernelRules, PmemError};
use crate::present::terminal::Grid;
use crate::size::parse_size;
use anyhow::bail;
use clap::{Args, value_parser};
use memmap_layouts::ByteSize;
use memmap_layouts::nvdimm::region::RegionAlign;
use serde_json::{Map, Value, json};

/// Default start of a namespace that no file describes: 4 GiB.
const DEFAULT_START: u64 = 4 << 30;

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench namespace plan --size 1500G
  pfnbench namespace plan --usable 1500G             the size to request
  pfnbench namespace plan --size 4G --start 0x1fc000000 \\
      --ram 0x100000000-0x1fbffffff
  pfnbench namespace plan --size 3G --align 1G --start 0x120000000 --json
  pfnbench namespace plan --size 256M --kernel 6.1 --kernel 6.12
  pfnbench namespace plan --usable 700G --interleave 6     on six DIMMs
  pfnbench namespace plan --from iomem.txt           all of the only region

Exit codes: 0 the namespace is possible under the rules since the series, or of
every kernel that is given; 1 it is not; 2 a size, start or alignment is
invalid, the file does not describe the region, or a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct PlanArgs {
    /// Size of the namespace, e.g. 16M or 1500G; default with --from: as large
    /// as the region allows
    #[arg(long, value_name = "SIZE", value_parser = parse_size, required_unless_present_any = ["usable", "from"])]
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
    /// Physical address of the first byte of the namespace; default:
    /// 0x100000000, or the start of the region with --from
    #[arg(long, value_name = "ADDRESS", value_parser = parse_size)]
    start: Option<u64>,
    #[command(flatten)]
    from: FromArgs,
    #[command(flatten)]
    nearby: NearbyMemoryArgs,
    /// Alignment of the region; sizes are multiples of it; default: 16M, times
    /// the number of DIMMs unless that divides it
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    region_align: Option<u64>,
    /// Number of DIMMs that take turns in the region; default: 1
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..))]
    interleave: Option<u16>,
    #[command(flatten)]
    kernels: KernelsArgs,
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

fn result_json(of_rules: &CapacityResult, start: u64) -> Value {
    let division = match &of_rules.result {
        Ok(breakdown) => json!(breakdown),
        Err(refusal) => json!({ "refused": refusal.json() }),
    };
    let data_start = of_rules.result.as_ref().map(|breakdown| start + breakdown.data_offset()).ok();
    json!({ "size_bytes": of_rules.size, "data_start": data_start, "division": division })
}

/// A remark if other namespaces leave less of the region than a namespace takes.
fn available_note(region: &DescribedRegion, results: &[CapacityResult]) -> Option<String> {
    let available = region.available?;
    let largest = results.iter().filter_map(|of_rules| of_rules.size).max()?;
    (largest > available).then(|| {
        format!(
            "note: {} is more than the {} of {} that no namespace has: ndctl would say No space left on device",
            ByteSize(largest),
            ByteSize(available),
            region.name
        )
    })
}

impl PlanArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let (request, described) = self.request()?;
        let region_name = described.as_ref().map(|region| region.name.clone());
        let kernels = self.kernels.kernels();
        let results = request.evaluate(&kernels).map_err(PmemError::Refused)?;
        if self.json.json {
            let rules: Map<_, _> =
                results.iter().map(|of_rules| (of_rules.rules.name(), result_json(of_rules, request.start))).collect();
            let mut json = json!({ "start": request.start, "align_bytes": self.align, "rules": rules });
            json["region_align_bytes"] = request.region_align.bytes.into();
            json["mappings"] = request.region_align.mappings.into();
            if let Some(name) = &region_name {
                json["region"] = name.as_str().into();
                json["available_bytes"] = described.as_ref().and_then(|region| region.available).into();
            }
            print_json(&json)?;
        } else {
            if let (Some(name), Some(region)) = (&region_name, request.region) {
                print(format!(
                    "{name}: {} at {:#x}; namespaces start and end at multiples of {}",
                    ByteSize(region.size),
                    region.start,
                    request.region_align
                ))?;
            }
            self.print(&results, request.start)?;
            if let Some(note) = described.as_ref().and_then(|region| available_note(region, &results)) {
                print(note)?;
            }
            if let Some(note) = self.exception(&request, &results) {
                print(note)?;
            }
        }
        let counts =
            |of_rules: &&CapacityResult| !self.kernels.are_both_sides() || of_rules.rules == KernelRules::Merged;
        let is_possible = results.iter().filter(counts).all(|of_rules| of_rules.result.is_ok());
        Ok(if is_possible { Answer::Yes } else { Answer::No })
    }

    /// The request, and the region if a file describes it.
    fn request(&self) -> anyhow::Result<(CapacityRequest, Option<DescribedRegion>)> {
        let described = self.from.region(self.start)?;
        let region = described.as_ref().map(|(region, _)| region);
        let extent = described.as_ref().map(|(region, origin)| {
            // A start outside of the region is refused, and not taken for another place of the region.
            region.extent(region.start.or(self.start), origin)
        });
        let extent = extent.transpose()?;
        let mappings = self.interleave.or(region.map(|region| region.align.mappings)).unwrap_or(1);
        let region_align = match (self.region_align, region, self.interleave) {
            (Some(bytes), _, _) => RegionAlign::new(bytes, mappings),
            (None, Some(region), None) => region.align,
            (None, region, _) => {
                let size = region.map_or(u64::MAX, |region| region.size);
                RegionAlign::default_for(size, mappings, HOST.page_bytes)
            }
        };
        let start = self.start.or(extent.map(|extent| extent.start)).unwrap_or(DEFAULT_START);
        let target = match (self.usable, self.size, extent) {
            (Some(usable), _, _) => CapacityTarget::Usable(usable),
            (None, Some(size), _) => CapacityTarget::Size(size),
            (None, None, Some(extent)) => {
                let left = extent.end().saturating_sub(start.max(extent.start));
                CapacityTarget::Size(left - left.checked_rem(region_align.bytes).unwrap_or(0))
            }
            (None, None, None) => bail!("no size is given; try --size 1G"),
        };
        let request = CapacityRequest {
            target,
            start,
            align: self.align,
            records: self.memmap.records(),
            nearby: self.nearby.nearby(region.map(|region| &region.nearby)),
            region_align,
            region: extent,
        };
        Ok((request, described.map(|(region, _)| region)))
    }

    /// The versions that do not divide a namespace as all others since the series, if it matters here.
    fn exception(&self, request: &CapacityRequest, results: &[CapacityResult]) -> Option<String> {
        let of_6_1 = KernelRules::Version(KernelVersion::new(6, 1));
        let merged = results.iter().find(|of_rules| of_rules.rules == KernelRules::Merged)?.result.as_ref().ok()?;
        let other = request.evaluate(&[of_6_1]).ok()?.pop()?.result.ok()?;
        let differs = (other.raw_bytes, other.usable_bytes) != (merged.raw_bytes, merged.usable_bytes);
        differs.then(|| {
            format!(
                "{} differs: it keeps 128 bytes a page, and {} bytes are usable (--kernel 6.1)",
                of_6_1.heading(),
                other.usable_bytes
            )
        })
    }

    fn print(&self, results: &[CapacityResult], start: u64) -> anyhow::Result<()> {
        let mut table = Grid::new();
        table.set_header([String::new()].into_iter().chain(results.iter().map(|of_rules| of_rules.rules.heading())));
        for (nr, (label, _)) in Breakdown::default().lines().into_iter().enumerate() {
            table.add_row([label.to_owned()].into_iter().chain(results.iter().map(|of_rules| cell(of_rules, nr))));
        }
        table.right_align(1..1 + results.len());
        print(table)?;
        for of_rules in results {
            let heading = of_rules.rules.heading();
            match (&of_rules.result, self.usable) {
                (Ok(breakdown), None) => print(format!(
                    "{heading}: {} bytes usable, from {} on at {:#x}",
                    breakdown.usable_bytes,
                    ByteSize(breakdown.data_offset()),
                    start + breakdown.data_offset()
                ))?,
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
