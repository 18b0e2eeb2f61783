//! Small races for the tests of this folder.

use super::{Race, RaceError, Settings, Sink, race};
use crate::case::{Filter, THIS_MACHINE};
use crate::engine::backing_arg::BackingArg;
use crate::engine::conditions::Conditions;
use crate::engine::field::{Field, Lineup, Means};
use crate::engine::index_pages::IndexPagesArg;
use crate::engine::job::Job;
use crate::engine::layouts::entries;
use crate::engine::memory_plan::MapMemory;
use crate::interrupt::Interrupt;
use crate::map::{PhysicalMap, builtin};
use crate::record::row::Row;
use crate::record::unit::Unit;
use crate::workload::tier::{Effort, Tier};
use crate::workload::{self, Workload};
use memmap_layouts::backing::RamBacking;
use memmap_layouts::{BootMap, BootRange, Geometry, IndexPages, PfnRange, X86_64};
use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

/// A sink that keeps all units.
#[derive(Debug, Default)]
pub(super) struct Kept(pub(super) Vec<Unit>);

impl Sink for Kept {
    fn begin(&mut self, _: &str, _: &str, _: Duration) {}
    fn done(&mut self, unit: Unit) -> io::Result<()> {
        self.0.push(unit);
        Ok(())
    }
}

impl Kept {
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.0.iter().flat_map(|unit| &unit.rows)
    }
}

/// Settings small enough for a test that cover every part of a race.
pub(super) fn settings() -> Settings {
    let effort = Effort {
        slice: Duration::from_micros(100),
        boots: 2,
        pairs: 2,
        cold_rounds: 1,
        hotplug_samples: 20,
        hotplug_time: Duration::from_millis(20),
        readers_slice: Duration::from_millis(20),
        readers_rounds: 1,
    };
    let (backing, index_pages) = (RamBacking::Anon, IndexPages::Base);
    let means = Means { backing, index_pages, device: None, records_limit: 64 << 20, seed: 1 };
    let mut work = workload::everything(&Workload::builtin(), Some(Tier::Default));
    let all = workload::everything(&Workload::builtin(), None).lookups.into_iter();
    work.lookups = all.filter(|work| work.map == THIS_MACHINE).collect();
    // The tests boot on memory of their own; only the name of the map is read.
    let map = PhysicalMap { name: "m".to_owned(), ..builtin::by_name("vm-20g").expect("a built-in map") };
    let conditions = Conditions {
        records_limit: 64 << 20,
        backing: BackingArg::default(),
        index_pages: IndexPagesArg::default(),
        layouts: Vec::new(),
        kernels: Vec::new(),
        filter: Filter::default(),
    };
    let job = Job {
        process: 0,
        map,
        work,
        effort,
        seed: 1,
        conditions,
        done: BTreeSet::new(),
        time_limit: None,
        machine: "x".to_owned(),
    };
    Settings { job, means }
}

/// Boot memory from 1 MiB to 320 MiB.
pub(super) fn small_machine() -> MapMemory {
    let range = PfnRange::new(0x100, 0x14000).unwrap();
    machine(BootMap::new([BootRange { range, node: 0 }]).unwrap())
}

/// A machine with this boot memory and no other.
pub(super) fn machine(boot: BootMap) -> MapMemory {
    let end_bytes = boot.end_pfn() << X86_64::PAGE_SHIFT;
    MapMemory { boot, end_bytes, later: Vec::new() }
}

/// Boots a race and passes it to `look`, to test single steps.
pub(super) fn with_race(map: MapMemory, settings: &Settings, look: impl FnOnce(&mut Race<'_, X86_64>)) {
    let (interrupt, mut kept, entries) = (Interrupt::default(), Kept::default(), entries::<X86_64>());
    let field = Field::boot(map, &Lineup::once(&entries), &settings.means, &interrupt).unwrap();
    look(&mut Race::new(field, settings, &interrupt, &mut kept));
}

/// Runs a race on the small machine; its units.
pub(super) fn run(settings: &Settings) -> Result<Kept, RaceError> {
    let mut kept = Kept::default();
    race::<X86_64>(small_machine(), settings, &Interrupt::default(), &mut kept)?;
    Ok(kept)
}
