//! The modelled machine of a guest: its devices, its RAM from devices, and its namespaces.

use super::log::{Event, Log, range};
use super::verdict::Verdict;
use super::{JudgeError, compare};
use crate::size::parse_size;
use memmap_layouts::machine::{AddMemory, Machine, MachineConfig, Pagemap, PagemapKind, PagemapSpec};
use memmap_layouts::nvdimm::division::Surroundings;
use memmap_layouts::nvdimm::label::{LABEL_FILE_BYTES, NamespaceKind};
use memmap_layouts::nvdimm::namespace::{Enabled, disable, enable};
use memmap_layouts::nvdimm::region::{NamespaceSpec, Region};
use memmap_layouts::nvdimm::storage::StorageFile;
use memmap_layouts::nvdimm::{Host, RecordsOn};
use memmap_layouts::rules::Rules;
use memmap_layouts::{Config, Geometry, Hotplug, Inspect, PfnRange, RecordStore, SectionFlags, X86_64};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const HOST: Host = Host::X86_64;
/// Bytes of a mapping of a device, as the scenes set it.
const DEVICE_ALIGN: u64 = 2 << 20;

/// A device of the DAX bus.
#[derive(Debug)]
struct Device {
    ranges: Vec<PfnRange>,
    pagemap: Option<Arc<Pagemap>>,
}

/// A namespace by its key.
#[derive(Debug)]
pub(super) struct Namespace {
    pub(super) uuid: [u8; 16],
    enabled: Option<Enabled>,
    /// What the kernel calls it.
    pub(super) kernel_name: String,
}

/// An NVDIMM region, on files that are removed with it.
pub(super) struct ModelRegion {
    pub(super) region: Region<StorageFile>,
    _folder: tempfile::TempDir,
}

/// The modelled machine of a guest.
pub(super) struct Model<L: Hotplug<Geometry = X86_64> + SectionFlags + Inspect> {
    pub(super) machine: Machine<L>,
    /// Boot memory.
    pub(super) boot: Vec<PfnRange>,
    /// Bytes of the records of boot memory.
    pub(super) boot_record_bytes: u64,
    devices: BTreeMap<String, Device>,
    /// Ranges of devices that are RAM.
    ram: BTreeMap<String, Vec<PfnRange>>,
    pub(super) region: Option<ModelRegion>,
    pub(super) namespaces: BTreeMap<String, Namespace>,
    nr_namespaces: u8,
    /// Sections that an operation touched, and their neighbours.
    pub(super) touched: BTreeSet<u64>,
}

/// Why the model refuses an operation.
type Refusal = String;

fn text(error: impl std::fmt::Display) -> Refusal {
    error.to_string()
}

impl<L: Hotplug<Geometry = X86_64> + SectionFlags + Inspect> Model<L> {
    /// Boots a machine with the boot memory of a log.
    pub(super) fn begin(log: &Log) -> Result<Self, JudgeError> {
        let begin = |error: &dyn std::fmt::Display| JudgeError::Begin(error.to_string());
        let config =
            MachineConfig { bare_metal: false, block_bytes: Some(log.block_bytes), ..MachineConfig::default() };
        let machine = Machine::<L>::boot(&log.boot, config, &Config::default(), RecordStore::unlimited());
        let machine = machine.map_err(|error| begin(&error))?;
        machine.claim_ram_buffers().map_err(|error| begin(&error))?;
        let boot_record_bytes = machine.layout().accounting().ram_record_bytes;
        Ok(Self {
            machine,
            boot: log.boot.ranges().iter().map(|boot| boot.range).collect(),
            boot_record_bytes,
            devices: BTreeMap::new(),
            ram: BTreeMap::new(),
            region: None,
            namespaces: BTreeMap::new(),
            nr_namespaces: 0,
            touched: BTreeSet::new(),
        })
    }

