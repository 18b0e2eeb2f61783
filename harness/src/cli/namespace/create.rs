//! The command `pfnbench namespace create`.

use super::from_args::FromArgs;
use super::kernel_args::OneKernelArgs;
use super::memory_args::{MemmapArg, NearbyMemoryArgs};
use super::region_args::RegionAtArgs;
use crate::cli::{Answer, Json, print, print_json};
use crate::pmem::create_namespace::NewNamespace;
use crate::size::parse_size;
use clap::{Args, ValueEnum};
use memmap_layouts::ByteSize;
use memmap_layouts::nvdimm::label::NamespaceKind;
use memmap_layouts::nvdimm::storage::Access;
use serde_json::json;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModeArg {
    /// Block device without records
    Raw,
    /// Block device with records, for file systems with DAX
    Fsdax,
    /// Character device that processes map
    Devdax,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench namespace create /dev/shm/pmem0 --size 16M
  pfnbench namespace create pmem0 --size 64G --mode devdax --memmap mem
  pfnbench namespace create pmem0 --size 16M --kernel 6.1
  pfnbench namespace create pmem0 --size 16M --from iomem.txt

Exit codes: 0 success; 1 the region has no space or cannot be divided there, or
the medium or its labels cannot be used; 2 a file, size, alignment or name is
invalid, or a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct CreateArgs {
    #[command(flatten)]
    region: RegionAtArgs,
    /// Size, a multiple of the region's alignment, e.g. 16M
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    size: u64,
    /// Kind of device that the namespace becomes
    #[arg(long, value_enum, default_value_t = ModeArg::Fsdax)]
    mode: ModeArg,
    /// Where the records are stored
    #[arg(long, alias = "map", value_enum, default_value_t = MemmapArg::Dev)]
    memmap: MemmapArg,
    /// Alignment of the data: 4K, 2M or 1G
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "2M")]
    align: u64,
    /// Name of the namespace; default: the first free namespace0.N
    #[arg(long)]
    name: Option<String>,
    /// Start at the next sub-section boundary if the first free byte is not on
    /// one; Linux starts at that byte, and then refuses the namespace
    #[arg(long)]
    next_sub_section: bool,
    #[command(flatten)]
    from: FromArgs,
    #[command(flatten)]
    nearby: NearbyMemoryArgs,
    #[command(flatten)]
    kernel: OneKernelArgs,
    #[command(flatten)]
    pub(super) json: Json,
}

impl CreateArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let (mut region, described) = self.region.open_described(&self.from, Access::Write, self.json)?;
        let request = NewNamespace {
            size: self.size,
            kind: match self.mode {
                ModeArg::Raw => NamespaceKind::Raw,
                ModeArg::Fsdax => NamespaceKind::FsDax,
                ModeArg::Devdax => NamespaceKind::DevDax,
            },
            records: self.memmap.records(),
            align: self.align,
            name: self.name.clone(),
            skips_to_sub_section: self.next_sub_section,
            nearby: self.nearby.nearby(described.as_ref()),
            rules: self.kernel.rules(),
        };
        let created = request.create(&mut region)?;
        let (name, mode, start) = (&created.name, created.kind.name(), created.start);
        match self.json.json {
            true => print_json(&json!({
                "name": name, "uuid": created.uuid.to_string(), "mode": mode, "start": start,
                "size_bytes": created.size_bytes, "usable_bytes": created.usable_bytes,
            }))?,
            false => print(format!(
                "{name}: {} of {} usable, at {start:#x}, {mode}",
                ByteSize(created.usable_bytes),
                ByteSize(created.size_bytes)
            ))?,
        }
        Ok(Answer::Yes)
    }
}
