//! Regions and namespaces over files: `pfnbench namespace region`, `create`, `list`, `check`, `enable`, `disable`, `destroy`.

use super::MapArg;
use super::records_bar::RecordsBar;
use crate::capacity::{HOST, Time};
use crate::cli::{Answer, Json, print, print_json};
use crate::refusal::{NotOne, Subject, of_region};
use crate::units::parse_size;
use crate::{shrunk_media, table};
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use memmap_layouts::layouts::{Dax, DaxX86, Subsection, VmemmapSection};
use memmap_layouts::machine::{Machine, MachineConfig};
use memmap_layouts::nvdimm::Extent;
use memmap_layouts::nvdimm::division::Surroundings;
use memmap_layouts::nvdimm::label::{LABEL_FILE_BYTES, Label, NamespaceKind};
use memmap_layouts::nvdimm::namespace::{disable, enable};
use memmap_layouts::nvdimm::region::{DEFAULT_ALIGN, Personality, Region, Wanted};
use memmap_layouts::nvdimm::storage::{Access, Medium, Storage};
use memmap_layouts::{BootMap, Bytes, Config, Hotplug, Inspect, RecordStore, SectionFlags, X86_64};
use serde_json::{Value, json};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Where a medium and its labels are.
#[derive(Args, Clone, Debug)]
struct PathArgs {
    /// The medium: a file, or /dev/daxX.Y.
    #[arg(value_name = "MEDIUM")]
    medium: PathBuf,
    /// The file of its labels; MEDIUM.labels if the medium is a file.
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
}

impl PathArgs {
    fn is_device(&self) -> bool {
        std::fs::metadata(&self.medium).is_ok_and(|metadata| metadata.file_type().is_char_device())
    }

    /// One file under two names is one file.
    fn is_medium(&self, labels: &Path) -> bool {
        let file = |path: &Path| std::fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
        labels == self.medium || file(labels).is_some_and(|labels| file(&self.medium) == Some(labels))
    }

    fn labels(&self) -> anyhow::Result<PathBuf> {
        match &self.labels {
            Some(labels) if self.is_medium(labels) => {
                bail!("{} cannot be the medium and its labels; name another file with --labels", labels.display())
            }
            Some(labels) => Ok(labels.clone()),
            None if self.is_device() => bail!(
                "{} keeps no labels, and /dev forgets files: name a file for them, as --labels {}.labels",
                self.medium.display(),
                self.medium.file_name().unwrap_or_default().display()
            ),
            None => {
                let mut name = self.medium.as_os_str().to_owned();
                name.push(".labels");
                Ok(name.into())
            }
        }
    }

    fn subject(&self) -> Subject {
        Subject::of(format!("the region of {}", self.medium.display()))
    }
}

/// A region that is there.
#[derive(Args, Clone, Debug)]
struct MediumArgs {
    #[command(flatten)]
    paths: PathArgs,
    /// Where the firmware puts the region now, if not where it was made.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_size)]
    at: Option<u64>,
}

impl MediumArgs {
    fn open(&self, access: Access) -> anyhow::Result<Region<Medium>> {
        shrunk_media::end_with_a_sentence().context("cannot prepare for media that become shorter")?;
        let labels = self.paths.labels()?;
        let medium = Medium::open(&self.paths.medium, access)?;
        let labels = Medium::open(&labels, access)?;
        Region::open(medium, labels, self.at).with_context(|| self.paths.subject())
    }
}

/// Other namespaces of a region.
fn around(region: &Region<Medium>, except: Option<&[u8; 16]>) -> Vec<(String, Extent)> {
    let others = region.labels().iter().filter(|label| Some(&label.uuid) != except);
    others.map(|label| (label.name.clone(), region.namespace(label))).collect()
}

/// A namespace as what is asked about.
fn subject(region: &Region<Medium>, label: &Label) -> Subject {
    Subject::at(&label.name, region.namespace(label)).among(around(region, Some(&label.uuid)))
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench namespace region /dev/shm/pmem0 --size 4G
  pfnbench namespace region pmem0 --size 252G --start 0x187c000000
  pfnbench namespace region /dev/dax0.0 --labels dax0.0.labels")]
pub(super) struct RegionArgs {
    #[command(flatten)]
    paths: PathArgs,
    /// Bytes of the file to be made, sparse, e.g. 64G; a device has its own.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    size: Option<u64>,
    /// Physical address of the first byte: the device's if the kernel tells it, else 0x100000000.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_size)]
    start: Option<u64>,
    /// Namespaces begin at multiples of this; 16 MiB, or 4 KiB if the region is smaller.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    align: Option<u64>,
    #[command(flatten)]
    pub(super) json: Json,
}

/// Files that go again unless all goes well.
struct Made<'a>(Vec<&'a Path>);