    /// Plays a log.
    pub(super) fn play(mut self, log: &Log, layout: &str) -> Result<Verdict, JudgeError> {
        let (release, layout) = (log.release.clone(), layout.to_owned());
        let mut verdict = Verdict { release, layout, ..Verdict::default() };
        let mut scene = String::new();
        for (line, event) in &log.events {
            match event {
                Event::Scene(name) => scene.clone_from(name),
                Event::Operation { refused: None, .. } => {}
                // Pages that cannot be moved may be why.
                Event::Operation { words, refused: Some(true) } if words[0] == "try" => {}
                Event::Operation { words, refused: Some(refused) } => {
                    let words: Vec<&str> = words.iter().map(String::as_str).collect();
                    let forecast = self.forecast(&words);
                    let outcome = self
                        .run(&words)
                        .ok_or_else(|| JudgeError::Operation { line: *line, operation: words.join(" ") })?;
                    verdict.operations += 1;
                    if outcome.is_err() != *refused {
                        let kernel = if *refused { "refuses it" } else { "does it" };
                        let model =
                            outcome.err().map_or_else(|| "does it".to_owned(), |why| format!("refuses it: {why}"));
                        let told = format!("{}: the kernel {kernel}, the model {model}", words.join(" "));
                        verdict.differs("operation", &scene, told);
                    }
                    if let Some(forecast) = forecast {
                        verdict.compared("forecasts", 1);
                        if forecast.is_err() != *refused {
                            let forecast = forecast.err().unwrap_or_else(|| "accepted".to_owned());
                            let kernel = if *refused { "refuses it" } else { "does it" };
                            let told = format!("{}: the kernel {kernel}, the forecast: {forecast}", words.join(" "));
                            verdict.differs("forecast", &scene, told);
                        }
                    }
                }
                Event::Name(key, name) => {
                    if let Some(namespace) = self.namespaces.get_mut(key) {
                        namespace.kernel_name.clone_from(name);
                    }
                }
                Event::Snapshot(name, snapshot) => {
                    verdict.snapshots += 1;
                    compare::compare(&self, name, snapshot, &scene, &mut verdict);
                }
                Event::Answers(answers) => compare::answers(&self, answers, &scene, &mut verdict),
                Event::ValidMap { compared, different } => {
                    verdict.map_pfns += compared;
                    if *different > 0 {
                        let told = format!("{different} of {compared} page frames have another answer in the map");
                        verdict.differs("module validmap", &scene, told);
                    }
                }
            }
        }
        Ok(verdict)
    }

    fn touch(&mut self, range: PfnRange) {
        let (first, last) = (X86_64::section_nr(range.start()), X86_64::section_nr(range.end() - 1));
        self.touched.extend(first.saturating_sub(1)..=last + 1);
    }

    /// Performs an operation: `Some(Err)` if the model refuses it, `None` if there is no such
    /// operation.
    fn run(&mut self, words: &[&str]) -> Option<Result<(), Refusal>> {
        Some(match words {
            ["map", key, bounds @ ..] => {
                let (pairs, []) = bounds.as_chunks::<2>() else { return None };
                let ranges: Vec<PfnRange> =
                    pairs.iter().map(|[first, last]| range(first, last)).collect::<Option<_>>()?;
                ranges.iter().for_each(|&range| self.touch(range));
                self.devices.insert((*key).to_owned(), Device { ranges, pagemap: None });
                self.map(key)
            }
            ["on", key] => self.map(key),
            ["off", key] => self.unmap(key),
            ["drop", key] => {
                if self.ram.contains_key(*key) {
                    return Some(Err("it is RAM".to_owned()));
                }
                // It may be mapped or not.
                let _ = self.unmap(key);
                self.devices.remove(*key);
                Ok(())
            }
            ["kmem", key] => self.become_ram(key),
            ["unkmem", key] => self.cease_to_be_ram(key),
            ["plug", key, first, last] => {
                let range = range(first, last)?;
                self.touch(range);
                self.machine.add_memory(range, &AddMemory::default()).map_err(text).map(|()| {
                    self.ram.insert((*key).to_owned(), vec![range]);
                })
            }
            ["unplug", key] => self.unplug(key),
            ["state" | "try", block, state] => self.machine.write_state(block.parse().ok()?, state).map_err(text),
            ["region", start, size, align] => {
                let [start, size, align] = [start, size, align].map(|text| parse_size(text).ok());
                self.begin_region(start?, size?, align?)
            }
            ["align", align] => match &mut self.region {
                None => Err("there is no region".to_owned()),
                Some(region) => region.region.set_align(parse_size(align).ok()?, &HOST).map_err(text),
            },
            ["ns", key, kind, size, align, records] => {
                let [size, align] = [size, align].map(|text| parse_size(text).ok());
                let kind = if *kind == "fsdax" { NamespaceKind::FsDax } else { NamespaceKind::DevDax };
                let records = if *records == "dev" { RecordsOn::Medium } else { RecordsOn::Ram };
                self.create_namespace(key, size?, align?, kind, records)
            }
            ["nsoff", key] => self.disable_namespace(key),
            ["nson", key] => self.enable_namespace(key),
            ["nsdel", key] => self.destroy_namespace(key),
            _ => return None,
        })
    }

