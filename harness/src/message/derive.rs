//! What is computed from the values of a message. The table names the derivations of each message.

use super::fact::{Fact, counted, sized};
use super::recognise::Recognised;
use super::{SECTION_BYTES, SUB_SECTION_BYTES};
use crate::map::PAGE_BYTES;
use crate::size::argument;
use memmap_layouts::ByteSize;
use serde::Deserialize;

/// Bytes of the record of a page, `struct page` in production kernels.
const RECORD_BYTES: u64 = 64;

/// The alignment of windows and regions of CXL.
const CXL_UNIT: u64 = 256 << 20;

/// Sizes of memory blocks that x86 can choose.
const BLOCK_SIZES: [u64; 5] = [128 << 20, 256 << 20, 512 << 20, 1 << 30, 2 << 30];

/// A computation on the values of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Derivation {
    /// `start` and `size` against the memory block size `block`.
    BlockDistance,
    /// `start` and `size` against a section.
    SectionDistance,
    /// Start and end of the range against a sub-section.
    SubSectionDistance,
    /// `start` against `align`.
    AlignDistance,
    /// `size` against `align`.
    SizeMultiple,
    /// How many whole memory blocks the range holds, by block size.
    InnerBlocks,
    /// Bytes of records that the range needs.
    Records,
    /// `bytes` that an old kernel cut off, against a section.
    Truncated,
    /// An allocation of `order`.
    Order,
    /// `ways` times `align`.
    Interleave,
    /// `size` as an argument, and how far it is aligned.
    SizeUnits,
    /// Physical addresses of the memory block with a `number`, by block size.
    BlockAddress,
    /// `ram_mib` minus `covered_mib`.
    Uncovered,
    /// `total_hex` minus `used_hex`.
    SpaceLeft,
    /// `old` minus `new` pages.
    PagesLost,
    /// The bits that the address `last` needs.
    AddressBits,
    /// How far the range is beyond `min` to `max`.
    BeyondLimit,
    /// `align_hex` minus `size_hex`.
    Excess,
    /// `size` minus `maxmem`.
    ExcessSize,
    /// The alignment behind `mask`, and the distances of a mapping of a process.
    Mask,
    /// `size` against the unit of CXL windows.
    WindowUnit,
}

/// How far an address is past the boundary below, and how far short of the one above.
fn boundary(name: &str, address: u64, of: &str, unit: u64) -> Option<Fact> {
    let past = address.checked_rem(unit)?;
    if past == 0 {
        return Some(Fact::new(
            format!("{name} {address:#x} is a multiple of {of}, {}", sized(unit)),
            [("past_bytes", 0), ("short_bytes", 0)],
        ));
    }
    let (below, short) = (address - past, unit - past);
    let past_of = format!("{name} {address:#x} is {} past {below:#x}", sized(past));
    Some(match address.checked_add(short) {
        Some(above) => Fact::new(
            format!("{past_of} and {} short of {above:#x}, the boundaries of {of}, {}", sized(short), sized(unit)),
            [("past_bytes", past), ("short_bytes", short), ("below_address", below), ("above_address", above)],
        ),
        None => Fact::new(
            format!("{past_of}, the last boundary of {of}, {}", sized(unit)),
            [("past_bytes", past), ("below_address", below)],
        ),
    })
}

/// How many units a size has, or between which multiples it is.
fn multiple(name: &str, size: u64, of: &str, unit: u64) -> Option<Fact> {
    let rest = size.checked_rem(unit)?;
    let whole = size / unit;
    if size == 0 {
        return Some(Fact::new(format!("{name} is 0"), [("whole", 0), ("rest_bytes", 0)]));
    }
    if rest == 0 {
        let says = format!("{name} {} is a multiple ({whole}×) of {of}, {}", sized(size), sized(unit));
        return Some(Fact::new(says, [("whole", whole), ("rest_bytes", 0)]));
    }
    let below = size - rest;
    let or_above = size.checked_add(unit - rest).map(|above| format!(" or {}", sized(above))).unwrap_or_default();
    Some(Fact::new(
        format!(
            "{name} {} is {whole}× {of}, {}, and {} more; {}{or_above} would be whole",
            sized(size),
            sized(unit),
            sized(rest),
            sized(below)
        ),
        [("whole", whole), ("rest_bytes", rest), ("below_bytes", below)],
    ))
}

