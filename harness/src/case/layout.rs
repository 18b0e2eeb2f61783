//! Properties of layouts that are known without booting one.

use memmap_layouts::layouts::{BuiltIn, Family, Visitor};
use memmap_layouts::{Capabilities, Geometry, Hotplug, Inspect, LoadChain, Memmap, SectionFlags, record_bytes};
use std::sync::{PoisonError, RwLock};

/// A layout that can be measured.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Unique id of lower-case letters, digits and hyphens, e.g. `vmemmap-section`.
    pub id: &'static str,
    /// One-line description.
    pub about: &'static str,
    /// Capabilities: what the layout calls valid, and its hotplug granule.
    pub caps: Capabilities,
    /// The memory loads of each lookup, in order.
    pub load_chain: LoadChain,
    /// Bytes of the record of a page: 8, 16, 32 or 64.
    pub record_bytes: u64,
}

impl Layout {
    /// Collects the associated constants of a layout's type.
    pub fn new<L: Memmap>() -> Self {
        let record_bytes = record_bytes::<L::Record>();
        Self { id: L::ID, about: L::ABOUT, caps: L::CAPS, load_chain: L::LOAD_CHAIN, record_bytes }
    }
}

struct Collect(Vec<Layout>);

impl<G: Geometry> Visitor<G> for Collect {
    fn fixed<L: Memmap<Geometry = G>>(&mut self) {
        self.0.push(Layout::new::<L>());
    }
    fn hotplug<L: Hotplug<Geometry = G> + Inspect + SectionFlags>(&mut self) {
        self.0.push(Layout::new::<L>());
    }
}

/// The layouts of a family.
pub fn layouts_of<F: Family, G: Geometry>() -> Vec<Layout> {
    let mut collect = Collect(Vec::new());
    F::show::<G>(&mut collect);
    collect.0
}

/// Layouts that are not built in.
static MORE: RwLock<Vec<Layout>> = RwLock::new(Vec::new());

/// Adds layouts behind the others: those of another crate, or compiled kernels.
#[cfg_attr(not(feature = "engine"), allow(dead_code, reason = "layouts are registered with the engine"))]
pub(crate) fn add_layouts(layouts: Vec<Layout>) {
    MORE.write().unwrap_or_else(PoisonError::into_inner).extend(layouts);
}

/// Every layout: the built-in ones in the order of reports, then those of other crates, then
/// compiled kernels.
pub fn layouts<G: Geometry>() -> Vec<Layout> {
    let mut all = layouts_of::<BuiltIn, G>();
    all.extend(MORE.read().unwrap_or_else(PoisonError::into_inner).iter().copied());
    all
}
