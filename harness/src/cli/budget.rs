//! The command `pfnbench budget`.

use super::architecture_arg::architectures;
use super::{Answer, Json, print, print_json};
use crate::analysis::compare;
use crate::budget::plan::{KATA_FACTOR, Order, StepRow, most_per_free_byte};
use crate::budget::request::{default_start, x86_block_bytes};
use crate::budget::step_time::MEASURED_PAGE_BYTES;
use crate::budget::{Budget, DirectMap, HotAddTimes, Need, RecordsIn, Request, Way};
use crate::hotplug_check::architecture::Architecture;
use crate::kernel_version::KernelVersion;
use crate::present::terminal::Grid;
use crate::size::parse_size;
use crate::units::time;
use clap::{Args, ValueEnum};
use memmap_layouts::ByteSize;
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench budget --guest 2G --add 120G
  pfnbench budget --guest 256M --add 12G --free 200M
  pfnbench budget --guest 2G --add 1T --step 128M --auto-online
  pfnbench budget --guest 4G --add 64G --memmap-on-memory --json
  pfnbench budget --guest 4G --add 64G --step 1G --run results/MACHINE/RUN

Records (struct page) and page tables of added memory are allocated before it
is online. Memory blocks' own entries in sysfs are not counted.

Exit codes: 0 it fits; 1 it does not fit; 2 cannot judge, or a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct BudgetArgs {
    /// RAM of the guest
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    guest: u64,
    /// Memory to add
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    add: u64,
    /// Memory that one request adds, e.g. the size of a DIMM [default: all of it]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    step: Option<u64>,
    /// The kernel puts each step online in a kernel zone before the next is added (online_kernel in
    /// auto_online_blocks); memory in ZONE_MOVABLE cannot hold records
    #[arg(long)]
    auto_online: bool,
    /// Free memory of the guest, MemFree in /proc/meminfo [default: that of an idle guest, 75 % of
    /// its RAM]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    free: Option<u64>,
    /// Keep records on the device that is added
    #[arg(long, conflicts_with = "memmap_on_memory")]
    altmap: bool,
    /// Keep records at the start of each added memory block (memory_hotplug.memmap_on_memory)
    #[arg(long)]
    memmap_on_memory: bool,
    /// Size of a memory block [default: what Linux chooses for the guest]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    block_size: Option<u64>,
    /// Architecture [default: x86-64; with pages of 16K or 64K, arm64]
    #[arg(long, value_name = "ARCH", value_parser = architectures(&ARCHITECTURES))]
    arch: Option<Architecture>,
    /// Size of a page: 4K, 16K or 64K
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "4K")]
    page_size: u64,
    /// Size of a record in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    record_bytes: u64,
    /// Largest pages of the direct map. Default: 2M with pages of 4K, else base
    #[arg(long, value_enum, value_name = "PAGES")]
    direct_map: Option<DirectMapArg>,
    /// Physical address of the added memory [default: the multiple of 1 GiB behind the guest's RAM]
    #[arg(long, value_name = "ADDRESS", value_parser = parse_size)]
    start: Option<u64>,
    /// Kernel of the guest, e.g. 6.12
    #[arg(long, value_name = "VERSION", default_value_t = KernelVersion::CURRENT)]
    kernel: KernelVersion,
    /// Run folder with hot-adds measured on your machine [default: those of the reference machine]
    #[arg(long, value_name = "FOLDER")]
    run: Option<PathBuf>,
    #[command(flatten)]
    json: Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DirectMapArg {
    /// Base pages
    #[value(name = "base")]
    Base,
    /// Pages of 2 MiB
    #[value(name = "2M")]
    Pmd,
    /// Pages of 1 GiB where a request covers whole gigabytes
    #[value(name = "1G")]
    Pud,
}

/// The architectures whose page tables are known here.
const ARCHITECTURES: [Architecture; 3] = [Architecture::X86_64, Architecture::X86_64La57, Architecture::Arm64];

