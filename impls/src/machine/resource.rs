//! The tree of physical address ranges, as `/proc/iomem` shows it.
//!
//! Source: `kernel/resource.c`. Siblings do not overlap; children lie inside their parent.

use crate::pfn::PfnRange;
use std::fmt;

/// The kind of memory in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResourceKind {
    /// System RAM: boot memory, hot-added, or driver-managed (`System RAM (kmem)`).
    SystemRam,
    /// `Persistent Memory`.
    PersistentMemory,
    /// A window in which memory may appear, e.g. `CXL Window 0`.
    Window,
    /// Any other resource, e.g. a device mapping.
    Other,
}

/// A range of physical memory with its kind and name. Source: `struct resource`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resource {
    /// The page frames of the range.
    pub range: PfnRange,
    /// The kind of memory.
    pub kind: ResourceKind,
    /// Name as in `/proc/iomem`, e.g. `System RAM`.
    pub name: String,
    /// Claimed exclusively: no other resource may be inserted inside (`IORESOURCE_BUSY`).
    pub busy: bool,
    children: Vec<Resource>,
}

impl Resource {
    /// A resource without children.
    pub fn new(range: PfnRange, kind: ResourceKind, name: impl Into<String>, busy: bool) -> Self {
        Self { range, kind, name: name.into(), busy, children: Vec::new() }
    }

    /// Visits this resource and all its descendants, parents first.
    fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Resource)) {
        visit(self);
        self.children.iter().for_each(|child| child.walk(visit));
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {}", self.name, self.range)
    }
}

/// How a range overlaps a kind of memory. Source: `region_intersects`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intersection {
    /// The range has no memory of the kind.
    Disjoint,
    /// The range has memory of the kind and nothing else. Holes do not count.
    Intersects,
    /// The range has memory of the kind and other resources.
    Mixed,
}

/// All resources of a machine. The default is empty.
///
/// ```
/// use memmap_layouts::PfnRange;
/// use memmap_layouts::machine::{Intersection, Resource, ResourceKind, ResourceTree};
///
/// let range = |start, nr_pages| PfnRange::from_len(start, nr_pages).unwrap();
/// let mut tree = ResourceTree::default();
/// tree.insert(Resource::new(range(0, 0x8000), ResourceKind::SystemRam, "System RAM", true)).unwrap();
/// tree.insert(Resource::new(range(0x8000, 0x8000), ResourceKind::PersistentMemory, "Persistent Memory", false)).unwrap();
/// assert_eq!(tree.region_intersects(range(0x7000, 0x2000), ResourceKind::SystemRam), Intersection::Mixed);
/// assert_eq!(tree.first(range(0, 0x10000), ResourceKind::PersistentMemory).unwrap().range, range(0x8000, 0x8000));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ResourceTree {
    top: Vec<Resource>,
}

impl ResourceTree {
    /// Inserts a resource below the smallest one that contains it. Resources that it contains
    /// become its children. Source: `insert_resource`.
    ///
    /// # Errors
    /// The resource in the way: one that overlaps in part, or a busy one that contains `new` or
    /// lies inside it. For an empty `new`, `new` itself. Nothing has changed.
    pub fn insert(&mut self, new: Resource) -> Result<(), Resource> {
        Self::insert_into(&mut self.top, new, true)
    }

    /// Claims a range below the smallest resource that contains it. Source: `__request_region`.
    ///
    /// # Errors
    /// As for [`insert`](Self::insert), and also any resource inside the range.
    pub fn request(&mut self, new: Resource) -> Result<(), Resource> {
        Self::insert_into(&mut self.top, new, false)
    }

    fn insert_into(siblings: &mut Vec<Resource>, new: Resource, takes_in: bool) -> Result<(), Resource> {
        if new.range.is_empty() {
            return Err(new);
        }
        match Self::conflict(siblings, new.range, takes_in) {
            Some(in_the_way) => Err(in_the_way.clone()),
            None => {
                Self::place(siblings, new);
                Ok(())
            }
        }
    }

    /// The indices of the siblings that overlap a range.
    fn touched(siblings: &[Resource], range: PfnRange) -> std::ops::Range<usize> {
        let at = siblings.partition_point(|sibling| sibling.range.end() <= range.start());
        at..at + siblings[at..].partition_point(|sibling| sibling.range.start() < range.end())
    }

