//! What is known of a layout without booting it.

use memmap_layouts::layouts::{Visitor, visit};
use memmap_layouts::{Capabilities, Geometry, Hotplug, Inspect, LoadChain, Memmap, SectionFlags};

/// A layout that cases can be of.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Its id: lower case, digits and hyphens.
    pub id: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// What it can do.
    pub caps: Capabilities,
    /// What its lookups load.
    pub load_chain: LoadChain,
}

impl Layout {
    /// Reads what a layout's type states.
    pub fn new<L: Memmap>() -> Self {
        Self { id: L::ID, about: L::ABOUT, caps: L::CAPS, load_chain: L::LOAD_CHAIN }
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

/// Every layout of the list, in the order of reports.
pub fn layouts<G: Geometry>() -> Vec<Layout> {
    let mut collect = Collect(Vec::new());
    visit::<G>(&mut collect);
    collect.0
}
