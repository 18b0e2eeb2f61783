//! The command `pfnbench namespace region`.

use super::region_args::RegionFilesArgs;
use crate::cli::{Answer, Json, print, print_json};
use crate::interrupt::Interrupt;
use crate::pmem::HOST;
use crate::pmem::create_region::NewRegion;
use crate::size::parse_size;
use anyhow::Context;
use clap::{Args, value_parser};
use memmap_layouts::ByteSize;
use serde_json::json;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench namespace region /dev/shm/pmem0 --size 4G
  pfnbench namespace region pmem0 --size 252G --start 0x187c000000
  pfnbench namespace region image             existing file; contents unchanged
  pfnbench namespace region /dev/dax0.0 --labels dax0.0.labels
  pfnbench namespace region pmem0 --size 768G --interleave 6    of six DIMMs

Exit codes: 0 success; 1 the medium or the label file cannot be used; 2 a file,
size, start or alignment is invalid, or a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct RegionArgs {
    #[command(flatten)]
    files: RegionFilesArgs,
    /// Size of the sparse file to create, e.g. 64G; an existing file or device
    /// keeps its own size
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    size: Option<u64>,
    /// Physical address of the first byte; default: the device's if the kernel
    /// reports it, else 0x100000000
    #[arg(long, value_name = "ADDRESS", value_parser = parse_size)]
    start: Option<u64>,
    /// Alignment of the starts and sizes of namespaces; default: 16M, or 4K if
    /// the region is smaller than that
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    align: Option<u64>,
    /// Number of DIMMs that take turns; the alignment is then a power of two on
    /// each of them, by default 96M in all for 6
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..))]
    interleave: u16,
    #[command(flatten)]
    pub(super) json: Json,
}

impl RegionArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let interrupt = Interrupt::listen().context("cannot listen for signals")?;
        let (files, mappings) = (self.files.files(), self.interleave);
        let request = NewRegion { files, size: self.size, start: self.start, align: self.align, mappings };
        let created = request.create(&interrupt)?;
        if created.past_sub_section_bytes != 0 {
            eprintln!(
                "warning: the region starts {} past a sub-section boundary; since Linux 5.3, namespaces that do not \
                 start at a multiple of {} have no records: use create --mode raw, or another --start",
                ByteSize(created.past_sub_section_bytes),
                ByteSize(HOST.compat_bytes)
            );
        }
        match self.json.json {
            true => print_json(&json!({
                "medium": request.files.medium, "labels": created.labels, "start": created.start,
                "size_bytes": created.size_bytes, "align_bytes": created.align_bytes, "mappings": created.mappings,
                "medium_was_there": created.is_existing_file,
            }))?,
            false => print(format!(
                "region of {} at {:#x}; namespaces start and end at multiples of {}{}",
                ByteSize(created.size_bytes),
                created.start,
                ByteSize(created.align_bytes),
                if created.is_existing_file { "; the file existed, and its contents are unchanged" } else { "" }
            ))?,
        }
        Ok(Answer::Yes)
    }
}
