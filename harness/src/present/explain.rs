//! What a word of the output means: the rule behind an error code, what a case measures, a layout and its
//! load chain, or a term of the glossary.

use crate::case::{COMPILED, Layout, LookupOp, Mode, NO_CHECK, layouts, layouts_of};
use crate::pmem::refusal::rule::{self, Rule};
use crate::present::report::glossary::{self, Span};
use memmap_layouts::layouts::WhenNamed;
use memmap_layouts::{Load, When, X86_64};
use serde::Serialize;

/// What is known about a word.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Explanation {
    /// An error code.
    Rule {
        /// The rule.
        rule: &'static Rule,
    },
    /// A case, or a part of its name.
    Case {
        /// What the parts of the name mean, in their order.
        parts: Vec<Part>,
        /// How it is measured; left out for a part of a name that several kinds of cases share.
        #[serde(skip_serializing_if = "Option::is_none")]
        how: Option<&'static str>,
        /// Loads from memory, by layout: of the layout that is named, or of all.
        loads: Vec<Loads>,
    },
    /// A layout.
    Layout {
        /// Its id.
        id: String,
        /// What it is.
        about: String,
        /// Loads of each lookup.
        loads: Vec<Loads>,
    },
    /// A term of the glossary.
    Term {
        /// The term, with its synonyms.
        term: String,
        /// What it is.
        definition: String,
    },
}

/// A part of the name of a case.
#[derive(Debug, Serialize)]
pub struct Part {
    /// The part, e.g. `chained`.
    pub part: String,
    /// What it says of the measurement.
    pub means: &'static str,
}

/// What a lookup of a layout loads from memory.
#[derive(Debug, Serialize)]
pub struct Loads {
    /// Id of the layout, or name of the lookup.
    pub of: String,
    /// The loads, in order.
    pub loads: Vec<String>,
}

fn op(op: LookupOp) -> &'static str {
    match op {
        LookupOp::PfnValid => "is there a record for a page frame? Time of one answer, in ns",
        LookupOp::PfnToPage => "the address of the record of a valid page frame. Time of one answer, in ns",
        LookupOp::PageToPfn => "the page frame of a record. Time of one answer, in ns",
        LookupOp::ValidToPage => {
            "what callers do: pfn_valid, then pfn_to_page if it is valid, then a look at the record. Time of one, in ns"
        }
        LookupOp::NextValidPfn => {
            "a walk over a map with holes that finds the next valid page frame, in steps of a sub-section. Time of a \
             section with memory, in ns"
        }
        LookupOp::WalkEveryPfn => "a walk that visits every valid page frame. Time of a section with memory, in ns",
        LookupOp::ScanPageblocks => {
            "asks for the first and the last page frame of each pageblock, as Linux does after hotplug. Time of a section \
             with memory, in ns"
        }
        LookupOp::IsContiguous => "is all of a range valid? Time of one answer, in ns",
    }
}

/// Parts of names of cases other than operations and layouts.
fn part(word: &str) -> Option<&'static str> {
    if word.strip_suffix("%invalid").is_some_and(|percent| percent.parse::<u32>().is_ok()) {
        return Some("so many of 100 page frames that are asked for are in holes, in random order");
    }
    if word.starts_with(COMPILED) {
        return Some("Linux's own lookups of this version, which pfnbench kernel add compiled");
    }
    if word.strip_suffix("threads").is_some_and(|nr| nr.parse::<u32>().is_ok()) {
        return Some("so many threads initialise the records");
    }
    Some(match word {
        NO_CHECK => "an address without a check: the bound of every lookup, and no layout",
        "boot" => "memory that was there at boot",
        "added" => "memory that was added after boot, as by memory hotplug",
        "random" => "page frames in random order, all equally likely",
        "sequential" => "page frames in ascending order",
        "stride" => "one page frame of each sub-section, in ascending order",
        "zipf" => "page frames by popularity: few of them are asked for often",
        "independent" => "no lookup waits for another, so that the processor overlaps them",
        "chained" => "each address depends on the answer of the lookup before, so their times add up",
        "touching" => "no lookup waits for another; the record that was found is read",
        "branching" => "no lookup waits for another; the caller branches on the answer",
        "called" => "the lookup is a function of its own, and not inlined",
        "preempt" => "the preemption count is raised around the lookup, as in kernels with CONFIG_PREEMPT_COUNT",
        "cold" => "caches are flushed, then each section is asked for once",
        "disputed" => "page frames that are valid for some layouts and not for others",
        "records-in-l1" => "the records that are read fit into the first-level cache",
        "records-in-memory" => "the records that are read exceed the caches",
        "hotplug" => "memory is added and removed in a loop; percentiles of single operations",
        "readers" => "lookups beside a thread that adds and removes memory 100 times a second",
        "hot-add" | "hot_add" => {
            "a range of memory is added: index, records, initialisation; percentiles of one process"
        }
        "hot-remove" | "hot_remove" => "a range of memory is removed; percentiles of one process",
        "hot-add-read" | "hot_add_read" => "a range is added, and a first read of every record",
        "hot-add-write" | "hot_add_write" => "a range is added, and a first write of every record",
        "unaligned" => "the range starts and ends inside of sections",
        "later" => "the range lies in a section that has memory already",
        "growth" => "memory grows: each addition follows the one before",
        "fresh" => "each addition is at physical addresses that had none before",
        "own_cost" => "hot-add of 2 MiB, beside a bare populate that writes the same records",
        "footprint" => "bytes of index, records and page tables",
        _ => return None,
    })
}

