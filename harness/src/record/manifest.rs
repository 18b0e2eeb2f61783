//! `manifest.json`: everything about a run that is not a measured value.

use crate::map::{MAX_PHYS_BITS, MapRange, PhysicalMap};
use crate::record::environment::Environment;
use crate::record::examination::Examination;
use crate::record::layout_note::{KernelNote, LayoutNote};
use crate::workload::tier::Tier;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;

/// Version of the manifest format, as in [`Manifest::schema`].
pub const SCHEMA: u32 = 2;

/// The program that made the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Tool {
    /// Name of the program: `pfnbench`.
    pub name: Cow<'static, str>,
    /// Version of the program, e.g. `0.1.0`.
    pub version: Cow<'static, str>,
    /// Git commit that the program was built from.
    pub commit: Cow<'static, str>,
    /// Compiler, as `rustc --version` prints it.
    pub rustc: Cow<'static, str>,
    /// Cargo build profile, e.g. `release`.
    pub profile: Cow<'static, str>,
}

impl Tool {
    /// The program that is running.
    pub const THIS: Tool = Tool {
        name: Cow::Borrowed("pfnbench"),
        version: Cow::Borrowed(env!("CARGO_PKG_VERSION")),
        commit: Cow::Borrowed(env!("PFNBENCH_COMMIT")),
        rustc: Cow::Borrowed(env!("PFNBENCH_RUSTC")),
        profile: Cow::Borrowed(env!("PFNBENCH_PROFILE")),
    };
}

/// `manifest.json`: everything about a run that is not a measured value.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Manifest {
    /// [`SCHEMA`].
    #[schemars(description = "Version of the manifest.", extend("const" = SCHEMA))]
    pub schema: u32,
    /// The program that made the run.
    pub tool: Tool,
    /// Command line that repeats the run. Paths are reduced to file names; `DIR` stands for a
    /// folder.
    pub command: String,
    /// How much was measured: the tier of the run.
    pub tier: Tier,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Number of processes that measured.
    pub processes: u32,
    /// Start of the run in UTC, e.g. `2026-01-31T12:00:00Z`.
    #[schemars(extend("format" = "date-time"))]
    pub started: String,
    /// End of the run in UTC, e.g. `2026-01-31T12:00:00Z`.
    #[schemars(extend("format" = "date-time"))]
    pub ended: String,
    /// The machine that the run was made on.
    pub environment: Environment,
    /// Checks of the doctor before the run.
    pub doctor_before: Examination,
    /// Checks of the doctor after the run.
    pub doctor_after: Examination,
    /// Limit on the memory for the records of all layouts together, in bytes.
    pub records_limit: u64,
    /// Margin of equality, as a fraction of the time: 0.02 means that differences up to 2 % are
    /// negligible. Left out in runs of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// Architecture whose page and section sizes the layouts use.
    pub geometry: Cow<'static, str>,
    /// The main physical memory map, reduced to ranges of memory.
    pub map: PhysicalMap,
    /// Further maps that the run measured on.
    pub other_maps: Vec<MapNote>,
    /// The layouts that were measured; left out in runs of earlier versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layouts: Vec<LayoutNote>,
    /// CPU time that other programs and the hypervisor took during the run, as a sentence. Left out if it
    /// was negligible, and in runs of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interference: Option<String>,
}

/// Summary of a physical memory map. Runs of earlier versions have no sizes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct MapNote {
    /// Name of the map, as in the rows.
    pub name: String,
    /// Where the map comes from.
    pub origin: String,
    /// The memory of the map, in words.
    pub summary: String,
    /// Physical address of the end of the last range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_bytes: Option<u64>,
    /// Size of the boot memory in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ram_bytes: Option<u64>,
    /// Number of sections that contain boot memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nr_sections: Option<u64>,
}

impl MapNote {
    /// Summarises a map that is measured with sections of `section_bytes`.
    pub fn new(map: &PhysicalMap, section_bytes: u64) -> Self {
        Self {
            name: map.name.clone(),
            origin: map.origin.clone(),
            summary: map.summary(),
            end_bytes: Some(map.end()),
            ram_bytes: Some(map.ram_bytes()),
            nr_sections: Some(map.nr_sections(section_bytes)),
        }
    }
}

