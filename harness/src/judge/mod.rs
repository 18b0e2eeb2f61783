//! Compares the models with real kernels: the log of a guest, which operated on its memory, is played
//! again on a modelled machine, and after each operation the kernel's state is compared with it.
//!
//! ```text
//!  guest:  operation ─▶ kernel ─▶ snapshot ─▶ log ─┐
//!                                                  ├─▶ compare: every page frame, section, block,
//!  here:   operation ─▶ machine and layout ────────┘            zone, refusal and namespace
//! ```
//! `scripts/kernel-judge` boots the guests.

mod compare;
pub mod log;
mod model;
pub mod running_kernel;
mod verdict;

pub use log::{Log, LogError};
pub use verdict::{Difference, Verdict};

use self::model::Model;
use crate::kernel::release::layout_of;
use memmap_layouts::layouts::{DaxX86, Linux5_10, Linux6_1, Linux7_2, Subsection, SubsectionV6};
use memmap_layouts::rules::V6;
use memmap_layouts::{Hotplug, Inspect, SectionFlags, X86_64};
use thiserror::Error;

/// Why a log cannot be judged.
#[derive(Debug, Error)]
pub enum JudgeError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// There is no such layout, or it has no hotplug.
    #[error("no layout {layout:?} can be judged; there are {known}")]
    Layout {
        /// The id that was asked for.
        layout: String,
        /// The ids that can be judged.
        known: String,
    },
    /// The modelled machine does not boot, or a file for its devices cannot be created.
    #[error("the model cannot begin: {0}")]
    Begin(String),
    /// The log has an operation that the model does not know.
    #[error("line {line}: the model knows no operation {operation:?}")]
    Operation {
        /// Number of the line in the log.
        line: usize,
        /// The operation.
        operation: String,
    },
}

/// The layouts that can be judged. The last two are negative controls: they must differ.
pub const LAYOUTS: [&str; 7] = ["linux-5.10", "linux-6.1", "linux-7.2", "subsection", "dax-x86", "subsection-v6", "v6"];

