//! `latency.hlog`: histograms in HdrHistogram's interval log format, one tagged interval per histogram.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, Tag};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

/// Writes histograms in HdrHistogram's interval log format: one tagged interval per histogram.
pub fn write(into: &mut impl Write, histograms: &[(String, Histogram<u64>)]) -> io::Result<()> {
    // Compressed, because other readers reject uncompressed logs.
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("pfnbench latencies in nanoseconds, a tag a case, compressed V2: any reader of HdrHistogram logs takes them")
        .with_start_time(SystemTime::now())
        .begin_log_with(into, &mut serializer)?;
    for (tag, histogram) in histograms {
        let tag = Tag::new(tag).ok_or_else(|| io::Error::other(format!("{tag:?} cannot be a tag")))?;
        // Start and length have no meaning here, because cases take turns.
        log.write_histogram(histogram, Duration::ZERO, Duration::ZERO, Some(tag))
            .map_err(|e| io::Error::other(format!("{e:?}")))?;
    }
    Ok(())
}

/// Reads the histograms of a log by tag, and counts the damaged intervals. Equal tags are added up.
pub(super) fn read(log: &[u8]) -> (BTreeMap<String, Histogram<u64>>, usize) {
    let (mut histograms, mut damaged) = (BTreeMap::<String, Histogram<u64>>::new(), 0);
    let mut deserializer = Deserializer::new();
    for line in log.split_inclusive(|byte| *byte == b'\n') {
        let mut read = || {
            let LogEntry::Interval(interval) = IntervalLogIterator::new(line).next()?.ok()? else { return None };
            let bytes = BASE64_STANDARD.decode(interval.encoded_histogram()).ok()?;
            let histogram: Histogram<u64> = deserializer.deserialize(&mut bytes.as_slice()).ok()?;
            Some((interval.tag()?.as_str().to_owned(), histogram))
        };
        let is_comment = matches!(line.first(), None | Some(b'#' | b'"' | b'\n'));
        match read() {
            Some((tag, histogram)) => match histograms.get_mut(&tag) {
                Some(known) => damaged += usize::from(known.add(&histogram).is_err()),
                None => drop(histograms.insert(tag, histogram)),
            },
            None if is_comment => {}
            None => damaged += 1,
        }
    }
    (histograms, damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_as_it_was_written() {
        let mut histogram = Histogram::new(3).unwrap();
        histogram.record_n(15_000, 100).unwrap();
        let mut log = Vec::new();
        write(&mut log, &[("hot_add/dax/2097152".to_owned(), histogram.clone())]).unwrap();
        // What the cookie of compressed V2 looks like in base64: other readers know no other form.
        assert!(String::from_utf8(log.clone()).unwrap().contains("HISTFA"));
        assert_eq!(read(&log), (BTreeMap::from([("hot_add/dax/2097152".to_owned(), histogram)]), 0));
        log.truncate(log.len() - 30);
        assert_eq!(read(&log), (BTreeMap::new(), 1));
    }
}