fn utc(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The current time in the format of manifests, e.g. `2026-01-31T12:00:00Z`.
pub fn now() -> String {
    utc(Timestamp::now())
}

/// The fields of a manifest that a reader knows. What is missing or invalid is `None` or empty.
#[derive(Clone, Debug, Default)]
pub struct ManifestFields {
    /// The program that made the run.
    pub tool: Option<Tool>,
    /// Command line that repeats the run.
    pub command: Option<String>,
    /// The tier of the run, i.e. how much was measured.
    pub tier: Option<String>,
    /// Seed of all random numbers.
    pub seed: Option<u64>,
    /// Number of processes that measured.
    pub processes: Option<u32>,
    /// Margin of equality as a fraction of the time.
    pub margin: Option<f64>,
    /// Start of the run in UTC.
    pub started: Option<String>,
    /// The machine that the run was made on.
    pub environment: Option<Environment>,
    /// Checks of the doctor before the run.
    pub doctor_before: Option<Examination>,
    /// Checks of the doctor after the run.
    pub doctor_after: Option<Examination>,
    /// Architecture whose page and section sizes the layouts use.
    pub geometry: Option<String>,
    /// The main physical memory map.
    pub map: Option<PhysicalMap>,
    /// Summaries of the further maps.
    pub other_maps: Vec<MapNote>,
    /// Descriptions of the layouts.
    pub layouts: Vec<LayoutNote>,
    /// CPU time that other programs and the hypervisor took during the run, as a sentence.
    pub interference: Option<String>,
}

impl ManifestFields {
    /// The fields of a JSON object, and the invalid ones with the reason.
    pub(super) fn from_json(manifest: &Value) -> (Self, Invalid) {
        let mut invalid = Vec::new();
        let fields = Self {
            tool: field(manifest, "tool", &mut invalid),
            command: field(manifest, "command", &mut invalid),
            tier: field(manifest, "tier", &mut invalid),
            seed: field(manifest, "seed", &mut invalid),
            processes: field(manifest, "processes", &mut invalid),
            margin: field(manifest, "margin", &mut invalid).filter(|margin| (0.0..=1.0).contains(margin)),
            started: field(manifest, "started", &mut invalid),
            environment: field(manifest, "environment", &mut invalid),
            doctor_before: field(manifest, "doctor_before", &mut invalid),
            doctor_after: field(manifest, "doctor_after", &mut invalid),
            geometry: field(manifest, "geometry", &mut invalid),
            map: map(manifest, &mut invalid),
            other_maps: field(manifest, "other_maps", &mut invalid).unwrap_or_default(),
            layouts: field(manifest, "layouts", &mut invalid).unwrap_or_default(),
            interference: field(manifest, "interference", &mut invalid),
        };
        (fields, invalid)
    }

    /// The memory of a map in words, e.g. `24 GiB of RAM below 25 GiB`; `None` for a map that was not
    /// measured on.
    pub fn map_in_words(&self, map: &str) -> Option<String> {
        let main = self.map.as_ref().filter(|main| main.name == map).map(PhysicalMap::summary);
        main.or_else(|| Some(self.other(map)?.summary.clone()))
    }

    /// Where a map comes from; `None` for a map that was not measured on.
    pub fn origin_of(&self, map: &str) -> Option<&str> {
        let main = self.map.as_ref().filter(|main| main.name == map).map(|main| &*main.origin);
        main.or_else(|| Some(&*self.other(map)?.origin))
    }

    fn other(&self, map: &str) -> Option<&MapNote> {
        self.other_maps.iter().find(|other| other.name == map)
    }

    /// The kernels whose compiled lookups took part, with the ids of their layouts.
    pub fn kernels(&self) -> impl Iterator<Item = (&str, &KernelNote)> {
        self.layouts.iter().filter_map(|layout| Some((&*layout.id, layout.kernel.as_ref()?)))
    }

    /// Names of the maps, the main one first.
    pub fn map_names(&self) -> impl Iterator<Item = &str> {
        self.map.iter().map(|map| map.name.as_str()).chain(self.other_maps.iter().map(|map| map.name.as_str()))
    }
}

type Invalid = Vec<(&'static str, String)>;

/// One field of the manifest, or the reason why it is invalid.
fn field<T: DeserializeOwned>(manifest: &Value, name: &'static str, invalid: &mut Invalid) -> Option<T> {
    let value = manifest.get(name)?;
    serde_json::from_value(value.clone()).map_err(|error| invalid.push((name, error.to_string()))).ok()
}

fn map(manifest: &Value, invalid: &mut Invalid) -> Option<PhysicalMap> {
    let map: PhysicalMap = field(manifest, "map", invalid)?;
    let is_possible = |range: &&MapRange| range.start < range.end && range.end <= 1 << MAX_PHYS_BITS;
    match map.ranges.iter().find(|range| !is_possible(range)) {
        None => Some(map),
        Some(MapRange { start, end, .. }) => {
            let rule = format!("ranges ascend and end at most at {:#x}", 1u64 << MAX_PHYS_BITS);
            invalid.push(("map", format!("impossible range {start:#x} to {end:#x}; {rule}")));
            None
        }
    }
}