    fn conflict(siblings: &[Resource], range: PfnRange, takes_in: bool) -> Option<&Resource> {
        let touched = &siblings[Self::touched(siblings, range)];
        if let [only] = touched
            && only.range.contains_range(range)
        {
            return if only.busy { Some(only) } else { Self::conflict(&only.children, range, takes_in) };
        }
        touched.iter().find(|sibling| !takes_in || sibling.busy || !range.contains_range(sibling.range))
    }

    /// Inserts a resource that nothing is in the way of.
    fn place(siblings: &mut Vec<Resource>, mut new: Resource) {
        let touched = Self::touched(siblings, new.range);
        if let [only] = &mut siblings[touched.clone()]
            && only.range.contains_range(new.range)
        {
            return Self::place(&mut only.children, new);
        }
        let at = touched.start;
        new.children = siblings.drain(touched).collect();
        siblings.insert(at, new);
    }

    /// The resource that keeps [`request`](Self::request) from claiming a range that is not empty;
    /// `None` if nothing does.
    pub fn in_the_way(&self, range: PfnRange) -> Option<&Resource> {
        Self::conflict(&self.top, range, false)
    }

    /// Removes the resource with exactly this range and kind; its children take its place. Returns
    /// false if there is none.
    pub fn remove(&mut self, range: PfnRange, kind: ResourceKind) -> bool {
        fn remove_from(siblings: &mut Vec<Resource>, range: PfnRange, kind: ResourceKind) -> bool {
            let Some(at) = siblings.iter().position(|sibling| sibling.range.contains_range(range)) else {
                return false;
            };
            let sibling = &mut siblings[at];
            // If two nested resources have the same range, remove the inner one.
            if remove_from(&mut sibling.children, range, kind) {
                return true;
            }
            if sibling.range != range || sibling.kind != kind {
                return false;
            }
            let children = std::mem::take(&mut sibling.children);
            siblings.splice(at..=at, children);
            true
        }
        remove_from(&mut self.top, range, kind)
    }

    /// Removes RAM. It may be a part of a resource, as memory blocks can be removed one by one.
    pub(super) fn release_ram(&mut self, range: PfnRange) {
        let is_ram = |resource: &&Resource| resource.kind == ResourceKind::SystemRam && resource.busy;
        let whole: Vec<Resource> =
            self.iter().filter(is_ram).filter(|ram| ram.range.overlaps(range)).cloned().collect();
        for ram in whole {
            let Some(part) = ram.range.intersect(range) else { continue };
            self.remove(ram.range, ResourceKind::SystemRam);
            let left = [(ram.range.start(), part.start()), (part.end(), ram.range.end())];
            for rest in left.into_iter().filter_map(|(start, end)| PfnRange::new(start, end)).filter(|r| !r.is_empty())
            {
                let rest = Resource::new(rest, ram.kind, ram.name.clone(), ram.busy);
                // This cannot fail: a busy resource has no children, so nothing else is in the way.
                self.request(rest).expect("part of the range that was just removed");
            }
        }
    }

    /// All resources, parents before children.
    pub fn iter(&self) -> impl Iterator<Item = &Resource> {
        let mut all = Vec::new();
        self.top.iter().for_each(|resource| resource.walk(&mut |resource| all.push(resource)));
        all.into_iter()
    }

    /// The first resource of a kind that overlaps `range`, at any depth.
    pub fn first(&self, range: PfnRange, kind: ResourceKind) -> Option<&Resource> {
        self.iter().find(|resource| resource.kind == kind && resource.range.overlaps(range))
    }

    /// The first busy resource that overlaps `range`, at any depth.
    pub(crate) fn first_busy(&self, range: PfnRange) -> Option<&Resource> {
        self.iter().find(|resource| resource.busy && resource.range.overlaps(range))
    }

    /// Number of page frames of `range` that are of a kind.
    pub fn nr_pages(&self, range: PfnRange, kind: ResourceKind) -> u64 {
        let mut end = range.start();
        let mut nr_pages = 0;
        // Count nested resources of the same kind once.
        for part in self.iter().filter(|resource| resource.kind == kind).filter_map(|r| r.range.intersect(range)) {
            nr_pages += part.end().saturating_sub(part.start().max(end));
            end = end.max(part.end());
        }
        nr_pages
    }

