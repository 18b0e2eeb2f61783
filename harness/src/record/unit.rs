//! A unit of measuring: what is on disk as a whole or not at all.

use super::row::Row;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use serde::{Deserialize, Serialize};
use std::io;
use thiserror::Error;

/// A piece of a race that is done: it is kept whatever happens to the rest.
#[derive(Debug, Default)]
pub struct Unit {
    /// `boot`, or the name of a group of cases.
    pub name: String,
    /// Its figures.
    pub rows: Vec<Row>,
    /// Latencies of hotplug and of readers' batches, by tag (`hot_add/subsection/2097152`, `readers/subsection/writer`).
    pub histograms: Vec<(String, Histogram<u64>)>,
}

/// A unit that is done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finished {
    /// Its name.
    pub unit: String,
    /// Its figures.
    pub rows: Vec<Row>,
    /// Histograms, each with its tag, as HdrHistogram's V2 encoding.
    pub histograms: Vec<(String, Vec<u8>)>,
}

/// A histogram that cannot be read back.
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
    /// A histogram that cannot be encoded.
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

    /// The histograms.
    ///
    /// # Errors
    /// Bytes that are none.
    pub fn decoded(&self) -> Result<Vec<(String, Histogram<u64>)>, HistogramError> {
        let decode = |(tag, bytes): &(String, Vec<u8>)| {
            let histogram = Deserializer::new().deserialize(&mut bytes.as_slice());
            let failed = |error| HistogramError { tag: tag.clone(), reason: format!("{error:?}") };
            Ok((tag.clone(), histogram.map_err(failed)?))
        };
        self.histograms.iter().map(decode).collect()
    }
}
