//! Cases of hotplug, of readers beside it, and of what it costs on top of the unavoidable.

use crate::contestant::entries;
use crate::race::HOTPLUG_SIZES;
use memmap_layouts::{Bytes, Geometry, X86_64};

/// A hotplug case: additions and removals of one size.
#[derive(Clone, Copy, Debug)]
pub struct HotplugCase {
    /// Size in bytes.
    pub size: u64,
    /// The layout.
    pub layout: &'static str,
}

impl HotplugCase {
    /// `hotplug/2MiB/dax`.
    pub fn name(&self) -> String {
        format!("hotplug/{}/{}", Bytes(self.size).to_string().replace(' ', ""), self.layout)
    }
}

/// Readers beside a writer: `readers/dax`.
pub fn readers_name(layout: &str) -> String {
    format!("readers/{layout}")
}

/// Hot-add against a bare populate: `own_cost/subsection`.
pub fn own_cost_name(layout: &str) -> String {
    format!("own_cost/{layout}")
}

/// Every hotplug case.
pub fn hotplug_cases() -> Vec<HotplugCase> {
    let layouts = entries::<X86_64>();
    let offered = |size: u64| {
        let can = move |pages: u64| (size >> X86_64::PAGE_SHIFT).is_multiple_of(pages);
        layouts.iter().filter(move |e| e.caps.hotplug_granule_pages.is_some_and(can))
    };
    HOTPLUG_SIZES
        .into_iter()
        .flat_map(|size| offered(size).map(move |entry| HotplugCase { size, layout: entry.id }))
        .collect()
}