impl BudgetArgs {
    fn request(&self) -> anyhow::Result<Request> {
        let of_pages = if self.page_size == 4096 { Architecture::X86_64 } else { Architecture::Arm64 };
        let architecture = self.arch.unwrap_or(of_pages);
        let rules = architecture.rules(self.page_size, self.kernel)?;
        let section_bytes = 1 << rules.section_bits;
        let block_bytes = self.block_size.unwrap_or_else(|| match architecture.is_x86() {
            true => x86_block_bytes(self.guest, section_bytes),
            false => section_bytes,
        });
        Ok(Request {
            guest_bytes: self.guest,
            start: self.start.unwrap_or_else(|| default_start(self.guest, block_bytes)),
            add_bytes: self.add,
            step_bytes: self.step.unwrap_or(self.add),
            block_bytes,
            page_bytes: self.page_size,
            record_bytes: self.record_bytes,
            records_in: match (self.altmap, self.memmap_on_memory) {
                (true, _) => RecordsIn::Device,
                (_, true) => RecordsIn::Block,
                _ => RecordsIn::Ram,
            },
            direct_map: match self.direct_map {
                Some(DirectMapArg::Base) => DirectMap::Base,
                Some(DirectMapArg::Pmd) => DirectMap::Pmd,
                Some(DirectMapArg::Pud) => DirectMap::Pud,
                None if self.page_size == 4096 => DirectMap::Pmd,
                None => DirectMap::Base,
            },
            section_bytes,
            address_end: 1 << rules.physical_bits,
        })
    }

    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let budget = Budget::new(self.request()?, self.free, self.kernel)?;
        let records_in = budget.request.records_in;
        let times = match &self.run {
            Some(folder) => Some(HotAddTimes::of_run(&compare::read(folder)?, records_in)?),
            None => HotAddTimes::reference(records_in),
        };
        let way = budget.way(self.auto_online);
        let answer = if way.first_failing.is_none() { Answer::Yes } else { Answer::No };
        if self.json.json {
            let step_time =
                times.as_ref().and_then(|times| times.of_step(budget.request.step_bytes, budget.request.page_bytes));
            print_json(&json!({
                "budget": budget,
                "way": way.order,
                "fits": way.first_failing.is_none(),
                "step_time": step_time,
                "times": times,
                "kernel": self.kernel,
            }))?;
            return Ok(answer);
        }
        print_request(&budget)?;
        print(steps_table(&budget))?;
        print(ways_table(&budget))?;
        print(verdict(&budget, way))?;
        for line in limits(&budget).into_iter().chain(times.map(|times| step_time(&budget, &times))) {
            print(line)?;
        }
        Ok(answer)
    }
}

/// Where records live, in words.
fn place(records_in: RecordsIn) -> &'static str {
    match records_in {
        RecordsIn::Ram => "in RAM",
        RecordsIn::Device => "on the device",
        RecordsIn::Block => "in each added block",
    }
}

fn print_request(budget: &Budget) -> anyhow::Result<()> {
    let request = &budget.request;
    let (step, free) = (ByteSize(request.step_bytes), ByteSize(budget.free.bytes));
    let steps = if request.nr_steps() > 1 { format!(" in steps of {step}") } else { " in one request".to_owned() };
    print(format!(
        "Guest of {}; {} at {:#x}{steps}; blocks of {}, records of {} bytes {}.",
        ByteSize(request.guest_bytes),
        ByteSize(request.add_bytes),
        request.start,
        ByteSize(request.block_bytes),
        request.record_bytes,
        place(request.records_in)
    ))?;
    print(match budget.free.is_given {
        true => format!("Free memory: {free}, as given."),
        false => format!(
            "Free memory: {free} for records, and for all together {}, what the guest's own records leave. This assumes \
             an idle guest, which has 75 % of its RAM free; give --free SIZE (MemFree in /proc/meminfo).",
            ByteSize(budget.free.limit_bytes)
        ),
    })
}

fn yes_or_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

fn steps_table(budget: &Budget) -> Grid {
    let mut table = Grid::plain();
    let records = format!("records\n{}", place(budget.request.records_in));
    let heading =
        ["step", "added", &records, "direct map\ntables", "vmemmap\ntables", "RAM\nneeded", "fits before\nonline"];
    table.set_header(heading);
    for StepRow { step, added_bytes, need, fits } in &budget.steps {
        let Need { ram_records, device_records, block_records, direct_map_tables, vmemmap_tables } = *need;
        let records = ram_records + device_records + block_records;
        let sizes = [*added_bytes, records, direct_map_tables, vmemmap_tables, need.ram()];
        let sizes = sizes.map(|bytes| ByteSize(bytes).to_string());
        table.add_row(std::iter::once(step.to_string()).chain(sizes).chain([yes_or_no(*fits)]));
    }
    table.right_align(0..6);
    table
}