/// Plays a log on a layout; on that with the rules of the log's kernel if none is named.
///
/// # Errors
/// [`JudgeError`].
pub fn judge(log: &Log, layout: Option<&str>) -> Result<Verdict, JudgeError> {
    fn play<L>(log: &Log, layout: &str) -> Result<Verdict, JudgeError>
    where
        L: Hotplug<Geometry = X86_64> + Inspect + SectionFlags,
    {
        Model::<L>::begin(log)?.play(log, layout)
    }
    let layout = layout.unwrap_or_else(|| layout_of(&log.release));
    match layout {
        "linux-5.10" => play::<Linux5_10>(log, layout),
        "linux-6.1" => play::<Linux6_1>(log, layout),
        "linux-7.2" => play::<Linux7_2>(log, layout),
        "subsection" => play::<Subsection>(log, layout),
        "dax-x86" => play::<DaxX86>(log, layout),
        "subsection-v6" => play::<SubsectionV6>(log, layout),
        "v6" => play::<Subsection<X86_64, V6>>(log, layout),
        _ => Err(JudgeError::Layout { layout: layout.to_owned(), known: LAYOUTS.join(", ") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::running::{FlagBits, RunningSection, Snapshot};

    const FLAGS: FlagBits = FlagBits { present: 1, has_map: 2, online: 4, early: 8, taint: 16 };

    /// What a kernel has after it booted with two sections of RAM, and has `added` beside them.
    fn state(added: &[RunningSection]) -> String {
        let boot = |nr| RunningSection { nr, word: 0xffff_0000_0000_000f, map: u64::MAX };
        let snapshot = Snapshot {
            flags: FLAGS,
            sections: [boot(0), boot(1)].iter().chain(added).copied().collect(),
            blocks: [(0, "online".to_owned()), (1, "online".to_owned())].into(),
            zones: vec![crate::running::snapshot::RunningZone {
                name: "Normal".to_owned(),
                spanned: 0x10000,
                present: 0x10000,
                ..Default::default()
            }],
            ..Snapshot::default()
        };
        serde_json::to_string(&snapshot).unwrap()
    }

    fn log(rest: &str) -> Log {
        let head = format!("@KERNEL 6.1.0 0x8000000\n@EARLY 0 0 0xfffffff\n@SNAP {} boot\n", state(&[]));
        Log::parse(&format!("{head}@SCENE one\n{rest}@STATUS 0\n")).unwrap()
    }

    const DEVICE: RunningSection = RunningSection { nr: 2, word: 0xffff_0000_0000_0013, map: 0b11 };

    #[test]
    fn a_kernel_that_does_what_the_model_does_agrees() {
        let log = log(&format!(
            "@DO map a 0x10000000 0x103fffff\n@RC 0\n@SNAP {} mapped\n@DO map b 0x10000000 0x101fffff\n@RC 1\n",
            state(&[DEVICE])
        ));
        let verdict = judge(&log, None).unwrap();
        assert!(verdict.agrees(), "{:?}", verdict.differences);
        assert_eq!((&*verdict.layout, verdict.operations, verdict.snapshots), ("linux-6.1", 2, 2));
        // Two sections after boot, and four with the neighbours of what was touched.
        assert_eq!((verdict.pfns, verdict.near_pfns), (6 << 15, 3 << 15));
    }

    #[test]
    fn every_kind_of_difference_is_found() {
        for (added, what) in [
            (RunningSection { map: 0b111, ..DEVICE }, "pfn_valid"),
            (RunningSection { map: 0b111, ..DEVICE }, "sub-section map"),
            (RunningSection { map: 0b110, ..DEVICE }, "next valid pfn"),
            (RunningSection { word: DEVICE.word & !16, ..DEVICE }, "section flags"),
        ] {
            let log = log(&format!("@DO map a 0x10000000 0x103fffff\n@RC 0\n@SNAP {} mapped\n", state(&[added])));
            let verdict = judge(&log, None).unwrap();
            assert!(verdict.nr_differences.contains_key(what), "{what}: {:?}", verdict.differences);
        }
        let refused = judge(&log("@DO map a 0x10000000 0x103fffff\n@RC 1\n"), None).unwrap();
        assert!(refused.differences[0].told.contains("the kernel refuses it, the model does it"));
        let block = log("").events[0].1.clone();
        let log::Event::Snapshot(_, mut snapshot) = block else { panic!("the log begins with a snapshot") };
        snapshot.blocks.insert(1, "offline".to_owned());
        snapshot.zones[0].present = 0x8000;
        let log = log(&format!("@SNAP {} offline\n", serde_json::to_string(&snapshot).unwrap()));
        let verdict = judge(&log, None).unwrap();
        let kinds: Vec<&str> = verdict.nr_differences.into_keys().collect();
        assert_eq!(kinds, ["memory block", "zone"]);
    }

    /// Boot memory ends at 0x10000; the device has sub-sections 0 and 1 of section 2.
    #[test]
    fn the_kernels_own_answers_are_compared_for_every_page_frame() {
        let after = |answers: &str| {
            let map = format!("@DO map a 0x10000000 0x103fffff\n@RC 0\n@SNAP {} mapped\n", state(&[DEVICE]));
            judge(&log(&format!("{map}@PFNS {answers}\n")), None).unwrap()
        };
        // DMA, DMA32 and Normal are one zone of the model.
        let verdict = after("20000 0-1000:3 1000-8000:7 8000-10000:11 10000-10400:1");
        assert!(verdict.agrees(), "{:?}", verdict.differences);
        assert_eq!(verdict.asked_pfns, 0x20000);
        for (answers, told) in [
            ("20000 0-10000:11", "1024 page frames from 0x10000 on: the kernel answers 0, the model 1"),
            ("20000 0-10000:11 10000-10401:1", "1 page frames from 0x10400 on: the kernel answers 1, the model 0"),
            ("20000 0-10000:11 10000-10400:3", "1024 page frames from 0x10000 on"),
            ("20000 0-ffff:11 ffff-10000:15 10000-10400:1", "1 page frames from 0xffff on: the kernel answers 15"),
            ("20000 1-10000:11 10000-10400:1", "1 page frames from 0x0 on: the kernel answers 0, the model 11"),
        ] {
            let verdict = after(answers);
            assert_eq!(verdict.nr_differences.get("kernel's functions"), Some(&1), "{answers}");
            assert!(verdict.differences[0].told.contains(told), "{answers}: {}", verdict.differences[0].told);
        }
        // Pages of records, where a kernel counts them.
        let mut counted: Snapshot = serde_json::from_str(&state(&[DEVICE])).unwrap();
        for (pages, agrees) in [(4, true), (16, false)] {
            counted.memmap_pages = Some(pages);
            let text = serde_json::to_string(&counted).unwrap();
            let verdict = judge(&log(&format!("@DO map a 0x10000000 0x103fffff\n@RC 0\n@SNAP {text} mapped\n")), None);
            assert_eq!(verdict.unwrap().agrees(), agrees, "{pages} pages of records for two compound pages");
        }
    }

    #[test]
    fn page_frames_that_the_module_finds_different_are_a_difference() {
        let verdict = judge(&log("@VALIDMAP 1000 0\n@VALIDMAP 1000 3\n"), None).unwrap();
        assert_eq!((verdict.map_pfns, verdict.nr_differences.get("module validmap")), (2000, Some(&1)));
        assert!(verdict.differences[0].told.contains("3 of 1000 page frames"));
    }

    #[test]
    fn an_unknown_operation_or_layout_is_an_error() {
        let told = judge(&log("@DO explode a\n@RC 0\n"), None).unwrap_err().to_string();
        assert_eq!(told, "line 5: the model knows no operation \"explode a\"");
        let told = judge(&log(""), Some("flat")).unwrap_err().to_string();
        assert!(told.contains("no layout \"flat\" can be judged; there are linux-5.10"), "{told}");
    }
}
