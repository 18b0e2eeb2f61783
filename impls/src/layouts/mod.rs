//! The layouts, one file each, and the one list of them.

mod dax;
mod flat;
mod sparse;
mod subsection;

pub use dax::Dax;
pub use flat::Flat;
pub use sparse::Sparse;
pub use subsection::Subsection;

use crate::memmap::{Hotplug, Inspect, Memmap};

/// Calls a macro with every layout, in the order of reports: `name => Type, is what it is;`. `fixed` layouts have no
/// hotplug. Tests, benches, the command line and the report are made from this list; a new layout is a file, its `mod`
/// line, and a line here.
#[macro_export]
macro_rules! for_each_layout {
    ($callback:ident) => {
        $callback! {
            flat => $crate::layouts::Flat, fixed;
            sparse => $crate::layouts::Sparse, hotplug;
            subsection => $crate::layouts::Subsection, hotplug;
            dax => $crate::layouts::Dax, hotplug;
        }
    };
}

/// Work to be done for every layout, generic over its type.
pub trait Visitor {
    /// A layout without hotplug.
    fn fixed<L: Memmap>(&mut self);
    /// A layout whose memory can come and go.
    fn hotplug<L: Hotplug + Inspect>(&mut self);
}

/// Shows a visitor every layout of the list.
pub fn visit(visitor: &mut impl Visitor) {
    macro_rules! each {
        ($($name:ident => $layout:ty, $kind:ident;)*) => { $( visitor.$kind::<$layout>(); )* };
    }
    for_each_layout!(each);
}
