//! Finds known messages in a line.

use super::SECTION_BYTES;
use super::fact::{Fact, counted, sized};
use super::place::Place;
use super::table::{Message, TABLE, messages};
use super::value::{Unit, Value};
use regex::{Captures, Regex};
use std::ops::Range;
use std::sync::LazyLock;

/// The most bytes of a line that are looked at. Messages are shorter.
pub(super) const MOST_BYTES: usize = 4096;

/// A message that was found in a line, with the values that the line has.
#[derive(Clone, Debug)]
pub struct Recognised {
    /// The message.
    pub message: &'static Message,
    /// Its values, in the order of the line.
    pub values: Vec<Value>,
    /// Its index in the table: earlier messages are more specific.
    pub(super) index: usize,
    /// Where it is in the normalised line.
    pub(super) range: Range<usize>,
}

impl Recognised {
    fn new(index: usize, captures: &Captures<'_>) -> Self {
        let names = TABLE.pattern(index).capture_names().flatten();
        let values = names.filter_map(|name| Some(Value::new(name, captures.name(name)?.as_str())));
        let values = values.filter(|value| !value.text.is_empty()).collect();
        let range = captures.get(0).map_or(0..0, |whole| whole.range());
        Self { message: &TABLE.messages[index], values, index, range }
    }

    fn without_values(index: usize, range: Range<usize>) -> Self {
        Self { message: &TABLE.messages[index], values: Vec::new(), index, range }
    }

    /// A value by name; `None` if the line does not have it.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.values.iter().find(|value| value.name == name)
    }

    /// The number of a value; `None` if the line does not have it, or if it needs more than 64 bits.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.value(name)?.number
    }

    /// A text of the table with `{name}` replaced by the value. A value that the line does not have is
    /// its name in capitals.
    pub fn filled(&self, text: &str) -> String {
        static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\{(\w+)\}").expect("it is a constant"));
        let shown = |captures: &Captures<'_>| match self.value(&captures[1]) {
            Some(value) => value.shown.clone(),
            None => captures[1].to_uppercase(),
        };
        PLACEHOLDER.replace_all(text, shown).into_owned()
    }

    /// The rule with the values of the line.
    pub fn rule(&self) -> Option<String> {
        self.message.rule.as_ref().map(|rule| self.filled(rule))
    }

    /// The physical range that the line names; `None` if it names none.
    pub fn place(&self) -> Option<Place> {
        self.message.place?.place(self)
    }

    /// What follows from the numbers of the line: the size of its range, distances to boundaries, and
    /// which numbers cannot be used.
    pub fn facts(&self) -> Vec<Fact> {
        let derived = self.message.derive.iter().flat_map(|derivation| derivation.facts(self));
        let too_large = self.values.iter().filter(|value| value.is_too_large()).map(|value| {
            Fact::new(
                format!("{} {} needs more than 64 bits, so nothing is computed from it", value.name, value.text),
                [],
            )
        });
        let reversed = self.is_reversed().then(|| Fact::new("the range ends before it starts".to_owned(), []));
        self.place().map(range_fact).into_iter().chain(derived).chain(too_large).chain(reversed).collect()
    }

    fn is_reversed(&self) -> bool {
        let pairs = [("start", "end"), ("start_pfn", "end_pfn"), ("virtual", "virtual_end"), ("dpa", "dpa_end")];
        pairs
            .into_iter()
            .any(|(start, end)| self.number(start).zip(self.number(end)).is_some_and(|(start, end)| start > end))
    }

    /// Names of devices that the line has: of a namespace, a device, a region, a decoder.
    pub fn device_names(&self) -> Vec<&str> {
        let named = ["namespace", "device", "region", "decoder", "dimm", "memdev", "window"];
        let is_name = |value: &&Value| value.unit == Unit::Text && named.contains(&value.name);
        self.values.iter().filter(is_name).map(|value| &*value.text).collect()
    }
}