fn loads(chain: &[Load]) -> Vec<String> {
    let when = |load: &Load| match load.when {
        When::Always => "",
        When::HotAdded => " (added memory)",
        When::InPart => " (sections valid in part)",
        When::EachStep => " (each step)",
    };
    let loads: Vec<String> = chain.iter().map(|load| format!("{}{}", load.what, when(load))).collect();
    if loads.is_empty() { vec!["nothing".to_owned()] } else { loads }
}

fn chain(layout: &Layout, op: LookupOp) -> Option<&'static [Load]> {
    match op {
        LookupOp::PfnValid => Some(layout.load_chain.pfn_valid),
        LookupOp::PfnToPage => Some(layout.load_chain.pfn_to_page),
        LookupOp::PageToPfn => Some(layout.load_chain.page_to_pfn),
        _ => None,
    }
}

pub(crate) fn all_layouts() -> Vec<Layout> {
    layouts::<X86_64>().into_iter().chain(layouts_of::<WhenNamed, X86_64>()).collect()
}

fn case(name: &str) -> Option<Explanation> {
    let layouts = all_layouts();
    let name = name.split('@').next().unwrap_or(name);
    let mut parts = Vec::new();
    let (mut asked, mut named) = (None, None);
    for word in name.split('/') {
        let known = LookupOp::ALL.into_iter().find(|op| op.name() == word);
        let layout = layouts.iter().find(|layout| layout.id == word);
        let is_size =
            word.strip_suffix("iB").is_some_and(|size| size.starts_with(|first: char| first.is_ascii_digit()));
        let means = match (known, layout) {
            (Some(known), _) => {
                asked = Some(known);
                op(known)
            }
            (None, Some(layout)) => {
                named = Some(layout);
                layout.about
            }
            (None, None) if is_size => "bytes that are added or removed at a time",
            (None, None) => part(word)?,
        };
        parts.push(Part { part: word.to_owned(), means });
    }
    let shown = |layout: &&Layout| named.is_none_or(|named| named.id == layout.id);
    let of = |layout: &Layout| {
        let chain = chain(layout, asked?)?;
        Some(Loads { of: layout.id.to_owned(), loads: loads(chain) })
    };
    let loads = layouts.iter().filter(shown).filter_map(of).collect();
    Some(Explanation::Case { parts, how: how(asked, name), loads })
}

/// How a case is measured; `None` for a part of a name that several kinds of cases share.
fn how(asked: Option<LookupOp>, name: &str) -> Option<&'static str> {
    match (asked, name.split('/').next().unwrap_or_default()) {
        (Some(_), _) => Some(
            "layouts take turns in slices of some 300 µs, in five processes or more for a verdict; a slice that lost \
             the processor is repeated; the time includes the loop around the lookup",
        ),
        (None, "readers") => Some(
            "slices beside a writer, beside an equally busy thread and alone take turns in one process; the ratio is \
             the median over neighbouring slices",
        ),
        (None, first) if first.starts_with("hot") => {
            Some("one process repeats the operation; percentiles are those of single operations, without a verdict")
        }
        _ => None,
    }
}

fn layout(id: &str) -> Option<Explanation> {
    let layout = all_layouts().into_iter().find(|layout| layout.id == id)?;
    let of = |op: LookupOp| Some(Loads { of: op.name().to_owned(), loads: loads(chain(&layout, op)?) });
    let loads = LookupOp::ALL.into_iter().filter_map(of).collect();
    Some(Explanation::Layout { id: layout.id.to_owned(), about: layout.about.to_owned(), loads })
}

fn plain(spans: &[Span]) -> String {
    let text = |span: &Span| match span {
        Span::Text(text) | Span::Code(text) | Span::Emphasis(text) => text.clone(),
    };
    spans.iter().map(text).collect()
}

