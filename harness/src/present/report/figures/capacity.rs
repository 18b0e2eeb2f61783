//! Capacity that a namespace loses, by its offset in a section, before and after the patch series.

use crate::pmem::capacity::{CapacityLoss, LOSS_SIZES, NeighbourPlacement, capacity_losses};
use crate::present::report::data::Data;
use crate::present::report::figure::Figure;
use crate::present::report::picture::{Axis, DrawError, Key, Labels, at, chart, head, plain};
use memmap_layouts::ByteSize;
use plotters::prelude::*;
use serde_json::json;

const MIB: f64 = (1u64 << 20) as f64;

/// Colours of the curves: before the series, by neighbours, and since.
const BEFORE: [(NeighbourPlacement, RGBColor); 3] = [
    (NeighbourPlacement::Both, RGBColor(0xd5, 0x5e, 0x00)),
    (NeighbourPlacement::Front, RGBColor(0xe6, 0x9f, 0x00)),
    (NeighbourPlacement::Behind, RGBColor(0xcc, 0x79, 0xa7)),
];
const SINCE: RGBColor = RGBColor(0x00, 0x72, 0xb2);

/// Draws the lost capacity by offset in a section, with a chart for each size.
///
/// # Errors
/// Fails if the figure cannot be drawn.
pub fn figure() -> Result<Figure, DrawError> {
    let lost: Vec<CapacityLoss> = BEFORE.into_iter().flat_map(|(neighbours, _)| capacity_losses(neighbours)).collect();
    let mut data = Data::new(&[
        "size_bytes",
        "neighbours",
        "offset_bytes",
        "before_lost_bytes",
        "before_refused",
        "since_lost_bytes",
        "since_refused",
    ]);
    for size in LOSS_SIZES {
        for one in lost.iter().filter(|one| one.size_bytes == size) {
            data.push([
                json!(size),
                json!(one.neighbours),
                json!(one.offset_bytes),
                json!(one.before_bytes),
                json!(one.before_refused),
                json!(one.merged_bytes),
                json!(one.merged_refused),
            ]);
        }
    }
    let caption = "Bytes of a namespace that hold no data (info block, records on the device, alignment and padding), \
                   by the offset of its start in a 128 MiB section. Lower is better. Before the series, the loss \
                   depended on the neighbours in the first and last section: RAM that ends where the namespace begins, \
                   another region that begins where it ends, or both. Since the series, neighbours do not matter. Data \
                   are aligned to 2 MiB. A cross is a namespace that is refused, so that all of it is lost. These \
                   values are not measured: they follow from the rules of x86-64 and are the same in every report. \
                   pfnbench namespace lost prints them, and pfnbench namespace plan computes other places.";
    let name = ("capacity", "Capacity lost by persistent memory, before and after the series".to_owned());
    Figure::new(name, caption, data, String::new, 640, |area, marks, title| {
        let before =
            BEFORE.map(|(neighbours, ink)| (Key::Block(ink), format!("until Linux 5.2, {}", neighbours.name())));
        let legend: Vec<_> = before.into_iter().chain([(Key::Block(SINCE), "since Linux 5.4".to_owned())]).collect();
        let body = head(area, title, &legend)?;
        for (size, area) in LOSS_SIZES.into_iter().zip(body.split_evenly((LOSS_SIZES.len(), 1))) {
            let of_size: Vec<&CapacityLoss> = lost.iter().filter(|one| one.size_bytes == size).collect();
            let values =
                || of_size.iter().flat_map(|one| [one.before_bytes, one.merged_bytes]).map(|bytes| bytes as f64 / MIB);
            let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(0.0, f64::max));
            // For large namespaces, records are most of the loss. On an axis from zero, the differences
            // would be invisible.
            let y = if least > most / 2.0 { Axis::between(least, most) } else { Axis::from_zero(most * 1.05) };
            let y_name = format!("MiB lost of {}", ByteSize(size));
            let x = Axis::places(128).with_ticks((0..=8).map(|nr| f64::from(nr) * 16.0).collect());
            let x_labels = Labels { name: "offset in the section, MiB", tick: &plain };
            let y_labels = Labels { name: &y_name, tick: &|mib| format!("{mib:.0}") };
            let mut chart = chart(&area, (x, Some(x_labels)), (y, y_labels))?;
            let mut dot =
                |one: &CapacityLoss, ink: RGBColor, what: &str, bytes: u64, refused: bool| -> Result<(), DrawError> {
                    let point = (one.offset_bytes as f64 / MIB, bytes as f64 / MIB);
                    match refused {
                        true => chart.draw_series([Cross::new(point, 3, ink.stroke_width(2))])?,
                        false => chart.draw_series([Circle::new(point, 3, ink.filled())])?,
                    };
                    let end = if refused { "refused".to_owned() } else { format!("{} lost", ByteSize(bytes)) };
                    let hover = format!("{} at {}, {what}: {end}", ByteSize(size), ByteSize(one.offset_bytes));
                    marks.point(at(&chart, point.0, point.1), hover);
                    Ok(())
                };
            for (neighbours, ink) in BEFORE {
                let what = format!("until Linux 5.2, {}", neighbours.name());
                for one in of_size.iter().filter(|one| one.neighbours == neighbours) {
                    dot(one, ink, &what, one.before_bytes, one.before_refused)?;
                }
            }
            for one in of_size.iter().filter(|one| one.neighbours == NeighbourPlacement::Both) {
                dot(one, SINCE, "since Linux 5.4", one.merged_bytes, one.merged_refused)?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_and_size_is_drawn_and_nothing_is_lost_since_but_records_and_head() {
        let figure = figure().unwrap();
        let picture = figure.drawing.unwrap();
        assert_eq!(figure.data.len(), 3 * 64 * LOSS_SIZES.len());
        for said in
            ["16 MiB at 2 MiB, until Linux 5.2, both: refused", "64 GiB at 126 MiB, since Linux 5.4: 1.00 GiB lost"]
        {
            assert!(picture.for_page().contains(said), "{said}");
        }
        assert!(!picture.for_page().contains("since Linux 5.4: refused"));
    }
}