/// Size and sections of a range.
fn range_fact(Place { span, is_address_only }: Place) -> Fact {
    let (first, last) = (span.start / SECTION_BYTES, (span.end - 1) / SECTION_BYTES);
    if is_address_only {
        return Fact::new(
            format!("{:#x} is in section {first} of 128 MiB", span.start),
            [("first_section", first), ("last_section", last)],
        );
    }
    let sections = match last - first + 1 {
        1 => format!("section {first}"),
        nr => format!("sections {first} to {last} ({})", counted(nr, "section")),
    };
    Fact::new(
        format!(
            "the range {:#x}-{:#x} has {} and lies in {sections} of 128 MiB",
            span.start,
            span.end - 1,
            sized(span.bytes())
        ),
        [
            ("start_address", span.start),
            ("last_address", span.end - 1),
            ("size_bytes", span.bytes()),
            ("first_section", first),
            ("last_section", last),
        ],
    )
}

/// The start of a line, with each run of white space as one space, and without control characters.
pub(super) fn normalised(line: &str) -> String {
    let mut end = line.len().min(MOST_BYTES);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let printable = line[..end].split(|char: char| char.is_whitespace() || char.is_control());
    printable.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The messages in a normalised line, in the order of the line. Where two overlap, the earlier one of the
/// table is taken.
pub(super) fn in_normalised(line: &str) -> Vec<Recognised> {
    let mut found: Vec<Recognised> = Vec::new();
    for index in TABLE.candidates(line) {
        for captures in TABLE.pattern(index).captures_iter(line) {
            let next = Recognised::new(index, &captures);
            if found.iter().all(|other| other.range.end <= next.range.start || next.range.end <= other.range.start) {
                found.push(next);
            }
        }
    }
    if found.is_empty() {
        found.extend(by_format(line));
    }
    found.sort_by_key(|found| found.range.start);
    found
}

/// The message in a line; the most specific one if there are several. `None` if no message is known.
///
/// ```
/// use pfnbench::message::recognise;
///
/// let line = "Block size [0x40000000] unaligned hotplug range: start 0xc8000000, size 0x40000000";
/// let found = recognise(line).unwrap();
/// assert_eq!(found.message.id, "hotplug-block-unaligned");
/// assert_eq!(found.number("start"), Some(0xc800_0000));
/// assert!(recognise("usb 1-1: new high-speed USB device").is_none());
/// ```
pub fn recognise(line: &str) -> Option<Recognised> {
    in_normalised(&normalised(line)).into_iter().min_by_key(|found| found.index)
}

/// All messages in a line, in the order of the line. Of a line, the first 4096 bytes are looked at.
pub fn recognise_all(line: &str) -> Vec<Recognised> {
    in_normalised(&normalised(line))
}

/// The words of a text in lower case, with numbers and conversions of `printf` replaced by `#`.
fn words(text: &str) -> Vec<String> {
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?:0x)?%[-#+0 ]*[0-9.]*(?:PRI[a-zA-Z0-9]+|p[a-zA-Z]*|(?:hh|h|ll|l|L|z)?[a-zA-Z])|0x[0-9a-f.…]+|\b[0-9a-f]*[0-9][0-9a-f]*\b")
            .expect("it is a constant")
    });
    let text = NUMBER.replace_all(text, "#").to_lowercase();
    let is_part = |char: char| char.is_alphanumeric() || char == '#' || char == '_';
    text.split(|char: char| !is_part(char)).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The fewest words of a format that identify it.
const FEWEST_WORDS: usize = 2;