/// The ranges nearest to a refused one that consist of whole units, and the unit that would accept it as it is.
fn accepted(start: u64, size: u64, unit: u64) -> Vec<Fact> {
    let mut facts = Vec::new();
    if unit == 0 || (start.is_multiple_of(unit) && size.is_multiple_of(unit)) {
        return facts;
    }
    let below = start - start % unit;
    let starts = [Some(below), below.checked_add(unit).filter(|_| below != start)];
    let starts: Vec<String> = starts.into_iter().flatten().map(|start| format!("{start:#x}")).collect();
    let size_up = size.checked_next_multiple_of(unit).filter(|size| *size > 0).unwrap_or(unit);
    facts.push(Fact::new(
        format!("accepted if free: start {}, size {}", starts.join(" or "), sized(size_up)),
        [("accepted_below_address", below), ("accepted_size_bytes", size_up)],
    ));
    let shift = start.trailing_zeros().min(size.trailing_zeros());
    if size > 0 {
        let divides = 1u64 << shift.min(63);
        facts.push(match divides >= SECTION_BYTES {
            true => Fact::new(
                format!("memory blocks of {} or less would take the range as it is", sized(divides)),
                [("largest_block_bytes", divides)],
            ),
            false => Fact::new(
                format!("start and size are multiples of {} only: no block of 128 MiB takes the range", sized(divides)),
                [("largest_block_bytes", divides)],
            ),
        });
    }
    facts
}

/// Whole blocks of a range and what it loses at both ends, for each block size.
fn inner_blocks(start: u64, end: u64) -> Vec<Fact> {
    let fact = |block: u64| {
        let first = start.checked_next_multiple_of(block).unwrap_or(u64::MAX);
        let last = end - end % block;
        if first >= last {
            return Fact::new(
                format!("memory blocks of {}: none fits into the range", ByteSize(block)),
                [("block_bytes", block), ("blocks", 0), ("lost_bytes", end - start)],
            );
        }
        let (nr, head, tail) = ((last - first) / block, first - start, end - last);
        let fit = if nr == 1 { "fits" } else { "fit" };
        let lost = match (head, tail) {
            (0, 0) => "nothing is lost".to_owned(),
            (head, tail) => format!("lost: {} in front, {} behind", ByteSize(head), ByteSize(tail)),
        };
        Fact::new(
            format!("memory blocks of {}: {nr} {fit}, from {first:#x} on; {lost}", ByteSize(block)),
            [("block_bytes", block), ("blocks", nr), ("lost_bytes", head + tail)],
        )
    };
    BLOCK_SIZES.into_iter().map(fact).collect()
}

impl Derivation {
    /// What follows from the values of a line. Empty if a value is missing or too large.
    pub(super) fn facts(self, found: &Recognised) -> Vec<Fact> {
        self.compute(found).unwrap_or_default()
    }

