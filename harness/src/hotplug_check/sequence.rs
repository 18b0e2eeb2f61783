//! Several requests in a row, where what one adds is there for the next.
//!
//! | line | meaning |
//! | --- | --- |
//! | `add RANGE[,RANGE…] [as KIND] [node N]` | memory is added |
//! | `remove RANGE[,RANGE…]` | memory that was added is removed: its blocks go offline first |
//! | `# …` | a comment |
//!
//! A request with several ranges is one transaction, as in the kernel: a mapping and a group of
//! extents are accepted as a whole or not at all; of a DAX device as RAM, ranges that cannot be added
//! are left out, unless it is the first. A refused request changes nothing. No kernel undoes earlier
//! requests because of it.

use super::machine::PreparedMachine;
use super::request::{Request, RequestError, RequestKind, UnknownKind, spans_argument};
use super::verdict::{Removal, Verdict};
use crate::map::inventory::Span;
use serde::Serialize;
use thiserror::Error;

/// A line of a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Number of the line, from 1.
    pub line: usize,
    /// What is done.
    pub action: Action,
}

/// What a line does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Memory is added.
    Add(Request),
    /// Memory is removed.
    Remove(Request),
}

/// Why a text is not a sequence.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SequenceError {
    /// A line is neither an addition nor a removal.
    #[error("line {line}: {text:?} is not a request; try \"add 0x100000000+1G as dimm\" or \"remove 0x100000000+1G\"")]
    NotARequest {
        /// Number of the line.
        line: usize,
        /// Its text, at most 80 characters.
        text: String,
    },
    /// The ranges of a line cannot be used.
    #[error("line {line}: {source}")]
    Request {
        /// Number of the line.
        line: usize,
        /// What is wrong with them.
        source: RequestError,
    },
    /// The kind of a line is unknown.
    #[error("line {line}: {source}")]
    Kind {
        /// Number of the line.
        line: usize,
        /// What is wrong with it.
        source: UnknownKind,
    },
    /// The number of a node is none.
    #[error("line {line}: node {text:?} is not a number from 0 to 255")]
    Node {
        /// Number of the line.
        line: usize,
        /// The text.
        text: String,
    },
    /// There is no line with a request.
    #[error("there is no request; try \"add 0x100000000+1G as dimm\"")]
    Empty,
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Parses a sequence; lines without a kind have `kind`.
///
/// # Errors
/// [`SequenceError`], with the number of the line.
pub fn parse(text: &str, kind: RequestKind) -> Result<Vec<Step>, SequenceError> {
    let mut steps = Vec::new();
    for (line, text) in text.lines().enumerate().map(|(line, text)| (line + 1, text)) {
        let text = text.split('#').next().unwrap_or_default().trim();
        if text.is_empty() {
            continue;
        }
        let not_a_request = || SequenceError::NotARequest { line, text: shortened(text) };
        let words: Vec<&str> = text.split_whitespace().collect();
        let (verb, ranges, mut options) = match &words[..] {
            [verb, ranges, options @ ..] => (*verb, *ranges, options),
            _ => return Err(not_a_request()),
        };
        let (mut kind, mut node) = (kind, None);
        while let [option, value, rest @ ..] = options {
            match *option {
                "as" => kind = value.parse().map_err(|source| SequenceError::Kind { line, source })?,
                "node" => node = Some(value.parse().map_err(|_| SequenceError::Node { line, text: shortened(value) })?),
                _ => return Err(not_a_request()),
            }
            options = rest;
        }
        let request = |kind| Request::parse(ranges, kind).map_err(|source| SequenceError::Request { line, source });
        let action = match verb {
            "add" if options.is_empty() => Action::Add(Request { node, ..request(kind)? }),
            // Any number of ranges can be removed.
            "remove" if words.len() == 2 => Action::Remove(request(RequestKind::Kmem)?),
            _ => return Err(not_a_request()),
        };
        steps.push(Step { line, action });
    }
    if steps.is_empty() { Err(SequenceError::Empty) } else { Ok(steps) }
}