impl Drop for Made<'_> {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Where a region begins if nobody says it.
const DEFAULT_START: u64 = 4 << 30;

impl RegionArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let (path, labels_path) = (&self.paths.medium, self.paths.labels()?);
        let mut made = Made(Vec::new());
        let medium = match (self.paths.is_device(), self.size) {
            (true, None) => Medium::open(path, Access::Write)?,
            (true, Some(_)) => bail!("{} has its own size; leave --size out", path.display()),
            (false, None) => bail!("the size of {} is missing; say it, as --size 4G", path.display()),
            (false, Some(size)) => {
                let medium = Medium::create(path, size)?;
                made.0.push(path);
                medium
            }
        };
        let size = medium.len_bytes().with_context(|| format!("cannot ask {} for its size", path.display()))?;
        let align = self.align.unwrap_or(if size < DEFAULT_ALIGN { HOST.page_bytes } else { DEFAULT_ALIGN });
        let start = self.start.or(medium.physical_start()).unwrap_or(DEFAULT_START);
        let labels = Medium::create(&labels_path, LABEL_FILE_BYTES)?;
        made.0.push(&labels_path);
        let region = Region::create(medium, labels, start, align, &HOST).with_context(|| self.paths.subject())?;
        made.0.clear();
        let extent = region.extent();
        match self.json.json {
            true => print_json(&json!({
                "medium": path, "labels": labels_path, "start": extent.start, "size_bytes": extent.size,
                "align_bytes": align,
            }))?,
            false => print(format!(
                "region of {} at {:#x}, namespaces on multiples of {}",
                Bytes(extent.size),
                extent.start,
                Bytes(align)
            ))?,
        }
        Ok(Answer::Yes)
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModeArg {
    /// A block device without records.
    Raw,
    /// A block device with records, for file systems.
    Fsdax,
    /// A device to be mapped.
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
    /// Bytes, a multiple of the region's alignment.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    size: u64,
    /// What for.
    #[arg(long, value_enum, default_value_t = ModeArg::Fsdax)]
    mode: ModeArg,
    /// Where its records lie.
    #[arg(long, value_enum, default_value_t = MapArg::Dev)]
    map: MapArg,
    /// Alignment of its data: 4K, 2M or 1G.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "2M")]
    align: u64,
    /// Its name; namespace0.N by default.
    #[arg(long)]
    name: Option<String>,
    /// Whose rules.
    #[arg(long, value_enum, default_value_t = Time::Merged)]
    rules: Time,
    #[command(flatten)]
    pub(super) json: Json,
}

impl CreateArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let mut region = self.medium.open(Access::Write)?;
        let kind = match self.mode {
            ModeArg::Raw => NamespaceKind::Raw,
            ModeArg::Fsdax => NamespaceKind::FsDax,
            ModeArg::Devdax => NamespaceKind::DevDax,
        };
        let is_free = |name: &String| region.labels().iter().all(|label| label.name != *name);
        let unused = || (0u64..).map(|nr| format!("namespace0.{nr}")).find(is_free).unwrap_or_default();
        let name = self.name.clone().unwrap_or_else(unused);
        let (uuid, instance) = (Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes());
        let (size, align, records) = (self.size, self.align, self.map.records());
        let wanted = Wanted { size, align, kind, records, name: name.clone(), uuid, instance };
        let division =
            region.create_namespace(&wanted, &Surroundings::default(), &HOST, &self.rules.rules()).with_context(
                || Subject::of(format!("{name} of {} ({size} bytes)", Bytes(size))).among(around(&region, None)),
            )?;
        let start = region.namespace(region.label(&uuid)?).start;
        let usable = division.map_or(size, |division| division.usable());
        match self.json.json {
            true => print_json(&json!({
                "name": name, "uuid": Uuid::from_bytes(uuid).to_string(), "mode": kind.name(), "start": start,
                "size_bytes": size, "usable_bytes": usable,
            }))?,
            false => {
                print(format!("{name}: {} of {} usable, at {start:#x}, {}", Bytes(usable), Bytes(size), kind.name()))?
            }
        }
        Ok(Answer::Yes)
    }
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    medium: MediumArgs,
    #[command(flatten)]
    pub(super) json: Json,
}

