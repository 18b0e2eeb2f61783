//! A machine in a report: its newest run with summaries, findings and figures.

use super::data::Data;
use super::figure::{Figure, View};
use super::figures::trend::Short;
use super::heat::HeatLine;
use super::input::RunInput;
use super::{ReportError, figures, finding, heat};
use crate::analysis::judge::MARGIN;
use crate::analysis::summary::Summary;
use crate::case::{HOT_ADD, HOT_REMOVE, Memory};
use crate::present::cover_letter::{self, Cost};
use crate::record::row::Row;

/// The newest run of a machine, in detail.
#[derive(Debug)]
pub struct MachineReport {
    /// The run, without its rows, which have been summarised in `maps`.
    pub run: RunInput,
    /// Name and summary of each map, the main one first.
    pub maps: Vec<(String, Summary)>,
    /// The cost of the sub-section map, by map, memory and state of the tables.
    pub costs: Vec<Cost>,
    /// The main finding in sentences.
    pub sentences: Vec<String>,
    /// The table of winners.
    pub winners: Vec<finding::Winner>,
    /// Notes on the table of winners.
    pub notes: Vec<String>,
    /// Lines of the heat table.
    pub heat: Vec<HeatLine>,
    /// The heat table as data.
    pub heat_data: Data,
    /// The figures.
    pub figures: Vec<Figure>,
    /// Summaries of all given runs of this machine, the oldest first.
    pub runs: Vec<Short>,
}
impl MachineReport {
    /// The data of the run from which figures are drawn.
    pub fn view(&self) -> View<'_> {
        View { run: &self.run, maps: &self.maps }
    }

    /// The summary of the newest run.
    pub fn short(&self) -> &Short {
        &self.runs[self.runs.len() - 1]
    }

    /// Summarises a run and draws its figures.
    pub(super) fn new(mut run: RunInput, reference: Option<&str>) -> Result<Self, ReportError> {
        let maps: Vec<(String, Summary)> = summaries(&run, reference);
        let costs = cover_letter::costs(maps.iter().map(|(map, summary)| (map.as_str(), summary)));
        for of_map in &mut run.maps {
            of_map.rows = Vec::new();
        }
        let view = View { run: &run, maps: &maps };
        let main = view.main();
        if let Some(reference) = reference.filter(|reference| !main.layouts.iter().any(|layout| layout == reference)) {
            let (name, layouts, reference) = (run.name.clone(), main.layouts.clone(), reference.to_owned());
            return Err(ReportError::NoReference { run: name, reference, layouts });
        }
        let heat = heat::lines(view);
        let figures = vec![
            figures::answer::figure(view)?,
            figures::lookups::figure(view, Memory::Added)?,
            figures::lookups::figure(view, Memory::Boot)?,
            figures::scale::figure(view)?,
            figures::chain::figure(view)?,
            figures::percentiles::figure(view, HOT_ADD)?,
            figures::percentiles::figure(view, HOT_REMOVE)?,
            figures::phases::figure(view)?,
            figures::readers::figure(view)?,
            figures::pareto::figure(view)?,
            figures::map::figure(view)?,
        ];
        let headlines = crate::analysis::headline::all(main);
        let (sentences, winners) = (finding::sentences(view, &costs), finding::winners(&headlines));
        let runs = vec![short(&run, main)];
        let (heat_data, notes) = (heat::data(&heat), finding::notes(view));
        Ok(Self { notes, sentences, winners, heat, heat_data, figures, costs, runs, maps, run })
    }
}

/// Summarises each map of a run. The main map is included even without rows.
pub(super) fn summaries(run: &RunInput, reference: Option<&str>) -> Vec<(String, Summary)> {
    let margin = run.known.margin.unwrap_or(MARGIN);
    let summary = |rows: &[Row]| Summary::judged(rows, reference.unwrap_or(Summary::default_reference(rows)), margin);
    let mut maps: Vec<(String, Summary)> =
        run.maps.iter().map(|of_map| (of_map.map.clone(), summary(&of_map.rows))).collect();
    if maps.is_empty() {
        maps.push((String::new(), summary(&[])));
    }
    maps
}

pub(super) fn short(run: &RunInput, main: &Summary) -> Short {
    Short {
        run: run.name.clone(),
        machine: run.machine.clone(),
        started: run.known.started.clone().unwrap_or_default(),
        commit: run.known.tool.as_ref().map_or_else(|| "unknown".to_owned(), |tool| tool.commit.to_string()),
        map: run.main_map().to_owned(),
        reference: main.reference.clone(),
        layouts: main.layouts.clone(),
        troubles: run.troubles.clone(),
        headlines: crate::analysis::headline::all(main),
    }
}

#[cfg(test)]
mod tests {
    use crate::present::report::tests::{figure, report};

    #[test]
    fn a_complete_run_has_its_finding_and_its_figures() {
        let report = report();
        let machine = &report.machines[0];
        assert_eq!(machine.run.troubles.len(), 1, "only the checksums are missing: {:?}", machine.run.troubles);
        let said = &machine.sentences[0];
        assert!(said.contains("on added memory slower by 0.50 ns, 2.00×"), "{:?}", machine.sentences);
        assert!(said.contains("on boot memory slower by 0.50 ns, 2.00×"), "{:?}", machine.sentences);
        let valid = machine.winners.iter().find(|winner| winner.what == "pfn_valid, added memory").unwrap();
        assert_eq!((valid.wins.as_str(), valid.next.as_str()), ("vmemmap-section", "subsection, 0.50 ns more"));
        for name in ["lookups-added", "lookups-boot", "hot-add-percentiles", "phases", "readers", "map"] {
            let figure = figure(&report, name);
            assert!(figure.drawing.is_ok() && !figure.data.is_empty() && !figure.words.caption.is_empty(), "{name}");
        }
        // One layout needs the least memory and the least time.
        let pareto = figure(&report, "pareto");
        let why = pareto.drawing.as_ref().unwrap_err();
        assert!(why.starts_with("No trade-off") && why.contains("vmemmap-section") && !pareto.data.is_empty(), "{why}");
        for name in ["answer", "scale", "chain"] {
            let missing = figure(&report, name).drawing.as_ref().unwrap_err();
            assert!(missing.starts_with("Missing: "), "{name}: {missing}");
        }
    }
}
