//! The command `pfnbench fits`.

use super::architecture_arg::architectures;
use super::{Answer, Json, print, print_json, tell};
use crate::audit::place_namespaces;
use crate::hotplug_check::architecture::Architecture;
use crate::hotplug_check::block_size::BlockSizeOrigin;
use crate::hotplug_check::machine::{MachineDescription, PreparedMachine};
use crate::hotplug_check::request::{Request, RequestKind};
use crate::hotplug_check::sequence::{self, Outcome, Played, Step};
use crate::hotplug_check::verdict::{Removal, Verdict};
use crate::kernel_version::KernelVersion;
use crate::map::PhysicalMap;
use crate::map::inventory::Span;
use crate::map::source::Source;
use crate::pmem::refusal::Refusal;
use crate::size::parse_size;
use anyhow::{Context, bail};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use memmap_layouts::ByteSize;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Limit on the length of a sequence in bytes.
const MAX_SEQUENCE_BYTES: u64 = 4 << 20;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench fits 0x1040000000+2G --block-size 2G
  pfnbench fits 0xc8000000+1G --arch arm64 --kernel 5.10
  pfnbench fits 0xa90a00000-0xa9fffffff --as kmem --map iomem.txt
  pfnbench fits 0x104000000+64M --as device --kernel 5.2 --map iomem.txt
  pfnbench fits --sequence plugs.txt --map builtin:vm-20g --guest

Several RANGEs are requests in a row: what one adds is there for the next. With
commas between them, ranges are those of one device (kmem, extent, device).

A line of a sequence is `add RANGE[,RANGE...] [as KIND] [node N]` or
`remove RANGE[,RANGE...]`; `#` starts a comment.

Exit codes: 0 accepted; 1 refused; 2 cannot judge, or a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct FitsArgs {
    /// Physical range: START+SIZE, or FIRST-LAST as in /proc/iomem; addresses are hexadecimal
    #[arg(value_name = "RANGE", required_unless_present = "sequence")]
    ranges: Vec<String>,
    /// Kind of memory that is to be added
    ///
    /// dimm: RAM that ACPI announces, real or of QEMU. virtio-mem: the region of such a device. cxl:
    /// a CXL region, which becomes RAM. extent: extents of CXL dynamic capacity with one tag, as
    /// posted (v11). kmem: a DAX device that becomes RAM. device: a device mapping, as of a namespace.
    /// cxl-window: a window that the firmware describes.
    #[arg(long = "as", value_name = "KIND", default_value = "dimm", value_parser = kinds())]
    kind: RequestKind,
    /// Size of a memory block, e.g. 128M; default: the one that the kernel chooses on this map
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    block_size: Option<u64>,
    /// Architecture
    #[arg(long, value_name = "ARCH", default_value = "x86-64", value_parser = architectures(&Architecture::ALL))]
    arch: Architecture,
    /// Size of a page: 4K, 16K or 64K; default: 64K on ppc64, else 4K
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    page_size: Option<u64>,
    /// Version of Linux whose rules apply
    #[arg(long, value_name = "VERSION", default_value_t = KernelVersion::CURRENT)]
    kernel: KernelVersion,
    /// What is there: a file, - for standard input, or builtin:NAME
    ///
    /// Accepts what `pfnbench map` accepts. Without it, only block, section and address rules apply.
    #[arg(long, value_name = "FILE")]
    map: Option<Source>,
    /// The machine is a guest; default: bare metal
    ///
    /// It matters for the size of memory blocks on x86-64 and ppc64.
    #[arg(long)]
    guest: bool,
    /// NUMA node to which RAM is added
    #[arg(long, value_name = "NODE")]
    node: Option<u8>,
    /// Play additions and removals from a file, - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "ranges")]
    sequence: Option<PathBuf>,
    #[command(flatten)]
    json: Json,
}

fn kinds() -> impl TypedValueParser<Value = RequestKind> {
    let names = RequestKind::ALL.map(|kind| match kind {
        RequestKind::Device => PossibleValue::new(kind.name()).alias("namespace"),
        _ => PossibleValue::new(kind.name()),
    });
    PossibleValuesParser::new(names).try_map(|name| name.parse::<RequestKind>())
}

