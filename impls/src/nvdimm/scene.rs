//! The situations of the cover letter, played on real files: what old kernels did and what kernels
//! do since the series.
//!
//! Each step has the end that is expected under its rules beside the end that was observed. Under
//! [`Before`] the expected end is mostly a refusal; a scene that goes well there is a scene that
//! was played wrong.
//!
//! Sizes are those of the cover letter and of public reports, but for [`Scene::Ndctl76`], whose
//! regions are cut to 1 GiB around the border that they share.

use super::division::Surroundings;
use super::info_block::{InfoBlock, Settings};
use super::label::{LABEL_FILE_BYTES, NamespaceKind};
use super::namespace::{Enabled, NamespaceError, disable, enable};
use super::region::{NamespaceSpec, Personality, Region, RegionError};
use super::storage::{Access, Storage, StorageError, StorageFile};
use super::{Extent, Host, INFO_BLOCK_OFFSET, RecordsOn};
use crate::bytes::Bytes;
use crate::error::{BootError, HotplugError};
use crate::geometry::{Geometry, X86_64};
use crate::layouts::{Dax, DaxX86, Subsection};
use crate::machine::{Machine, MachineConfig, MachineError, PagemapError};
use crate::memmap::*;
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
/// Where persistent memory begins in most scenes.
const BASE: u64 = 4 * GIB;

/// VMEMMAP before the series with records on the device: whole sections from the altmap.
pub type SectionDax = Subsection<X86_64, Before, OnDevice<WholeSections>>;

/// What [`SectionDax`] is called by: its own name is that of the same layout with records in RAM.
pub const SECTION_DAX: &str = "section-dax";

/// A scene.
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
    /// Three namespaces of one region behind RAM, none of which begins or ends with a section.
    Chained,
    /// An info block where something else was. Source: patch 11 of the series.
    ZeroFields,
}

impl Scene {
    /// Every scene.
    pub const ALL: [Scene; 6] =
        [Scene::SubSection, Scene::Ndctl76, Scene::Shift, Scene::RamCollision, Scene::Chained, Scene::ZeroFields];

    /// What it is called by.
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

    /// One line for people.
    pub fn about(self) -> &'static str {
        match self {
            Scene::SubSection => "ten namespaces of 16 MiB side by side",
            Scene::Ndctl76 => "two regions that meet in the middle of a section",
            Scene::Shift => "a namespace whose physical start moves between boots",
            Scene::RamCollision => "RAM and persistent memory in one section",
            Scene::Chained => "three namespaces of one region, none of which begins or ends with a section",
            Scene::ZeroFields => "an info block where something else was",
        }
    }
}

/// One step of a scene.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The layout that the machine runs.
    pub layout: &'static str,
    /// What is done.
    pub what: String,
    /// How it should end.
    pub expected: String,
    /// How it ended.
    pub observed: String,
    /// Is that how it should?
    pub holds: bool,
}

/// Why a scene was not played to its end.
#[derive(Debug, Error)]
pub enum SceneError {
    /// No file.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Something that must go well in every world did not.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// No machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// No machine of that memory.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// Who hears of the steps wants no more.
    #[error("stopped before its end")]
    Stopped,
}

impl From<RegionError> for SceneError {
    fn from(error: RegionError) -> Self {
        Self::Namespace(error.into())
    }
}

/// Plays a scene with files in `dir`, on the layouts that follow the rules: since the series with
/// records in RAM, on the medium by the rules of x86-64, and by those of arm64.
///
/// The rules of arm64 are left out of [`Scene::Chained`] and [`Scene::Ndctl76`]: there the altmap
/// serves parts of sections too, an info block leaves no room for the natural alignment of blocks
/// between them, and a namespace that ends within a section finds it exhausted (ENOMEM).
///
/// The files are gone afterwards. `on_step` hears of each step as it is done, and says whether the
/// scene goes on.
///
/// # Errors
/// The folder has no room, what must go well in every world did not, or `on_step` wanted no more.
pub fn play(
    scene: Scene,
    before: bool,
    dir: &Path,
    on_step: &mut dyn FnMut(Step) -> ControlFlow<()>,
) -> Result<(), SceneError> {
    if before {
        return on::<SectionDax>(scene, SECTION_DAX, dir, on_step);
    }
    on::<Subsection>(scene, <Subsection>::ID, dir, on_step)?;
    on::<DaxX86>(scene, <DaxX86>::ID, dir, on_step)?;
    match scene {
        Scene::Chained | Scene::Ndctl76 => Ok(()),
        _ => on::<Dax>(scene, <Dax>::ID, dir, on_step),
    }
}

