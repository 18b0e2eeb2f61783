//! Predicts whether a kernel would accept the namespaces of a region.

use super::refusal::Refusal;
use super::region_files::namespace_subject;
use super::working_starts::working_starts;
use super::{HOST, KernelRules, NearbyMemory};
use memmap_layouts::nvdimm::Extent;
use memmap_layouts::nvdimm::division::Surroundings;
use memmap_layouts::nvdimm::forecast::{Mapped, forecast};
use memmap_layouts::nvdimm::label::{Label, NamespaceKind};
use memmap_layouts::nvdimm::region::{Personality, Region, RegionError};
use memmap_layouts::nvdimm::storage::StorageFile;
use memmap_layouts::rules::RuleSet;

/// What became of one namespace.
#[derive(Clone, Debug)]
pub enum ProbeOutcome<T> {
    /// The kernel accepts it.
    Accepted(T),
    /// The kernel ignores the info block of a namespace with records, and treats the namespace as a
    /// raw block device. Kernels before the series did so with info blocks that they did not
    /// understand.
    InfoBlockIgnored,
    /// The kernel refuses it.
    Refused(Box<Refusal>),
}

/// A namespace of a region, and what became of it.
#[derive(Clone, Debug)]
pub struct Probed<T> {
    /// The label before the operation.
    pub label: Label,
    /// Physical range of the namespace in bytes.
    pub extent: Extent,
    /// Whether the kernel accepts the namespace.
    pub outcome: ProbeOutcome<T>,
}

/// Predicts for every namespace of a region whether a kernel with these rules would map it.
///
/// It checks the info block, the physical range, memory that shares the units of added memory,
/// and the space on the medium for the records. Namespaces with a lower index are enabled first,
/// unless their label marks them as disabled. The prediction holds for x86-64; arm64 needs more
/// space on the medium.
///
/// Cost: reads one info block for each namespace.
pub fn probe(region: &Region<StorageFile>, nearby: &NearbyMemory, rules: KernelRules) -> Vec<Probed<Personality>> {
    let rules = rules.rule_set();
    let mut mapped = Vec::new();
    let mut probed = Vec::new();
    for label in region.labels() {
        let extent = region.namespace(label);
        let outcome = probe_one(region, label, &nearby.surroundings(), &mapped, &rules);
        if let (ProbeOutcome::Accepted(Personality::Pages(_, settings)), false) = (&outcome, label.is_disabled) {
            mapped.push(settings.mapped(extent));
        }
        probed.push(Probed { label: label.clone(), extent, outcome });
    }
    probed
}

/// `mapped` are the mapped namespaces of the same region.
fn probe_one(
    region: &Region<StorageFile>,
    label: &Label,
    around: &Surroundings<'_>,
    mapped: &[Extent],
    rules: &RuleSet,
) -> ProbeOutcome<Personality> {
    let subject = |error: Option<&RegionError>| {
        let suggestions = working_starts(region, label, error, around, mapped, rules);
        namespace_subject(region, label).with_suggestions(suggestions)
    };
    let personality = match region.probe(label, &HOST, rules) {
        Ok(personality) => personality,
        Err(error) => return ProbeOutcome::Refused(Refusal::from_region(&error, &subject(Some(&error))).into()),
    };
    match &personality {
        Personality::Raw if label.kind != NamespaceKind::Raw => ProbeOutcome::InfoBlockIgnored,
        Personality::Raw => ProbeOutcome::Accepted(personality),
        Personality::Pages(_, settings) => {
            let regions = [around.regions, mapped].concat();
            let around = Surroundings { ram: around.ram, regions: &regions };
            match forecast(&Mapped::new(settings, region.namespace(label)), &around, &HOST, rules) {
                Ok(()) => ProbeOutcome::Accepted(personality),
                Err(error) => ProbeOutcome::Refused(Refusal::from_forecast(&error, &subject(None)).into()),
            }
        }
    }
}
