//! The command `pfnbench namespace lost`.

use super::from_args::FromArgs;
use super::kernel_args::KernelsArgs;
use crate::cli::{Answer, Json, print, print_json, print_raw};
use crate::pmem::capacity::{CapacityLoss, CapacityPlan, LossOfKernel, NeighbourPlacement, kernel_losses, loss_sizes};
use crate::pmem::{HOST, KernelRules};
use crate::present::report::picture::plain;
use crate::present::terminal::Grid;
use clap::{Args, ValueEnum, value_parser};
use memmap_layouts::ByteSize;
use memmap_layouts::nvdimm::RecordsOn;
use memmap_layouts::nvdimm::region::RegionAlign;
use serde::Serialize;

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
  pfnbench namespace lost --kernel 5.10 --kernel 6.1
  pfnbench namespace lost --from iomem.txt           of each region of a machine

Records are on the medium, and the data is aligned to 2 MiB. With --from, one
namespace uses as much of each region as its alignment allows.

Exit codes: 0 success; 2 the file describes no region, or a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct LostArgs {
    /// RAM and regions that share the sections of the namespace
    #[arg(long, value_enum, default_value_t = NeighboursArg::Both, conflicts_with = "from")]
    neighbours: NeighboursArg,
    /// Number of DIMMs that take turns: sizes are multiples of their alignment
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..), conflicts_with = "from")]
    interleave: u16,
    #[command(flatten)]
    from: FromArgs,
    #[command(flatten)]
    kernels: KernelsArgs,
    /// Print CSV instead of a table
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    pub(super) json: Json,
}

/// A line of CSV: the loss under the rules of one kernel.
#[derive(Serialize)]
struct Row<'a> {
    offset_bytes: u64,
    size_bytes: u64,
    neighbours: NeighbourPlacement,
    kernel: &'a str,
    lost_bytes: u64,
    refused: bool,
}

/// The loss of a namespace that uses a region of a machine.
#[derive(Serialize)]
struct RegionLoss {
    region: String,
    start: u64,
    size_bytes: u64,
    losses: Vec<LossOfKernel>,
}

/// A line of CSV: the loss in a region under the rules of one kernel.
#[derive(Serialize)]
struct RegionRow<'a> {
    region: &'a str,
    start: u64,
    size_bytes: u64,
    kernel: &'a str,
    lost_bytes: u64,
    refused: bool,
}

fn csv(rows: impl IntoIterator<Item = impl Serialize>) -> anyhow::Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    rows.into_iter().try_for_each(|row| writer.serialize(row))?;
    print_raw(String::from_utf8(writer.into_inner()?)?.trim_end())
}

fn cell(loss: &LossOfKernel) -> String {
    match loss.refused {
        true => "refused".to_owned(),
        false => format!("{} MiB", plain(loss.lost_bytes as f64 / 1_048_576.0)),
    }
}

impl LostArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let kernels = self.kernels.kernels();
        match self.from.regions()? {
            Some((regions, origin)) => {
                let mut losses = Vec::new();
                for region in regions {
                    let extent = region.extent(None, &origin)?;
                    let around = region.nearby.surroundings();
                    let plan = CapacityPlan {
                        start: extent.start,
                        align: HOST.compat_bytes,
                        records: RecordsOn::Medium,
                        around,
                        region: Some(extent),
                    };
                    let size = region.largest_namespace();
                    let of_kernels = kernels.iter().map(|rules| LossOfKernel::new(&plan, size, *rules)).collect();
                    losses.push(RegionLoss {
                        region: region.name.clone(),
                        start: extent.start,
                        size_bytes: size,
                        losses: of_kernels,
                    });
                }
                self.print_regions(&losses, &kernels)?;
            }
            None => self.print_offsets(&kernels)?,
        }
        Ok(Answer::Yes)
    }

    fn print_regions(&self, losses: &[RegionLoss], kernels: &[KernelRules]) -> anyhow::Result<()> {
        if self.json.json {
            return print_json(&losses);
        }
        if self.csv {
            return csv(losses.iter().flat_map(|loss| {
                loss.losses.iter().map(|of_kernel| RegionRow {
                    region: &loss.region,
                    start: loss.start,
                    size_bytes: loss.size_bytes,
                    kernel: &of_kernel.kernel,
                    lost_bytes: of_kernel.lost_bytes,
                    refused: of_kernel.refused,
                })
            }));
        }
        let mut table = Grid::new();
        let headings = ["region", "start", "namespace"].map(str::to_owned).into_iter();
        table.set_header(headings.chain(kernels.iter().map(|rules| format!("lost, {}", rules.name()))));
        for loss in losses {
            let place = [loss.region.clone(), format!("{:#x}", loss.start), ByteSize(loss.size_bytes).to_string()];
            table.add_row(place.into_iter().chain(loss.losses.iter().map(cell)));
        }
        table.right_align(1..3 + kernels.len());
        print(table)
    }

    fn print_offsets(&self, kernels: &[KernelRules]) -> anyhow::Result<()> {
        let align = RegionAlign::default_for(u64::MAX, self.interleave, HOST.page_bytes);
        let losses = kernel_losses(self.neighbours.placement(), align, kernels);
        let sides: Option<Vec<_>> = losses.iter().map(CapacityLoss::of_both_sides).collect();
        match (self.json.json, self.csv, sides) {
            (true, _, Some(sides)) => return print_json(&sides),
            (true, _, None) => return print_json(&losses),
            (false, true, Some(sides)) => return csv(sides),
            (false, true, None) => {
                return csv(losses.iter().flat_map(|loss| {
                    loss.losses.iter().map(|of_kernel| Row {
                        offset_bytes: loss.offset_bytes,
                        size_bytes: loss.size_bytes,
                        neighbours: loss.neighbours,
                        kernel: &of_kernel.kernel,
                        lost_bytes: of_kernel.lost_bytes,
                        refused: of_kernel.refused,
                    })
                }));
            }
            (false, false, _) => {}
        }
        let sizes = loss_sizes(align);
        let mut table = Grid::new();
        let name = |rules: &KernelRules| match rules {
            KernelRules::Merged => "since".to_owned(),
            rules => rules.name(),
        };
        let heading = sizes
            .iter()
            .flat_map(|size| kernels.iter().map(move |rules| format!("{} {}", ByteSize(*size), name(rules))));
        table.set_header(std::iter::once("offset".to_owned()).chain(heading));
        for at_offset in losses.chunks(sizes.len()) {
            let offset = at_offset.first().map_or(0, |loss| loss.offset_bytes);
            let cells = at_offset.iter().flat_map(|loss| loss.losses.iter().map(cell));
            table.add_row(std::iter::once(ByteSize(offset).to_string()).chain(cells));
        }
        table.right_align(0..1 + kernels.len() * sizes.len());
        print(table)
    }
}