fn on<L: Hotplug<Geometry = X86_64> + SectionFlags + Inspect>(
    scene: Scene,
    layout: &'static str,
    dir: &Path,
    on_step: &mut dyn FnMut(Step) -> ControlFlow<()>,
) -> Result<(), SceneError> {
    let mut stage =
        Stage::<L> { layout, files: Files { dir, made: Vec::new() }, on_step, is_stopped: false, machine: boot(&[])? };
    match scene {
        Scene::SubSection => stage.sub_section(),
        Scene::Ndctl76 => stage.ndctl_76(),
        Scene::Shift => stage.shift(),
        Scene::RamCollision => stage.ram_collision(),
        Scene::Chained => stage.chained(),
        Scene::ZeroFields => stage.zero_fields(),
    }
}

/// Files of a scene, which go with it.
struct Files<'a> {
    dir: &'a Path,
    made: Vec<PathBuf>,
}

impl Files<'_> {
    fn create(&mut self, name: &str, len: u64) -> Result<StorageFile, StorageError> {
        let path = self.dir.join(name);
        let file = StorageFile::create(&path, len)?;
        self.made.push(path);
        Ok(file)
    }

    fn open(&self, name: &str) -> Result<StorageFile, StorageError> {
        StorageFile::open(&self.dir.join(name), Access::Write)
    }

    fn remove(&mut self, name: &str) {
        let path = self.dir.join(name);
        self.made.retain(|made| *made != path);
        let _ = std::fs::remove_file(path);
    }
}

