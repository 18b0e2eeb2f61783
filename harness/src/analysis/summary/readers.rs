//! Results of readers beside a writer: their throughput relative to that beside an equally busy
//! thread, and the tail latency of their batches.

use super::push_new;
use crate::analysis::statistics::{median_interval, quantile, sorted};
use crate::record::row::Row;
use serde::Serialize;

/// Latencies of readers' batches beside one kind of companion thread.
#[derive(Clone, Debug, Serialize)]
pub struct Tail {
    /// The companion: `writer`, `busy` (an equally busy thread that touches no layout) or `alone`
    /// (none).
    pub company: String,
    /// Number of batches that were timed.
    pub batches: u64,
    /// `p50`, `p99`, `p99.9` and `max` in nanoseconds per batch; `None` with too few samples.
    pub percentiles: Vec<(String, Option<f64>)>,
}

impl Tail {
    /// The percentile with this name, in nanoseconds.
    pub fn ns(&self, name: &str) -> Option<f64> {
        self.percentiles.iter().find(|(known, _)| known == name)?.1
    }
}

/// Results of one number of readers on one layout.
#[derive(Clone, Debug, Serialize)]
pub struct ReadersCell {
    /// Id of the layout, e.g. `subsection`.
    pub layout: String,
    /// Number of readers; `None` in runs of earlier versions, which have it only in `mode`.
    pub readers: Option<u32>,
    /// Lookups per second of all readers together beside a writer, as the median over slices.
    pub beside_a_writer: f64,
    /// The same beside an equally busy thread that touches no layout.
    pub beside_a_busy_thread: f64,
    /// The same without any other thread.
    pub alone: Option<f64>,
    /// Median over pairs of neighbouring slices of the throughput beside a writer divided by that
    /// beside the busy thread; higher is better.
    pub ratio: f64,
    /// Interval of `ratio` that holds it with a probability of at least 95 %, from the order of the pairs; `None` for
    /// fewer than six pairs.
    pub ratio_interval: Option<(f64, f64)>,
    /// Latencies of batches, by companion.
    pub tails: Vec<Tail>,
    /// Number of readers, in words.
    pub mode: String,
    /// A caveat on the result, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl ReadersCell {
    /// A latency percentile beside a writer divided by that beside the busy thread; lower is
    /// better.
    pub fn tail_ratio(&self, percentile: &str) -> Option<f64> {
        let tail = |company: &str| self.tails.iter().find(|tail| tail.company == company)?.ns(percentile);
        Some(tail("writer")? / tail("busy")?)
    }
}

/// Results of all layouts, by number of readers.
pub(super) fn cells(rows: &[Row], layouts: &[String]) -> Vec<ReadersCell> {
    let mut numbers = Vec::new();
    let of_readers: Vec<&Row> = rows.iter().filter(|row| row.op == "readers").collect();
    of_readers.iter().for_each(|row| push_new(&mut numbers, row.threads));
    numbers.sort();
    let of_number = |number: Option<u32>| {
        let group: Vec<&Row> = of_readers.iter().filter(|row| row.threads == number).copied().collect();
        layouts.iter().filter_map(move |layout| cell(&group, layout, number)).collect::<Vec<_>>()
    };
    numbers.into_iter().flat_map(of_number).collect()
}

fn cell(group: &[&Row], layout: &str, readers: Option<u32>) -> Option<ReadersCell> {
    let of_metric = |metric: &'static str| group.iter().filter(move |row| row.layout == layout && row.metric == metric);
    let (writer, busy) = ("beside_a_writer", "beside_a_busy_thread");
    let neighbour = |sample| of_metric(busy).find(|row| row.sample == sample)?.value;
    let median = |metric| quantile(&sorted(of_metric(metric).filter_map(|row| row.value)), 0.5);
    let ratios = sorted(of_metric(writer).filter_map(|row| Some(row.value? / neighbour(row.sample)?)));
    let first = of_metric(writer).next()?;
    let mode = match readers {
        Some(readers) => format!("{readers} reading"),
        None => first.mode.clone().unwrap_or_default(),
    };
    Some(ReadersCell {
        layout: layout.to_owned(),
        readers,
        beside_a_writer: median(writer)?,
        beside_a_busy_thread: median(busy)?,
        alone: median("alone"),
        ratio: quantile(&ratios, 0.5)?,
        ratio_interval: median_interval(&ratios),
        tails: tails(group, layout),
        mode,
        reason: first.reason.clone(),
    })
}

fn tails(group: &[&Row], layout: &str) -> Vec<Tail> {
    let timed: Vec<&&Row> = group.iter().filter(|row| row.layout == layout && row.unit == "ns/batch").collect();
    let mut companies = Vec::new();
    timed.iter().for_each(|row| push_new(&mut companies, row.mode.clone().unwrap_or_default()));
    let tail = |company: String| {
        let of_company: Vec<&&&Row> = timed.iter().filter(|row| row.mode.as_deref() == Some(&company)).collect();
        let percentiles = of_company.iter().map(|row| (row.metric.clone(), row.value)).collect();
        Tail { batches: of_company.first().and_then(|row| row.n_ops).unwrap_or(0), percentiles, company }
    };
    companies.into_iter().map(tail).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::summary::Summary;
    use crate::record::row::tests::row;

    fn slice(readers: u32, company: &str, metric: &str, value: f64) -> Row {
        let (mode, threads) = (Some(company.to_owned()), Some(readers));
        Row { mode, threads, sample: Some(0), n_ops: Some(9), ..row("a", "readers", metric, Some(value)) }
    }

    fn batch(readers: u32, company: &str, metric: &str, ns: f64) -> Row {
        Row { unit: "ns/batch".to_owned(), ..slice(readers, company, metric, ns) }
    }

    #[test]
    fn numbers_of_readers_and_companions_are_separate() {
        let mut rows = vec![row("a", "footprint", "index", Some(1.0))];
        for (readers, factor) in [(2, 2.0), (1, 1.0)] {
            rows.push(slice(readers, "writer", "beside_a_writer", factor * 90.0));
            rows.push(slice(readers, "busy", "beside_a_busy_thread", factor * 100.0));
            rows.push(slice(readers, "alone", "alone", factor * 110.0));
            rows.push(batch(readers, "writer", "p99.9", factor * 800.0));
            rows.push(batch(readers, "busy", "p99.9", 200.0));
        }
        let readers = Summary::from_rows(&rows).readers;
        assert_eq!(readers.iter().map(|cell| cell.readers).collect::<Vec<_>>(), [Some(1), Some(2)]);
        assert_eq!((readers[0].beside_a_writer, readers[0].alone, readers[1].alone), (90.0, Some(110.0), Some(220.0)));
        assert_eq!((readers[0].tail_ratio("p99.9"), readers[1].tail_ratio("p99.9")), (Some(4.0), Some(8.0)));
        assert_eq!((readers[0].tail_ratio("p50"), readers[1].mode.as_str()), (None, "2 reading"));
    }
}
