//! Hotplug: lines of percentiles, one for each operation and group.

use super::push_new;
use crate::case::{Addresses, HOT_ADD, HOT_REMOVE, HotplugGroup, OPS, Position};
use crate::record::row::{Row, Status};
use serde::Serialize;
use std::num::NonZeroU32;

/// One percentile of the latency of a hotplug operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Percentile {
    /// Name: `p50`, `p90`, `p99`, `p99.9` or `max`.
    pub name: String,
    /// Latency in nanoseconds; `None` if there are too few samples.
    pub ns: Option<f64>,
}

/// Results of one hotplug operation on one layout.
#[derive(Clone, Debug, Serialize)]
pub struct HotplugCell {
    /// Id of the layout, e.g. `subsection`.
    pub layout: String,
    /// Number of operations that were timed.
    pub samples: u64,
    /// `p50`, `p90`, `p99`, `p99.9` and `max`; empty if the layout does not support the operation.
    pub percentiles: Vec<Percentile>,
    /// Why there are no percentiles; `None` if there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl HotplugCell {
    /// The percentile with this name, in nanoseconds.
    pub fn ns(&self, name: &str) -> Option<f64> {
        self.percentiles.iter().find(|p| p.name == name)?.ns
    }
}

/// Results of one operation of one group, that is, of one size, position, kind of addresses and
/// number of threads.
#[derive(Clone, Debug, Serialize)]
pub struct HotplugLine {
    /// `hot_add` (the call alone), `hot_add_read`, `hot_add_write` (with a first access to every
    /// record) or `hot_remove`.
    pub op: String,
    /// Size, position, addresses and number of threads.
    #[serde(flatten)]
    pub group: HotplugGroup,
    /// Results by layout.
    pub cells: Vec<HotplugCell>,
}

impl HotplugLine {
    /// True for the two operations that tables and figures show: `hot_add` and `hot_remove` with
    /// all defaults.
    pub fn is_headline(&self) -> bool {
        self.group.is_plain() && (self.op == HOT_ADD || self.op == HOT_REMOVE)
    }

    /// A percentile of a layout, in nanoseconds.
    pub fn ns(&self, layout: &str, name: &str) -> Option<f64> {
        self.cells.iter().find(|cell| cell.layout == layout)?.ns(name)
    }
}

/// Time spent in each phase of the additions and removals of one group on one layout.
#[derive(Clone, Debug, Serialize)]
pub struct PhaseLine {
    /// Id of the layout, e.g. `subsection`.
    pub layout: String,
    /// Size, position, addresses and number of threads.
    #[serde(flatten)]
    pub group: HotplugGroup,
    /// Number of samples behind each median.
    pub samples: u64,
    /// Median of each phase by name, in nanoseconds; 0 if it is below the resolution of the clock.
    /// Medians of phases do not add up to the median of the whole operation.
    pub medians: Vec<(String, f64)>,
}

impl PhaseLine {
    /// The median of a phase, in nanoseconds.
    pub fn ns(&self, phase: &str) -> Option<f64> {
        self.medians.iter().find(|(name, _)| name == phase).map(|(_, ns)| *ns)
    }
}

/// Prefix of the metrics of phases.
const PHASE: &str = "phase_";

/// The phases of all layouts and groups.
pub(super) fn phases(rows: &[Row], layouts: &[String]) -> Vec<PhaseLine> {
    let mut lines: Vec<PhaseLine> = Vec::new();
    for row in rows.iter().filter(|row| row.op == "hotplug") {
        let (Some(phase), Some(ns)) = (row.metric.strip_prefix(PHASE), row.value) else { continue };
        let (median, group) = ((phase.to_owned(), ns), group(row));
        match lines.iter_mut().find(|line| line.layout == row.layout && line.group == group) {
            Some(line) => line.medians.push(median),
            None => {
                let (layout, samples) = (row.layout.clone(), row.n_ops.unwrap_or(0));
                lines.push(PhaseLine { layout, group, samples, medians: vec![median] });
            }
        }
    }
    let place = |layout: &String| layouts.iter().position(|other| other == layout);
    lines.sort_by_key(|line| (line.group, place(&line.layout)));
    lines
}

/// The group of a row. Fields that rows of earlier versions do not have get their defaults.
pub(super) fn group(row: &Row) -> HotplugGroup {
    let position = Position::ALL.into_iter().find(|position| row.position.as_deref() == Some(position.name()));
    let addresses = Addresses::ALL.into_iter().find(|addresses| row.mode.as_deref() == Some(addresses.name()));
    HotplugGroup {
        size_bytes: row.size_bytes.unwrap_or(0),
        position: position.unwrap_or(Position::First),
        addresses: addresses.unwrap_or(Addresses::Again),
        init_threads: row.threads.and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN),
    }
}