/// The message whose format, as the source has it, is in the line: people also paste source.
fn by_format(line: &str) -> Option<Recognised> {
    if !line.contains('%') {
        return None;
    }
    static FORMATS: LazyLock<Vec<(usize, &str, Vec<String>)>> = LazyLock::new(|| {
        let formats = messages().iter().enumerate();
        let formats = formats.flat_map(|(index, message)| message.formats.iter().map(move |format| (index, &**format)));
        let mut formats: Vec<(usize, &str, Vec<String>)> = formats
            .filter(|(_, format)| format.contains('%'))
            .map(|(index, format)| (index, format, words(format)))
            .filter(|(.., words)| words.iter().filter(|word| *word != "#").count() >= FEWEST_WORDS)
            .collect();
        // The longest first: it is the most specific.
        formats.sort_by_key(|(.., words)| std::cmp::Reverse(words.len()));
        formats
    });
    let line_words = words(line);
    let has = |format: &[String]| line_words.windows(format.len()).any(|words| words == format);
    let exact = FORMATS.iter().find(|(_, format, _)| line.contains(format));
    let (index, ..) = exact.or_else(|| FORMATS.iter().find(|(.., format)| has(format)))?;
    Some(Recognised::without_values(*index, 0..line.len()))
}

/// The most words of an unknown line that are compared.
const MOST_WORDS: usize = 60;

/// The likeness from which a message is named as a near one; 1 is equal.
const LEAST_LIKENESS: f64 = 0.5;

/// The known messages that are most like an unknown line, the best first; at most `most`.
pub fn nearest(line: &str, most: usize) -> Vec<&'static Message> {
    let mut line_words = words(&normalised(line));
    line_words.truncate(MOST_WORDS);
    static KNOWN: LazyLock<Vec<(usize, Vec<String>)>> = LazyLock::new(|| {
        let known = messages().iter().enumerate();
        let texts = |(index, message): (usize, &'static Message)| {
            message.formats.iter().chain([&message.example]).map(move |text| (index, words(text)))
        };
        known.flat_map(texts).collect()
    });
    let mut likenesses = vec![0.0f64; messages().len()];
    for (index, known) in KNOWN.iter() {
        likenesses[*index] = likenesses[*index].max(likeness(&line_words, known));
    }
    let mut near: Vec<(f64, usize)> = likenesses
        .into_iter()
        .enumerate()
        .map(|(index, likeness)| (likeness, index))
        .filter(|(likeness, _)| *likeness >= LEAST_LIKENESS)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    near.into_iter().take(most).map(|(_, index)| &messages()[index]).collect()
}