/// Names under which a term is found: itself and its synonyms, in lower case.
fn synonyms(term: &str) -> impl Iterator<Item = String> {
    term.split([',', ';']).map(|name| name.trim().to_lowercase())
}

fn term(word: &str) -> Option<Explanation> {
    // Shells complete words without spaces.
    let wanted = word.to_lowercase();
    let spaced = |word: &str| word.replace('-', " ");
    let singular = wanted.strip_suffix('s').unwrap_or(&wanted).to_owned();
    let terms = || glossary::terms().into_iter().map(|term| (plain(&term.name), plain(&term.definition)));
    let is = |name: &str| {
        synonyms(name).map(|name| spaced(&name)).any(|name| name == spaced(&wanted) || name == spaced(&singular))
    };
    let (term, definition) = terms().find(|(name, _)| is(name))?;
    Some(Explanation::Term { term, definition })
}

/// Explains a word; `None` if it is unknown.
pub fn explain(word: &str) -> Option<Explanation> {
    let word = word.trim();
    if let Some(rule) = rule::find(word) {
        return Some(Explanation::Rule { rule });
    }
    layout(word).or_else(|| case(word)).or_else(|| term(word))
}

/// Every word that can be explained, apart from full names of cases.
pub fn words() -> Vec<String> {
    let codes = rule::RULES.iter().map(|rule| rule.code.to_owned());
    let ops = LookupOp::ALL.iter().map(|op| op.name().to_owned());
    let modes = Mode::ALL.iter().map(|mode| mode.name().to_owned());
    let layouts = all_layouts().into_iter().map(|layout| layout.id.to_owned());
    let terms = glossary::terms().into_iter().flat_map(|term| synonyms(&plain(&term.name)).collect::<Vec<_>>());
    let mut words: Vec<String> = codes.chain(ops).chain(modes).chain(layouts).chain(terms).collect();
    words.extend(["boot", "added", "cold", "hotplug", "readers", NO_CHECK].map(str::to_owned));
    words.retain(|word| !word.is_empty());
    words.sort();
    words.dedup();
    words
}

/// The known words that are most like an unknown one, the best first; at most three.
pub fn like(word: &str) -> Vec<String> {
    let wanted = word.to_lowercase();
    let mut near: Vec<(f64, String)> = words()
        .into_iter()
        .map(|known| {
            let holds = known.contains(&wanted) || wanted.contains(&known) && known.len() > 3;
            (strsim::jaro_winkler(&known.to_lowercase(), &wanted).max(if holds { 0.9 } else { 0.0 }), known)
        })
        .filter(|(likeness, _)| *likeness > 0.8)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    near.into_iter().take(3).map(|(_, known)| known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_explained() {
        for word in words() {
            assert!(explain(&word).is_some(), "{word}");
        }
    }

    #[test]
    fn codes_come_before_cases_and_cases_before_terms() {
        assert!(matches!(explain("NS101"), Some(Explanation::Rule { .. })));
        assert!(matches!(explain("pfn_valid"), Some(Explanation::Case { .. })));
        assert!(matches!(explain("subsection"), Some(Explanation::Layout { .. })));
        assert!(matches!(explain("Sections"), Some(Explanation::Term { .. })));
        let Some(Explanation::Case { parts, how, loads }) =
            explain("pfn_valid/chained/added/random/30%invalid/validmap")
        else {
            panic!("it is a case")
        };
        assert_eq!((parts.len(), loads.len()), (6, 1));
        assert!(how.is_some_and(|how| how.contains("slices")));
        for word in ["compiled-6.1", "no-check", "pfn_valid/boot/random/compiled-6.1"] {
            assert!(matches!(explain(word), Some(Explanation::Case { .. })), "{word}");
        }
        for word in ["noise-floor", "Noise floor", "exit-codes", "sub-section"] {
            assert!(matches!(explain(word), Some(Explanation::Term { .. })), "{word}");
        }
        for (word, says) in
            [("hot_add/2MiB/subsection", Some("one process")), ("readers", Some("writer")), ("chained", None)]
        {
            let Some(Explanation::Case { how, .. }) = explain(word) else { panic!("{word} is a case") };
            assert!(how.map_or(says.is_none(), |how| says.is_some_and(|says| how.contains(says))), "{word}: {how:?}");
        }
        assert!(explain("nonsense").is_none());
        assert_eq!(like("pfn_vald")[0], "pfn_valid");
        assert_eq!(like("NS10l")[0], "NS101");
        assert!(like("zzzzzz").is_empty());
    }
}