/// Lines sorted by operation, then default groups first, then by size.
pub(super) fn lines(rows: &[Row], layouts: &[String]) -> Vec<HotplugLine> {
    let timed: Vec<(&Row, HotplugGroup)> =
        rows.iter().filter(|row| OPS.contains(&row.op.as_str())).map(|row| (row, group(row))).collect();
    let mut keys = Vec::new();
    timed.iter().for_each(|(row, group)| push_new(&mut keys, (row.op.clone(), *group)));
    let place = |op: &str| OPS.iter().position(|known| *known == op);
    keys.sort_by_key(|(op, group)| (place(op), !group.is_plain(), *group));
    let line = |(op, group): (String, HotplugGroup)| {
        let of_line: Vec<&Row> =
            timed.iter().filter(|(row, known)| row.op == op && *known == group).map(|(row, _)| *row).collect();
        let cell = |layout: &String| {
            let of_layout = || of_line.iter().filter(|row| row.layout == *layout);
            let first = of_layout().next()?;
            let offered = of_layout().filter(|row| row.status != Status::NotOffered);
            let percentile = |row: &&Row| Percentile { name: row.metric.clone(), ns: row.value };
            Some(HotplugCell {
                layout: layout.clone(),
                samples: first.n_ops.unwrap_or(0),
                percentiles: offered.map(percentile).collect(),
                reason: first.reason.clone(),
            })
        };
        HotplugLine { cells: layouts.iter().filter_map(cell).collect(), op, group }
    };
    keys.into_iter().map(line).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::analysis::summary::Summary;
    use crate::record::row::tests::row;

    /// A median of a group, as a race writes it.
    pub(crate) fn median(layout: &str, op: &str, group: HotplugGroup, ns: f64) -> Row {
        Row {
            size_bytes: Some(group.size_bytes),
            position: Some(group.position.name().to_owned()),
            mode: Some(group.addresses.name().to_owned()),
            threads: Some(group.init_threads.get()),
            n_ops: Some(100),
            ..row(layout, op, "p50", Some(ns))
        }
    }

    #[test]
    fn groups_are_never_mixed() {
        let plain = HotplugGroup::plain(2 << 20);
        let groups = [
            plain,
            HotplugGroup { position: Position::Later, ..plain },
            HotplugGroup { addresses: Addresses::Fresh, ..plain },
            HotplugGroup { addresses: Addresses::Growth, ..plain },
            HotplugGroup { init_threads: NonZeroU32::new(2).unwrap(), ..plain },
            HotplugGroup::plain(128 << 20),
        ];
        let mut rows = vec![row("a", "footprint", "index", Some(1.0))];
        for (at, group) in groups.into_iter().enumerate().rev() {
            for (place, op) in OPS.into_iter().enumerate() {
                rows.push(median("a", op, group, (10 * place + at) as f64));
            }
        }
        let summary = Summary::from_rows(&rows);
        assert_eq!(summary.hotplug.len(), groups.len() * OPS.len());
        for (at, group) in groups.into_iter().enumerate() {
            for (place, op) in OPS.into_iter().enumerate() {
                let line = summary.hotplug.iter().find(|line| line.op == op && line.group == group).unwrap();
                assert_eq!((line.cells.len(), line.cells[0].percentiles.len()), (1, 1), "{op} {group:?}");
                assert_eq!(line.ns("a", "p50"), Some((10 * place + at) as f64), "{op} {group:?}");
            }
        }
        let headlines: Vec<_> = summary.hotplug.iter().filter(|line| line.is_headline()).collect();
        assert_eq!(headlines.iter().map(|line| line.group.size_bytes >> 20).collect::<Vec<_>>(), [2, 128, 2, 128]);
    }

    #[test]
    fn phases_are_grouped_by_workload_and_layout() {
        let phase = |layout: &str, metric: &str, size, ns| Row {
            size_bytes: Some(size),
            n_ops: Some(7),
            ..row(layout, "hotplug", metric, Some(ns))
        };
        let rows = [
            row("a", "footprint", "index", Some(1.0)),
            row("b", "footprint", "index", Some(1.0)),
            phase("b", "phase_grace", 2 << 20, 3.0),
            phase("a", "phase_grace", 2 << 20, 1.0),
            phase("a", "phase_grace", 4 << 20, 2.0),
            phase("a", "phase_populate", 2 << 20, 5.0),
            phase("a", "records_on_device", 2 << 20, 0.5),
        ];
        let phases = Summary::from_rows(&rows).phases;
        assert_eq!(phases.iter().map(|line| line.layout.as_str()).collect::<Vec<_>>(), ["a", "b", "a"]);
        assert_eq!((phases[0].ns("grace"), phases[0].ns("populate"), phases[0].samples), (Some(1.0), Some(5.0), 7));
        assert_eq!((phases[0].medians.len(), phases[2].ns("grace")), (2, Some(2.0)));
    }

    #[test]
    fn rows_of_earlier_versions_get_the_default_group() {
        let old = Row { size_bytes: Some(2 << 20), ..row("a", "hot_add", "p50", Some(5.0)) };
        let rows = [row("a", "footprint", "index", Some(1.0)), old];
        assert!(Summary::from_rows(&rows).hotplug[0].is_headline());
    }
}
