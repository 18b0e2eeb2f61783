//! Enables namespaces together on a machine with a given layout.

use super::namespaces::find;
use super::probe::{ProbeOutcome, Probed};
use super::refusal::Refusal;
use super::region_files::namespace_subject;
use super::working_starts::working_starts;
use super::{HOST, PmemError};
use crate::kernel_version::KernelVersion;
use memmap_layouts::layouts::{DaxX86, Visitor, visit};
use memmap_layouts::machine::{Machine, MachineConfig};
use memmap_layouts::nvdimm::Extent;
use memmap_layouts::nvdimm::division::Surroundings;
use memmap_layouts::nvdimm::label::{Label, NamespaceKind};
use memmap_layouts::nvdimm::namespace::{self, Enabled, NamespaceError};
use memmap_layouts::nvdimm::region::{Personality, Region, RegionError};
use memmap_layouts::nvdimm::scene::{SECTION_DAX, SectionDax};
use memmap_layouts::nvdimm::storage::StorageFile;
use memmap_layouts::rules::Rules;
use memmap_layouts::{
    BootError, BootMap, BootRange, Config, Hotplug, Inspect, Memmap, PfnRange, PhaseSink, RecordStore, SectionFlags,
    X86_64,
};

/// Namespaces to enable, and the machine on which to enable them.
#[derive(Clone, Debug)]
pub struct EnableRequest {
    /// Names or UUIDs; `all` stands for every namespace of the region.
    pub namespaces: Vec<String>,
    /// Id of the layout: one of [`layouts_with_hotplug`].
    pub layout: String,
    /// RAM of the machine. Only RAM in the sections of the region and in the two adjacent ones
    /// matters.
    pub ram: Vec<Extent>,
    /// Version of Linux that also has to accept the info blocks; `None` if the layout's rules suffice.
    pub kernel: Option<KernelVersion>,
}

/// Id of the layout with records on the medium that follows the rules of a version of Linux on x86-64:
/// whole sections up to 5.2, sub-sections since.
pub fn layout_of(kernel: KernelVersion) -> &'static str {
    if kernel <= KernelVersion::BEFORE_SERIES { SECTION_DAX } else { <DaxX86>::ID }
}

/// A namespace that was enabled.
#[derive(Clone, Copy, Debug)]
pub struct EnabledNamespace {
    /// Raw, or with records.
    pub personality: Personality,
    /// Number of mapped page frames; 0 if the namespace is raw.
    pub nr_pages: u64,
    /// Bytes of records in RAM.
    pub ram_record_bytes: u64,
    /// Bytes of records on the medium.
    pub device_record_bytes: u64,
}

impl EnabledNamespace {
    fn without_records(personality: Personality) -> Self {
        Self { personality, nr_pages: 0, ram_record_bytes: 0, device_record_bytes: 0 }
    }
}

/// Receives the progress of an operation. `()` ignores it.
pub trait EnableProgress: PhaseSink {
    /// Work on a namespace with `nr_pages` page frames begins.
    fn started(&mut self, nr_pages: u64);
    /// The records of `nr_pages` page frames of the namespace have been read and compared.
    fn read(&mut self, nr_pages: u64);
    /// The namespace is being unmapped.
    fn unmapping(&mut self);
}

impl EnableProgress for () {
    fn started(&mut self, _: u64) {}
    fn read(&mut self, _: u64) {}
    fn unmapping(&mut self) {}
}

/// Ids of the layouts on which namespaces can be enabled.
pub fn layouts_with_hotplug() -> Vec<&'static str> {
    struct Ids(Vec<&'static str>);
    impl Visitor<X86_64> for Ids {
        fn fixed<L: Memmap<Geometry = X86_64>>(&mut self) {}
        fn hotplug<L: Hotplug<Geometry = X86_64> + Inspect + SectionFlags>(&mut self) {
            self.0.push(L::ID);
        }
    }
    let mut ids = Ids(Vec::new());
    visit(&mut ids);
    ids.0.push(SECTION_DAX);
    ids.0
}

