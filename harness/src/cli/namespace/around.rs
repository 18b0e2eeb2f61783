//! Arguments that describe what surrounds a namespace.

use crate::pmem::capacity::Time;
use crate::size::parse_size;
use clap::Args;
use memmap_layouts::nvdimm::Extent;
use memmap_layouts::nvdimm::division::Surroundings;

/// RAM and other regions near a namespace.
#[derive(Args, Clone, Debug)]
pub(super) struct AroundArgs {
    /// RAM near the namespace, as first and last byte or as start and size; repeatable
    #[arg(long, value_name = "RANGE", value_parser = parse_extent)]
    pub(super) ram: Vec<Extent>,
    /// Another region of persistent memory, as first and last byte or as start and size; repeatable
    #[arg(long, value_name = "RANGE", value_parser = parse_extent)]
    pub(super) region: Vec<Extent>,
}

impl AroundArgs {
    pub(super) fn surroundings(&self) -> Surroundings<'_> {
        Surroundings { ram: &self.ram, regions: &self.region }
    }

    /// The extents, each with a name for messages.
    pub(super) fn named(&self) -> Vec<(String, Extent)> {
        let named =
            |name: &str, extents: &[Extent]| extents.iter().map(|one| (name.to_owned(), *one)).collect::<Vec<_>>();
        [named("RAM", &self.ram), named("another region", &self.region)].concat()
    }
}

/// The surroundings of a namespace, and the rules that apply.
#[derive(Args, Clone, Debug)]
pub(super) struct WorldArgs {
    #[command(flatten)]
    pub(super) around: AroundArgs,
    /// The kernel whose rules apply
    #[arg(long, value_enum, default_value_t = Time::Merged)]
    pub(super) rules: Time,
}

/// Parses first and last byte as in `/proc/iomem`, where digits without prefix are hexadecimal, or
/// a start and a size.
pub(super) fn parse_extent(text: &str) -> Result<Extent, String> {
    let hex = |part: &str| u64::from_str_radix(part.trim().trim_start_matches("0x"), 16).ok();
    let extent = match (text.split_once('-'), text.split_once('+')) {
        (Some((first, last)), _) => hex(first)
            .zip(hex(last))
            .and_then(|(first, last)| Extent::new(first, last.checked_sub(first)?.checked_add(1)?)),
        (None, Some((start, size))) => {
            hex(start).zip(parse_size(size).ok()).and_then(|(start, size)| Extent::new(start, size))
        }
        (None, None) => None,
    };
    extent.ok_or_else(|| {
        format!("{text:?} is no range; write 0x100000000-0x1fbffffff (first and last byte) or 0x100000000+4032M")
    })
}
