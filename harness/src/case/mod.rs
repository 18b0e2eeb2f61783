//! The vocabulary of a measurement: what is looked up, in which mode and order, on which memory, in which state of
//! the caches, and how a case is called. No other room of this crate is known here.

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
pub(crate) use layout::add_layouts;
pub use layout::{Layout, layouts, layouts_of};
pub use lookup::{LookupCase, LookupGroup};
pub use memory::{Dependency, Memory, Tables};
pub use old_names::{current_name, old_name};
pub use op::{Asked, LookupOp, Mode};
pub use position::Position;
pub use query::{Pattern, Population, Records};

/// The layout that the others are compared with, and whose hotplug is compared with a bare populate.
pub const REFERENCE: &str = "subsection";

/// Id of the control: the reference raced a second time, in boots of its own.
pub const CONTROL: &str = "control";

/// Name of the map of the machine that measures.
pub const THIS_MACHINE: &str = "this-machine";

/// The unit of what comes before anything is timed.
pub const BOOT: &str = "boot";

/// The unit of what hotplug costs on top of a bare populate.
pub const OWN_COST: &str = "own_cost";

/// The reason in rows of what was not begun.
pub const NOT_REACHED: &str = "not measured: the time of the run was over before";

/// The name of a case on a map: on the main map its own, else `pfn_valid/boot/random/flat@scattered-64`.
pub fn on_map(name: &str, map: &str) -> String {
    match map {
        THIS_MACHINE => name.to_owned(),
        other => format!("{name}@{}", other.strip_prefix("builtin:").unwrap_or(other)),
    }
}
