//! The command `pfnbench namespace create`.

use super::MapArg;
use super::around::WorldArgs;
use super::media::{MediumArgs, around};
use super::remedy::{Tried, tried};
use crate::cli::{Answer, Json, print, print_json};
use crate::pmem::capacity::HOST;
use crate::pmem::refusal::Subject;
use crate::pmem::refusal::shell::quoted;
use crate::size::{argument, parse_size};
use clap::{Args, ValueEnum};
use memmap_layouts::Bytes;
use memmap_layouts::nvdimm::RecordsOn;
use memmap_layouts::nvdimm::division::{DivisionError, MIN_HOST_BYTES};
use memmap_layouts::nvdimm::label::{InvalidTable, NamespaceKind};
use memmap_layouts::nvdimm::region::{NamespaceSpec, Region, RegionError};
use memmap_layouts::nvdimm::storage::{Access, StorageFile};
use serde_json::json;
use uuid::Uuid;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModeArg {
    /// A block device without records
    Raw,
    /// A block device with records, for file systems
    Fsdax,
    /// A character device to be mapped
    Devdax,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench namespace create /dev/shm/pmem0 --size 16M
  pfnbench namespace create pmem0 --size 64G --mode devdax --align 1G --map mem

Exit codes: 0 made, 1 the region has no room or cannot hold it there, 2 a size or an alignment that cannot be.")]
pub(super) struct CreateArgs {
    #[command(flatten)]
    medium: MediumArgs,
    /// Size, a multiple of the region's alignment, e.g. 16M
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    size: u64,
    /// Kind of device that the namespace becomes
    #[arg(long, value_enum, default_value_t = ModeArg::Fsdax)]
    mode: ModeArg,
    /// Where the records are stored
    #[arg(long, value_enum, default_value_t = MapArg::Dev)]
    map: MapArg,
    /// Alignment of the data: 4K, 2M or 1G
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "2M")]
    align: u64,
    /// Name of the namespace; namespace0.N by default
    #[arg(long)]
    name: Option<String>,
    /// Start at the next sub-section if the first free place is not on a sub-section; Linux takes
    /// that place, and refuses it
    #[arg(long)]
    next_sub_section: bool,
    #[command(flatten)]
    world: WorldArgs,
    #[command(flatten)]
    pub(super) json: Json,
}

/// A default name that no namespace of the region has.
fn unused(region: &Region<StorageFile>) -> String {
    let is_free = |name: &String| region.labels().iter().all(|label| label.name != *name);
    (0u64..).map(|nr| format!("namespace0.{nr}")).find(is_free).unwrap_or_default()
}

/// Formats a name for a sentence, quoted if it would otherwise be hard to see.
fn shown(name: &str) -> String {
    quoted(&name.escape_debug().to_string())
}

impl CreateArgs {
    fn wanted(&self, region: &Region<StorageFile>) -> NamespaceSpec {
        NamespaceSpec {
            size: self.size,
            align: self.align,
            kind: match self.mode {
                ModeArg::Raw => NamespaceKind::Raw,
                ModeArg::Fsdax => NamespaceKind::FsDax,
                ModeArg::Devdax => NamespaceKind::DevDax,
            },
            records: self.map.records(),
            name: self.name.clone().unwrap_or_else(|| unused(region)),
            uuid: Uuid::new_v4().into_bytes(),
            instance: Uuid::new_v4().into_bytes(),
            skips_to_sub_section: self.next_sub_section,
        }
    }

