//! Lookups: a table for each map, and how often each verdict was reached.

use super::walks::Holes;
use super::{Page, ns, ns_in_words, plain_table, times_faster};
use crate::analysis::judge::Verdict;
use crate::analysis::summary::{LookupLine, WINNER};
use crate::case::{LookupOp, NO_CHECK, Population};
use crate::present::report::markdown::escaped;
use crate::units::{signed_time, time};

/// A line of the table, on its map.
pub(super) struct Cell<'a> {
    pub map: &'a str,
    pub line: &'a LookupLine,
}

impl Cell<'_> {
    /// Whether the winner takes longer than the empty loop. Nothing can be said of a time below it.
    pub(super) fn is_resolved(&self) -> bool {
        ns(self.line, WINNER).zip(self.line.floor_ns).is_none_or(|(ns, floor)| ns > floor)
    }

    /// Whether the sections that are asked for are valid in part.
    pub(super) fn is_valid_in_part(&self) -> bool {
        Holes::of_map(self.map).is_some_and(|holes| holes.is_within_sections())
    }

    pub(super) fn in_words(&self) -> String {
        format!("{} of {} memory on {}", self.line.group.label(), self.line.memory.name(), self.map)
    }
}

/// How often a verdict was reached.
#[derive(Default)]
pub(super) struct Tally {
    faster: usize,
    equal: usize,
    slower: Vec<String>,
    undecided: usize,
}

impl Tally {
    pub(super) fn add(&mut self, verdict: Verdict, cell: &Cell<'_>) {
        match verdict {
            Verdict::Faster => self.faster += 1,
            Verdict::Slower => self.slower.push(cell.in_words()),
            Verdict::Equal => self.equal += 1,
            Verdict::Undecided => self.undecided += 1,
        }
    }

    pub(super) fn all(&self) -> usize {
        self.faster + self.equal + self.slower.len() + self.undecided
    }

    pub(super) fn in_words(&self) -> String {
        let slower = match &self.slower[..] {
            [] => "slower in none".to_owned(),
            cells => format!("slower in {}: {}", cells.len(), cells.join("; ")),
        };
        let of = self.all();
        format!("{} of {of}, equal in {}, {slower}, undecided in {}", self.faster, self.equal, self.undecided)
    }
}

impl Page<'_> {
    /// The lines of the tables of lookups, with their maps.
    pub(super) fn cells(&self) -> impl Iterator<Item = Cell<'_>> {
        self.machine.maps.iter().flat_map(|(map, summary)| {
            let is_shown = |line: &&LookupLine| {
                let is_lookup = matches!(line.group.op, LookupOp::PfnValid | LookupOp::ValidToPage);
                is_lookup && line.group.population == Population::Common && ns(line, WINNER).is_some()
            };
            summary.lookups.iter().filter(is_shown).map(move |line| Cell { map, line })
        })
    }

    /// How much longer than Linux the winner takes; mostly below 0.
    fn difference(&self, cell: &Cell<'_>) -> String {
        let ns = self.gain(cell.line, &self.linux).and_then(|pair| pair.difference_ns);
        ns.map_or_else(|| "–".to_owned(), signed_time)
    }

    fn row(&self, cell: &Cell<'_>) -> Vec<String> {
        let line = cell.line;
        let compared = self.compared();
        let mut row = vec![
            escaped(&line.group.label()),
            line.memory.name().to_owned(),
            line.floor_ns.map_or_else(|| "–".to_owned(), time),
        ];
        row.extend(compared.iter().copied().chain([WINNER, NO_CHECK]).map(|layout| ns_in_words(line, layout)));
        if cell.is_resolved() {
            row.push(self.difference(cell));
            row.extend(compared.into_iter().map(|over| times_faster(self.gain(line, over))));
        } else {
            row.extend(std::iter::repeat_n("within the loop".to_owned(), 1 + compared.len()));
        }
        row
    }

    pub(super) fn lookups(&self) -> String {
        let compared = self.compared();
        let times = compared.iter().map(|layout| format!("times faster than {layout}"));
        let plain = ["lookup", "memory", "loop"].into_iter().chain(compared.iter().copied()).chain([WINNER, NO_CHECK]);
        let head: Vec<String> =
            plain.map(str::to_owned).chain([format!("against {}", self.linux)]).chain(times).collect();
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        let cells: Vec<Cell<'_>> = self.cells().collect();
        let of_map = |map: &str| {
            let rows: Vec<Vec<String>> =
                cells.iter().filter(|cell| cell.map == map).map(|cell| self.row(cell)).collect();
            let origin = self.machine.run.known.origin_of(map).unwrap_or_default();
            let origin = if origin.is_empty() { String::new() } else { format!("{}.\n\n", escaped(origin)) };
            (!rows.is_empty()).then(|| format!("### {}\n\n{origin}{}", escaped(map), plain_table(&head, &rows)))
        };
        let tables: Vec<String> = self.machine.maps.iter().filter_map(|(map, _)| of_map(map)).collect();
        format!(
            "## Lookups\n\n\
             Read the nanoseconds first, then the ratio. Times are medians over processes of each one's lower quartile, for a \
             lookup, and hold a part of the loop around it (column \"loop\": the empty loop by itself). The loop is in both \
             times of a ratio, so a ratio of lookups alone is larger: `≥` marks cells in which a time is below three times the \
             loop. Where `{WINNER}` takes no longer than the empty loop, nothing is compared. Brackets hold the 95 % \
             interval of the ratio alone. A ratio without a word is decided: `{WINNER}` is faster by more than the noise floor \
             and the margin of {} %. Verdicts are made for each map; of those that say \"faster\" at most 5 % are \
             expected to be wrong.\n\n\
             - `valid_to_page` is what callers do: `if (pfn_valid(pfn))`, then `pfn_to_page(pfn)`. \"Records in L1\", \"in \
             cache\" and \"in memory\" read the record, too, and say where it lies.\n\
             - Boot memory was there at boot; added memory came later, as by memory hotplug.\n\
             - \"Chained\": the next query waits for the answer. That is so where the answer is data, and not where it is a \
             predicted branch; two layouts of which only one waits have no ratio. \"Branching\": the loop jumps by the \
             answer.\n\
             - \"Cold\": each of at most 2,048 sections is asked for once after the tables were evicted, without waiting. Their \
             misses overlap, and neighbours share cache lines, so this is not the latency of one cold lookup.\n\
             - There is no bound where invalid page frames are asked for.\n\n{}",
            self.machine.view().main().margin * 100.0,
            tables.join("\n")
        )
    }
}