impl ListArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let region = self.medium.open(Access::Read)?;
        let free: u64 = region.free().iter().map(|(_, len)| len).sum();
        if self.json.json {
            let namespaces = region.labels().iter().map(|label| {
                json!({
                    "name": label.name, "uuid": Uuid::from_bytes(label.uuid).to_string(), "mode": label.kind.name(),
                    "start": region.namespace(label).start, "size_bytes": label.size, "enabled": !label.is_disabled,
                })
            });
            let (extent, namespaces) = (region.extent(), namespaces.collect::<Vec<_>>());
            print_json(&json!({
                "start": extent.start, "size_bytes": extent.size, "align_bytes": region.align(), "free_bytes": free,
                "namespaces": namespaces,
            }))?;
            return Ok(Answer::Yes);
        }
        let mut table = table::empty();
        table.set_header(["name", "start", "size", "mode", "enabled", "uuid"]);
        for label in region.labels() {
            table.add_row([
                label.name.clone(),
                format!("{:#x}", region.namespace(label).start),
                Bytes(label.size).to_string(),
                label.kind.name().to_owned(),
                if label.is_disabled { "no" } else { "yes" }.to_owned(),
                Uuid::from_bytes(label.uuid).to_string(),
            ]);
        }
        table::right_align(&mut table, 1..3);
        print(table)?;
        print(format!(
            "{} of {} free, on multiples of {}",
            Bytes(free),
            Bytes(region.extent().size),
            Bytes(region.align())
        ))?;
        Ok(Answer::Yes)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench namespace check pmem0
  pfnbench namespace check pmem0 --at 0x104000000           after the firmware moved it by 64 MiB
  pfnbench namespace check pmem0 --rules before

Exit codes: 0 every namespace is taken, 1 one is not, 2 the region cannot be opened.")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    medium: MediumArgs,
    /// Whose rules.
    #[arg(long, value_enum, default_value_t = Time::Merged)]
    rules: Time,
    #[command(flatten)]
    pub(super) json: Json,
}

fn verdict(personality: &Personality, namespace: Extent) -> String {
    match personality {
        Personality::Raw => "a raw block device".to_owned(),
        Personality::Pages(_, settings) => format!(
            "{} of data from {} on{}",
            Bytes(settings.data_bytes(namespace)),
            Bytes(settings.block_io_offset()),
            if settings.has_dax() { "" } else { "; padded in front, so it is a block device without DAX" }
        ),
    }
}

/// The same for programs.
fn verdict_json(personality: &Personality, namespace: Extent) -> Value {
    match personality {
        Personality::Raw => json!({ "is": "raw" }),
        Personality::Pages(_, settings) => json!({
            "is": "pages", "data_bytes": settings.data_bytes(namespace), "data_offset_bytes": settings.block_io_offset(),
            "dax": settings.has_dax(),
        }),
    }
}

impl CheckArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let region = self.medium.open(Access::Read)?;
        let (mut answer, mut verdicts) = (Answer::Yes, Vec::new());
        for label in region.labels() {
            let extent = region.namespace(label);
            let (text, mut json) = match region.probe(label, &HOST, &self.rules.rules()) {
                // Old kernels forgot what they did not understand.
                Ok(Personality::Raw) if label.kind != NamespaceKind::Raw => {
                    answer = Answer::No;
                    ("taken for a raw block device, its info block forgotten".to_owned(), json!({ "is": "forgotten" }))
                }
                Ok(personality) => (verdict(&personality, extent), verdict_json(&personality, extent)),
                Err(error) => {
                    answer = Answer::No;
                    let refusal = of_region::refusal(&error, &subject(&region, label));
                    (format!("refused\n{refusal}"), json!({ "is": "refused", "error": refusal.json() }))
                }
            };
            match self.json.json {
                true => {
                    (json["name"], json["start"], json["size_bytes"]) =
                        (label.name.clone().into(), extent.start.into(), extent.size.into());
                    verdicts.push(json);
                }
                false => print(format!("{}: {text}", label.name))?,
            }
        }
        if self.json.json {
            print_json(&json!({ "namespaces": verdicts }))?;
        }
        Ok(answer)
    }
}

/// One namespace of a region.
#[derive(Debug, Args)]
pub(super) struct OneArgs {
    #[command(flatten)]
    medium: MediumArgs,
    /// Its name or uuid.
    #[arg(value_name = "NAMESPACE")]
    namespace: String,
    #[command(flatten)]
    pub(super) json: Json,
}

impl OneArgs {
    fn find(&self, region: &Region<Medium>) -> anyhow::Result<Label> {
        let uuid = |label: &Label| Uuid::from_bytes(label.uuid).to_string();
        let is_meant = |label: &&Label| label.name == self.namespace || uuid(label) == self.namespace.to_lowercase();
        let found: Vec<_> = region.labels().iter().filter(is_meant).collect();
        match found[..] {
            [one] => Ok(one.clone()),
            _ => Err(NotOne {
                name: self.namespace.clone(),
                found: found.into_iter().map(uuid).collect(),
                there: region.labels().iter().map(|label| label.name.clone()).collect(),
            })
            .with_context(|| self.medium.paths.subject()),
        }
    }