impl Drop for Files<'_> {
    fn drop(&mut self) {
        for path in &self.made {
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

/// How a step should end.
enum Expected {
    Up,
    Refused(Errno),
    /// As a raw block device: the kernel forgets the info block (B-15).
    Forgotten,
}

const FORGOTTEN: &str = "a raw block device, its info block forgotten";

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

    /// A step that is about one value.
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

    /// Brings a namespace up, and reads the record of each of its pages.
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
        // A folder without room says nothing of rules.
        let result = match result {
            Err(error @ NamespaceError::Pagemap(PagemapError::Layout(HotplugError::Vmem { .. }))) => {
                return Err(error.into());
            }
            result => result,
        };
        let wish = match expected {
            Expected::Up => "comes up".to_owned(),
            Expected::Refused(errno) => errno_name(errno),
            Expected::Forgotten => FORGOTTEN.to_owned(),
        };
        let (observed, holds) = match (&result, expected) {
            (Ok(Enabled { mapping: None, .. }), expected) => {
                (FORGOTTEN.to_owned(), matches!(expected, Expected::Forgotten))
            }
            (Ok(Enabled { mapping: Some(mapping), .. }), expected) => {
                match mapping.first_wrong_record(self.machine.layout(), drop) {
                    None => ("comes up".to_owned(), matches!(expected, Expected::Up)),
                    Some(pfn) => (format!("comes up with a wrong record at {pfn}"), false),
                }
            }
            (Err(error), Expected::Refused(errno)) => {
                (format!("{}: {error}", errno_name(error.errno())), error.errno() == errno)
            }
            (Err(error), _) => (format!("{}: {error}", errno_name(error.errno())), false),
        };
        self.step(what.into(), wish, observed, holds);
        Ok(result.ok())
    }

    fn down(&mut self, enabled: Option<Enabled>) -> Result<(), SceneError> {
        match enabled {
            Some(enabled) => Ok(disable(&enabled, &self.machine)?),
            None => Ok(()),
        }
    }

    /// Sub-section map of the section that begins `nr` sections from the base.
    fn map(&self, nr: u64) -> u64 {
        let state = self.machine.layout().section_state(BASE / (128 * MIB) + nr);
        state.and_then(|state| state.subsection_map.first().copied()).unwrap_or(0)
    }

    fn sub_section(&mut self) -> Result<(), SceneError> {
        let mut region = self.region("medium", BASE, 256 * MIB)?;
        let mut enabled = Vec::new();
        for nr in 1..=10u8 {
            let uuid = self.create(&mut region, nr, 16 * MIB, 2 * MIB, &Surroundings::default())?;
            // Old kernels map whole sections: of eight neighbours the first has the section.
            let first = (nr - 1) % 8 == 0;
            let expected = if Self::is_before() && !first { Expected::Refused(Errno::NOMEM) } else { Expected::Up };
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
            enabled[1] = self.up("enable number 2 again", &region, &[2; 16], Expected::Up)?;
        }
        for (nr, one) in (1..=10u8).zip(enabled) {
            let was_up = one.is_some();
            self.down(one)?;
            if was_up && !Self::is_before() {
                let again = self.up(format!("disable and enable number {nr}"), &region, &[nr; 16], Expected::Up)?;
                self.down(again)?;
            }
            region.set_disabled(&[nr; 16], true)?;
            region.destroy_namespace(&[nr; 16])?;
        }
        let accounting = self.machine.layout().accounting();
        let left = accounting.ram_record_bytes + accounting.device_record_bytes;
        self.equal(
            "namespaces and bytes of records after all are destroyed",
            "0 and 0".to_owned(),
            format!("{} and {left}", region.labels().len()),
        );
        Ok(())
    }

    fn ndctl_76(&mut self) -> Result<(), SceneError> {
        let border = 0x57_7c00_0000;
        let (below, above) = (GIB + 64 * MIB, GIB);
        let mut first = self.region("region0", border - below, below)?;
        let mut second = self.region("region1", border, above)?;
        let one = self.create(&mut first, 1, below, 2 * MIB, &Surroundings::default())?;
        let two = self.create(&mut second, 2, above, 2 * MIB, &Surroundings::default())?;
        let up = self.up("enable region 0, which ends in the middle of section 0xaef", &first, &one, Expected::Up)?;
        let expected = if Self::is_before() { Expected::Refused(Errno::NOMEM) } else { Expected::Up };
        let beside = self.up("enable region 1, which begins there", &second, &two, expected)?;
        self.down(beside)?;
        if Self::is_before() {
            // What a kernel did that knew of the other region.
            second.set_disabled(&two, true)?;
            second.destroy_namespace(&two)?;
            let regions = [first.extent()];
            let around = Surroundings { ram: &[], regions: &regions };
            let two = self.create(&mut second, 2, above, 2 * MIB, &around)?;
            let padded = self.up("enable region 1, padded to the section's end", &second, &two, Expected::Up)?;
            let pad = padded.as_ref().and_then(settings).map(|settings| settings.start_pad).unwrap_or(0);
            self.equal("bytes that the padding takes", 67_108_864, pad);
            let dax = padded.as_ref().and_then(settings).is_some_and(|settings| settings.has_dax());
            self.equal("pages of it can be mapped into processes", false, dax);
            self.down(padded)?;
        }
        self.down(up)
    }

    fn shift(&mut self) -> Result<(), SceneError> {
        let (section, size) = (128 * MIB, 256 * MIB);
        for offset in (0..64).map(|nr| nr * 2 * MIB) {
            let made_at = BASE + offset;
            let mut region = self.region("medium", made_at, size)?;
            let uuid = self.create(&mut region, 1, size, 2 * MIB, &Surroundings::default())?;
            drop(region);
            for shift in [0, 64 * MIB, 2 * MIB, MIB] {
                let (medium, labels) = (self.files.open("medium")?, self.files.open("medium.labels")?);
                let moved = Region::open(medium, labels, Some(made_at + shift))?;
                let expected = match (shift, Self::is_before()) {
                    (MIB, true) => Expected::Forgotten,
                    (MIB, false) => Expected::Refused(Errno::OPNOTSUPP),
                    // There is room for the records of whole sections, and off their borders there
                    // is one more.
                    (_, true) if !(made_at + shift).is_multiple_of(section) => Expected::Refused(Errno::NOMEM),
                    _ => Expected::Up,
                };
                let what = match shift {
                    0 => format!("enable 256 MiB at {made_at:#x}, {} into its section", Bytes(offset)),
                    _ => format!("enable them at {:#x}, moved by {}", made_at + shift, Bytes(shift)),
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
        let expected = if Self::is_before() { Expected::Refused(Errno::NXIO) } else { Expected::Up };
        let up = self.up(format!("enable 4 GiB at {start:#x}, right behind RAM"), &region, &uuid, expected)?;
        let reader = self.machine.layout().reader();
        let ram_lives = reader.pfn_valid(Pfn(start / X86_64::PAGE_SIZE - 1));
        drop(reader);
        self.equal("the last page of RAM is valid", true, ram_lives);
        self.down(up)?;
        region.set_disabled(&uuid, true)?;
        region.destroy_namespace(&uuid)?;
        let around = Surroundings { ram: &ram, regions: &[] };
        let uuid = self.create(&mut region, 1, 4 * GIB, 2 * MIB, &around)?;
        let up = self.up("create again by who knows of the RAM, and enable", &region, &uuid, Expected::Up)?;
        let usable = up.as_ref().and_then(settings).map_or(0, |settings| settings.npfns * 4 * KIB / MIB);
        self.equal("MiB of data", if Self::is_before() { 3966 } else { 4030 }, usable);
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
            // Old kernels saw the RAM and padded the first. The second shares a section with it,
            // and the third, padded for nobody, needs the records of one section more than there is
            // room for.
            let expected = if Self::is_before() && nr > 1 { Expected::Refused(Errno::NOMEM) } else { Expected::Up };
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
        let up = self.up("enable it", &region, &uuid, Expected::Up)?;
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
    fn every_scene_ends_as_expected_and_leaves_nothing() {
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
    fn a_scene_that_is_stopped_leaves_nothing() {
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
