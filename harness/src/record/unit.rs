//! A unit: the smallest amount of results that is written to disk, completely or not at all.

use super::row::Row;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use serde::{Deserialize, Serialize};
use std::io;
use thiserror::Error;

/// Results of a finished part of a race. They are kept even if later parts fail.
#[derive(Debug, Default)]
pub struct Unit {
    /// `boot`, `own_cost`, or the name of a group of cases.
    pub name: String,
    /// Rows for `samples.jsonl`.
    pub rows: Vec<Row>,
    /// Latencies of hotplug and of readers' batches in nanoseconds, each with a tag such as
    /// `hot_add/subsection/2097152` or `readers/subsection/writer`.
    /// `hot_add/subsection/2097152` or `readers/subsection/writer`.
    pub histograms: Vec<(String, Histogram<u64>)>,
}

/// A finished unit in serialisable form, with encoded histograms.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finished {
    /// Name of the unit, as [`Unit::name`].
    pub unit: String,
    /// Rows for `samples.jsonl`.
    pub rows: Vec<Row>,
    /// Histograms in HdrHistogram's V2 encoding, each with its tag.
    pub histograms: Vec<(String, Vec<u8>)>,
}

/// A histogram that cannot be decoded.
#[derive(Debug, Error)]
#[error("histogram {tag:?}: {reason}")]
pub struct HistogramError {
    tag: String,
    reason: String,
}

impl Finished {
    /// Encodes the histograms of a unit.
    ///
    /// # Errors
    /// Fails if a histogram cannot be encoded.
    pub fn try_from_unit(unit: Unit) -> io::Result<Self> {
        let encode = |(tag, histogram): (String, Histogram<u64>)| {
            let mut bytes = Vec::new();
            let encoded = V2Serializer::new().serialize(&histogram, &mut bytes);
            encoded.map_err(|error| io::Error::other(format!("{error:?}")))?;
            Ok((tag, bytes))
        };
        let histograms = unit.histograms.into_iter().map(encode).collect::<io::Result<_>>()?;
        Ok(Self { unit: unit.name, rows: unit.rows, histograms })
    }

    /// Decodes the histograms, each with its tag.
    ///
    /// # Errors
    /// Fails if the bytes of a histogram are not a valid V2 encoding.
    pub fn decoded(&self) -> Result<Vec<(String, Histogram<u64>)>, HistogramError> {
        let decode = |(tag, bytes): &(String, Vec<u8>)| {
            let histogram = Deserializer::new().deserialize(&mut bytes.as_slice());
            let failed = |error| HistogramError { tag: tag.clone(), reason: format!("{error:?}") };
            Ok((tag.clone(), histogram.map_err(failed)?))
        };
        self.histograms.iter().map(decode).collect()
    }
}
