//! Cases of lookups.

use crate::contestant::entries;
use crate::probe::lookup::LookupOp;
use crate::queries::Pattern;
use crate::row::Sections;
use memmap_layouts::X86_64;

/// A lookup case.
#[derive(Clone, Copy, Debug)]
pub struct LookupCase {
    /// The lookup.
    pub op: LookupOp,
    /// Boot or hot-added memory.
    pub sections: Sections,
    /// Order of queries.
    pub pattern: Pattern,
    /// The layout.
    pub layout: &'static str,
}

impl LookupCase {
    /// `pfn_valid/boot/random`: what layouts are compared in.
    pub fn group(&self) -> String {
        format!("{}/{}/{}", self.op, self.sections.name(), self.pattern)
    }

    /// `pfn_valid/boot/random/flat`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.group(), self.layout)
    }
}

/// Every lookup case, from the one list of layouts.
pub fn lookup_cases() -> Vec<LookupCase> {
    let mut cases = Vec::new();
    for op in LookupOp::ALL {
        for sections in Sections::ALL {
            for pattern in Pattern::ALL {
                let layouts = entries::<X86_64>();
                let can =
                    layouts.iter().filter(|e| sections == Sections::Boot || e.caps.hotplug_granule_pages.is_some());
                cases.extend(can.map(|entry| LookupCase { op, sections, pattern, layout: entry.id }));
            }
        }
    }
    cases
}
