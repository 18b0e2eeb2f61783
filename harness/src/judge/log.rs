//! The log of a guest. Lines that begin with `@` are for the judge, all others for people:
//!
//! | line | meaning |
//! | --- | --- |
//! | `@KERNEL release block-bytes` | the kernel, and the size of its memory blocks |
//! | `@EARLY node start end` | a range of boot memory; physical addresses in bytes, the last one inclusive |
//! | `@SCENE name` | a scene begins |
//! | `@DO operation argument…` | an operation |
//! | `@DO try block state` | an operation whose refusal is not judged |
//! | `@RC 0` or `@RC 1` | the kernel did it, or refused it |
//! | `@NAME key name` | the kernel's name of the namespace that an operation created |
//! | `@HOST command` | the guest asked for a command of the virtual machine's monitor |
//! | `@STATUS code` | the scene ended, with 0 if it was played to its end |
//! | `@SNAP {…} name` | the kernel's state, as `pfnbench kernel snapshot` prints it |
//! | `@PFNS end first-end:answers…` | what its own functions answer for page frames below `end`, as `scripts/judge/pfnprobe` says |

use crate::running::Snapshot;
use crate::size::parse_size;
use memmap_layouts::{BootMap, BootRange, Geometry, PfnRange, X86_64};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a log cannot be read.
#[derive(Debug, Error)]
pub enum LogError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
    /// A line is not what it should be.
    #[error("line {line}: {what}")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// It has no kernel or no boot memory: the guest ended before its first operation.
    #[error("the log has no {0}: the guest ended before its first operation")]
    Missing(&'static str),
    /// The scene was not played to its end.
    #[error("the guest {0}; what it did until then is not judged")]
    Unfinished(String),
}

/// What happened in the guest.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A scene began.
    Scene(String),
    /// An operation, and whether the kernel refused it.
    Operation {
        /// The operation and its arguments.
        words: Vec<String>,
        /// The kernel refused it. `None` if the guest ended before the answer.
        refused: Option<bool>,
    },
    /// The kernel's name of a namespace, by its key in the operations.
    Name(String, String),
    /// The kernel's state.
    Snapshot(String, Box<Snapshot>),
    /// What the kernel's own functions answer.
    Answers(Answers),
    /// The map of the module `validmap`, compared with the kernel's `pfn_valid`: page frames that were
    /// compared, and how many of them differ.
    ValidMap {
        /// Page frames that were compared.
        compared: u64,
        /// Page frames with another answer.
        different: u64,
    },
}

/// Answers of a kernel's functions for page frames below an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// The first page frame that was not asked for.
    pub end: u64,
    /// Page frames with the same answers; those between the runs are not valid. Bit 0: `pfn_valid`; bit
    /// 1: `pfn_to_online_page` finds a record; above, the zone of that record.
    pub runs: Vec<(PfnRange, u64)>,
}

impl Answers {
    /// Reads the words of a line; `None` if they are no answers.
    fn parse(words: &[&str]) -> Option<Self> {
        let hex = |word: &str| u64::from_str_radix(word, 16).ok();
        let [end, runs @ ..] = words else { return None };
        let end = hex(end).filter(|&end| end <= X86_64::NR_PFNS)?;
        let run = |word: &&str| {
            let (range, answers) = word.split_once(':')?;
            let (first, behind) = range.split_once('-')?;
            let range = PfnRange::new(hex(first)?, hex(behind)?).filter(|range| range.end() <= end)?;
            Some((range, answers.parse().ok()?))
        };
        Some(Self { end, runs: runs.iter().map(run).collect::<Option<_>>()? })
    }
}

/// The log of a guest.
#[derive(Clone, Debug)]
pub struct Log {
    /// Release of the kernel, e.g. `6.1.0-57-cloud-amd64`.
    pub release: String,
    /// Size of the memory blocks in bytes.
    pub block_bytes: u64,
    /// Boot memory.
    pub boot: BootMap,
    /// What happened, with the numbers of the lines.
    pub events: Vec<(usize, Event)>,
}