    /// Arguments that would work instead.
    fn remedies(&self, region: &Region<StorageFile>, wanted: &NamespaceSpec, error: &RegionError) -> Vec<String> {
        let rules = self.world.rules.rules();
        let with = |arguments: String, change: &dyn Fn(&mut NamespaceSpec)| {
            let mut request = wanted.clone();
            change(&mut request);
            Tried::new(arguments, request)
        };
        let size = |size| with(format!("--size {}", argument(size)), &|one| one.size = size);
        let align = |align| with(format!("--align {}", argument(align)), &|one| one.align = align);
        let raw = || with("--mode raw".to_owned(), &|one| one.kind = NamespaceKind::Raw);
        let skip = || with("--next-sub-section".to_owned(), &|one| one.skips_to_sub_section = true);
        let in_ram = |align| {
            with(format!("--map mem --align {}", argument(align)), &|one| {
                (one.records, one.align) = (RecordsOn::Ram, align);
            })
        };
        // All of the largest free piece, and of what it has from its first sub-section on, if that is less.
        let largest = |pieces: Vec<(u64, u64)>| pieces.iter().map(|(_, len)| *len).max();
        let most = || {
            let (whole, on_grid) = (largest(region.free()), largest(region.room_for(wanted.kind, &HOST, &rules)));
            let skipping = on_grid.filter(|_| on_grid != whole).map(|len| {
                with(format!("--next-sub-section --size {}", argument(len)), &|one| {
                    (one.skips_to_sub_section, one.size) = (true, len);
                })
            });
            whole.map(size).into_iter().chain(skipping)
        };
        // What is not much more than head and one alignment of data, which may be another one.
        let least = |align: u64, more: &'static str| {
            let grid = align.max(MIN_HOST_BYTES).max(region.align());
            (1..=4u64).map(move |nr| grid.saturating_mul(nr)).map(move |size| {
                with(format!("--size {}{more}", argument(size)), &|one| (one.size, one.align) = (size, align))
            })
        };
        let (of_its_own, of_2m) = (|| least(wanted.align, ""), || least(2 << 20, " --align 2M"));
        let candidates: Vec<Tried<NamespaceSpec>> = match error {
            RegionError::Size { size: asked, align } => {
                let (below, above) = (asked - asked % align, asked.div_ceil(*align).max(1).saturating_mul(*align));
                [size(below), size(above)].into_iter().chain(of_its_own()).chain(of_2m()).chain(most()).collect()
            }
            RegionError::NoSpace { .. } => most().collect(),
            RegionError::Taken { .. } | RegionError::Beyond { .. } => of_its_own().collect(),
            RegionError::Division(DivisionError::StartMisaligned { .. }) => {
                [skip(), align(2 << 20), in_ram(2 << 20)].into_iter().chain(of_its_own()).collect()
            }
            RegionError::Division(DivisionError::BelowMinimum { .. }) => of_its_own().collect(),
            RegionError::Division(DivisionError::TooSmall { works, .. }) => {
                let larger =
                    works.and_then(|works| works.checked_next_multiple_of(region.align())).map(size).into_iter();
                larger.chain([in_ram(wanted.align), align(2 << 20), in_ram(2 << 20)]).chain(most()).collect()
            }
            RegionError::Division(DivisionError::Align { aligns, .. }) => {
                aligns.iter().rev().map(|one| align(*one)).collect()
            }
            RegionError::InvalidTable(InvalidTable::Name { .. }) => {
                let name = unused(region);
                vec![with(format!("--name {name}"), &|one| one.name.clone_from(&name))]
            }
            _ => Vec::new(),
        };
        // The same from the next sub-section on, where the first place is none; then without records.
        let skipping = candidates.iter().filter(|one| !one.request.skips_to_sub_section).map(|one| {
            let request = NamespaceSpec { skips_to_sub_section: true, ..one.request.clone() };
            Tried::new(format!("--next-sub-section {}", one.arguments), request)
        });
        let skipping: Vec<_> = skipping.collect();
        let raw = matches!(error, RegionError::Division(_)).then(raw);
        let candidates = candidates.into_iter().chain(skipping).chain(raw);
        tried(candidates, |one| region.would_hold(one, &self.world.around.surroundings(), &HOST, &rules))
    }

    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let mut region = self.medium.open(Access::Write, self.json)?;
        let wanted = self.wanted(&region);
        let (name, size) = (&wanted.name, self.size);
        let result =
            region.create_namespace(&wanted, &self.world.around.surroundings(), &HOST, &self.world.rules.rules());
        let division = result.map_err(|error| {
            let subject = Subject::of(format!("{} of {} ({size} bytes)", shown(name), Bytes(size)));
            let works = self.remedies(&region, &wanted, &error);
            let around = [around(&region, None), self.world.around.named()].concat();
            anyhow::Error::new(error).context(subject.among(around).with(works))
        })?;
        let start = region.namespace(region.label(&wanted.uuid)?).start;
        let usable = division.map_or(size, |division| division.usable());
        let mode = wanted.kind.name();
        match self.json.json {
            true => print_json(&json!({
                "name": name, "uuid": Uuid::from_bytes(wanted.uuid).to_string(), "mode": mode, "start": start,
                "size_bytes": size, "usable_bytes": usable,
            }))?,
            false => print(format!("{name}: {} of {} usable, at {start:#x}, {mode}", Bytes(usable), Bytes(size)))?,
        }
        Ok(Answer::Yes)
    }
}
