//! Scenes: the problems that the cover letter describes, reproduced on real files, under the rules of
//! kernels before the sub-section series and since.
//!
//! Each step records the outcome that its rules predict and the outcome that was observed. Under
//! [`Before`] most steps are expected to fail; if they succeed, the scene is not reproduced.
//!
//! Sizes are those of the cover letter and of public reports. The exception is [`Scene::Ndctl76`],
//! whose regions are cut to about 1 GiB on each side of their common boundary.

use super::division::Surroundings;
use super::info_block::{InfoBlock, Settings};
use super::label::{LABEL_FILE_BYTES, NamespaceKind};
use super::namespace::{Enabled, NamespaceError, disable, enable};
use super::region::{NamespaceSpec, Personality, Region, RegionError};
use super::storage::{Access, Storage, StorageError, StorageFile};
use super::{Extent, Host, INFO_BLOCK_OFFSET, RecordsOn};
use crate::byte_size::ByteSize;
use crate::error::{BootError, HotplugError};
use crate::geometry::{Geometry, X86_64};
use crate::layouts::{Dax, DaxX86, Subsection};
use crate::machine::{Machine, MachineConfig, MachineError, PagemapError};
use crate::memmap::*;
use crate::page::Page;
use crate::pfn::{Pfn, PfnRange};
use crate::placement::{OnDevice, WholeSections};
use crate::rules::{Before, RuleSet, Rules};
use crate::store::RecordStore;
use rustix::io::Errno;
use std::fmt::Display;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use thiserror::Error;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// Physical address at which persistent memory begins in most scenes.
const BASE: u64 = 4 * GIB;

/// VMEMMAP before the series with records on the device: whole sections from the altmap.
pub type SectionDax = Subsection<X86_64, Before, Page, OnDevice<WholeSections>>;

/// The name of [`SectionDax`] in output. Its [`Memmap::ID`] is that of the same layout with records
/// in RAM.
pub const SECTION_DAX: &str = "section-dax";

/// A reproducible problem of the cover letter.
///
/// ```
/// use memmap_layouts::nvdimm::scene::{Scene, play};
/// use std::ops::ControlFlow;
///
/// let mut steps = Vec::new();
/// play(Scene::RamCollision, false, "/dev/shm".as_ref(), &mut |step| {
///     steps.push(step);
///     ControlFlow::Continue(())
/// })?;
/// assert!(steps.iter().all(|step| step.holds));
/// # Ok::<(), memmap_layouts::nvdimm::scene::SceneError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// Ten namespaces of 16 MiB side by side. Source: `sub-section.sh` of ndctl.
    SubSection,
    /// Two regions that meet in the middle of a section. Source: issue 76 of ndctl.
    Ndctl76,
    /// A namespace whose physical start moves between boots.
    Shift,
    /// RAM and persistent memory in one section.
    RamCollision,
    /// Three namespaces of one region after RAM. None begins or ends on a section boundary.
    Chained,
    /// An info block written over other data. Source: patch 11 of the series.
    ZeroFields,
}

impl Scene {
    /// All scenes, in the order in which they are listed.
    pub const ALL: [Scene; 6] =
        [Scene::SubSection, Scene::Ndctl76, Scene::Shift, Scene::RamCollision, Scene::Chained, Scene::ZeroFields];

    /// Name on the command line, e.g. `ram-collision`.
    pub fn name(self) -> &'static str {
        match self {
            Scene::SubSection => "sub-section",
            Scene::Ndctl76 => "ndctl-76",
            Scene::Shift => "shift",
            Scene::RamCollision => "ram-collision",
            Scene::Chained => "chained",
            Scene::ZeroFields => "zero-fields",
        }
    }

    /// One-line description for help texts.
    pub fn about(self) -> &'static str {
        match self {
            Scene::SubSection => "ten namespaces of 16 MiB side by side",
            Scene::Ndctl76 => "two regions that meet in the middle of a section",
            Scene::Shift => "a namespace whose physical start moves between boots",
            Scene::RamCollision => "RAM and persistent memory in one section",
            Scene::Chained => "three namespaces of one region, none of which begins or ends on a section boundary",
            Scene::ZeroFields => "an info block written over other data",
        }
    }
}