/// Enables namespaces together on one machine, reads the record of every page frame, unmaps them,
/// and marks the ones that the machine accepted as enabled in the labels.
///
/// Cost: writes and reads 64 bytes for each 4 KiB of the namespaces.
///
/// # Errors
/// [`PmemError::Refused`] if a name is unknown or ambiguous, if the machine refuses to unmap a
/// namespace, or if the labels cannot be written. [`PmemError::WrongRecord`] if a record is wrong.
/// [`PmemError::UnknownLayout`], [`PmemError::Ram`] or [`PmemError::Machine`] if there is no such
/// machine. A namespace that the machine refuses is no error but an outcome.
pub fn enable(
    region: &mut Region<StorageFile>,
    request: &EnableRequest,
    progress: &mut impl EnableProgress,
) -> Result<Vec<Probed<EnabledNamespace>>, PmemError> {
    let labels = requested_labels(region, &request.namespaces)?;
    let mut on = OnLayout { request, region, labels: &labels, progress, result: None };
    match request.layout == SECTION_DAX {
        true => on.result = Some(on.enable_all::<SectionDax>()),
        false => visit(&mut on),
    }
    let unknown = || PmemError::UnknownLayout { id: request.layout.clone(), known: layouts_with_hotplug() };
    let probed = on.result.ok_or_else(unknown)??;
    for one in &probed {
        if let ProbeOutcome::Accepted(_) = one.outcome {
            let result = region.set_disabled(&one.label.uuid, false);
            result.map_err(|error| Refusal::from_region(&error, &namespace_subject(region, &one.label)))?;
        }
    }
    Ok(probed)
}

/// Labels of the requested namespaces, each once.
fn requested_labels(region: &Region<StorageFile>, names: &[String]) -> Result<Vec<Label>, PmemError> {
    let mut labels: Vec<Label> = Vec::new();
    for name in names {
        let found = match name.as_str() {
            "all" => region.labels().to_vec(),
            name => vec![find(region, name)?],
        };
        for label in found {
            if labels.iter().all(|other| other.uuid != label.uuid) {
                labels.push(label);
            }
        }
    }
    Ok(labels)
}

/// RAM that could conflict with a region: in its sections, in the one below and in the one above.
fn ram_beside(region: &Extent, ram: &[Extent]) -> Result<BootMap, BootError> {
    let section = HOST.section_bytes;
    let from = (region.start - region.start % section).saturating_sub(section);
    let to = region.end().next_multiple_of(section).saturating_add(section);
    let clipped = |extent: &Extent| {
        PfnRange::new(extent.start.max(from) / HOST.page_bytes, extent.end().min(to) / HOST.page_bytes)
    };
    let ranges = ram.iter().filter_map(clipped).filter(|range| !range.is_empty());
    BootMap::new(ranges.map(|range| BootRange { range, node: 0 }))
}

/// Enables namespaces on the machine with the requested layout.
struct OnLayout<'a, P> {
    request: &'a EnableRequest,
    region: &'a Region<StorageFile>,
    labels: &'a [Label],
    progress: &'a mut P,
    /// `None` until the layout has been visited.
    result: Option<Result<Vec<Probed<EnabledNamespace>>, PmemError>>,
}