    /// What the address space without records says to an operation that adds memory; `None` for other
    /// operations, and for those that fail for want of a device.
    fn forecast(&self, words: &[&str]) -> Option<Result<(), Refusal>> {
        let mut space = self.machine.address_space().ok()?;
        let of_kmem = AddMemory { driver_name: Some("System RAM (kmem)".to_owned()), ..AddMemory::default() };
        Some(match words {
            ["map", key, bounds @ ..] => {
                let (pairs, []) = bounds.as_chunks::<2>() else { return None };
                let ranges = pairs.iter().map(|[first, last]| range(first, last)).collect::<Option<Vec<_>>>()?;
                space.memremap_pages(key, &ranges).map_err(text)
            }
            ["on", key] => {
                let device = self.devices.get(*key).filter(|device| device.pagemap.is_none())?;
                space.memremap_pages(key, &device.ranges).map_err(text)
            }
            ["kmem", key] => {
                let device = self.devices.get(*key)?;
                if device.pagemap.is_some() {
                    space.memunmap_pages(&device.ranges).ok()?;
                }
                space.add_device_memory(&device.ranges, &of_kmem).map(drop).map_err(text)
            }
            ["plug", _, first, last] => space.add_memory(range(first, last)?, &AddMemory::default()).map_err(text),
            _ => return None,
        })
    }

    fn map(&mut self, key: &str) -> Result<(), Refusal> {
        let device = self.devices.get_mut(key).ok_or("there is no such device")?;
        if device.pagemap.is_some() {
            return Err("it is mapped".to_owned());
        }
        let spec = PagemapSpec {
            name: key.to_owned(),
            ranges: device.ranges.clone(),
            kind: PagemapKind::Generic,
            altmap: None,
            node: 0,
            vmemmap_shift: (DEVICE_ALIGN >> X86_64::PAGE_SHIFT).ilog2(),
        };
        device.pagemap = Some(self.machine.memremap_pages(spec).map_err(text)?);
        Ok(())
    }

    fn unmap(&mut self, key: &str) -> Result<(), Refusal> {
        let device = self.devices.get_mut(key).ok_or("there is no such device")?;
        let pagemap = device.pagemap.as_ref().ok_or("it is not mapped")?;
        self.machine.memunmap_pages(pagemap).map_err(text)?;
        device.pagemap = None;
        Ok(())
    }

    /// Hands a device to the driver that makes System RAM of it.
    fn become_ram(&mut self, key: &str) -> Result<(), Refusal> {
        let device = self.devices.get(key).ok_or("there is no such device")?;
        let ranges = device.ranges.clone();
        if device.pagemap.is_some() {
            self.unmap(key)?;
        }
        let how = AddMemory { driver_name: Some("System RAM (kmem)".to_owned()), ..AddMemory::default() };
        let added = self.machine.add_device_memory(&ranges, &how).map_err(text)?;
        self.ram.insert(key.to_owned(), added);
        Ok(())
    }

    fn cease_to_be_ram(&mut self, key: &str) -> Result<(), Refusal> {
        let ranges = self.ram.remove(key).ok_or("it is no RAM")?;
        self.machine.remove_device_memory(&ranges).map_err(text)
    }

    /// Removes a DIMM: its blocks go offline first. Source: `acpi_scan_hot_remove`.
    fn unplug(&mut self, key: &str) -> Result<(), Refusal> {
        let ranges = self.ram.get(key).ok_or("there is no such DIMM")?.clone();
        let block_pages = self.machine.block_bytes() >> X86_64::PAGE_SHIFT;
        for range in ranges {
            for block in range.start() / block_pages..range.end() / block_pages {
                if self.machine.read_state(block).map_err(text)? != "offline" {
                    self.machine.write_state(block, "offline").map_err(text)?;
                }
            }
            self.machine.remove_memory(range).map_err(text)?;
        }
        self.ram.remove(key);
        Ok(())
    }

    fn begin_region(&mut self, start: u64, size: u64, align: u64) -> Result<(), Refusal> {
        let keys: Vec<String> = self.namespaces.keys().cloned().collect();
        for key in keys {
            // One that was never enabled cannot be disabled.
            let _ = self.disable_namespace(&key);
        }
        self.namespaces.clear();
        let folder = tempfile::Builder::new().prefix("pfnbench-judge-").tempdir_in("/dev/shm").map_err(text)?;
        let medium = StorageFile::create(&folder.path().join("medium"), size).map_err(text)?;
        let labels = StorageFile::create(&folder.path().join("labels"), LABEL_FILE_BYTES).map_err(text)?;
        let region = Region::create(medium, labels, start, align, &HOST).map_err(text)?;
        self.region = Some(ModelRegion { region, _folder: folder });
        let end = start.checked_add(size).ok_or("the region ends beyond the physical address space")?;
        self.touch(PfnRange::new(start >> X86_64::PAGE_SHIFT, end >> X86_64::PAGE_SHIFT).ok_or("the region is empty")?);
        Ok(())
    }

