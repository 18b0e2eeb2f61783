//! Answers that the workloads expect of every layout.

use super::{Race, RaceError};
use crate::engine::field::FieldError;
use memmap_layouts::Geometry;

impl<G: Geometry> Race<'_, G> {
    /// Checks the answers that the workloads expect.
    pub(super) fn expectations(&self) -> Result<(), RaceError> {
        for expectation in &self.settings.job.work.expect {
            for layout in &self.field.layouts {
                let Some(expected) = expectation.answer(layout.caps().validity) else { continue };
                let pfn = expectation.pfn();
                if layout.pfn_valid(pfn) != expected {
                    // The map's name alone: rows do not say where a workload found the map.
                    let (id, map) = (layout.id(), &self.settings.job.map.name);
                    let wrong = format!(
                        "{id}: pfn_valid({pfn}) on {map} is {}, but the workload expects {expected}",
                        !expected
                    );
                    return Err(FieldError::WrongAnswer { layout: layout.layout_id(), wrong }.into());
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::race::test_support::{run, settings};
    use crate::workload::Expectation;
    use crate::workload::work::Work;

    #[test]
    fn a_failed_expectation_ends_the_race() {
        let mut settings = settings();
        let mut expectation =
            Expectation { map: "m".into(), pfn: 0x14000, span: false, section: true, subsection: false };
        settings.job.work = Work { expect: vec![expectation.clone()], ..Work::default() };
        run(&settings).unwrap();
        expectation.section = false;
        settings.job.work.expect = vec![expectation];
        let error = run(&settings).unwrap_err().to_string();
        assert!(error.contains("the workload expects false"), "{error}");
    }
}