/// One step of a scene.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The layout that the machine runs.
    pub layout: &'static str,
    /// The action, e.g. `enable it`.
    pub what: String,
    /// The outcome that the rules predict.
    pub expected: String,
    /// The actual outcome.
    pub observed: String,
    /// True if the actual outcome is the predicted one.
    pub holds: bool,
}

/// Why a scene was not completed.
#[derive(Debug, Error)]
pub enum SceneError {
    /// A file could not be created or opened.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A step failed that must succeed under all rules.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The machine could not be booted.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The boot memory map is invalid.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The caller stopped the scene.
    #[error("the scene was stopped before its last step")]
    Stopped,
}

impl From<RegionError> for SceneError {
    fn from(error: RegionError) -> Self {
        Self::Namespace(error.into())
    }
}

/// Plays a scene with files in `dir`, on each layout that follows the rules. `before` selects the
/// rules before the series. Since the series there are three layouts: records in RAM, records on the
/// medium by the rules of x86-64, and by those of arm64.
///
/// [`Scene::Chained`] and [`Scene::Ndctl76`] are not played by the rules of arm64. There, records of
/// parts of sections are in the altmap too. An info block reserves no space for their natural
/// alignment, so a namespace that ends inside a section exhausts the altmap (ENOMEM).
///
/// The files are deleted afterwards. `on_step` is called after each step; `Break` stops the scene.
///
/// # Errors
/// The folder has no room, a step failed that must succeed under all rules, or `on_step` stopped the
/// scene.
pub fn play(
    scene: Scene,
    before: bool,
    dir: &Path,
    on_step: &mut dyn FnMut(Step) -> ControlFlow<()>,
) -> Result<(), SceneError> {
    if before {
        return play_on::<SectionDax>(scene, SECTION_DAX, dir, on_step);
    }
    play_on::<Subsection>(scene, <Subsection>::ID, dir, on_step)?;
    play_on::<DaxX86>(scene, <DaxX86>::ID, dir, on_step)?;
    match scene {
        Scene::Chained | Scene::Ndctl76 => Ok(()),
        _ => play_on::<Dax>(scene, <Dax>::ID, dir, on_step),
    }
}

fn play_on<L: Hotplug<Geometry = X86_64> + SectionFlags + Inspect>(
    scene: Scene,
    layout: &'static str,
    dir: &Path,
    on_step: &mut dyn FnMut(Step) -> ControlFlow<()>,
) -> Result<(), SceneError> {
    let mut stage = Stage::<L> {
        layout,
        files: Files { dir, created: Vec::new() },
        on_step,
        is_stopped: false,
        machine: boot(&[])?,
    };
    match scene {
        Scene::SubSection => stage.sub_section(),
        Scene::Ndctl76 => stage.ndctl_76(),
        Scene::Shift => stage.shift(),
        Scene::RamCollision => stage.ram_collision(),
        Scene::Chained => stage.chained(),
        Scene::ZeroFields => stage.zero_fields(),
    }
}

/// The files of a scene, deleted on drop.
struct Files<'a> {
    dir: &'a Path,
    created: Vec<PathBuf>,
}

impl Files<'_> {
    fn create(&mut self, name: &str, len: u64) -> Result<StorageFile, StorageError> {
        let path = self.dir.join(name);
        let file = StorageFile::create(&path, len)?;
        self.created.push(path);
        Ok(file)
    }

    fn open(&self, name: &str) -> Result<StorageFile, StorageError> {
        StorageFile::open(&self.dir.join(name), Access::Write)
    }

    fn remove(&mut self, name: &str) {
        let path = self.dir.join(name);
        self.created.retain(|created| *created != path);
        let _ = std::fs::remove_file(path);
    }
}

