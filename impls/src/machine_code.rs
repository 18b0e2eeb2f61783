//! Analysis of the machine code of a lookup: the loads that it executes, and how it produces its
//! answer.
//!
//! A lookup is compiled as a leaf: a function that calls no other and takes a reader and a number.
//! The leaf is disassembled in memory, and every path through it is followed. Only x86-64 code can
//! be analysed; elsewhere [`pfn_valid_answer`] returns `None` and `Leaf` does not exist.
//!
//! ```
//! use memmap_layouts::layouts::VmemmapSection;
//! use memmap_layouts::machine_code::pfn_valid_answer;
//!
//! // None in a build without optimisation, and on architectures other than x86-64.
//! if let Some(form) = pfn_valid_answer::<VmemmapSection>() {
//!     println!("vmemmap-section answers for boot memory by {:?}", form.boot);
//! }
//! ```

#[cfg(target_arch = "x86_64")]
#[path = "machine_code/fingerprint.rs"]
mod code_fingerprint;
#[cfg(target_arch = "x86_64")]
mod leaf;
#[cfg(target_arch = "x86_64")]
pub use iced_x86;
#[cfg(target_arch = "x86_64")]
pub use leaf::{CodePath, Leaf, MachineCodeError, ObservedLoad, instructions_within};

use crate::memmap::{Lookup, Memmap};
use crate::pfn::Pfn;

/// How a positive answer of `pfn_valid` reaches the code that uses it: as a data or a control
/// dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum YesForm {
    /// A value computed from the loaded data: code that uses it waits for the loads.
    Data,
    /// A constant on a path that a branch selects: with a correct branch prediction nothing waits
    /// for the loads.
    Branch,
}

/// The forms of the positive answers of a layout's `pfn_valid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerForm {
    /// The form for boot memory.
    pub boot: YesForm,
    /// The form for added memory.
    pub added: YesForm,
}

/// `pfn_valid` of a layout as a separate function, whose machine code is analysed.
#[inline(never)]
pub fn pfn_valid_leaf<L: Memmap>(reader: &L::Reader<'_>, pfn: u64) -> bool {
    reader.pfn_valid(Pfn(pfn))
}

/// The form of the answers of a layout's `pfn_valid`, determined from its machine code.
///
/// Boot memory is answered by a branch if some path returns a constant other than 0. Added memory
/// takes the paths with the most loads; it is answered by a branch if all of them return a
/// constant.
///
/// `None` on architectures other than x86-64, and if the code cannot be followed (instrumented or
/// not optimised).
pub fn pfn_valid_answer<L: Memmap>() -> Option<AnswerForm> {
    #[cfg(target_arch = "x86_64")]
    return listed::answer_of::<L>();
    #[cfg(not(target_arch = "x86_64"))]
    None
}

/// A hash of the instructions of the function at `entry` and of those that it calls, independent of
/// their addresses. Equal hashes of two builds mean the same instructions. `None` on architectures
/// other than x86-64, and if `entry` is not code.
pub fn fingerprint(entry: usize) -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    return code_fingerprint::from_code(entry);
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = entry;
        None
    }
}

/// The leaves of the layouts in [`for_each_layout`](crate::for_each_layout).
#[cfg(target_arch = "x86_64")]
mod listed {
    use super::{AnswerForm, Leaf, leaf, pfn_valid_leaf};
    use crate::geometry::{Geometry, GeometryVisitor, for_each_geometry};
    use crate::layouts::{Visitor, visit};
    use crate::memmap::{Hotplug, Inspect, Memmap, SectionFlags};
    use std::any::TypeId;
    use std::collections::HashMap;
    use std::sync::OnceLock;

    /// The leaf of a layout, and its answer form once it was analysed.
    struct ListedLeaf {
        address: usize,
        answer: OnceLock<Option<AnswerForm>>,
    }

    struct Listed(HashMap<TypeId, ListedLeaf>);

    fn address_of<L: Memmap>() -> usize {
        pfn_valid_leaf::<L> as fn(&L::Reader<'_>, u64) -> bool as usize
    }

    impl<G: Geometry> Visitor<G> for Listed {
        fn fixed<L: Memmap<Geometry = G>>(&mut self) {
            let leaf = ListedLeaf { address: address_of::<L>(), answer: OnceLock::new() };
            self.0.insert(TypeId::of::<L>(), leaf);
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

    /// Not generic, so that the leaves are compiled with this crate, which is optimised in every
    /// profile. A leaf compiled with the caller's crate may contain calls.
    #[inline(never)]
    fn listed() -> &'static HashMap<TypeId, ListedLeaf> {
        static LISTED: OnceLock<HashMap<TypeId, ListedLeaf>> = OnceLock::new();
        LISTED.get_or_init(|| {
            let mut listed = Listed(HashMap::new());
            for_each_geometry(&mut listed);
            listed.0
        })
    }

    #[inline(never)]
    fn read(address: usize) -> Option<AnswerForm> {
        leaf::answer_form(&Leaf::at(address).ok()?.paths().ok()?)
    }

    /// Analyses a listed layout once and caches the result; any other layout is analysed on each
    /// call.
    pub(super) fn answer_of<L: Memmap>() -> Option<AnswerForm> {
        match listed().get(&TypeId::of::<L>()) {
            Some(leaf) => *leaf.answer.get_or_init(|| read(leaf.address)),
            None => read(address_of::<L>()),
        }
    }
}