/// A range of page frames from the first and the last byte of memory, as the guest writes them.
/// `None` if it is empty, or beyond the physical address space.
pub(super) fn range(first: &str, last: &str) -> Option<PfnRange> {
    let end = parse_size(last).ok()?.checked_add(1)?;
    let range = PfnRange::new(parse_size(first).ok()? >> X86_64::PAGE_SHIFT, end >> X86_64::PAGE_SHIFT)?;
    (!range.is_empty() && range.end() <= X86_64::NR_PFNS).then_some(range)
}

impl Log {
    /// Reads a log file.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn read(path: &Path) -> Result<Self, LogError> {
        // A console may print bytes of any kind.
        let bytes = std::fs::read(path).map_err(|source| LogError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    /// Reads the text of a log.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn parse(text: &str) -> Result<Self, LogError> {
        let (mut kernel, mut early, mut events, mut status) = (None, Vec::new(), Vec::new(), None);
        for (line, text) in text.lines().enumerate().map(|(line, text)| (line + 1, text.trim_end())) {
            let error = |what: &str| LogError::Line { line, what: what.to_owned() };
            let Some((tag, rest)) = text.strip_prefix('@').map(|text| text.split_once(' ').unwrap_or((text, "")))
            else {
                continue;
            };
            let words: Vec<&str> = rest.split_whitespace().collect();
            match (tag, &words[..]) {
                ("KERNEL", [release, block]) => {
                    let block = parse_size(block).map_err(|_| error("the block size is no number"))?;
                    kernel = Some(((*release).to_owned(), block));
                }
                ("EARLY", [node, start, last]) => {
                    let range = range(start, last).ok_or_else(|| error("no range of boot memory"))?;
                    let node = node.parse().map_err(|_| error("the node is no number"))?;
                    early.push(BootRange { range, node });
                }
                ("STATUS", [code]) => status = Some((*code).to_owned()),
                ("HOST", _) => {}
                ("SCENE", _) => events.push((line, Event::Scene(rest.to_owned()))),
                ("DO", [_, ..]) => {
                    let words = words.into_iter().map(str::to_owned).collect();
                    events.push((line, Event::Operation { words, refused: None }));
                }
                ("RC", [code]) => {
                    let refused = match *code {
                        "0" => false,
                        "1" => true,
                        _ => return Err(error("the result is neither 0 nor 1")),
                    };
                    match events.last_mut() {
                        Some((_, Event::Operation { refused: open @ None, .. })) => *open = Some(refused),
                        _ => return Err(error("a result without an operation")),
                    }
                }
                ("NAME", [key, name]) => {
                    events.push((line, Event::Name((*key).to_owned(), (*name).to_owned())));
                }
                ("SNAP", _) => {
                    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Snapshot>();
                    let snapshot = values.next().ok_or_else(|| error("no snapshot"))?;
                    let snapshot = snapshot.map_err(|reason| error(&format!("damaged snapshot: {reason}")))?;
                    if snapshot.sections.iter().any(|section| section.nr >= X86_64::NR_MEM_SECTIONS) {
                        return Err(error("a section beyond the physical address space"));
                    }
                    let name = rest[values.byte_offset()..].trim().to_owned();
                    events.push((line, Event::Snapshot(name, Box::new(snapshot))));
                }
                ("PFNS", words) => {
                    let answers = Answers::parse(words).ok_or_else(|| error("no answers for page frames"))?;
                    events.push((line, Event::Answers(answers)));
                }
                ("VALIDMAP", [compared, different]) => {
                    let number = |word: &str| word.parse().map_err(|_| error("no number of page frames"));
                    let (compared, different) = (number(compared)?, number(different)?);
                    events.push((line, Event::ValidMap { compared, different }));
                }
                _ => return Err(error(&format!("no line of a log: @{tag} {rest}"))),
            }
        }
        let (release, block_bytes) = kernel.ok_or(LogError::Missing("kernel"))?;
        let line = 0;
        let boot = BootMap::new(early).map_err(|error| LogError::Line { line, what: error.to_string() })?;
        if boot.ranges().is_empty() {
            return Err(LogError::Missing("boot memory"));
        }
        match status.as_deref() {
            Some("0") => Ok(Self { release, block_bytes, boot, events }),
            Some(code) => Err(LogError::Unfinished(format!("ended with status {code}"))),
            None => Err(LogError::Unfinished("hung, crashed or was stopped".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "booting\n@KERNEL 6.1.0 0x8000000\n@EARLY 0 0x1000 0x3fffffff\n";

    #[test]
    fn answers_are_runs_below_an_end() {
        let log = Log::parse(&format!("{HEAD}@PFNS 2000 100-200:11 1000-2000:1\n@STATUS 0\n")).unwrap();
        let runs = vec![(PfnRange::new(0x100, 0x200).unwrap(), 11), (PfnRange::new(0x1000, 0x2000).unwrap(), 1)];
        assert_eq!(log.events, [(4, Event::Answers(Answers { end: 0x2000, runs }))]);
        for damaged in ["", "x", "2000 100-200", "2000 200-100:1", "2000 1000-3000:1", "ffffffffffffffff"] {
            let error = Log::parse(&format!("{HEAD}@PFNS {damaged}\n@STATUS 0\n")).unwrap_err().to_string();
            assert!(error.contains("line 4: no answers"), "{damaged}: {error}");
        }
    }

    #[test]
    fn a_log_is_read_line_by_line() {
        let log = Log::parse(&format!(
            "{HEAD}@SCENE sizes\n@DO map a 0x1 0x2\nnoise\n@RC 1\n@SNAP {} after a\n@DO off a\n@STATUS 0\n",
            serde_json::to_string(&Snapshot::default()).unwrap()
        ));
        let log = log.unwrap();
        assert_eq!((&*log.release, log.block_bytes, log.events.len()), ("6.1.0", 128 << 20, 4));
        let words = ["map", "a", "0x1", "0x2"].map(str::to_owned).to_vec();
        assert_eq!(log.events[1], (5, Event::Operation { words, refused: Some(true) }));
        assert_eq!(log.events[2].1, Event::Snapshot("after a".to_owned(), Box::default()));
        assert!(matches!(log.events[3].1, Event::Operation { refused: None, .. }), "the guest ended");
    }

    #[test]
    fn a_damaged_log_is_an_error_with_its_line() {
        let cases: [(&str, &str); 14] = [
            ("", "the log has no kernel"),
            ("@KERNEL 6.1 128\n", "the log has no boot memory"),
            ("@KERNEL 6.1 x\n", "line 1: the block size"),
            (&format!("{HEAD}@DO off a\n"), "the guest hung, crashed"),
            (&format!("{HEAD}@STATUS 1\n"), "the guest ended with status 1"),
            ("@RC 0\n", "line 1: a result without"),
            ("@SNAP {\n", "line 1: damaged snapshot"),
            ("@EARLY 0 0x5000 1\n", "line 1: no range"),
            ("@EARLY 0 0x5000 0xffffffffffffffff\n", "line 1: no range"),
            ("@EARLY 0 0x0 0xffffffffffffff\n", "line 1: no range"),
            (
                "@SNAP {\"flags\":{\"present\":1,\"has_map\":2,\"online\":4,\"early\":8,\"taint\":16},\"sections\":\
                 [{\"nr\":524288,\"word\":1,\"map\":0}],\"blocks\":{},\"zones\":[],\"devices\":[],\"memmap_pages\":null}\n",
                "line 1: a section beyond",
            ),
            ("@VALIDMAP 1\n", "line 1: no line of a log"),
            ("@VALIDMAP 1 x\n", "line 1: no number of page frames"),
            ("@WHAT 0\n", "line 1: no line of a log: @WHAT"),
        ];
        for (text, says) in cases {
            let told = Log::parse(text).unwrap_err().to_string();
            assert!(told.contains(says), "{text:?}: {told}");
        }
    }
}
