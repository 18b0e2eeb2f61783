//! Progress bar for the records of a namespace.

use crate::pmem::enable::EnableProgress;
use indicatif::{ProgressBar, ProgressStyle};
use memmap_layouts::{Phase, PhaseSink};
use std::time::Duration;

/// A progress bar on a terminal, nothing elsewhere. It shows how many page frames have their
/// records backed, written or read.
pub(super) struct RecordsBar(ProgressBar);

impl RecordsBar {
    pub(super) fn new() -> Self {
        let style =
            ProgressStyle::with_template("{spinner} {msg} {bar:24} {human_pos} of {human_len} page frames, {eta} left")
                .expect("a valid template")
                .progress_chars("━╸ ");
        let bar = ProgressBar::new(0).with_style(style);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    fn show(&self, activity: &'static str, nr_pages: u64) {
        if self.0.message() != activity {
            self.0.reset_eta();
            self.0.set_message(activity);
        }
        // Old kernels add whole sections, which can be more than the namespace.
        self.0.set_position(nr_pages.min(self.0.length().unwrap_or(nr_pages)));
    }
}

impl PhaseSink for RecordsBar {
    fn ended(&mut self, _: Phase) {}

    fn progressed(&mut self, phase: Phase, nr_pages: u64) {
        match phase {
            Phase::Populate => self.show("backing records", nr_pages),
            _ => self.show("writing records", nr_pages),
        }
    }
}

impl EnableProgress for RecordsBar {
    fn started(&mut self, nr_pages: u64) {
        self.0.set_length(nr_pages);
        self.0.set_position(0);
    }

    fn read(&mut self, nr_pages: u64) {
        self.show("reading records", nr_pages);
    }

    fn unmapping(&mut self) {
        self.0.set_message("unmapping");
    }
}

impl Drop for RecordsBar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