    fn create_namespace(
        &mut self,
        key: &str,
        size: u64,
        align: u64,
        kind: NamespaceKind,
        records: RecordsOn,
    ) -> Result<(), Refusal> {
        self.nr_namespaces = self.nr_namespaces.wrapping_add(1);
        let nr = self.nr_namespaces;
        let wanted = NamespaceSpec {
            size,
            align,
            kind,
            records,
            name: key.to_owned(),
            uuid: [nr; 16],
            instance: [nr ^ 0x80; 16],
            skips_to_sub_section: false,
        };
        let region = &mut self.region.as_mut().ok_or("there is no region")?.region;
        region.create_namespace(&wanted, &Surroundings::default(), &HOST, &<L::Rules as Rules>::SET).map_err(text)?;
        let namespace = Namespace { uuid: wanted.uuid, enabled: None, kernel_name: String::new() };
        self.namespaces.insert(key.to_owned(), namespace);
        self.enable_namespace(key).inspect_err(|_| {
            self.namespaces.remove(key);
        })
    }

    fn enable_namespace(&mut self, key: &str) -> Result<(), Refusal> {
        let region = &mut self.region.as_mut().ok_or("there is no region")?.region;
        let namespace = self.namespaces.get_mut(key).ok_or("there is no such namespace")?;
        region.set_disabled(&namespace.uuid, false).map_err(text)?;
        let label = region.label(&namespace.uuid).map_err(text)?.clone();
        namespace.enabled = Some(enable(region, &label, &HOST, &self.machine, &mut ()).map_err(text)?);
        Ok(())
    }

    fn disable_namespace(&mut self, key: &str) -> Result<(), Refusal> {
        let region = &mut self.region.as_mut().ok_or("there is no region")?.region;
        let namespace = self.namespaces.get_mut(key).ok_or("there is no such namespace")?;
        if let Some(enabled) = namespace.enabled.take() {
            disable(&enabled, &self.machine).map_err(text)?;
            region.set_disabled(&namespace.uuid, true).map_err(text)?;
        }
        Ok(())
    }

    fn destroy_namespace(&mut self, key: &str) -> Result<(), Refusal> {
        self.disable_namespace(key)?;
        let namespace = self.namespaces.remove(key).ok_or("there is no such namespace")?;
        let region = &mut self.region.as_mut().ok_or("there is no region")?.region;
        region.destroy_namespace(&namespace.uuid).map_err(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use memmap_layouts::layouts::Linux6_1;

    /// The operations of the scenes of `scripts/judge/scenes/dimm.sh` that add memory, with what Linux
    /// 6.1 answers, by the rules of its source.
    #[test]
    fn the_forecast_of_an_operation_is_compared_with_the_kernel() {
        let log = |kmem: u8| {
            let text = format!(
                "@KERNEL 6.1.0 0x8000000\n@EARLY 0 0x1000 0x3fffffff\n@SCENE DIMMs\n\
                 @DO plug a 0x100000000 0x107ffffff\n@RC 0\n@DO plug b 0x110000000 0x12fffffff\n@RC 0\n\
                 @DO plug c 0x140000000 0x143ffffff\n@RC 1\n@DO map d 0x68000000 0x69ffffff\n@RC 0\n\
                 @DO map e 0x69000000 0x6affffff\n@RC 1\n@DO off d\n@RC 0\n@DO on d\n@RC 0\n\
                 @DO kmem d\n@RC {kmem}\n@DO unplug a\n@RC 0\n@DO plug a 0x118000000 0x11fffffff\n@RC 1\n@STATUS 0\n"
            );
            Log::parse(&text).unwrap()
        };
        let play = |log: &Log| Model::<Linux6_1>::begin(log).unwrap().play(log, "linux-6.1").unwrap();
        let verdict = play(&log(1));
        assert!(verdict.agrees(), "{:?}", verdict.differences);
        assert_eq!(verdict.compared["forecasts"], 8);
        let verdict = play(&log(0));
        assert_eq!(verdict.nr_differences["forecast"], 1);
        assert!(verdict.differences.iter().any(|one| one.told.contains("no range of the device contains")));
    }
}
