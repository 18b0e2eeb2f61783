//! The machine that is asked: an architecture, a kernel, a memory block size, and the ranges of a
//! map.

use super::architecture::{Architecture, NoSuchPageSize};
use super::block_size::{AppliedBlockSize, BlockSizeOrigin};
use crate::kernel_version::KernelVersion;
use crate::map::inventory::{Inventory, Span};
use crate::map::{Kind, MapRange, PhysicalMap};
use memmap_layouts::machine::{
    AddressSpace, AdmissionRules, BlockSizeError, MachineError, Resource, ResourceKind, check_block_size,
};
use memmap_layouts::{BootError, BootMap, BootRange, PfnRange};
use thiserror::Error;

/// A machine that is asked whether it would accept memory.
#[derive(Clone, Copy, Debug)]
pub struct MachineDescription<'a> {
    /// Architecture.
    pub architecture: Architecture,
    /// Page size in bytes; `None` for the most common one.
    pub page_bytes: Option<u64>,
    /// The kernel whose rules apply.
    pub kernel: KernelVersion,
    /// Memory block size in bytes; `None` for the one that the kernel chooses.
    pub block_bytes: Option<u64>,
    /// There is no hypervisor. It matters for the block size of x86-64 and ppc64.
    pub bare_metal: bool,
    /// What is there; `None` if only block, section and address rules are asked.
    pub map: Option<&'a PhysicalMap>,
    /// Windows, namespaces and the block size that the text of the map states.
    pub inventory: Option<&'a Inventory>,
}

/// Why a machine cannot be judged.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The architecture has no such page size.
    #[error(transparent)]
    PageSize(#[from] NoSuchPageSize),
    /// The block size is invalid.
    #[error(transparent)]
    BlockSize(#[from] BlockSizeError),
    /// Ranges of RAM overlap.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The map has no memory.
    #[error("the map {name} has no RAM, so no machine boots with it; give the map of a machine, or none")]
    NoRam {
        /// Name of the map.
        name: String,
    },
}

/// A machine whose answer can be asked for.
#[derive(Clone, Debug)]
pub struct PreparedMachine<'a> {
    pub(super) description: MachineDescription<'a>,
    pub(super) space: AddressSpace,
    pub(super) block_size: AppliedBlockSize,
    /// CXL windows of the map, and those that were added.
    pub(super) windows: Vec<Span>,
    /// Nothing was added since.
    pub(super) is_unchanged: bool,
    warnings: Vec<String>,
}

impl MachineDescription<'static> {
    /// A machine with the current kernel, on bare metal, without a map.
    pub fn new(architecture: Architecture) -> Self {
        let (kernel, bare_metal) = (KernelVersion::CURRENT, true);
        Self { architecture, page_bytes: None, kernel, block_bytes: None, bare_metal, map: None, inventory: None }
    }
}

impl<'a> MachineDescription<'a> {
    /// Page size in bytes.
    pub fn page_bytes(&self) -> u64 {
        self.page_bytes.unwrap_or(self.architecture.page_sizes()[0])
    }

    /// Determines the block size, and places the ranges of the map. Cost: the time that sorting the
    /// ranges takes, whatever their size.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn prepare(self) -> Result<PreparedMachine<'a>, SetupError> {
        let mut rules = self.architecture.rules(self.page_bytes(), self.kernel)?;
        let section_bytes = 1 << rules.section_bits;
        let boot = self.map.map(|map| boot_map(map, rules.page_shift)).transpose()?.unwrap_or_default();
        if let Some(map) = self.map.filter(|_| boot.ranges().is_empty()) {
            return Err(SetupError::NoRam { name: map.name.clone() });
        }
        let end_of_ram = boot.end_pfn() << rules.page_shift;
        let stated = self.inventory.and_then(|inventory| inventory.block_bytes);
        let block_size = match self.block_bytes {
            None if stated.is_some_and(|bytes| check_block_size(section_bytes, bytes).is_ok()) => {
                AppliedBlockSize { bytes: stated.unwrap_or(section_bytes), origin: BlockSizeOrigin::Stated }
            }
            Some(bytes) => {
                AppliedBlockSize { bytes: check_block_size(section_bytes, bytes)?, origin: BlockSizeOrigin::Given }
            }
            None => {
                let map = self.map.map(|map| (map, end_of_ram));
                AppliedBlockSize::choose(
                    self.architecture,
                    section_bytes,
                    self.kernel,
                    self.bare_metal,
                    map,
                    &self.windows(),
                )
            }
        };
        rules.block_bytes = block_size.bytes;
        // Source: `check_hotplug_memory_range`.
        let in_blocks = self.kernel >= KernelVersion::new(4, 17);
        rules.ram_unit_bytes = if in_blocks { block_size.bytes } else { section_bytes };
        let nodes = self.map.and_then(|map| map.ranges.iter().filter_map(|range| range.node).max());
        rules.nodes = nodes.map_or(u8::MAX, |node| node.saturating_add(1));
        let mut prepared = PreparedMachine {
            description: self,
            space: AddressSpace::new(rules, &boot),
            block_size,
            windows: self.windows(),
            is_unchanged: true,
            warnings: Vec::new(),
        };
        if let Some(map) = self.map {
            prepared.place(map);
        }
        Ok(prepared)
    }
}

