//! The layouts, one per file, and the single list of all of them.

mod dax;
mod dax_x86;
mod flat;
mod flat_indexed;
mod linux;
mod queued;
mod segments;
mod sparse;
mod subsection;
mod subsection_v6;
mod vmemmap_section;

pub use dax::Dax;
pub use dax_x86::DaxX86;
pub use flat::Flat;
pub use flat_indexed::{Answer, Bitmap, BitmapBranch, FlatForm, FlatIndexed, FlatIndexes, FlatSection, ValidMap};
pub use linux::{Linux, Linux5_2, Linux5_3, Linux5_10, Linux6_1, Linux7_2, LinuxNext};
pub use queued::{Queued, Sections24, Sections24Mask, Sections32};
pub use segments::Segments;
pub use sparse::Sparse;
pub use subsection::{IndexForm, Subsection, TwoLevels};
pub use subsection_v6::SubsectionV6;
pub use vmemmap_section::VmemmapSection;

use crate::geometry::Geometry;
use crate::memmap::{Hotplug, Inspect, Memmap, SectionFlags};

/// Calls a macro with every layout as `Type is kind;`, in the order used by reports. `fixed`
/// layouts have no hotplug. Tests, benches, the command line and the report use this list.
///
/// To add a layout, add its file, its `mod` and `use` lines, and a line here. The types take a
/// [`Geometry`]; the caller must have them in scope.
#[macro_export]
macro_rules! for_each_layout {
    ($callback:ident) => {
        $callback! {
            Flat is fixed;
            Segments is fixed;
            Sparse is hotplug;
            VmemmapSection is hotplug;
            Subsection is hotplug;
            SubsectionV6 is hotplug;
            Linux5_2 is hotplug;
            Linux6_1 is hotplug;
            ValidMap is hotplug;
            Dax is hotplug;
            DaxX86 is hotplug;
        }
    };
}

/// A generic operation that is run for every layout of an architecture; see [`visit`].
pub trait Visitor<G: Geometry> {
    /// Called for a layout without hotplug, e.g. [`Flat`].
    fn fixed<L: Memmap<Geometry = G>>(&mut self);
    /// Called for a layout with hotplug.
    fn hotplug<L: Hotplug<Geometry = G> + Inspect + SectionFlags>(&mut self);
}

/// A set of layouts, for any architecture: those of this crate ([`BuiltIn`]), or those of another
/// ([`layout_family!`](crate::layout_family)).
pub trait Family: 'static {
    /// Calls a visitor for every layout, for one architecture.
    fn show<G: Geometry>(visitor: &mut impl Visitor<G>);
}

/// The layouts of this crate.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn;

impl Family for BuiltIn {
    fn show<G: Geometry>(visitor: &mut impl Visitor<G>) {
        visit::<G>(visitor);
    }
}

/// The layouts of this crate that take part in a race only when they are named: [`Linux`] of other
/// versions than the two that always do, what is [`Queued`] for it, and other [`FlatIndexes`] than
/// the one that always does.
#[derive(Clone, Copy, Debug)]
pub struct WhenNamed;

impl Family for WhenNamed {
    fn show<G: Geometry>(visitor: &mut impl Visitor<G>) {
        Linux::show::<G>(visitor);
        Queued::show::<G>(visitor);
        FlatIndexes::show::<G>(visitor);
    }
}

/// Defines a [`Family`] from the paths of layouts that take a [`Geometry`](crate::Geometry). A
/// layout that implements [`Hotplug`](crate::Hotplug), [`Inspect`](crate::Inspect) and
/// [`SectionFlags`](crate::SectionFlags) is visited as one with hotplug, any other as fixed.
///
/// ```
/// use memmap_layouts::conformance::{Outcome, run_family};
///
/// memmap_layouts::layout_family!(Mine: memmap_layouts::layouts::Flat);
/// let runs = run_family::<Mine>();
/// assert!(!runs.is_empty() && runs.iter().all(|run| !matches!(run.outcome, Outcome::Failed(_))));
/// ```
#[macro_export]
macro_rules! layout_family {
    ($name:ident: $($($layout:ident)::+),+ $(,)?) => {
        enum $name {}

        impl $crate::layouts::Family for $name {
            fn show<G: $crate::Geometry>(visitor: &mut impl $crate::layouts::Visitor<G>) {
                // If all layouts have hotplug, or none has, one of the two is unused.
                #[allow(unused_imports)]
                use $crate::layouts::kind::{Fixed as _, Of, WithHotplug as _};
                $( (&Of::<$($layout)::+<G>>::NEW).show(visitor); )+
            }
        }
    };
}

/// Selects the visitor's method by the traits of a layout. Method resolution finds
/// [`WithHotplug`](kind::WithHotplug) first, and [`Fixed`](kind::Fixed) after one more reference.
#[doc(hidden)]
pub mod kind {
    use super::Visitor;
    use crate::geometry::Geometry;
    use crate::memmap::{Hotplug, Inspect, Memmap, SectionFlags};
    use std::marker::PhantomData;

    pub struct Of<L>(PhantomData<L>);

    impl<L> Of<L> {
        pub const NEW: Self = Self(PhantomData);
    }

    pub trait WithHotplug<G: Geometry> {
        fn show(&self, visitor: &mut impl Visitor<G>);
    }

    impl<G: Geometry, L: Hotplug<Geometry = G> + Inspect + SectionFlags> WithHotplug<G> for Of<L> {
        fn show(&self, visitor: &mut impl Visitor<G>) {
            visitor.hotplug::<L>();
        }
    }

    pub trait Fixed<G: Geometry> {
        fn show(&self, visitor: &mut impl Visitor<G>);
    }

    impl<G: Geometry, L: Memmap<Geometry = G>> Fixed<G> for &Of<L> {
        fn show(&self, visitor: &mut impl Visitor<G>) {
            visitor.fixed::<L>();
        }
    }
}

/// Calls a visitor for every layout of the list, for one architecture.
pub fn visit<G: Geometry>(visitor: &mut impl Visitor<G>) {
    macro_rules! each {
        ($($layout:ident is $kind:ident;)*) => { $( visitor.$kind::<$layout<G>>(); )* };
    }
    for_each_layout!(each);
}
