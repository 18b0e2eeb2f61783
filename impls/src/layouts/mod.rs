//! The layouts, one file each, and the one list of them.

mod dax;
mod dax_x86;
mod flat;
mod sparse;
mod subsection;
mod subsection_v6;
mod vmemmap_section;

pub use dax::Dax;
pub use dax_x86::DaxX86;
pub use flat::Flat;
pub use sparse::Sparse;
pub use subsection::Subsection;
pub use subsection_v6::SubsectionV6;
pub use vmemmap_section::VmemmapSection;

use crate::geometry::Geometry;
use crate::memmap::{Hotplug, Inspect, Memmap, SectionFlags};

/// Calls a macro with every layout, in the order of reports, as `Type is kind;`. `fixed` layouts have no hotplug. Tests,
/// benches, the command line and the report are made from this list; a new layout is a file, its `mod` and `use` lines,
/// and a line here. The types take a [`Geometry`], and the caller has them in scope.
#[macro_export]
macro_rules! for_each_layout {
    ($callback:ident) => {
        $callback! {
            Flat is fixed;
            Sparse is hotplug;
            VmemmapSection is hotplug;
            Subsection is hotplug;
            SubsectionV6 is hotplug;
            Dax is hotplug;
            DaxX86 is hotplug;
        }
    };
}

/// Work to be done for every layout of an architecture, generic over its type.
pub trait Visitor<G: Geometry> {
    /// A layout without hotplug.
    fn fixed<L: Memmap<Geometry = G>>(&mut self);
    /// A layout whose memory can come and go.
    fn hotplug<L: Hotplug<Geometry = G> + Inspect + SectionFlags>(&mut self);
}

/// Shows a visitor every layout of the list, for one architecture.
pub fn visit<G: Geometry>(visitor: &mut impl Visitor<G>) {
    macro_rules! each {
        ($($layout:ident is $kind:ident;)*) => { $( visitor.$kind::<$layout<G>>(); )* };
    }
    for_each_layout!(each);
}
