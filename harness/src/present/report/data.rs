//! The data of a figure: a table of named columns, as JSON and CSV.

use super::picture::DrawError;
use crate::analysis::judge::Verdict;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

/// Columns of a time and of its comparison with the reference.
pub const COMPARED: [&str; 6] = ["time_ns", "ratio", "ratio_low", "ratio_high", "difference_ns", "verdict"];

/// Makes the values of the columns [`COMPARED`].
pub fn compared(
    ns: Option<f64>,
    ratio: Option<f64>,
    interval: Option<(f64, f64)>,
    difference_ns: Option<f64>,
    verdict: Option<Verdict>,
) -> [Value; 6] {
    let (low, high) = interval.unzip();
    [json!(ns), json!(ratio), json!(low), json!(high), json!(difference_ns), json!(verdict)]
}

/// A table. Column names end in their unit where they have one.
#[derive(Clone, Debug, Default)]
pub struct Data {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

impl Data {
    /// An empty table with these columns.
    pub fn new(columns: &[&'static str]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with one value per column. Numbers are rounded to six digits, more than any
    /// measurement provides.
    pub fn push(&mut self, row: impl IntoIterator<Item = Value>) {
        let row: Vec<Value> = row.into_iter().map(six_digits).collect();
        debug_assert_eq!(row.len(), self.columns.len());
        self.rows.push(row);
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// A copy with at most `most` rows.
    pub fn first(&self, most: usize) -> Self {
        Self { columns: self.columns.clone(), rows: self.rows.iter().take(most).cloned().collect() }
    }

    /// True if there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// JSON with the column names and one list per row, which pandas reads with `orient="split"`.
    pub fn json(&self) -> String {
        json!({ "columns": self.columns, "data": self.rows }).to_string()
    }

    /// CSV with a header line, then one line per row. Unknown values are empty.
    ///
    /// # Errors
    /// Writing to memory does not fail in practice.
    pub fn csv(&self) -> Result<String, DrawError> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&self.columns)?;
        for row in &self.rows {
            writer.write_record(row.iter().map(|value| match value {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            }))?;
        }
        let bytes = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The JSON as a `data:` URI, which needs no network.
    pub fn json_uri(&self) -> String {
        format!("data:application/json;base64,{}", BASE64_STANDARD.encode(self.json()))
    }

    /// The CSV as a `data:` URI.
    ///
    /// # Errors
    /// As [`csv`](Self::csv).
    pub fn csv_uri(&self) -> Result<String, DrawError> {
        Ok(format!("data:text/csv;charset=utf-8;base64,{}", BASE64_STANDARD.encode(self.csv()?)))
    }
}

fn six_digits(value: Value) -> Value {
    match value.as_f64() {
        Some(number) if value.is_f64() => format!("{number:.5e}").parse::<f64>().map_or(value, Value::from),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_csv_hold_every_row() {
        let mut data = Data::new(&["layout", "time_ns"]);
        data.push([json!("a,\"b\"\n<c> 100% #"), json!(1.5)]);
        data.push([json!("x"), Value::Null]);
        data.push([json!("y"), json!(0.123456789)]);
        let read: Value = serde_json::from_str(&data.json()).unwrap();
        assert_eq!((&read["columns"][1], &read["data"][0][0]), (&json!("time_ns"), &json!("a,\"b\"\n<c> 100% #")));
        assert_eq!(read["data"][2][1], 0.123457);
        let csv = data.csv().unwrap();
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!((&records[0][0], &records[0][1], &records[1][1]), ("a,\"b\"\n<c> 100% #", "1.5", ""));
        let uri = data.json_uri();
        let encoded = uri.strip_prefix("data:application/json;base64,").unwrap();
        assert_eq!(BASE64_STANDARD.decode(encoded).unwrap(), data.json().as_bytes());
    }
}