/// Reads the text of a sequence.
fn read_sequence(path: &Path) -> anyhow::Result<String> {
    let is_stdin = path.as_os_str() == "-";
    let from = if is_stdin { "standard input".to_owned() } else { path.display().to_string() };
    let unreadable = || format!("cannot read the sequence {from}");
    let source: Box<dyn Read> =
        if is_stdin { Box::new(std::io::stdin()) } else { Box::new(File::open(path).with_context(unreadable)?) };
    let mut bytes = Vec::new();
    source.take(MAX_SEQUENCE_BYTES + 1).read_to_end(&mut bytes).with_context(unreadable)?;
    if bytes.len() as u64 > MAX_SEQUENCE_BYTES {
        bail!("the sequence {from} is larger than the limit of {}; split it", ByteSize(MAX_SEQUENCE_BYTES));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl FitsArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        if self.map == Some(Source::Stdin) && self.sequence.as_deref() == Some(Path::new("-")) {
            bail!("--map - and --sequence - both read standard input; give one of them as a file");
        }
        let steps = self.steps()?;
        let mut reading = self.map.as_ref().map(Source::read).transpose()?;
        reading.iter_mut().for_each(place_namespaces);
        let inventory = reading.as_ref().map(|reading| reading.inventory.clone());
        let map = reading.map(|reading| reading.map);
        let description = MachineDescription {
            architecture: self.arch,
            page_bytes: self.page_size,
            kernel: self.kernel,
            block_bytes: self.block_size,
            bare_metal: !self.guest,
            map: map.as_ref(),
            inventory: inventory.as_ref(),
        };
        let mut machine = description.prepare()?;
        let head = self.head(&machine, map.as_ref());
        let warnings: Vec<String> =
            map.iter().flat_map(|map| &map.warnings).chain(machine.warnings()).cloned().collect();
        let played = machine.play(&steps);
        if self.json.json {
            print_json(&self.report(&machine, map.as_ref(), &warnings, &played))?;
        } else {
            warnings.iter().for_each(|warning| tell(&format!("warning: {warning}")));
            head.iter().try_for_each(print)?;
            self.show(&machine, &played)?;
        }
        Ok(if played.is_accepted() { Answer::Yes } else { Answer::No })
    }

    fn steps(&self) -> anyhow::Result<Vec<Step>> {
        let with_node = |request: Request| Request { node: request.node.or(self.node), ..request };
        if let Some(path) = &self.sequence {
            let mut steps = sequence::parse(&read_sequence(path)?, self.kind)
                .with_context(|| format!("the sequence {} cannot be used", path.display()))?;
            for step in &mut steps {
                if let sequence::Action::Add(request) = &mut step.action {
                    *request = with_node(request.clone());
                }
            }
            return Ok(steps);
        }
        let request = |(nr, text): (usize, &String)| {
            let request = with_node(Request::parse(text, self.kind)?);
            Ok(Step { line: nr + 1, action: sequence::Action::Add(request) })
        };
        self.ranges.iter().enumerate().map(request).collect()
    }

    /// The lines that say on which machine the requests are judged.
    fn head(&self, machine: &PreparedMachine<'_>, map: Option<&PhysicalMap>) -> [String; 3] {
        let guest = if self.guest { "in a guest" } else { "on bare metal" };
        let pages = ByteSize(1 << machine.rules().page_shift);
        let map = match map {
            Some(map) => format!("map:           {}, {}", map.name, map.summary()),
            None => "map:           none, so only block, section and address rules apply".to_owned(),
        };
        let blocks = machine.block_size();
        [
            format!("machine:       {} with pages of {pages}, Linux {}, {guest}", self.arch, self.kernel),
            map,
            format!("memory blocks: {}: {}", ByteSize(blocks.bytes), blocks.origin),
        ]
    }

    fn report(
        &self,
        machine: &PreparedMachine<'_>,
        map: Option<&PhysicalMap>,
        warnings: &[String],
        played: &Played,
    ) -> Value {
        let blocks = machine.block_size();
        let step = |(step, outcome): &(Step, Outcome)| match outcome {
            Outcome::Added(verdict) => json!({ "line": step.line, "add": verdict.json() }),
            Outcome::Removed(removal) => json!({ "line": step.line, "remove": {
                "ranges": removal.spans,
                "accepted": removal.refusal.is_none(),
                "refusal": removal.refusal.as_ref().map(Refusal::json),
            } }),
        };
        let origin = match blocks.origin {
            BlockSizeOrigin::Stated => "stated",
            BlockSizeOrigin::Given => "given",
            BlockSizeOrigin::Chosen(_) => "chosen",
            BlockSizeOrigin::Assumed(_) => "assumed",
        };
        json!({
            "architecture": self.arch.name(),
            "page_bytes": 1u64 << machine.rules().page_shift,
            "section_bytes": 1u64 << machine.rules().section_bits,
            "kernel": self.kernel,
            "bare_metal": !self.guest,
            "map": map.map(|map| &map.name),
            "block_size": { "bytes": blocks.bytes, "origin": origin, "reason": blocks.origin.to_string() },
            "accepted": played.is_accepted(),
            "steps": played.outcomes.iter().map(step).collect::<Vec<Value>>(),
            "present": played.present,
            "warnings": warnings,
        })
    }

    fn show(&self, machine: &PreparedMachine<'_>, played: &Played) -> anyhow::Result<()> {
        for (step, outcome) in &played.outcomes {
            print("")?;
            if self.sequence.is_some() {
                print(format!("line {}: {}", step.line, step.action))?;
            }
            match outcome {
                Outcome::Added(verdict) => show_verdict(machine, verdict)?,
                Outcome::Removed(removal) => show_removal(removal)?,
            }
        }
        if self.sequence.is_none() {
            return Ok(());
        }
        let refused = played.outcomes.iter().filter(|(_, outcome)| !outcome.is_accepted()).count();
        print(format!("\nat the end, apart from the map ({refused} of {} refused):", played.outcomes.len()))?;
        for present in &played.present {
            print(format!("  {}  {}", present.span, present.what))?;
        }
        if played.present.is_empty() { print("  nothing") } else { Ok(()) }
    }
}

