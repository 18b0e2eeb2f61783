//! Capacity that a namespace loses, by its offset in a section, before and after the patch series.

use crate::pmem::capacity::{CapacityLoss, LOSS_SIZES, NeighbourPlacement, capacity_losses};
use crate::present::report::data::Data;
use crate::present::report::figure::{Figure, Words};
use crate::present::report::picture::{Area, Axis, DrawError, Key, Labels, Marks, at, chart, plain};
use memmap_layouts::ByteSize;
use plotters::prelude::*;
use serde_json::json;

const MIB: f64 = (1u64 << 20) as f64;

/// Colours of the curves, unlike those of layouts: Paul Tol's bright scheme. Before the series, by neighbours, and since.
const BEFORE: [(NeighbourPlacement, RGBColor); 3] = [
    (NeighbourPlacement::Both, RGBColor(0xaa, 0x33, 0x77)),
    (NeighbourPlacement::Front, RGBColor(0xee, 0x66, 0x77)),
    (NeighbourPlacement::Behind, RGBColor(0x66, 0xcc, 0xee)),
];
const SINCE: RGBColor = RGBColor(0x22, 0x88, 0x33);

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
    let words = Words {
        name: "capacity",
        title: "Capacity lost by persistent memory, before and after the series".to_owned(),
        caption: "Bytes of a namespace that hold no data, by the offset of its start in a 128 MiB section; lower is \
                  better. A cross is a refused namespace. Computed from rules, not measured."
            .to_owned(),
        whiskers: "",
        reading: "Lost are the info block, the records on the device, alignment and padding. Before the series, the \
                  loss depended on the neighbours in the first and last section: RAM that ends where the namespace \
                  begins, another region that begins where it ends, or both. Since the series, neighbours do not \
                  matter. Data are aligned to 2 MiB. A refused namespace loses all of its capacity. The values follow \
                  from the rules of x86-64 and are the same in every report. pfnbench namespace lost prints them, and \
                  pfnbench namespace plan computes other places."
            .to_owned(),
    };
    Figure::new(words, data, String::new, |drawing| {
        for (neighbours, ink) in BEFORE {
            drawing.key(Key::Block(ink), format!("until Linux 5.2, {}", neighbours.name()))?;
        }
        drawing.key(Key::Block(SINCE), "since Linux 5.4")?;
        for size in LOSS_SIZES {
            let of_size: Vec<&CapacityLoss> = lost.iter().filter(|one| one.size_bytes == size).collect();
            let title = format!("MiB lost of {}", ByteSize(size));
            drawing.panel(&title, 210, |area, marks| draw(size, &of_size, area, marks))?;
        }
        Ok(())
    })
}

/// Draws the losses of namespaces of one size.
fn draw(size: u64, of_size: &[&CapacityLoss], area: &Area<'_>, marks: &mut Marks) -> Result<(), DrawError> {
    let values = || of_size.iter().flat_map(|one| [one.before_bytes, one.merged_bytes]).map(|bytes| bytes as f64 / MIB);
    let y = Axis::from_zero(values().fold(0.0, f64::max) * 1.05);
    let x = Axis::places(128).with_ticks((0..=4).map(|nr| f64::from(nr) * 32.0).collect());
    let x_labels = Labels { name: "offset in the section, MiB", tick: &plain };
    let y_labels = Labels { name: "MiB", tick: &|mib| format!("{mib:.0}") };
    let mut chart = chart(area, (x, Some(x_labels)), (y, y_labels))?;
    let mut dot = |one: &CapacityLoss, ink: RGBColor, what: &str, bytes: u64, refused: bool| -> Result<(), DrawError> {
        let point = (one.offset_bytes as f64 / MIB, bytes as f64 / MIB);
        match refused {
            true => chart.draw_series([Cross::new(point, 3, ink.stroke_width(2))])?,
            false => chart.draw_series([Circle::new(point, 2, ink.filled())])?,
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
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_and_size_is_drawn_and_nothing_is_lost_since_but_records_and_head() {
        let figure = figure().unwrap();
        let drawn: String = figure.drawing.unwrap().panels().iter().map(|panel| panel.as_str()).collect();
        assert_eq!(figure.data.len(), 3 * 64 * LOSS_SIZES.len());
        for said in
            ["16 MiB at 2 MiB, until Linux 5.2, both: refused", "64 GiB at 126 MiB, since Linux 5.4: 1.00 GiB lost"]
        {
            assert!(drawn.contains(said), "{said}");
        }
        assert!(!drawn.contains("since Linux 5.4: refused"));
    }
}
