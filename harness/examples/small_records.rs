//! SPARSEMEM_VMEMMAP with records of 8 bytes instead of 64, beside the built-in layouts.
//!
//! Linux plans to shrink `struct page` to a descriptor of 8 bytes. Here one word holds the pfn and
//! the state that hotplug needs:
//!
//! ```text
//!  63      52 51       50       49 48  47 40 39    0
//!  | life   | hwpoison | reserved | zone | node | pfn |
//! ```
//!
//! ```sh
//! cargo run --release --example small_records -- run --layout subsection --layout subsection-8b
//! ```

use memmap_layouts::layouts::Subsection;
use memmap_layouts::rules::{RuleSet, Rules};
use memmap_layouts::{HotplugRecord, Life, PageLinks, PageRecord, Pfn, Zone};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const NODE_SHIFT: u32 = 40;
const ZONE_SHIFT: u32 = 48;
const RESERVED: u64 = 1 << 50;
const HWPOISON: u64 = 1 << 51;
const LIFE_SHIFT: u32 = 52;
/// A record that exists and is not initialised. No initialised record has all bits set: its zone
/// would be 3 + 2.
const POISON: u64 = u64::MAX;

/// A record of 8 bytes. It is initialised if its life is not 0.
#[repr(C, align(8))]
struct Descriptor(AtomicU64);

impl Descriptor {
    /// The word, if the record is initialised.
    fn word(&self) -> Option<u64> {
        let word = self.0.load(Relaxed);
        (word >> LIFE_SHIFT != 0 && word != POISON).then_some(word)
    }
}

// SAFETY: zero is a value of the word, and every access is atomic.
unsafe impl PageRecord for Descriptor {
    #[inline(always)]
    fn init(&self, links: PageLinks, pfn: Pfn, life: Life) {
        let zone = links.zone().map_or(0, |zone| zone as u64 - 2);
        // 1 to 4095, so that lives that follow each other differ.
        let life = (life.number() - 1) % 4095 + 1;
        self.0.store(pfn.0 | u64::from(links.node()) << NODE_SHIFT | zone << ZONE_SHIFT | life << LIFE_SHIFT, Relaxed);
    }

    #[inline(always)]
    fn flags(&self) -> u64 {
        self.0.load(Relaxed)
    }

    fn pfn(&self) -> Option<Pfn> {
        self.word().map(|word| Pfn(word & ((1 << NODE_SHIFT) - 1)))
    }

    fn links(&self) -> Option<PageLinks> {
        let word = self.word()?;
        let zone = Zone::from_number((word >> ZONE_SHIFT & 0b11) as u8 + 2)?;
        Some(PageLinks::new((word >> NODE_SHIFT) as u8, zone))
    }

    fn is_poisoned(&self) -> bool {
        self.0.load(Relaxed) == POISON
    }
}

// SAFETY: as above.
unsafe impl HotplugRecord for Descriptor {
    fn life(&self) -> Life {
        Life::from_number(self.0.load(Relaxed) >> LIFE_SHIFT)
    }

    fn poison(&self) {
        self.0.store(POISON, Relaxed);
    }

    fn set_zone(&self, zone: Zone) {
        let others = self.0.load(Relaxed) & !(0b11 << ZONE_SHIFT);
        self.0.store(others | (zone as u64 - 2) << ZONE_SHIFT, Relaxed);
    }

    fn set_reserved(&self) {
        self.0.fetch_or(RESERVED, Relaxed);
    }

    fn is_reserved(&self) -> bool {
        self.word().is_some_and(|word| word & RESERVED != 0)
    }

    fn set_hwpoison(&self) {
        self.0.fetch_or(HWPOISON, Relaxed);
    }

    fn is_hwpoison(&self) -> bool {
        self.word().is_some_and(|word| word & HWPOISON != 0)
    }

    /// No bit is free, so the word is written back as it is.
    #[inline(always)]
    fn set_private(&self, _: u64) {
        self.0.fetch_or(0, Relaxed);
    }
}

/// The rules of Linux since 5.3, under a name of their own.
#[derive(Clone, Copy, Debug, Default)]
struct SmallRecords;

impl Rules for SmallRecords {
    const LAYOUT_ID: Option<&'static str> = Some("subsection-8b");
    const ABOUT: &'static str = "SPARSEMEM_VMEMMAP with the sub-section map and records of 8 bytes";
    const SET: RuleSet = RuleSet::MERGED;
}

type Subsection8b<G> = Subsection<G, SmallRecords, Descriptor>;

fn main() -> ExitCode {
    pfnbench::main_with(pfnbench::layouts![Subsection8b])
}