    fn compute(self, found: &Recognised) -> Option<Vec<Fact>> {
        let number = |name| found.number(name);
        let span = || found.place().map(|place| place.span);
        let one = |fact: Option<Fact>| fact.map(|fact| vec![fact]);
        match self {
            Self::BlockDistance => {
                let (start, size, block) = (number("start")?, number("size")?, number("block")?);
                let mut facts = Vec::from_iter(boundary("start", start, "a memory block", block));
                facts.extend(multiple("size", size, "a memory block", block));
                facts.extend(accepted(start, size, block));
                Some(facts)
            }
            Self::SectionDistance => {
                let (start, size) = (number("start")?, number("size")?);
                let mut facts = Vec::from_iter(boundary("start", start, "a section", SECTION_BYTES));
                facts.extend(multiple("size", size, "a section", SECTION_BYTES));
                Some(facts)
            }
            Self::SubSectionDistance => {
                let span = span()?;
                let of = "a sub-section";
                let ends = [("start", span.start), ("end", span.end)];
                Some(ends.into_iter().filter_map(|(name, at)| boundary(name, at, of, SUB_SECTION_BYTES)).collect())
            }
            Self::AlignDistance => one(boundary("start", number("start")?, "the alignment", number("align")?)),
            Self::SizeMultiple => one(multiple("size", number("size")?, "the alignment", number("align")?)),
            Self::InnerBlocks => span().map(|span| inner_blocks(span.start, span.end)),
            Self::Records => {
                let bytes = (span()?.bytes() / PAGE_BYTES).checked_mul(RECORD_BYTES)?;
                Some(vec![Fact::new(
                    format!("its page descriptors need {}: 64 bytes for each page of 4 KiB", sized(bytes)),
                    [("record_bytes", bytes)],
                )])
            }
            Self::Truncated => {
                let bytes = number("bytes")?;
                let sections = Fact::new(
                    format!(
                        "cut off: {}; the ends of the namespace are so far from section boundaries, start and end together",
                        sized(bytes)
                    ),
                    [("cut_bytes", bytes)],
                );
                Some(
                    Vec::from_iter([sections])
                        .into_iter()
                        .chain(multiple("the cut", bytes, "a section", SECTION_BYTES))
                        .collect(),
                )
            }
            Self::Order => {
                let order = u32::try_from(number("order")?).ok()?;
                let pages = 1u64.checked_shl(order)?;
                let bytes = pages.checked_mul(PAGE_BYTES)?;
                let described = (bytes / RECORD_BYTES).checked_mul(PAGE_BYTES)?;
                Some(vec![Fact::new(
                    format!(
                        "order {order} is {}, {} with 4 KiB pages; as page descriptors it describes {} of memory",
                        counted(pages, "page"),
                        sized(bytes),
                        sized(described)
                    ),
                    [("pages", pages), ("size_bytes", bytes), ("described_bytes", described)],
                )])
            }
            Self::Interleave => {
                let (ways, align) = (number("ways")?, number("align")?);
                let unit = ways.checked_mul(align)?;
                Some(vec![Fact::new(
                    format!(
                        "the size must be a multiple of {ways} times {}: {}, --size={}",
                        sized(align),
                        sized(unit),
                        argument(unit)
                    ),
                    [("unit_bytes", unit)],
                )])
            }
            Self::SizeUnits => {
                let size = number("size")?;
                let divides = 1u64 << size.trailing_zeros().min(63);
                let aligned = match size {
                    0 => String::new(),
                    _ => format!("; the largest power of two that divides it is {}", sized(divides)),
                };
                Some(vec![Fact::new(
                    format!("{size} bytes are {}, --size={}{aligned}", sized(size), argument(size)),
                    [("size_bytes", size), ("sub_sections", size / SUB_SECTION_BYTES)],
                )])
            }
            Self::BlockAddress => {
                let block_number = number("number")?;
                let fact = |block: u64| {
                    let start = block_number.checked_mul(block)?;
                    let last = start.checked_add(block - 1)?;
                    let says = format!("with memory blocks of {}, it is {start:#x}-{last:#x}", ByteSize(block));
                    Some(Fact::new(says, [("block_bytes", block), ("start_address", start), ("last_address", last)]))
                };
                Some(BLOCK_SIZES.into_iter().filter_map(fact).collect())
            }
            Self::Uncovered => {
                let missing = number("ram_mib")?.checked_sub(number("covered_mib")?)?;
                Some(vec![Fact::new(format!("not covered: {}", sized(missing)), [("missing_bytes", missing)])])
            }
            Self::SpaceLeft => {
                let left = number("total_hex")?.checked_sub(number("used_hex")?)?;
                Some(vec![Fact::new(
                    format!("left for memory devices: {}; the new one is larger", sized(left)),
                    [("left_bytes", left)],
                )])
            }
            Self::PagesLost => {
                let pages = number("old")?.checked_sub(number("new")?)?;
                let bytes = pages.checked_mul(PAGE_BYTES)?;
                Some(vec![Fact::new(
                    format!("{} fewer: {} with 4 KiB pages", counted(pages, "page"), sized(bytes)),
                    [("pages", pages), ("size_bytes", bytes)],
                )])
            }
            Self::AddressBits => {
                let (last, max) = (number("last")?, number("max")?);
                let bits = u64::from(u64::BITS - last.leading_zeros());
                let beyond = last.saturating_sub(max);
                Some(vec![Fact::new(
                    format!("{last:#x} needs {bits} bits; it is {} above the limit", sized(beyond)),
                    [("bits", bits), ("beyond_bytes", beyond)],
                )])
            }
            Self::BeyondLimit => {
                let (span, min, max) = (span()?, number("min")?, number("max")?);
                let above = (span.end - 1).saturating_sub(max).min(span.bytes());
                let below = min.saturating_sub(span.start).min(span.bytes());
                Some(vec![Fact::new(
                    format!(
                        "beyond the limits: {} above, {} below, of {}",
                        sized(above),
                        sized(below),
                        sized(span.bytes())
                    ),
                    [("above_bytes", above), ("below_bytes", below)],
                )])
            }
            Self::Excess => {
                let excess = number("align_hex")?.checked_sub(number("size_hex")?)?;
                Some(vec![Fact::new(
                    format!("the alignment is {} larger than the namespace", sized(excess)),
                    [("excess_bytes", excess)],
                )])
            }
            Self::ExcessSize => {
                let excess = number("size")?.checked_sub(number("maxmem")?)?;
                Some(vec![Fact::new(format!("maxmem is {} too small", sized(excess)), [("excess_bytes", excess)])])
            }
            Self::Mask => {
                let align = number("mask")?.checked_add(1)?;
                let ends = [("start", number("virtual")?), ("end", number("virtual_end")?)];
                Some(ends.into_iter().filter_map(|(name, at)| boundary(name, at, "the alignment", align)).collect())
            }
            Self::WindowUnit => one(multiple("size", number("size")?, "the unit of CXL windows", CXL_UNIT)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::message::recognise;
    use std::collections::BTreeMap;

    /// All sentences and numbers about a line. Of numbers with the same name, the first is kept.
    fn facts(line: &str) -> (String, BTreeMap<&'static str, u64>) {
        let facts = recognise(line).unwrap().facts();
        let says: Vec<&str> = facts.iter().map(|fact| &*fact.says).collect();
        let mut numbers = BTreeMap::new();
        for (name, number) in facts.iter().flat_map(|fact| &fact.numbers) {
            numbers.entry(*name).or_insert(*number);
        }
        (says.join("\n"), numbers)
    }

    #[test]
    fn a_range_that_misses_a_block_boundary_has_its_distances_and_what_would_be_accepted() {
        let (says, numbers) =
            facts("Block size [0x40000000] unaligned hotplug range: start 0xc8000000, size 0x40000000");
        assert_eq!((numbers["past_bytes"], numbers["short_bytes"]), (128 << 20, 896 << 20));
        assert_eq!((numbers["below_address"], numbers["above_address"]), (0xc000_0000, 0x1_0000_0000));
        assert_eq!((numbers["whole"], numbers["rest_bytes"]), (1, 0));
        assert_eq!(numbers["largest_block_bytes"], 128 << 20);
        for text in [
            "128 MiB (0x8000000) past 0xc0000000",
            "896 MiB (0x38000000) short of 0x100000000",
            "size 1 GiB (0x40000000) is a multiple (1×)",
        ] {
            assert!(says.contains(text), "{text}: {says}");
        }
        let (says, numbers) =
            facts("Block size [0x80000000] unaligned hotplug range: start 0x1040000000, size 0x80000000");
        assert_eq!((numbers["past_bytes"], numbers["short_bytes"]), (1 << 30, 1 << 30));
        assert_eq!(numbers["largest_block_bytes"], 1 << 30);
        assert!(says.contains("start 0x1000000000 or 0x1080000000"), "{says}");
    }

    #[test]
    fn extreme_numbers_have_facts_or_none() {
        for (block, start, size) in [
            ("0x0", "0xc8000000", "0x40000000"),
            ("0x40000000", "0x0", "0x0"),
            ("0x40000000", "0xffffffffffffffff", "0xffffffffffffffff"),
            ("0xffffffffffffffff", "0xfffffffffffffffe", "0x1"),
            ("0x8000000", "0x8000000", "0x8000000"),
        ] {
            let line = format!("Block size [{block}] unaligned hotplug range: start {start}, size {size}");
            recognise(&line).unwrap().facts();
        }
        let (says, _) =
            facts("Block size [0x8000000] unaligned hotplug range: start 0x123456789abcdef0123, size 0x8000000");
        assert!(says.contains("start 0x123456789abcdef0123 needs more than 64 bits"), "{says}");
        for order in ["0", "9", "40", "52", "58", "63", "64", "99999999999", "99999999999999999999999"] {
            recognise(&format!("page allocation failure: order:{order}")).unwrap().facts();
        }
        assert!(
            facts("kmem dax0.0: mapping0: 0x33fffffff-0x240000000 memory add failed")
                .0
                .contains("ends before it starts")
        );
    }

    #[test]
    fn numbers_of_other_messages() {
        let number = |line: &str, name: &str| facts(line).1[name];
        let collision = "nd_pmem pfn1.0: namespace1.0 alignment collision, truncate 67108864 bytes";
        assert_eq!(number(collision, "cut_bytes"), 64 << 20);
        assert!(facts(collision).0.contains("64 MiB (0x4000000)"));
        assert_eq!(
            number("'--size=' must align to interleave-width: 6 and alignment: 2097152", "unit_bytes"),
            12 << 20
        );
        assert_eq!(number("did you intend --size=4303355904?", "sub_sections"), 2052);
        assert_eq!(number("page allocation failure: order:9", "described_bytes"), 128 << 20);
        let kmem = "kmem dax0.0: mapping0: 0xa90a00000-0xa9fffffff too small after alignment";
        let (says, numbers) = facts(kmem);
        assert_eq!((numbers["blocks"], numbers["lost_bytes"]), (1, 118 << 20));
        assert!(says.contains("1 fits, from 0xa98000000 on; lost: 118 MiB in front"), "{says}");
        let offline = "Failed to offline /sys/devices/system/memory/memory272/state: Device or resource busy";
        assert_eq!(number(offline, "start_address"), 272 * (128 << 20));
        let limit = "qemu-system-x86_64: Address space limit 0xffffffffff < 0x2087fffffff phys-bits too low (40)";
        assert_eq!(number(limit, "bits"), 42);
        let hotplug =
            "Hotplug memory [0xaf000000000-0xb1000000000] exceeds maximum addressable range [0x0-0xaffffffffff]";
        assert_eq!(number(hotplug, "above_bytes"), 1 << 36);
        let region = "region0: align setting is 0x1000000 size 0x6500000 is misaligned";
        assert_eq!((number(region, "rest_bytes"), number(region, "below_bytes")), (5 << 20, 96 << 20));
    }
}
