//! Progress bar for the records of a namespace.

use indicatif::{ProgressBar, ProgressStyle};
use memmap_layouts::{Phase, PhaseSink};
use std::time::Duration;

/// A progress bar on a terminal, nothing elsewhere. It covers allocating, writing and reading
/// records.
pub(super) struct RecordsBar(ProgressBar);

impl RecordsBar {
    pub(super) fn new(nr_pages: u64) -> Self {
        let style =
            ProgressStyle::with_template("{spinner} {msg} {bar:24} {human_pos} of {human_len} page frames, {eta} left")
                .expect("a valid template")
                .progress_chars("━╸ ");
        let bar = ProgressBar::new(nr_pages).with_style(style);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// Starts over for another namespace with `nr_pages` pages.
    pub(super) fn of(&self, nr_pages: u64) {
        self.0.set_length(nr_pages);
        self.0.set_position(0);
    }

    fn at(&self, what: &'static str, nr_pages: u64) {
        if self.0.message() != what {
            self.0.reset_eta();
            self.0.set_message(what);
        }
        // Old kernels add whole sections, which can be more than the namespace.
        self.0.set_position(nr_pages.min(self.0.length().unwrap_or(nr_pages)));
    }

    pub(super) fn reading(&self, nr_pages: u64) {
        self.at("reading records", nr_pages);
    }

    pub(super) fn taking_down(&self) {
        self.0.set_message("taking down");
    }
}

impl PhaseSink for RecordsBar {
    fn ended(&mut self, _: Phase) {}

    fn progressed(&mut self, phase: Phase, nr_pages: u64) {
        match phase {
            Phase::Populate => self.at("backing records", nr_pages),
            _ => self.at("writing records", nr_pages),
        }
    }
}

impl Drop for RecordsBar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