/// What became of a line.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Of an addition.
    Added(Verdict),
    /// Of a removal.
    Removed(Removal),
}

impl Outcome {
    /// True if nothing was refused.
    pub fn is_accepted(&self) -> bool {
        match self {
            Self::Added(verdict) => verdict.is_accepted(),
            Self::Removed(removal) => removal.refusal.is_none(),
        }
    }
}

/// Memory that is there at the end, apart from that of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Present {
    /// Its addresses.
    #[serde(flatten)]
    pub span: Span,
    /// `RAM`, `device mapping` or `CXL window`.
    pub what: &'static str,
}

/// What became of a sequence.
#[derive(Clone, Debug)]
pub struct Played {
    /// Each line, in order.
    pub outcomes: Vec<(Step, Outcome)>,
    /// What is there at the end, by address.
    pub present: Vec<Present>,
}

impl Played {
    /// True if nothing was refused.
    pub fn is_accepted(&self) -> bool {
        self.outcomes.iter().all(|(_, outcome)| outcome.is_accepted())
    }
}

/// What was added by a line.
struct Addition {
    asked: Vec<Span>,
    accepted: Vec<Span>,
    what: &'static str,
}

/// A range without the parts that `others` have.
fn without(span: Span, others: &[Span]) -> Vec<Span> {
    let mut left = vec![span];
    for other in others {
        let sides = |part: Span| {
            let before = Span::new(part.start, part.end.min(other.start));
            let behind = Span::new(part.start.max(other.end), part.end);
            before.into_iter().chain(behind)
        };
        left = left.into_iter().flat_map(sides).collect();
    }
    left
}

