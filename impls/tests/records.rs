//! Records of 8, 16 and 32 bytes pass the conformance suite in layouts with and without hotplug.
#![cfg(not(loom))]

use memmap_layouts::conformance::{Outcome, Run, run_family};
use memmap_layouts::layouts::{Flat, Subsection};
use memmap_layouts::rules::{Before, Merged};
use memmap_layouts::{
    AddParams, BootMap, BootRange, Config, Hotplug, HotplugRecord, Inspect, Life, Memmap, PageLinks, PageRecord, Pfn,
    PfnRange, RecordStore, Zone, record_bytes,
};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const NODE_SHIFT: u32 = 40;
const ZONE_SHIFT: u32 = 48;
const RESERVED: u64 = 1 << 50;
const HWPOISON: u64 = 1 << 51;
const LIFE_SHIFT: u32 = 52;

/// Everything is in the first word: pfn, node, zone less 2, two flags, and a life of 1 to 4095. All
/// bits set mean poison.
macro_rules! record {
    ($name:ident, $align:literal, $rest:literal) => {
        #[repr(C, align($align))]
        struct $name(AtomicU64, [AtomicU64; $rest]);

        impl $name {
            fn word(&self) -> Option<u64> {
                let word = self.0.load(Relaxed);
                (word >> LIFE_SHIFT != 0 && word != u64::MAX).then_some(word)
            }
        }

        // SAFETY: zero is a value of every word, and every access is atomic.
        unsafe impl PageRecord for $name {
            fn init(&self, links: PageLinks, pfn: Pfn, life: Life) {
                let zone = links.zone().map_or(0, |zone| zone as u64 - 2);
                let life = (life.number() - 1) % 4095 + 1;
                let node = u64::from(links.node());
                self.0.store(pfn.0 | node << NODE_SHIFT | zone << ZONE_SHIFT | life << LIFE_SHIFT, Relaxed);
                self.1.iter().for_each(|word| word.store(pfn.0, Relaxed));
            }
            fn flags(&self) -> u64 {
                self.0.load(Relaxed)
            }
            fn pfn(&self) -> Option<Pfn> {
                let pfn = self.word()? & ((1 << NODE_SHIFT) - 1);
                self.1.iter().all(|word| word.load(Relaxed) == pfn).then_some(Pfn(pfn))
            }
            fn links(&self) -> Option<PageLinks> {
                let word = self.word()?;
                let zone = Zone::from_number((word >> ZONE_SHIFT & 0b11) as u8 + 2)?;
                Some(PageLinks::new((word >> NODE_SHIFT) as u8, zone))
            }
            fn is_poisoned(&self) -> bool {
                self.0.load(Relaxed) == u64::MAX
            }
        }

        // SAFETY: as above.
        unsafe impl HotplugRecord for $name {
            fn life(&self) -> Life {
                Life::from_number(self.0.load(Relaxed) >> LIFE_SHIFT)
            }
            fn poison(&self) {
                self.0.store(u64::MAX, Relaxed);
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
            fn set_private(&self, _: u64) {}
        }
    };
}

record!(Of8, 8, 0);
record!(Of16, 16, 1);
record!(Of32, 32, 3);

type Flat8<G> = Flat<G, Of8>;
type Flat16<G> = Flat<G, Of16>;
type Flat32<G> = Flat<G, Of32>;
type Subsection8<G> = Subsection<G, Merged, Of8>;
type Subsection16<G> = Subsection<G, Merged, Of16>;
type Section8<G> = Subsection<G, Before, Of8>;

memmap_layouts::layout_family!(Small: Flat8, Flat16, Flat32, Subsection8, Subsection16, Section8);

#[test]
fn layouts_with_small_records_conform() {
    let runs = run_family::<Small>();
    let failed: Vec<&Run> = runs.iter().filter(|run| matches!(run.outcome, Outcome::Failed(_))).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let passed = runs.iter().filter(|run| run.outcome == Outcome::Passed).count();
    assert!(passed > 100, "{passed} of {} cases passed", runs.len());
}

#[test]
fn small_records_take_less_memory() {
    fn bytes<T: HotplugRecord>() -> u64 {
        let ram = BootRange { range: PfnRange::new(0, 0x8000).unwrap(), node: 0 };
        let map = BootMap::new([ram]).unwrap();
        let layout =
            Subsection::<memmap_layouts::X86_64, Merged, T>::boot(&map, &Config::default(), RecordStore::unlimited())
                .unwrap();
        layout.add(PfnRange::from_len(0x10000, 0x8000).unwrap(), &AddParams::default(), &mut ()).unwrap();
        let bytes = layout.accounting().ram_record_bytes;
        assert_eq!(bytes, 0x10000 * record_bytes::<T>());
        bytes
    }
    assert_eq!([bytes::<Of8>(), bytes::<Of16>(), bytes::<Of32>()].map(|bytes| bytes >> 10), [512, 1024, 2048]);
}