impl Drop for Files<'_> {
    fn drop(&mut self) {
        for path in &self.created {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn boot<L: Hotplug<Geometry = X86_64> + SectionFlags + Inspect>(ram: &[Extent]) -> Result<Machine<L>, SceneError> {
    let pages = |extent: &Extent| PfnRange::new(extent.start / X86_64::PAGE_SIZE, extent.end() / X86_64::PAGE_SIZE);
    let ranges = ram.iter().filter_map(pages).map(|range| BootRange { range, node: 0 });
    let map = BootMap::new(ranges)?;
    Ok(Machine::boot(&map, MachineConfig::default(), &Config::default(), RecordStore::unlimited())?)
}

struct Stage<'a, L> {
    layout: &'static str,
    files: Files<'a>,
    on_step: &'a mut dyn FnMut(Step) -> ControlFlow<()>,
    is_stopped: bool,
    machine: Machine<L>,
}

/// The predicted outcome of enabling a namespace.
enum Expected {
    Enabled,
    Refused(Errno),
    /// A raw block device: the kernel ignores the info block (B-15).
    IgnoresInfoBlock,
}

const RAW: &str = "enabled as a raw block device; its info block is ignored";

fn errno_name(errno: Errno) -> String {
    match errno {
        Errno::NOMEM => "ENOMEM".into(),
        Errno::NXIO => "ENXIO".into(),
        Errno::INVAL => "EINVAL".into(),
        Errno::OPNOTSUPP => "EOPNOTSUPP".into(),
        Errno::EXIST => "EEXIST".into(),
        Errno::NOSPC => "ENOSPC".into(),
        errno => format!("errno {}", errno.raw_os_error()),
    }
}

impl<L: Hotplug<Geometry = X86_64> + SectionFlags + Inspect> Stage<'_, L> {
    const RULES: RuleSet = <L::Rules as Rules>::SET;

    fn is_before() -> bool {
        Self::RULES.pads_namespaces
    }

    fn step(&mut self, what: String, expected: impl Display, observed: impl Display, holds: bool) {
        let (expected, observed) = (expected.to_string(), observed.to_string());
        let step = Step { layout: self.layout, what, expected, observed, holds };
        self.is_stopped |= !self.is_stopped && (self.on_step)(step).is_break();
    }

    /// Records a step that compares one value.
    fn equal<T: Display + PartialEq>(&mut self, what: impl Into<String>, expected: T, observed: T) {
        let holds = expected == observed;
        self.step(what.into(), expected, observed, holds);
    }

    fn region(&mut self, name: &str, start: u64, size: u64) -> Result<Region<StorageFile>, SceneError> {
        let medium = self.files.create(name, size)?;
        let labels = self.files.create(&format!("{name}.labels"), LABEL_FILE_BYTES)?;
        Ok(Region::create(medium, labels, start, 16 * MIB, &Host::X86_64)?)
    }

    fn create(
        &mut self,
        region: &mut Region<StorageFile>,
        nr: u8,
        size: u64,
        align: u64,
        around: &Surroundings<'_>,
    ) -> Result<[u8; 16], SceneError> {
        let (kind, records, uuid) = (NamespaceKind::FsDax, RecordsOn::Medium, [nr; 16]);
        let name = format!("namespace0.{nr}");
        let wanted = NamespaceSpec {
            size,
            align,
            kind,
            records,
            name,
            uuid,
            instance: [nr | 0x80; 16],
            skips_to_sub_section: false,
        };
        region.create_namespace(&wanted, around, &Host::X86_64, &Self::RULES)?;
        Ok(uuid)
    }

    /// Enables a namespace and reads the record of each of its pages.
    fn up(
        &mut self,
        what: impl Into<String>,
        region: &Region<StorageFile>,
        uuid: &[u8; 16],
        expected: Expected,
    ) -> Result<Option<Enabled>, SceneError> {
        if self.is_stopped {
            return Err(SceneError::Stopped);
        }
        let result = enable(region, region.label(uuid)?, &Host::X86_64, &self.machine, &mut ());
        // A full file system is an error of the scene, not an outcome of the rules.
        let result = match result {
            Err(error @ NamespaceError::Pagemap(PagemapError::Layout(HotplugError::Vmem { .. }))) => {
                return Err(error.into());
            }
            result => result,
        };
        let predicted = match expected {
            Expected::Enabled => "enabled".to_owned(),
            Expected::Refused(errno) => errno_name(errno),
            Expected::IgnoresInfoBlock => RAW.to_owned(),
        };
        let (observed, holds) = match (&result, expected) {
            (Ok(Enabled { mapping: None, .. }), expected) => {
                (RAW.to_owned(), matches!(expected, Expected::IgnoresInfoBlock))
            }
            (Ok(Enabled { mapping: Some(mapping), .. }), expected) => {
                match mapping.first_wrong_record(self.machine.layout(), drop) {
                    None => ("enabled".to_owned(), matches!(expected, Expected::Enabled)),
                    Some(pfn) => (format!("enabled, with a wrong record at {pfn}"), false),
                }
            }
            (Err(error), Expected::Refused(errno)) => {
                (format!("{}: {error}", errno_name(error.errno())), error.errno() == errno)
            }
            (Err(error), _) => (format!("{}: {error}", errno_name(error.errno())), false),
        };
        self.step(what.into(), predicted, observed, holds);
        Ok(result.ok())
    }

    fn down(&mut self, enabled: Option<Enabled>) -> Result<(), SceneError> {
        match enabled {
            Some(enabled) => Ok(disable(&enabled, &self.machine)?),
            None => Ok(()),
        }
    }

    /// Sub-section map of the section `nr` sections above [`BASE`].
    fn map(&self, nr: u64) -> u64 {
        let state = self.machine.layout().section_state(BASE / (128 * MIB) + nr);
        state.and_then(|state| state.subsection_map.first().copied()).unwrap_or(0)
    }

    fn sub_section(&mut self) -> Result<(), SceneError> {
        let mut region = self.region("medium", BASE, 256 * MIB)?;
        let mut enabled = Vec::new();
        for nr in 1..=10u8 {
            let uuid = self.create(&mut region, nr, 16 * MIB, 2 * MIB, &Surroundings::default())?;
            // Old kernels map whole sections, so only the first of eight neighbours gets the section.
            let first = (nr - 1) % 8 == 0;
            let expected =
                if Self::is_before() && !first { Expected::Refused(Errno::NOMEM) } else { Expected::Enabled };
            let at = region.namespace(region.label(&uuid)?).start;
            enabled.push(self.up(
                format!("create and enable number {nr}, 16 MiB at {at:#x}"),
                &region,
                &uuid,
                expected,
            )?);
        }
        if !Self::is_before() {
            let maps = |stage: &Self| format!("{:#x} {:#x}", stage.map(0), stage.map(1));
            self.equal("sub-section maps after ten", "0xffffffffffffffff 0xffff".to_owned(), maps(self));
            let second = enabled[1].take();
            self.down(second)?;
            self.equal("after number 2 is disabled", "0xffffffffffff00ff 0xffff".to_owned(), maps(self));
            enabled[1] = self.up("enable number 2 again", &region, &[2; 16], Expected::Enabled)?;
        }
        for (nr, one) in (1..=10u8).zip(enabled) {
            let was_up = one.is_some();
            self.down(one)?;
            if was_up && !Self::is_before() {
                let again =
                    self.up(format!("disable and enable number {nr}"), &region, &[nr; 16], Expected::Enabled)?;
                self.down(again)?;
            }
            region.set_disabled(&[nr; 16], true)?;
            region.destroy_namespace(&[nr; 16])?;
        }
        let accounting = self.machine.layout().accounting();
        let left = accounting.ram_record_bytes + accounting.device_record_bytes;
        self.equal(
            "namespaces and bytes of records left after all are destroyed",
            "0 and 0".to_owned(),
            format!("{} and {left}", region.labels().len()),
        );
        Ok(())
    }

    fn ndctl_76(&mut self) -> Result<(), SceneError> {
        let boundary = 0x57_7c00_0000;
        let (below, above) = (GIB + 64 * MIB, GIB);
        let mut first = self.region("region0", boundary - below, below)?;
        let mut second = self.region("region1", boundary, above)?;
        let one = self.create(&mut first, 1, below, 2 * MIB, &Surroundings::default())?;
        let two = self.create(&mut second, 2, above, 2 * MIB, &Surroundings::default())?;
        let up =
            self.up("enable region 0, which ends in the middle of section 0xaef", &first, &one, Expected::Enabled)?;
        let expected = if Self::is_before() { Expected::Refused(Errno::NOMEM) } else { Expected::Enabled };
        let beside = self.up("enable region 1, which begins where region 0 ends", &second, &two, expected)?;
        self.down(beside)?;
        if Self::is_before() {
            // This is what a kernel did that detected the other region.
            second.set_disabled(&two, true)?;
            second.destroy_namespace(&two)?;
            let regions = [first.extent()];
            let around = Surroundings { ram: &[], regions: &regions };
            let two = self.create(&mut second, 2, above, 2 * MIB, &around)?;
            let padded =
                self.up("enable region 1, padded to the end of the section", &second, &two, Expected::Enabled)?;
            let pad = padded.as_ref().and_then(settings).map(|settings| settings.start_pad).unwrap_or(0);
            self.equal("bytes of padding", 67_108_864, pad);
            let dax = padded.as_ref().and_then(settings).is_some_and(|settings| settings.has_dax());
            self.equal("processes can map its pages", false, dax);
            self.down(padded)?;
        }
        self.down(up)
    }

    fn shift(&mut self) -> Result<(), SceneError> {
        let (section, size) = (128 * MIB, 256 * MIB);
        for offset in (0..64).map(|nr| nr * 2 * MIB) {
            let created_at = BASE + offset;
            let mut region = self.region("medium", created_at, size)?;
            let uuid = self.create(&mut region, 1, size, 2 * MIB, &Surroundings::default())?;
            drop(region);
            for shift in [0, 64 * MIB, 2 * MIB, MIB] {
                let (medium, labels) = (self.files.open("medium")?, self.files.open("medium.labels")?);
                let moved = Region::open(medium, labels, Some(created_at + shift))?;
                let expected = match (shift, Self::is_before()) {
                    (MIB, true) => Expected::IgnoresInfoBlock,
                    (MIB, false) => Expected::Refused(Errno::OPNOTSUPP),
                    // The info block has room for the records of whole sections. Off section boundaries
                    // the namespace touches one section more.
                    (_, true) if !(created_at + shift).is_multiple_of(section) => Expected::Refused(Errno::NOMEM),
                    _ => Expected::Enabled,
                };
                let what = match shift {
                    0 => format!("enable 256 MiB at {created_at:#x}, {} into its section", ByteSize(offset)),
                    _ => format!("enable the same at {:#x}, moved by {}", created_at + shift, ByteSize(shift)),
                };
                let up = self.up(what, &moved, &uuid, expected)?;
                self.down(up)?;
            }
            self.files.remove("medium");
            self.files.remove("medium.labels");
        }
        Ok(())
    }

    fn ram_collision(&mut self) -> Result<(), SceneError> {
        let ram = [Extent { start: BASE, size: 0xfc00_0000 }];
        let start = ram[0].end();
        self.machine = boot(&ram)?;
        let mut region = self.region("medium", start, 4 * GIB)?;
        let uuid = self.create(&mut region, 1, 4 * GIB, 2 * MIB, &Surroundings::default())?;
        let expected = if Self::is_before() { Expected::Refused(Errno::NXIO) } else { Expected::Enabled };
        let up = self.up(format!("enable 4 GiB at {start:#x}, directly after RAM"), &region, &uuid, expected)?;
        let reader = self.machine.layout().reader();
        let is_ram_valid = reader.pfn_valid(Pfn(start / X86_64::PAGE_SIZE - 1));
        drop(reader);
        self.equal("the last page of RAM is valid", true, is_ram_valid);
        self.down(up)?;
        region.set_disabled(&uuid, true)?;
        region.destroy_namespace(&uuid)?;
        let around = Surroundings { ram: &ram, regions: &[] };
        let uuid = self.create(&mut region, 1, 4 * GIB, 2 * MIB, &around)?;
        let up = self.up("create it again with the RAM known, and enable it", &region, &uuid, Expected::Enabled)?;
        let usable = up.as_ref().and_then(settings).map_or(0, |settings| settings.npfns * 4 * KIB / MIB);
        self.equal("usable MiB", if Self::is_before() { 3966 } else { 4030 }, usable);
        self.down(up)
    }

    fn chained(&mut self) -> Result<(), SceneError> {
        let ram = [Extent { start: BASE, size: 64 * MIB }];
        self.machine = boot(&ram)?;
        let around = Surroundings { ram: &ram, regions: &[] };
        let mut region = self.region("medium", ram[0].end(), GIB)?;
        let mut enabled = Vec::new();
        for nr in 1..=3 {
            let uuid = self.create(&mut region, nr, 208 * MIB, 2 * MIB, &around)?;
            let at = region.namespace(region.label(&uuid)?).start;
            // Old kernels padded the first namespace, because of the RAM. The second shares a section
            // with the first. The third is not padded, and needs the records of one section more than
            // it has room for.
            let expected =
                if Self::is_before() && nr > 1 { Expected::Refused(Errno::NOMEM) } else { Expected::Enabled };
            enabled.push(self.up(format!("enable number {nr}, 208 MiB at {at:#x}"), &region, &uuid, expected)?);
        }
        enabled.into_iter().try_for_each(|one| self.down(one))
    }

    fn zero_fields(&mut self) -> Result<(), SceneError> {
        let mut region = self.region("medium", BASE, 256 * MIB)?;
        let written = region.medium().write_at(&[0xaa; 4096], INFO_BLOCK_OFFSET);
        written.map_err(|source| RegionError::Medium { what: "write", at: INFO_BLOCK_OFFSET, source })?;
        let uuid = self.create(&mut region, 1, 64 * MIB, 2 * MIB, &Surroundings::default())?;
        let bytes = region.read_info_block(region.label(&uuid)?)?;
        let block = InfoBlock::read(&bytes);
        self.equal(
            "flags and padding of the new block are zero",
            !Self::is_before(),
            block.is_some_and(InfoBlock::is_clean),
        );
        self.equal("minor version", if Self::is_before() { 2 } else { 4 }, block.map_or(0, InfoBlock::minor));
        let up = self.up("enable it", &region, &uuid, Expected::Enabled)?;
        self.down(up)
    }
}

fn settings(enabled: &Enabled) -> Option<Settings> {
    match enabled.personality {
        Personality::Raw => None,
        Personality::Pages(_, settings) => Some(settings),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_scene_has_the_predicted_outcome_and_leaves_no_files() {
        for (scene, before) in Scene::ALL.into_iter().flat_map(|scene| [(scene, false), (scene, true)]) {
            let dir = tempfile::tempdir_in("/dev/shm").unwrap();
            let mut steps = Vec::new();
            play(scene, before, dir.path(), &mut |step| {
                steps.push(step);
                ControlFlow::Continue(())
            })
            .unwrap();
            let wrong: Vec<_> = steps.iter().filter(|step| !step.holds).collect();
            assert!(wrong.is_empty() && !steps.is_empty(), "{}, before: {before}: {wrong:#?}", scene.name());
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "files are left");
        }
    }

    #[test]
    fn a_stopped_scene_leaves_no_files() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let mut nr_steps = 0;
        let stopped = play(Scene::Shift, false, dir.path(), &mut |_| {
            nr_steps += 1;
            if nr_steps == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(stopped, Err(SceneError::Stopped)) && nr_steps == 3, "{nr_steps} {stopped:?}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "files are left");
    }
}