impl PreparedMachine<'_> {
    /// Plays a sequence.
    pub fn play(&mut self, steps: &[Step]) -> Played {
        let mut additions: Vec<Addition> = Vec::new();
        let mut outcomes = Vec::new();
        for step in steps {
            let outcome = match &step.action {
                Action::Add(request) => {
                    let verdict = self.add(request);
                    let what = match request.kind {
                        RequestKind::Device => "device mapping",
                        RequestKind::CxlWindow => "CXL window",
                        _ => "RAM",
                    };
                    let (asked, accepted) = (request.spans.clone(), verdict.accepted.clone());
                    additions.push(Addition { asked, accepted, what });
                    Outcome::Added(verdict)
                }
                Action::Remove(request) => {
                    // A DAX device is named by its ranges, of which only whole blocks were added.
                    let whole = additions
                        .iter()
                        .rev()
                        .find(|addition| addition.asked == request.spans && !addition.accepted.is_empty());
                    let spans = whole.map_or(request.spans.clone(), |addition| addition.accepted.clone());
                    let removal = self.remove(&Request { spans, ..request.clone() });
                    if removal.refusal.is_none() {
                        for addition in &mut additions {
                            let parts = addition.accepted.iter().flat_map(|span| without(*span, &removal.spans));
                            addition.accepted = parts.collect();
                        }
                    }
                    Outcome::Removed(removal)
                }
            };
            outcomes.push((step.clone(), outcome));
        }
        let present = additions
            .iter()
            .flat_map(|addition| addition.accepted.iter().map(|span| Present { span: *span, what: addition.what }));
        let mut present: Vec<Present> = present.collect();
        present.sort_by_key(|present| present.span);
        Played { outcomes, present }
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Add(request) => write!(f, "add {} as {}", spans_argument(&request.spans), request.kind),
            Self::Remove(request) => write!(f, "remove {}", spans_argument(&request.spans)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hotplug_check::architecture::Architecture;
    use crate::hotplug_check::machine::MachineDescription;

    fn play(text: &str) -> Played {
        let steps = parse(text, RequestKind::Dimm).unwrap();
        MachineDescription::new(Architecture::X86_64).prepare().unwrap().play(&steps)
    }

    fn present(played: &Played) -> Vec<(u64, u64)> {
        played.present.iter().map(|present| (present.span.start >> 20, present.span.end >> 20)).collect()
    }

    #[test]
    fn what_one_request_adds_is_there_for_the_next() {
        let played =
            play("add 0x100000000+1G # a DIMM\n\nadd 0x120000000+128M\nremove 0x100000000+1G\nadd 0x120000000+128M\n");
        let accepted: Vec<bool> = played.outcomes.iter().map(|(_, outcome)| outcome.is_accepted()).collect();
        assert_eq!(accepted, [true, false, true, true]);
        assert_eq!(played.outcomes.iter().map(|(step, _)| step.line).collect::<Vec<_>>(), [1, 3, 4, 5]);
        assert_eq!(present(&played), [(0x1200, 0x1280)]);
    }

    #[test]
    fn several_ranges_are_a_transaction() {
        // The second range of a mapping overlaps the DIMM: the first one is not mapped either.
        let dimm = "add 0x100000000+256M\n";
        let played = play(&format!("{dimm}add 0x80000000+2M,0x108000000+2M as device\nadd 0x80000000+2M as device"));
        assert!(!played.outcomes[1].1.is_accepted() && played.outcomes[2].1.is_accepted());
        assert_eq!(present(&played), [(0x800, 0x802), (0x1000, 0x1100)]);
        // kmem leaves out a range after one that was added, and extents are all or nothing.
        let ranges = "0x80000000+256M,0x108000000+128M";
        assert_eq!(present(&play(&format!("{dimm}add {ranges} as kmem"))), [(0x800, 0x900), (0x1000, 0x1100)]);
        let extents = play(&format!("{dimm}add {ranges} as extent"));
        assert!(!extents.is_accepted() && present(&extents) == [(0x1000, 0x1100)]);
    }

    #[test]
    fn removal_takes_what_was_added_and_no_more() {
        let played = play("add 0x104000000+256M as kmem\nremove 0x104000000+256M\nremove 0x108000000+128M\n");
        let accepted: Vec<bool> = played.outcomes.iter().map(|(_, outcome)| outcome.is_accepted()).collect();
        assert_eq!(accepted, [true, true, false]);
        assert!(played.present.is_empty());
        let played = play("add 0x100000000+512M\nremove 0x108000000+128M,0x180000000+128M\nremove 0x108000000+128M");
        assert_eq!(present(&played), [(0x1000, 0x1080), (0x1100, 0x1200)]);
        assert!(!played.outcomes[1].1.is_accepted() && played.outcomes[2].1.is_accepted());
        let unmapped = play("add 0x100000000+2M,0x100400000+2M as device\nremove 0x100000000+2M,0x100400000+2M");
        assert!(unmapped.is_accepted() && unmapped.present.is_empty());
    }

    #[test]
    fn wrong_lines_are_errors_with_their_number() {
        for (text, says) in [
            ("", "there is no request"),
            ("# nothing\n", "there is no request"),
            ("add 0x100000000+1G\nplug 0x0+1G\n", "line 2: \"plug 0x0+1G\" is not a request"),
            ("add\n", "line 1: \"add\" is not a request"),
            ("add 0x1000\n", "line 1: \"0x1000\" is not a range"),
            ("add 0x1000+0\n", "line 1: \"0x1000+0\""),
            ("add 0x100000000+1G as\n", "line 1: "),
            ("add 0x100000000+1G as dim\n", "line 1: \"dim\" is not a kind"),
            ("add 0x100000000+1G node 300\n", "line 1: node \"300\" is not a number from 0 to 255"),
            ("add 0x0+1G,0x80000000+1G as dimm\n", "line 1: a dimm has one range"),
            ("remove 0x100000000+1G as dimm\n", "line 1: "),
        ] {
            let told = parse(text, RequestKind::Dimm).unwrap_err().to_string();
            assert!(told.contains(says), "{text:?}: {told}");
        }
    }
}