fn ways_table(budget: &Budget) -> Grid {
    let mut table = Grid::plain();
    table.set_header(["way to add all", "steps", "RAM needed of\nthe guest's own", "fits"]);
    for way in &budget.ways {
        let step = ByteSize(way.step_bytes);
        let name = match way.order {
            Order::Whole => "one request".to_owned(),
            Order::Steps => format!("steps of {step}, online at the end"),
            Order::StepsOnline => format!("steps of {step}, online one by one"),
        };
        let fits = match way.first_failing {
            None => yes_or_no(true),
            Some(_) if way.steps == 1 => yes_or_no(false),
            Some(step) => format!("no, step {step} fails"),
        };
        table.add_row([name, way.steps.to_string(), ByteSize(way.own_ram_bytes).to_string(), fits]);
    }
    table.right_align(1..3);
    table
}

fn verdict(budget: &Budget, way: &Way) -> String {
    let (step, total) = (budget.largest_step_bytes, budget.largest_total_bytes);
    let fits = match way.first_failing {
        None => "It fits.",
        Some(_) => "It does not fit.",
    };
    let largest = match (step, total) {
        (0, _) => format!("Not even one block of {} fits.", ByteSize(budget.request.block_bytes)),
        (step, total) if step == total => {
            format!("Largest safe step, and largest total before memory is online: {}.", ByteSize(step))
        }
        (step, total) => format!(
            "Largest safe step: {}; largest total of steps before memory is online: {}.",
            ByteSize(step),
            ByteSize(total)
        ),
    };
    format!("{fits} {largest}")
}

fn limits(budget: &Budget) -> Vec<String> {
    let request = &budget.request;
    let mut lines = vec![
        "Memory that is put online in ZONE_MOVABLE cannot hold records or page tables; it counts as online at the end."
            .to_owned(),
    ];
    if let Some(bound) = budget.bound_bytes {
        lines.push(format!(
            "Bound: free memory holds the records of at most {} times as much ({}). For comparison, kata-containers adds \
             at most {KATA_FACTOR} times the guest's RAM ({}).",
            most_per_free_byte(request),
            ByteSize(bound),
            ByteSize(budget.kata_bytes)
        ));
    }
    if request.records_in == RecordsIn::Block {
        lines.push(format!(
            "The records take {} of the added memory; {} are left.",
            ByteSize(budget.need.block_records),
            ByteSize(budget.usable_bytes)
        ));
    }
    lines.push(match (budget.largest_order, request.records_in) {
        (0, RecordsIn::Ram) => "Largest allocation: one page (order 0).".to_owned(),
        (0, _) => "Largest allocation in RAM: one page (order 0), for page tables.".to_owned(),
        (order, _) => format!(
            "Largest allocation: order {order} ({}) for records. Where fragmentation leaves none, Linux takes base pages \
             and at most {} more page tables.",
            ByteSize(request.pmd_bytes()),
            ByteSize(budget.fallback_bytes)
        ),
    });
    lines
}

fn step_time(budget: &Budget, times: &HotAddTimes) -> String {
    let (bytes, page_bytes) = (budget.request.step_bytes, budget.request.page_bytes);
    let HotAddTimes { layout, from, .. } = times;
    match times.of_step(bytes, page_bytes) {
        None => format!("Time of a step: unknown; {from} measured no hot-add with so few records."),
        Some(step) => {
            let as_many = match page_bytes {
                MEASURED_PAGE_BYTES => String::new(),
                _ => format!(
                    ", which has as many records as {} with pages of 4 KiB",
                    ByteSize(bytes / page_bytes * MEASURED_PAGE_BYTES)
                ),
            };
            let measured = ByteSize(step.measured_bytes);
            let scaled = match step.times {
                1.0 => String::new(),
                times => format!(", {} times the median of {measured}", crate::units::three_digits(times)),
            };
            let p99 = match step.measured_p99_ns {
                Some(ns) => format!("; 99 % of hot-adds of {measured} took at most {}", time(ns)),
                None => String::new(),
            };
            format!(
                "Time of a step of {}{as_many}: {}{scaled}{p99} ({from}: layout {layout}). It is the time of records in user \
                 space; a kernel also makes the direct map and the memory blocks.",
                ByteSize(bytes),
                time(step.p50_ns)
            )
        }
    }
}
