//! What Linux is about to change in `struct mem_section`, as layouts that can be raced.
//!
//! A queued change drops the rule that the size of a section descriptor is a power of two. It says
//! that "the runtime impact is negligible" and gives no figure. With page extensions a descriptor has
//! three words; today a fourth pads it. These layouts are `linux-next` with three forms of the
//! descriptor, which nothing else tells apart:
//!
//! | layout | bytes | descriptors in a root page | index in the root |
//! | --- | --- | --- | --- |
//! | `linux-next` | 16 | 256 | mask; today's form without page extensions |
//! | `sections-24` | 24 | 170 | modulo, as posted |
//! | `sections-24-mask` | 24 | 128 | mask |
//! | `sections-32` | 32 | 128 | mask; today's form with page extensions |
//!
//! With 24 bytes, one descriptor in eight has its word and its usage pointer on two cache lines. 8
//! bytes a section are 64 KiB for a TiB of memory.
//!
//! Source: "mm/sparse: drop power-of-2 size requirement for struct mem_section", patch 21 of 49,
//! 2026-04-05. The text of the patch that is queued ("relax struct mem_section size constraints",
//! 2026-10) was not found.

use crate::geometry::{Geometry, X86_64};
use crate::layouts::{Family, Subsection, Visitor};
use crate::rules;

/// Descriptors of 24 bytes, 170 in a root page: the change as posted.
pub type Sections24<G = X86_64> = Subsection<G, rules::Sections24>;
/// Descriptors of 24 bytes, 128 in a root page.
pub type Sections24Mask<G = X86_64> = Subsection<G, rules::Sections24Mask>;
/// Descriptors of 32 bytes, 128 in a root page: Linux today with page extensions.
pub type Sections32<G = X86_64> = Subsection<G, rules::Sections32>;

/// The forms of section descriptors that the queued change is about.
#[derive(Clone, Copy, Debug)]
pub struct Queued;

impl Family for Queued {
    fn show<G: Geometry>(visitor: &mut impl Visitor<G>) {
        visitor.hotplug::<Sections24<G>>();
        visitor.hotplug::<Sections24Mask<G>>();
        visitor.hotplug::<Sections32<G>>();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::conformance::{Outcome, run_family};

    #[test]
    fn the_form_of_the_descriptor_changes_no_answer() {
        let runs = run_family::<Queued>();
        let failed: Vec<_> = runs.iter().filter(|run| matches!(run.outcome, Outcome::Failed(_))).collect();
        assert!(failed.is_empty(), "{failed:?}");
        for id in ["sections-24", "sections-24-mask", "sections-32"] {
            let passed = runs.iter().filter(|run| run.layout == id && run.outcome == Outcome::Passed).count();
            assert!(passed > 20, "{id}: {passed}");
        }
    }
}
