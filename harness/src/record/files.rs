//! Names of the files of a run folder, and their checksums.

use sha2::{Digest, Sha256};

/// Suffix of the folder's name until the run is complete.
pub const PARTIAL: &str = ".partial";

/// Name of the manifest.
pub const MANIFEST: &str = "manifest.json";
/// Name of the file with the histograms.
pub const LATENCIES: &str = "latency.hlog";
/// Name of the file with the rows.
pub const SAMPLES: &str = "samples.jsonl";
/// Name of the file that says which units are finished.
pub(super) const PROGRESS: &str = "progress.jsonl";
/// Name of the file that says what the run is to do.
pub(super) const PLAN: &str = "plan.json";
/// Name of the file that says what a complete run did: what is needed to repeat it.
pub const SCHEDULE: &str = "schedule.json";
/// Name of the file with the checksums. It is written last and marks a complete folder.
pub const SUMS: &str = "SHA256SUMS";

/// SHA-256 of `contents` in lower-case hexadecimal, as in `SHA256SUMS`.
pub fn sha256(contents: &[u8]) -> String {
    Sha256::digest(contents).iter().map(|byte| format!("{byte:02x}")).collect()
}
