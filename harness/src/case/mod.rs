//! The vocabulary of a measurement: operations, modes, query orders, kinds of memory, cache states,
//! and the names of cases. This module depends on no other module of the crate.

mod counter;
mod filter;
mod hotplug;
mod layout;
mod lookup;
mod memory;
mod old_names;
mod op;
mod position;
mod query;

pub use counter::CounterKind;
pub use filter::{Filter, SelectsNothing};
pub use hotplug::{
    Addresses, HOT_ADD, HOT_REMOVE, HOTPLUG_SIZES, HotplugCase, HotplugGroup, OPS, ReadersGroup, hotplug_cases,
    own_cost_name, plain_groups, processors, several_threads,
};
#[cfg(feature = "engine")]
pub(crate) use layout::add_layouts;
pub use layout::{Layout, layouts, layouts_of};
pub use lookup::{LookupCase, LookupGroup};
pub use memory::{Dependency, Memory, Tables};
pub use old_names::{current_name, old_name};
pub use op::{Asked, LookupOp, Mode};
pub use position::Position;
pub use query::{Pattern, Population, Records};

/// Id of the layout that all others are compared with. Its hotplug is also compared with a bare
/// populate.
pub const REFERENCE: &str = "subsection";

/// Id of the control: the reference layout measured a second time, in boots of its own.
pub const CONTROL: &str = "control";

/// Id of the bound of every lookup: an address without a check. It is no layout, and never wins.
pub const NO_CHECK: &str = "no-check";

/// How the ids of layouts begin that are Linux's own code, e.g. `compiled-6.1`.
pub const COMPILED: &str = "compiled-";

/// Name of the physical memory map of the machine that runs the benchmark.
pub const THIS_MACHINE: &str = "this-machine";

/// Name of the unit that holds the results of booting, before anything is timed.
pub const BOOT: &str = "boot";

/// Name of the unit that compares the cost of hotplug with that of a bare populate.
pub const OWN_COST: &str = "own_cost";

/// The `reason` of rows for cases that were not started within the time limit of the run.
pub const NOT_REACHED: &str = "not measured: the time of the run was over before";

/// Name of a case on a map: unchanged on this machine's map, otherwise with the map appended, e.g.
/// `pfn_valid/boot/random/flat@scattered-64`.
pub fn on_map(name: &str, map: &str) -> String {
    match map {
        THIS_MACHINE => name.to_owned(),
        other => format!("{name}@{}", other.strip_prefix("builtin:").unwrap_or(other)),
    }
}
