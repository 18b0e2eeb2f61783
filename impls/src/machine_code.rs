//! What the machine code of a lookup does: which loads it makes, and how its answer is made.
//!
//! A lookup is compiled as a leaf, a function that calls nothing: it takes a reader and a number. The leaf is
//! disassembled where it lies in memory, and every path through it is followed. Only x86-64 code can
//! be read; elsewhere [`pfn_valid_answer`] returns `None` and there is no `Leaf`.

#[cfg(target_arch = "x86_64")]
mod leaf;
#[cfg(target_arch = "x86_64")]
pub use iced_x86;
#[cfg(target_arch = "x86_64")]
pub use leaf::{CodePath, Leaf, MachineCodeError, ObservedLoad, instructions_within};

use crate::memmap::{Lookup, Memmap};
use crate::pfn::Pfn;

/// How a positive answer of `pfn_valid` reaches the code that uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum YesForm {
    /// It is a value computed from what was loaded: what uses it waits for the loads.
    Data,
    /// It is a constant on a path that a branch selects: where the branch is predicted, nothing waits for the loads.
    Branch,
}

/// The forms of the positive answers of a layout's `pfn_valid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerForm {
    /// For boot memory.
    pub boot: YesForm,
    /// For added memory.
    pub added: YesForm,
}

/// `pfn_valid` of a layout as a leaf: its machine code is what is read.
#[inline(never)]
pub fn pfn_valid_leaf<L: Memmap>(reader: &L::Reader<'_>, pfn: u64) -> bool {
    reader.pfn_valid(Pfn(pfn))
}

/// How `pfn_valid` of a layout answers, read off its machine code.
///
/// Boot memory is answered by a branch if some path returns the constant 1. Added memory takes the path with the most
/// loads: it is answered by a branch if every such path returns a constant.
///
/// `None` on architectures other than x86-64, and if the code cannot be followed (it was instrumented, or not optimised).
pub fn pfn_valid_answer<L: Memmap>() -> Option<AnswerForm> {
    #[cfg(target_arch = "x86_64")]
    return leaf::answer_form(&Leaf::at(listed::pfn_valid_leaf_of::<L>()).ok()?.paths().ok()?);
    #[cfg(not(target_arch = "x86_64"))]
    None
}

/// The leaves of the layouts of the list.
#[cfg(target_arch = "x86_64")]
mod listed {
    use super::pfn_valid_leaf;
    use crate::geometry::{Geometry, GeometryVisitor, for_each_geometry};
    use crate::layouts::{Visitor, visit};
    use crate::memmap::{Hotplug, Inspect, Memmap, SectionFlags};
    use std::any::TypeId;
    use std::collections::HashMap;
    use std::sync::OnceLock;

    struct Listed(HashMap<TypeId, usize>);

    fn address_of<L: Memmap>() -> usize {
        pfn_valid_leaf::<L> as fn(&L::Reader<'_>, u64) -> bool as usize
    }

    impl<G: Geometry> Visitor<G> for Listed {
        fn fixed<L: Memmap<Geometry = G>>(&mut self) {
            self.0.insert(TypeId::of::<L>(), address_of::<L>());
        }
        fn hotplug<L: Hotplug<Geometry = G> + Inspect + SectionFlags>(&mut self) {
            self.fixed::<L>();
        }
    }

    impl GeometryVisitor for Listed {
        fn visit<G: Geometry>(&mut self) {
            visit::<G>(self);
        }
    }

    /// Not generic, so the leaves are compiled with this crate, which is optimised in every profile. A leaf that is
    /// compiled with the caller's crate may be a tree of calls.
    #[inline(never)]
    fn listed() -> &'static HashMap<TypeId, usize> {
        static LISTED: OnceLock<HashMap<TypeId, usize>> = OnceLock::new();
        LISTED.get_or_init(|| {
            let mut listed = Listed(HashMap::new());
            for_each_geometry(&mut listed);
            listed.0
        })
    }

    /// Address of the leaf of a layout.
    pub(super) fn pfn_valid_leaf_of<L: Memmap>() -> usize {
        listed().get(&TypeId::of::<L>()).copied().unwrap_or_else(address_of::<L>)
    }
}
