//! Arguments for a region that a file describes.

use crate::cli::tell;
use crate::map::Reading;
use crate::map::source::Source;
use crate::pmem::described_region::{DescribedRegion, find_region, regions};
use anyhow::bail;
use clap::Args;

/// A region that a file describes.
#[derive(Args, Clone, Debug)]
pub(super) struct FromArgs {
    /// Take the region, its alignment and the memory around it from a file: a
    /// memory map, a listing of ndctl, cxl or daxctl, or - for standard input;
    /// explicit options override it
    #[arg(long, value_name = "FILE")]
    from: Option<Source>,
    /// Name of the region in the file, e.g. region0; default: the only one
    #[arg(long, value_name = "NAME", requires = "from")]
    region_name: Option<String>,
}

impl FromArgs {
    /// The region, and where its text comes from; `None` without `--from`. Warns on standard error if its
    /// start is assumed and `start` does not replace it.
    pub(super) fn region(&self, start: Option<u64>) -> anyhow::Result<Option<(DescribedRegion, String)>> {
        let Some(reading) = self.read()? else { return Ok(None) };
        let region = find_region(&reading, self.region_name.as_deref())?;
        if start.is_none() {
            warn_of_assumption(&region);
        }
        Ok(Some((region, reading.map.origin)))
    }

    /// All regions of the file, or the one with the given name; `None` without `--from`.
    pub(super) fn regions(&self) -> anyhow::Result<Option<(Vec<DescribedRegion>, String)>> {
        let Some(reading) = self.read()? else { return Ok(None) };
        let found = match &self.region_name {
            Some(name) => vec![find_region(&reading, Some(name))?],
            None => regions(&reading),
        };
        if found.is_empty() {
            // The error says what the file has instead.
            let Err(error) = find_region(&reading, None) else { bail!("{} has no region", reading.map.origin) };
            return Err(error.into());
        }
        found.iter().for_each(warn_of_assumption);
        Ok(Some((found, reading.map.origin)))
    }

    fn read(&self) -> anyhow::Result<Option<Reading>> {
        let Some(source) = &self.from else { return Ok(None) };
        let reading = source.read()?;
        reading.map.warnings.iter().for_each(|warning| tell(&format!("warning: {warning}")));
        Ok(Some(reading))
    }
}

fn warn_of_assumption(region: &DescribedRegion) {
    if let (true, Some(start)) = (region.is_start_assumed, region.start) {
        let name = &region.name;
        tell(&format!("warning: the start of {name}, {start:#x}, is an assumption: the file states only its size"));
    }
}
