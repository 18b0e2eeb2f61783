//! Whether records that were to lie in huge pages do.

use crate::row::Row;
use crate::units::three_digits;

/// The metric of a row of the footprint: bytes of a layout that the kernel says lie in huge pages.
pub const IN_HUGE_PAGES: &str = "records_in_huge_pages";

/// Layouts whose records lie in base pages for the greater part, though huge ones were asked for: one line each.
pub fn warnings(rows: &[Row]) -> Vec<String> {
    let value = |of: &Row, metric: &str| {
        let same = |row: &&Row| row.layout == of.layout && row.sections == of.sections && row.metric == metric;
        rows.iter().find(same).and_then(|row| row.value)
    };
    let in_huge_pages = rows.iter().filter(|row| row.metric == IN_HUGE_PAGES);
    let warnings = in_huge_pages.filter_map(|row| {
        let on_device = value(row, "records_on_device").unwrap_or(0.0);
        let (huge, backed) = (row.value?, value(row, "records_backed")? - on_device);
        let (layout, sections) = (&row.layout, row.sections?.name());
        (huge < backed / 2.0).then(|| {
            let percent = three_digits(100.0 * huge / backed);
            format!("{layout}: after {sections} memory came {percent} % of its records lie in huge pages: the kernel found no more")
        })
    });
    warnings.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_in_base_pages_is_warned_of() {
        let row = |layout: &str, metric: &str, value: f64| -> Row {
            serde_json::from_value(serde_json::json!({
                "v": 1, "layout": layout, "op": "footprint", "sections": "boot", "map": "m", "backing": "thp", "sampled": false,
                "process": 0, "metric": metric, "unit": "bytes", "value": value, "status": "ok", "machine": "x", "doctor": "ok",
            }))
            .unwrap()
        };
        let rows = [
            row("flat", "records_backed", 4e6),
            row("flat", IN_HUGE_PAGES, 4e6),
            row("sparse", "records_backed", 4e6),
            row("sparse", IN_HUGE_PAGES, 0.0),
        ];
        let warnings = warnings(&rows);
        assert!(warnings.len() == 1 && warnings[0].starts_with("sparse") && warnings[0].contains(" 0"), "{warnings:?}");
    }
}