/// How like the words of a known text are to those of a line: the mean over the words of the known text
/// of the best likeness to a word of the line, less if the line has many others. From 0 to 1.
fn likeness(line: &[String], known: &[String]) -> f64 {
    let is_word = |word: &&String| *word != "#";
    let known: Vec<&String> = known.iter().filter(is_word).collect();
    let line: Vec<&String> = line.iter().filter(is_word).collect();
    if known.len() < FEWEST_WORDS || line.is_empty() {
        return 0.0;
    }
    let best = |word: &String, among: &[&String]| {
        let likenesses = among.iter().map(|other| strsim::normalized_damerau_levenshtein(word, other));
        // A word with less in common is another word.
        Some(likenesses.fold(0.0, f64::max)).filter(|likeness| *likeness >= 0.7).unwrap_or(0.0)
    };
    let mean = |words: &[&String], among: &[&String]| {
        words.iter().map(|word| best(word, among)).sum::<f64>() / words.len() as f64
    };
    0.75 * mean(&known, &line) + 0.25 * mean(&line, &known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    fn ids(line: &str) -> Vec<&str> {
        recognise_all(line).iter().map(|found| &*found.message.id).collect::<Vec<&'static str>>()
    }

    #[test]
    fn the_rule_has_the_numbers_of_the_line() {
        let line = "[1.2] Block size [0x40000000] unaligned hotplug range: start 0xc8000000, size 0x40000000";
        let found = recognise(line).unwrap();
        let rule = found.rule().unwrap();
        assert!(rule.contains("Start 0xc8000000 and size 1 GiB (0x40000000)"), "{rule}");
        let found = recognise("devm_memremap_pages attempted on mixed region").unwrap();
        assert!(found.place().is_none() && found.value("start").is_none());
        assert_eq!(found.filled("{start} to {kind}"), "START to mixed");
    }

    #[test]
    fn a_line_may_have_several_messages_and_odd_spaces() {
        let line = "Block size [0x80000000]  unaligned\thotplug range: start 0x1040000000, size 0x80000000 \
                    acpi PNP0C80:00: add_memory failed";
        assert_eq!(ids(line), ["hotplug-block-unaligned", "acpi-add-memory-failed"]);
        assert_eq!(ids("libndctl: ndctl_namespace_enable: namespace1.0: failed to enable").len(), 1, "one, not two");
    }

    #[test]
    fn a_format_from_source_is_recognised_without_values() {
        for (format, id) in [
            ("%s section collision, truncate %d bytes", "pfn-section-collision"),
            ("could not reserve region [%#llx-%#llx]", "kmem-could-not-reserve"),
            ("bad offset: %#llx dax disabled", "pfn-bad-offset"),
            ("%#llx-%#llx cannot be hotremoved until the next reboot", "kmem-cannot-hotremove"),
        ] {
            let found = recognise(format).unwrap_or_else(|| panic!("{format}"));
            assert_eq!((&*found.message.id, found.values.len()), (id, 0));
        }
        assert!(recognise("100 % of nothing").is_none());
    }

    #[test]
    fn the_texts_that_users_meet_are_known() {
        for (line, id) in [
            ("libndctl: ndctl_pfn_enable: pfn1.0: failed to enable", "libndctl-failed-to-enable"),
            ("Error: namespace1.0: failed to enable", "ndctl-namespace-failed-to-enable"),
            ("failed to create namespace: No such device or address", "ndctl-create-no-device"),
            ("nd_pmem pfn1.0: namespace1.0 alignment collision, truncate 67108864 bytes", "pfn-alignment-collision"),
            ("namespace0.0 section collision, truncate 4096 bytes", "pfn-section-collision"),
            ("namespace0.1 unable to satisfy requested alignment", "pfn-unable-to-satisfy-align"),
            ("nd_pmem pfn0.0: alignment: 40000000 exceeds capacity 20000000", "pfn-align-exceeds-capacity"),
            ("pfn array size exceeds capacity of namespace0.0", "pfn-array-exceeds-capacity"),
            ("bad offset: 0x4200000 dax disabled", "pfn-bad-offset"),
            ("number of pfns truncated from 2064384 to 2064320", "pfn-count-truncated"),
            ("Conflicting mapping in same section", "conflicting-mapping-same-section"),
            ("WARNING: CPU: 3 PID: 1427 at kernel/memremap.c:188", "warning-in-memory-code"),
            ("WARNING at kernel/memremap.c:188", "warning-in-memory-code"),
            ("devm_memremap_pages attempted on mixed region", "memremap-attempted-on-ram"),
            ("dax_pmem dax0.0: alignment must be PAGE_SIZE", "dax-alignment-must-be-page-size"),
            ("dax_pmem: probe of dax0.0 failed with error -12", "driver-probe-failed"),
            ("nd_pmem btt0.0: could not reserve region [0x...:0x1200000]", "pmem-could-not-reserve-region"),
            ("could not reserve region [0x240000000-0x33fffffff]", "kmem-could-not-reserve"),
            ("rejecting DAX region with invalid node: -1", "kmem-invalid-node"),
            ("0x240000000-0x33fffffff cannot be hotremoved until the next reboot", "kmem-cannot-hotremove"),
            ("setup_namespace:417: dax1.0: set_align failed: Invalid argument", "ndctl-set-align-failed"),
            ("Error: '--size=' must align to interleave-width: 6 and alignment: 2097152", "ndctl-size-must-align"),
            ("did you intend --size=4303355904?", "ndctl-did-you-intend-size"),
            ("Error: unsupported align: 16G", "ndctl-unsupported-align"),
            ("failed to create namespace: No space left on device", "ndctl-create-no-space"),
            ("no suitable capacity found", "ndctl-no-suitable-capacity"),
            ("create namespace: namespace1.3: set_size failed: No such device or address", "ndctl-set-size-failed"),
            ("reconfigured 0 devices", "daxctl-reconfigured-count"),
            ("kernel policy will auto-online memory, aborting", "daxctl-auto-online-abort"),
            ("Failed to offline .../memory272/state: Device or resource busy", "daxctl-failed-to-offline"),
            (
                "Block size [0x8000000] unaligned hotplug range: start 0xc8000000, size 0x40000000",
                "hotplug-block-unaligned",
            ),
            ("acpi PNP0C80:01: add_memory failed", "acpi-add-memory-failed"),
            ("hv_balloon: Memory hot add failed", "hv-balloon-hot-add-failed"),
            ("Memory values must be properly aligned", "hyperv-memory-not-aligned"),
            ("kworker/u2:0: page allocation failure: order:9, mode:0x10cc0", "page-allocation-failure"),
            ("page allocation failure: order:9 ... kacpi_hotplug", "page-allocation-failure"),
            ("BUG: Unable to handle kernel data access ... arch_add_memory", "ppc64-data-access-fault"),
            ("reserve setup_data: [mem 0x0000000200000000-0x000000023fffffff] soft reserved", "e820-soft-reserved"),
            ("reserve setup_data: [mem 0x0000000240000000-0x000000033fffffff] persistent (type 12)", "e820-persistent"),
        ] {
            assert_eq!(ids(line), [id], "{line}");
        }
    }

    #[test]
    fn a_misspelt_line_has_a_near_one_and_nonsense_has_none() {
        let near = |line| nearest(line, 3).iter().map(|message| &*message.id).collect::<Vec<&str>>();
        assert_eq!(
            near("Block sise [0x40000000] unaligned hot-plug range: start 0xc8000000")[0],
            "hotplug-block-unaligned"
        );
        assert_eq!(
            near("kmem dax0.0: mapping0: 0x1000-0x1fff too small after alignement")[0],
            "kmem-too-small-after-align"
        );
        assert!(near("usb 1-1: new high-speed USB device number 4 using xhci_hcd").is_empty());
        assert!(near("").is_empty());
    }

    #[test]
    fn damaged_examples_never_panic() {
        let mut random = Pcg64Mcg::seed_from_u64(0x6d65_7373);
        let pieces =
            ["0x", "ffffffffffffffff", "[", "]", "-", "%d", "\u{0}", "é", "…", "99999999999999999999", " ", "{start}"];
        let mut recognised = 0;
        for message in messages() {
            for round in 0..12 {
                let mut chars: Vec<char> = message.example.chars().collect();
                for _ in 0..random.random_range(1..4) {
                    let at = random.random_range(0..=chars.len());
                    match random.random_range(0..3) {
                        0 => drop(chars.drain(at..(at + random.random_range(0..9)).min(chars.len()))),
                        1 => drop(chars.splice(at..at, pieces[random.random_range(0..pieces.len())].chars())),
                        _ => {
                            chars.iter_mut().skip(at).take(3).filter(|char| char.is_ascii_hexdigit()).for_each(|char| {
                                *char = char::from_digit(random.random_range(0..16), 16).unwrap_or('0');
                            })
                        }
                    }
                }
                let line: String = chars.into_iter().collect();
                for found in recognise_all(&line) {
                    recognised += 1;
                    assert!(
                        found.facts().iter().all(|fact| !fact.says.is_empty()) && found.rule() != Some(String::new())
                    );
                }
                assert!(round > 0 || nearest(&line, 3).len() <= 3);
            }
        }
        assert!(recognised > messages().len(), "much damage leaves a line that is recognised: {recognised}");
    }
}