/// The numbers of the memory blocks of a range: `memory65 to memory66`.
fn block_numbers(span: Span, block_bytes: u64) -> String {
    let (first, last) = (span.start / block_bytes, (span.end - 1) / block_bytes);
    if first == last { format!("memory{first}") } else { format!("memory{first} to memory{last}") }
}

fn show_verdict(machine: &PreparedMachine<'_>, verdict: &Verdict) -> anyhow::Result<()> {
    if verdict.is_accepted() {
        print(format!("{}: accepted", verdict.request))?;
        for span in &verdict.accepted {
            match verdict.request.kind {
                RequestKind::Device => print(format!("  mapped  {span}"))?,
                RequestKind::CxlWindow => print(format!("  window  {span}"))?,
                _ => {
                    let blocks = block_numbers(*span, machine.block_size().bytes);
                    print(format!("  RAM     {span}, {blocks}"))?;
                }
            }
        }
        if verdict.lost_bytes > 0 {
            print(format!("  lost    {} of {}", ByteSize(verdict.lost_bytes), ByteSize(verdict.request.bytes())))?;
        }
        return verdict.notes.iter().try_for_each(|note| print(format!("  note    {note}")));
    }
    print(format!("{}: refused", verdict.request))?;
    verdict.refusals.iter().try_for_each(print)?;
    if !verdict.nearest.is_empty() {
        // Without a map, only the rules were asked.
        print(if machine.has_map() { "accepted instead:" } else { "accepted instead, where nothing is yet:" })?;
        let width = verdict.nearest.iter().map(|nearest| nearest.argument.len()).max().unwrap_or(0);
        verdict.nearest.iter().try_for_each(|nearest| print(format!("  {:width$}  {nearest}", nearest.argument)))?;
    }
    Ok(())
}

fn show_removal(removal: &Removal) -> anyhow::Result<()> {
    let spans: Vec<String> = removal.spans.iter().map(Span::to_string).collect();
    match &removal.refusal {
        None => print(format!("{}: removed, its blocks offline first", spans.join(", "))),
        Some(refusal) => {
            print(format!("{}: stays", spans.join(", ")))?;
            print(refusal)
        }
    }
}