impl<P: EnableProgress> OnLayout<'_, P> {
    /// Enables all of them together, reads their records, and unmaps them.
    fn enable_all<L: Hotplug<Geometry = X86_64> + SectionFlags + Inspect>(
        &mut self,
    ) -> Result<Vec<Probed<EnabledNamespace>>, PmemError> {
        let map = ram_beside(&self.region.extent(), &self.request.ram)?;
        let config = (MachineConfig::default(), Config::default());
        let machine = Machine::<L>::boot(&map, config.0, &config.1, RecordStore::unlimited())?;
        let mut attempts = Vec::new();
        for label in self.labels {
            self.progress.started(label.size / HOST.page_bytes);
            attempts.push((label, self.enable_one(&machine, label)));
        }
        let mut unmapped = Ok(());
        for (label, attempt) in &attempts {
            let Ok((enabled, _)) = attempt else { continue };
            self.progress.started(label.size / HOST.page_bytes);
            let mapping = enabled.mapping.as_ref();
            let wrong =
                mapping.and_then(|mapping| mapping.first_wrong_record(machine.layout(), |nr| self.progress.read(nr)));
            self.progress.unmapping();
            let result = namespace::disable(enabled, &machine);
            let refused =
                |error: NamespaceError| Refusal::from_namespace(&error, &namespace_subject(self.region, label));
            unmapped = unmapped.and(result.map_err(refused));
            if let Some(pfn) = wrong {
                return Err(PmemError::WrongRecord { namespace: label.name.clone(), pfn });
            }
        }
        unmapped?;
        let probed = |(label, attempt): (&Label, Result<_, Box<Refusal>>)| {
            let outcome = match attempt {
                Ok((Enabled { personality: Personality::Raw, .. }, _)) if label.kind != NamespaceKind::Raw => {
                    ProbeOutcome::InfoBlockIgnored
                }
                Ok((_, enabled)) => ProbeOutcome::Accepted(enabled),
                Err(refusal) => ProbeOutcome::Refused(refusal),
            };
            Probed { label: label.clone(), extent: self.region.namespace(label), outcome }
        };
        Ok(attempts.into_iter().map(probed).collect())
    }

    fn enable_one<L: Hotplug<Geometry = X86_64> + SectionFlags + Inspect>(
        &mut self,
        machine: &Machine<L>,
        label: &Label,
    ) -> Result<(Enabled, EnabledNamespace), Box<Refusal>> {
        let before = machine.layout().accounting();
        let label = Label { is_disabled: false, ..label.clone() };
        if let Some(kernel) = self.request.kernel {
            let rules = kernel.rule_set();
            let refusal = |error: RegionError| {
                let around = Surroundings { ram: &self.request.ram, regions: &[] };
                let suggestions = working_starts(self.region, &label, Some(&error), &around, &[], &rules);
                let subject = namespace_subject(self.region, &label).with_suggestions(suggestions);
                Refusal::from_region(&error, &subject)
            };
            let personality = self.region.probe(&label, &HOST, &rules).map_err(refusal)?;
            if personality == Personality::Raw {
                let (mapping, nothing) = (None, EnabledNamespace::without_records(personality));
                return Ok((Enabled { mapping, personality }, nothing));
            }
        }
        let enabled = namespace::enable(self.region, &label, &HOST, machine, self.progress).map_err(|error| {
            let suggestions = match &error {
                NamespaceError::Region(error) => {
                    let around = Surroundings { ram: &self.request.ram, regions: &[] };
                    working_starts(self.region, &label, Some(error), &around, &[], &<L::Rules as Rules>::SET)
                }
                _ => Vec::new(),
            };
            let subject = namespace_subject(self.region, &label).with_suggestions(suggestions);
            Refusal::from_namespace(&error, &subject)
        })?;
        let after = machine.layout().accounting();
        let nr_pages = enabled.mapping.as_ref().map_or(0, |mapping| mapping.range.nr_pages());
        let described = EnabledNamespace {
            personality: enabled.personality,
            nr_pages,
            ram_record_bytes: after.ram_record_bytes.saturating_sub(before.ram_record_bytes),
            device_record_bytes: after.device_record_bytes.saturating_sub(before.device_record_bytes),
        };
        Ok((enabled, described))
    }
}

impl<P: EnableProgress> Visitor<X86_64> for OnLayout<'_, P> {
    fn fixed<L: Memmap<Geometry = X86_64>>(&mut self) {}
    fn hotplug<L: Hotplug<Geometry = X86_64> + Inspect + SectionFlags>(&mut self) {
        if L::ID == self.request.layout {
            self.result = Some(self.enable_all::<L>());
        }
    }
}