    /// Whether `range` has memory of a kind, and anything else. Resources of the kind count at any
    /// depth. An outer resource that they cover does not count as something else (B-24).
    pub fn region_intersects(&self, range: PfnRange, kind: ResourceKind) -> Intersection {
        let (mut found, mut other) = (false, false);
        for top in &self.top {
            let Some(part) = top.range.intersect(range) else { continue };
            let mut covered_to = part.start();
            top.walk(&mut |resource| {
                let Some(inner) = resource.range.intersect(part).filter(|_| resource.kind == kind) else { return };
                found = true;
                if inner.start() <= covered_to {
                    covered_to = covered_to.max(inner.end());
                }
            });
            other |= covered_to < part.end();
        }
        match (found, other) {
            (false, _) => Intersection::Disjoint,
            (true, false) => Intersection::Intersects,
            (true, true) => Intersection::Mixed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ResourceKind::*;

    fn range(start: u64, end: u64) -> PfnRange {
        PfnRange::new(start, end).unwrap()
    }

    fn tree(resources: &[(u64, u64, ResourceKind)]) -> ResourceTree {
        let mut tree = ResourceTree::default();
        for &(start, end, kind) in resources {
            tree.insert(Resource::new(range(start, end), kind, "r", kind == SystemRam)).unwrap();
        }
        tree
    }

    #[test]
    fn ranges_nest_in_any_order() {
        let outer_first = tree(&[(0, 100, Window), (10, 20, Other), (12, 14, SystemRam)]);
        let inner_first = tree(&[(12, 14, SystemRam), (30, 40, Other)]);
        assert_eq!(outer_first.iter().map(|r| r.range.start()).collect::<Vec<_>>(), [0, 10, 12]);
        let mut other = inner_first.clone();
        // A busy resource does not become a child of a later one.
        assert_eq!(other.insert(Resource::new(range(0, 100), Window, "w", false)).unwrap_err().range, range(12, 14));
        assert_eq!(other, inner_first, "refused, nothing changed");
        let mut tree = tree(&[(30, 40, Other)]);
        tree.insert(Resource::new(range(0, 100), Window, "w", false)).unwrap();
        assert!(tree.remove(range(0, 100), Window) && !tree.remove(range(0, 100), Window));
        assert_eq!(tree.iter().map(|r| r.range.start()).collect::<Vec<_>>(), [30]);
    }

    #[test]
    fn partial_overlaps_and_busy_ranges_are_refused() {
        let mut tree = tree(&[(10, 20, SystemRam)]);
        let before = tree.clone();
        for (start, end) in [(5, 15), (15, 25), (12, 14), (10, 20)] {
            let in_the_way = tree.insert(Resource::new(range(start, end), Other, "n", false)).unwrap_err();
            assert_eq!(in_the_way.range, range(10, 20));
        }
        for (start, end) in [(12, 12), (20, 20), (30, 30)] {
            assert!(tree.insert(Resource::new(range(start, end), Other, "empty", false)).is_err());
        }
        assert_eq!(tree, before);
    }

    #[test]
    fn a_claimed_range_accepts_no_children() {
        let mut tree = tree(&[(0, 100, Window), (40, 60, Other)]);
        let before = tree.clone();
        for (start, end) in [(30, 70), (50, 70), (50, 200)] {
            let in_the_way = tree.request(Resource::new(range(start, end), SystemRam, "n", true)).unwrap_err();
            assert_eq!((in_the_way.kind, tree == before), (if end == 200 { Window } else { Other }, true));
        }
        // In the free part of a window, and in a whole window.
        tree.request(Resource::new(range(60, 70), SystemRam, "n", true)).unwrap();
        tree.request(Resource::new(range(40, 60), SystemRam, "n", true)).unwrap();
        assert_eq!(tree.iter().count(), 4);
    }

    #[test]
    fn regions_are_disjoint_intersect_or_mixed() {
        let tree = tree(&[
            (0, 100, SystemRam),
            (100, 110, PersistentMemory),
            (200, 300, Window),
            (200, 250, SystemRam),
            (400, 500, Window),
            (400, 500, SystemRam),
        ]);
        for (start, end, expected) in [
            (110, 200, Intersection::Disjoint),
            (100, 110, Intersection::Disjoint),
            (50, 100, Intersection::Intersects),
            (90, 110, Intersection::Mixed),
            // The hole between 110 and 200 does not count, a window without RAM does.
            (220, 250, Intersection::Intersects),
            (220, 260, Intersection::Mixed),
            (260, 300, Intersection::Disjoint),
            (450, 600, Intersection::Intersects),
        ] {
            assert_eq!(tree.region_intersects(range(start, end), SystemRam), expected, "{start}..{end}");
        }
        assert_eq!(tree.nr_pages(range(90, 460), SystemRam), 10 + 50 + 60);
    }
}