    /// What has become of it, in a few words.
    fn say(&self, label: &Label, what: &str) -> anyhow::Result<Answer> {
        match self.json.json {
            true => print_json(&json!({ "name": label.name, "is": what }))?,
            false => print(format!("{}: {what}", label.name))?,
        }
        Ok(Answer::Yes)
    }

    pub(super) fn disable(&self) -> anyhow::Result<Answer> {
        let mut region = self.medium.open(Access::Write)?;
        let label = self.find(&region)?;
        region.set_disabled(&label.uuid, true).with_context(|| subject(&region, &label))?;
        self.say(&label, "disabled")
    }

    pub(super) fn destroy(&self) -> anyhow::Result<Answer> {
        let mut region = self.medium.open(Access::Write)?;
        let label = self.find(&region)?;
        region.destroy_namespace(&label.uuid).with_context(|| subject(&region, &label))?;
        self.say(&label, "destroyed")
    }
}

/// Layouts that a machine can run here.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum LayoutArg {
    /// Whole sections, as until Linux 5.2; records in RAM.
    VmemmapSection,
    /// Sub-sections, records in RAM.
    Subsection,
    /// Sub-sections, every record on the medium, as on arm64.
    Dax,
    /// Sub-sections, records of whole sections on the medium, as on x86-64.
    DaxX86,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench namespace enable /dev/shm/pmem0 namespace0.0
  pfnbench namespace enable pmem0 namespace0.0 --at 0x104000000 --layout vmemmap-section

Exit codes: 0 it came up and every record was read, 1 it was refused, 2 the region cannot be opened.")]
pub(super) struct EnableArgs {
    #[command(flatten)]
    pub(super) one: OneArgs,
    /// The layout of the machine, whose rules it follows.
    #[arg(long, value_enum, default_value_t = LayoutArg::DaxX86)]
    layout: LayoutArg,
}

impl EnableArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let mut region = self.one.medium.open(Access::Write)?;
        let mut label = self.one.find(&region)?;
        label.is_disabled = false;
        let seen = match self.layout {
            LayoutArg::VmemmapSection => try_on::<VmemmapSection>(&region, &label),
            LayoutArg::Subsection => try_on::<Subsection>(&region, &label),
            LayoutArg::Dax => try_on::<Dax>(&region, &label),
            LayoutArg::DaxX86 => try_on::<DaxX86>(&region, &label),
        }
        .with_context(|| subject(&region, &label))?;
        region.set_disabled(&label.uuid, false).with_context(|| subject(&region, &label))?;
        let extent = region.namespace(&label);
        match self.one.json.json {
            true => {
                let mut json = verdict_json(&seen.personality, extent);
                (json["name"], json["page_frames"]) = (label.name.clone().into(), seen.nr_pages.into());
                (json["ram_record_bytes"], json["device_record_bytes"]) =
                    (seen.ram_record_bytes.into(), seen.device_record_bytes.into());
                print_json(&json)?;
            }
            false => {
                let records = match seen.nr_pages {
                    0 => String::new(),
                    nr_pages => format!(
                        "; {nr_pages} page frames, records: {} in RAM, {} on the medium",
                        Bytes(seen.ram_record_bytes),
                        Bytes(seen.device_record_bytes)
                    ),
                };
                print(format!("{}: {}{records}", label.name, verdict(&seen.personality, extent)))?;
            }
        }
        Ok(Answer::Yes)
    }
}

/// What a machine has seen of a namespace.
struct Seen {
    personality: Personality,
    nr_pages: u64,
    ram_record_bytes: u64,
    device_record_bytes: u64,
}

/// Brings a namespace up, reads its records, takes it down.
fn try_on<L: Hotplug<Geometry = X86_64> + SectionFlags + Inspect>(
    region: &Region<Medium>,
    label: &Label,
) -> anyhow::Result<Seen> {
    let (map, config) = (BootMap::default(), MachineConfig::default());
    let machine = Machine::<L>::boot(&map, config, &Config::default(), RecordStore::unlimited())?;
    let mut bar = RecordsBar::new(label.size / HOST.page_bytes);
    let enabled = enable(region, label, &HOST, &machine, &mut bar)?;
    let accounting = machine.layout().accounting();
    let mut seen = Seen {
        personality: enabled.personality,
        nr_pages: 0,
        ram_record_bytes: accounting.ram_record_bytes,
        device_record_bytes: accounting.device_record_bytes,
    };
    if let Some(mapping) = &enabled.mapping {
        if let Some(pfn) = mapping.first_wrong_record(machine.layout(), |nr_pages| bar.reading(nr_pages)) {
            bail!("the record of {pfn} is not its own");
        }
        seen.nr_pages = mapping.range.nr_pages();
    }
    bar.taking_down();
    disable(&enabled, &machine)?;
    Ok(seen)
}
