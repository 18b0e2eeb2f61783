//! What a logger writes before a line: time stamps, hosts, levels.

use super::{CleanLine, Decoration, Tally};
use crate::map::formats::{form, is_entry};
use crate::map::line::Form;
use regex::Regex;
use std::sync::LazyLock;

/// Prefixes of the kernel's log, of `dmesg`, of syslog, journald and containers, and of the Xen
/// hypervisor. Several may follow each other.
pub(super) static PREFIX: LazyLock<Regex> = LazyLock::new(|| {
    let kernel = r"(?:<\d{1,3}>\s?)?\[\s*\d+\.\d+(?:\s*<\s*\d+\.\d+>)?\]";
    let caller = r"\[\s*[TC]\d+\]";
    let human =
        r"\[(?:\w{3}\s+\w{3}\s+\d+\s[\d:]+\s\d{4}|\s*\+\d+\.\d+|\w{3}\d+\s+[\d:]+|\d{4}-\d\d-\d\d[T ][\d:.,]+)\]";
    let level = r"\w{2,8}\s*:\w{2,7}\s*:";
    let dotted_level = r"\w{2,8}\.\w{2,7}:";
    let iso = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[\d.,]*(?:Z|[+-]\d\d:?\d\d)?(?:\s(?:stdout|stderr)\s[FP])?";
    let syslog = r"(?:<\d{1,3}>\d?\s?)?\w{3,5}\.?\s+\d{1,2}\s+\d\d:\d\d:\d\d(?:\.\d+)?";
    let weekday = r"\w{3}\s\d{4}-\d\d-\d\d\s\d\d:\d\d:\d\d\s\w{2,5}";
    let host = r"(?:[\w.#-]+\s+)?kernel(?:\[\d+\])?:";
    let rfc5424 = r"(?:<\d{1,3}>\d\s)?\d{4}-\d\d-\d\dT\S+\s\S+\skernel\s\S+\s\S+\s(?:-|\[[^\]]*\])";
    let kmsg = r"\d{1,3},\d+,\d+,[-c+](?:,[^;]*)?;";
    let unix = r"\d{9,10}\.\d{3,6}";
    let xen = r"\((?:XEN|d\d+)\)(?:\s\[[^\]]*\])?";
    Regex::new(&format!(
        r"^\s*(?:(?:{rfc5424}|{kernel}|{caller}|{human}|{level}|{dotted_level}|{iso}|{weekday}|{syslog}|{unix}|{host}|{kmsg}|{xen}|console:)\s*)+"
    ))
    .expect("a valid pattern")
});

/// The time stamp of the kernel, the prefix of most lines.
static TIME_STAMP: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^\[ *[0-9]+\.[0-9]+\]").expect("a valid pattern"));

/// Notes that the line is one of a log. Parsers of logs search, so that their prefix may stay; before a
/// line of a listing it is removed.
pub(super) fn undo(line: &mut CleanLine, tally: &mut Tally) {
    // Most lines of logs have a time stamp, and no line of a listing behind it.
    let may_be_listed = [" : ", "0x", "RANGE", "emory"].iter().any(|mark| line.text.contains(mark));
    if !may_be_listed && TIME_STAMP.is_match(&line.text) {
        line.is_logged = true;
        return;
    }
    let Some(prefix) = PREFIX.find(&line.text) else { return };
    line.is_logged = true;
    let rest = &line.text[prefix.end()..];
    // The begin of an entry may be wrapped.
    if form(&line.text) == Form::Other && (is_entry(rest) || form(rest) == Form::Open) {
        tally.add(Decoration::LinePrefixes, line.number);
        line.text = rest.to_owned();
    }
}

/// The line without what a logger wrote before it.
#[cfg(test)]
fn without_prefix(text: &str) -> &str {
    PREFIX.find(text).map_or(text, |prefix| &text[prefix.end()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_of_loggers_are_known() {
        for prefix in [
            "[    0.000000] ",
            "<6>[    0.000000] ",
            "[    0.005128] [      T0] ",
            "[    0.000000][    T0] ",
            "[    0.000000 <    0.000000>] ",
            "[Fri May  1 09:46:33 2026] ",
            "[Nov29 15:53] ",
            "[  +0.000000] ",
            "kern  :info  : [Fri Apr  7 00:04:12 2023] ",
            "Jun 30 21:12:14 localhost kernel: ",
            "Jun 30 21:12:14 localhost kernel: [    0.000000] ",
            "[    0.000000] localhost kernel: ",
            "2026-11-29T15:53:16,000000+00:00 ",
            "2024-05-01T10:00:00+0200 host kernel: ",
            "Wed 2024-05-01 10:00:00 CEST host kernel: ",
            "1714557600.123456 host kernel: ",
            "6,123,456,-;",
            "6,123,456,-,caller=T0;",
            "<6>1 2026-01-02T03:04:05.678901+01:00 host kernel - - - ",
            "2024-05-01T08:00:00.123456789Z stdout F [    0.000000] ",
            "(XEN) ",
            "(XEN) [    0.000000] ",
            "kernel: ",
        ] {
            let text = format!("{prefix}Movable zone start for each node");
            assert_eq!(without_prefix(&text), "Movable zone start for each node", "{prefix:?}");
        }
        for text in ["Ok, so a real world", "kernel: BIOS", "00001000-0009ffff : System RAM", "some words: more"] {
            let expected = if text.starts_with("kernel") { "BIOS" } else { text };
            assert_eq!(without_prefix(text), expected);
        }
    }
}