/// The whole pages of a range; `None` if there are none.
fn pages(range: &MapRange, page_shift: u32) -> Option<PfnRange> {
    let pages = PfnRange::new(range.start.div_ceil(1 << page_shift), range.end >> page_shift)?;
    (!pages.is_empty()).then_some(pages)
}

impl MachineDescription<'_> {
    fn windows(&self) -> Vec<Span> {
        let windows = self.inventory.into_iter().flat_map(|inventory| &inventory.windows);
        windows.map(|window| window.span).collect()
    }
}

fn boot_map(map: &PhysicalMap, page_shift: u32) -> Result<BootMap, BootError> {
    let ram = map.ranges.iter().filter(|range| range.kind == Kind::Ram);
    BootMap::new(ram.filter_map(|ram| Some(BootRange { range: pages(ram, page_shift)?, node: ram.node.unwrap_or(0) })))
}

impl PreparedMachine<'_> {
    /// The memory block size that applies, and why.
    pub fn block_size(&self) -> AppliedBlockSize {
        self.block_size
    }

    /// The rules that decide.
    pub fn rules(&self) -> &AdmissionRules {
        self.space.rules()
    }

    /// What occupies the physical address space.
    pub fn space(&self) -> &AddressSpace {
        &self.space
    }

    /// True if it is known what occupies the physical address space.
    pub fn has_map(&self) -> bool {
        self.description.map.is_some()
    }

    /// What is known to make a verdict less sure.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Places the ranges that are not boot memory, the outer ones first.
    fn place(&mut self, map: &PhysicalMap) {
        let (page_shift, x86) = (self.rules().page_shift, self.description.architecture.is_x86());
        let late = |range: &MapRange| match range.kind {
            // Since 7.x it is no resource before a device claims it, so RAM buffers come first.
            Kind::SoftReserved => 1,
            _ => 0,
        };
        let mut others: Vec<&MapRange> = map.ranges.iter().filter(|range| range.kind != Kind::Ram).collect();
        others.sort_by_key(|range| {
            (late(range), range.start, std::cmp::Reverse(range.end), range.kind == Kind::HotplugRam)
        });
        let soft_reserved = others.iter().position(|range| late(range) == 1).unwrap_or(others.len());
        let (early, late) = others.split_at(soft_reserved);
        let mut ram = Vec::new();
        for (nr, part) in [early, late].into_iter().enumerate() {
            if nr == 1 && x86 {
                self.space.claim_ram_buffers();
            }
            for range in part {
                let Some(pages) = pages(range, page_shift) else { continue };
                match range.kind {
                    Kind::Ram | Kind::HotplugRam => {
                        ram.push(pages);
                        continue;
                    }
                    Kind::Window if self.windows.contains(&range.span()) => {}
                    Kind::Window => self.windows.push(range.span()),
                    Kind::Persistent | Kind::SoftReserved => {}
                }
                let (kind, name) = match range.kind {
                    Kind::Persistent => (ResourceKind::PersistentMemory, "Persistent Memory"),
                    Kind::Window => (ResourceKind::Window, "CXL Window"),
                    _ => (ResourceKind::Other, "Soft Reserved"),
                };
                self.insert_parts(pages, &|part| Resource::new(part, kind, name, false));
            }
        }
        for pages in ram {
            if let Err(error) = self.space.insert_added_ram(pages) {
                self.warnings.push(format!("added RAM of the map is ignored: {error}"));
            }
        }
        // A namespace keeps its header, its records and perhaps its data there; its data may be RAM.
        let namespaces = self.description.inventory.into_iter().flat_map(|inventory| &inventory.namespaces);
        for namespace in namespaces {
            let Some(pages) = namespace.span.and_then(|span| self.pages_inside(span)) else { continue };
            self.insert_parts(pages, &|part| Resource::new(part, ResourceKind::Other, namespace.name.clone(), true));
        }
    }

    /// Inserts the parts of a range that no other resource partly overlaps.
    fn insert_parts(&mut self, range: PfnRange, resource: &impl Fn(PfnRange) -> Resource) {
        let mut left = vec![range];
        while let Some(part) = left.pop() {
            let Err(MachineError::ResourceBusy { at, .. }) = self.space.insert_resource(resource(part)) else {
                continue;
            };
            let sides = [(part.start(), at.range.start()), (at.range.end(), part.end())];
            let sides = sides.into_iter().filter_map(|(start, end)| PfnRange::new(start, end));
            left.extend(sides.filter(|side| !side.is_empty() && *side != part));
        }
    }

    /// The whole pages of a range.
    pub(super) fn pages_inside(&self, span: Span) -> Option<PfnRange> {
        let shift = self.rules().page_shift;
        let pages = PfnRange::new(span.start.div_ceil(1 << shift), span.end >> shift)?;
        (!pages.is_empty()).then_some(pages)
    }

    /// The pages that a range touches.
    pub(super) fn pages_around(&self, span: Span) -> PfnRange {
        let shift = self.rules().page_shift;
        PfnRange::new(span.start >> shift, span.end.div_ceil(1 << shift)).expect("a span is not empty")
    }

    /// The bytes of page frames.
    pub(super) fn span(&self, pages: PfnRange) -> Span {
        let shift = self.rules().page_shift;
        Span { start: pages.start() << shift, end: pages.end() << shift }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::read;

    fn prepared(text: &str, kernel: &str) -> Result<Vec<(u64, u64, String)>, SetupError> {
        let map = read("test", "test", text).unwrap();
        let kernel = kernel.parse().unwrap();
        let description =
            MachineDescription { map: Some(&map), kernel, ..MachineDescription::new(Architecture::X86_64) };
        let prepared = description.prepare()?;
        let resources = prepared.space().resources().iter();
        Ok(resources
            .map(|resource| (resource.range.start() << 12, resource.range.end() << 12, resource.name.clone()))
            .collect())
    }

    #[test]
    fn ranges_of_a_map_nest_as_in_iomem() {
        let text = "00001000-3fffffff : System RAM\n40000000-7fffffff : Soft Reserved\n  40000000-4fffffff : System RAM (kmem)\n\
                    100000000-1ffffffff : CXL Window 0\n";
        let expected = |buffer: bool| {
            let ram = [(0x1000, 0x4000_0000, "System RAM")];
            let soft = [(0x4000_0000, 0x8000_0000, "Soft Reserved"), (0x4000_0000, 0x5000_0000, "System RAM")];
            let window = [(0x1_0000_0000, 0x2_0000_0000, "CXL Window")];
            assert!(!buffer);
            [&ram[..], &soft, &window].concat().into_iter().map(|(s, e, n)| (s, e, n.to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(prepared(text, "6.1").unwrap(), expected(false));
        // RAM ends at a border, so there is no buffer.
        assert_eq!(prepared(text, "7.2").unwrap(), expected(false));
    }

    #[test]
    fn soft_reserved_memory_is_behind_the_ram_buffer_since_7() {
        let text = "00001000-40ffffff : System RAM\n41000000-7fffffff : Soft Reserved\n";
        let names = |kernel| {
            let found = prepared(text, kernel).unwrap();
            found.into_iter().map(|(start, _, name)| (start, name)).collect::<Vec<_>>()
        };
        assert_eq!(names("6.1")[1], (0x4100_0000, "Soft Reserved".to_owned()));
        assert_eq!(
            names("7.2")[1..],
            [(0x4100_0000, "RAM buffer".to_owned()), (0x4400_0000, "Soft Reserved".to_owned())]
        );
    }

    #[test]
    fn a_map_without_ram_and_a_wrong_block_size_are_errors() {
        let told = prepared("100000000-1ffffffff : CXL Window 0\n", "7.2").unwrap_err().to_string();
        assert!(told.contains("has no RAM"), "{told}");
        let description = MachineDescription::new(Architecture::X86_64);
        let prepare = |bytes| MachineDescription { block_bytes: Some(bytes), ..description }.prepare();
        assert!(prepare(3 << 27).unwrap_err().to_string().contains("not a power of two"));
        assert!(prepare(64 << 20).unwrap_err().to_string().contains("below the minimum of one section"));
        assert!(prepare(0).is_err() && prepare(1 << 63).is_ok());
    }
}
