//! The report as Markdown, with figures and data in files beside it.

use super::changes::{Change, Changes};
use super::figure::Figure;
use super::finding::{COSTS_CAPTION, Winner, cost_table};
use super::heat::HeatLine;
use super::html::{Plain, byte_table, facts, hotplug, suffix, winner};
use super::picture::{DrawError, FileWords};
use super::{MachineReport, Report};
use crate::present::bidi::without_controls;
use crate::present::cover_letter::Cost;
use crate::record::examination::Finding;
use crate::units::percent;

/// A file that belongs to a report.
#[derive(Debug)]
pub struct ReportFile {
    /// Name within the folder of figures.
    pub name: String,
    /// Contents as text.
    pub contents: String,
}

/// Escapes text, so that it is not interpreted as markup in a line or table cell of Markdown.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            // Markdown passes HTML through.
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '!' | '~' => {
                escaped.push('\\');
                escaped.push(letter);
            }
            '\n' | '\r' => escaped.push(' '),
            _ => escaped.push(letter),
        }
    }
    escaped
}

/// A Markdown table. Cells must be escaped already.
pub fn table(head: &[String], lines: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = vec!["---".to_owned(); head.len()];
    std::iter::once(line(head)).chain([line(&rule)]).chain(lines.iter().map(|cells| line(cells))).collect()
}

/// The table of winners.
pub fn winners(winners: &[Winner]) -> String {
    let head = ["operation", "best", "value", "next", "last"].map(str::to_owned);
    let line = |winner: &Winner| {
        let wins = format!("**{}**", escaped(&winner.wins));
        vec![escaped(&winner.what), wins, escaped(&winner.takes), escaped(&winner.next), escaped(&winner.last)]
    };
    table(&head, &winners.iter().map(line).collect::<Vec<_>>())
}

/// The heat table, with the lines that `wanted` accepts.
pub fn heat(machine: &MachineReport, wanted: impl Fn(&HeatLine) -> bool) -> String {
    let layouts = &machine.view().layouts();
    let labels = ["operation", "on", "order", "map", "noise floor"].map(str::to_owned);
    let head: Vec<String> = labels.into_iter().chain(layouts.iter().map(|layout| escaped(layout))).collect();
    let line = |line: &HeatLine| {
        let cell = |cell: &super::heat::HeatCell| {
            let verdict = cell.verdict_in_words().map(|verdict| {
                let difference = cell.difference_in_words().map(|ns| format!(" {ns}")).unwrap_or_default();
                format!("{verdict}{difference}")
            });
            let pieces = [Some(cell.ratio_in_words()), cell.interval_in_words(), cell.time_in_words(), verdict];
            pieces.into_iter().flatten().map(|piece| escaped(&piece)).collect::<Vec<_>>().join(" ")
        };
        let floor = line.noise_floor.map(percent).unwrap_or_default();
        let labels = [line.label.as_str(), line.memory.name(), &line.order, &line.map, &floor].map(escaped);
        labels.into_iter().chain(line.cells.iter().map(cell)).collect::<Vec<String>>()
    };
    table(&head, &machine.heat.iter().filter(|line| wanted(line)).map(line).collect::<Vec<_>>())
}

/// The table of the cost of the sub-section map, on maps that `wanted` accepts.
pub fn costs(costs: &[Cost], wanted: impl Fn(&str) -> bool) -> String {
    let costs = cost_table(costs);
    let head = ["map", "section tables"].into_iter().chain(costs.columns.iter().map(String::as_str)).map(escaped);
    let lines = costs.lines.into_iter().filter(|line| wanted(&line.map));
    let lines = lines.map(|line| {
        let labels = [escaped(&line.map), line.tables.to_owned()];
        labels.into_iter().chain(line.cells.iter().map(|cell| escaped(cell))).collect::<Vec<String>>()
    });
    format!("{}\n{}\n", table(&head.collect::<Vec<_>>(), &lines.collect::<Vec<_>>()), escaped(COSTS_CAPTION))
}

/// A figure, whose image is below `folder`, with its caption.
pub fn figure(figure: &Figure, number: usize, folder: &str) -> String {
    let name = file_name(figure.name(), number);
    let data = format!("Data: [JSON]({folder}/{name}.json), [CSV]({folder}/{name}.csv).");
    let words = &figure.words;
    match &figure.drawing {
        Ok(_) => {
            let image = format!("![{}]({folder}/{name}.svg)", escaped(&words.title));
            format!("{image}\n\n{} {data}\n", escaped(&words.caption))
        }
        Err(missing) if figure.data.is_empty() => format!("{}\n", escaped(missing)),
        Err(none) => format!("{} {data}\n", escaped(none)),
    }
}

/// A figure with how to read it, for a report.
fn figure_in_full(shown: &Figure, number: usize, folder: &str) -> String {
    let text = figure(shown, number, folder);
    match (&shown.drawing, shown.words.reading.as_str()) {
        (Ok(_), reading) if !reading.is_empty() => {
            let fold =
                format!("<details><summary>How to read this figure</summary>\n\n{}\n\n</details>", escaped(reading));
            format!("{text}\n{fold}\n")
        }
        _ => text,
    }
}

/// Name of the files of a figure.
fn file_name(figure: &str, number: usize) -> String {
    format!("{figure}{}", suffix(number))
}

/// The figures and data files beside a report.
///
/// # Errors
/// Fails if data cannot be converted to CSV.
pub fn files(report: &Report) -> Result<Vec<ReportFile>, DrawError> {
    let mut files = Vec::new();
    for (figure, number) in report.figures() {
        let name = file_name(figure.name(), number);
        if let Ok(drawing) = &figure.drawing {
            let source = report.source(number);
            // The caption stands in the Markdown.
            let words = FileWords { title: &figure.words.title, caption: "", source: &source };
            let contents = drawing.for_file(&words)?;
            files.push(ReportFile { name: format!("{name}.svg"), contents });
        }
        if !figure.data.is_empty() {
            files.push(ReportFile { name: format!("{name}.json"), contents: figure.data.json() });
            files.push(ReportFile { name: format!("{name}.csv"), contents: figure.data.csv()? });
        }
    }
    for (at, machine) in report.machines.iter().enumerate().filter(|(_, machine)| !machine.heat.is_empty()) {
        let name = file_name("heat", at + 1);
        files.push(ReportFile { name: format!("{name}.json"), contents: machine.heat_data.json() });
        files.push(ReportFile { name: format!("{name}.csv"), contents: machine.heat_data.csv()? });
    }
    Ok(files)
}

/// The complete report. Figures are in `folder` beside it; `command` is the command line that made
/// it.
pub fn report(report: &Report, folder: &str, command: &str) -> String {
    let mut text = String::from("# Cost of finding a page's record (struct page)\n\n");
    for reason in &report.unread {
        text.push_str(&format!("> Left out: {}.\n\n", escaped(reason)));
    }
    if let Some(comparison) = &report.comparison {
        text.push_str(&format!(
            "## Comparison of machines\n\n{}\n{}\n",
            side_by_side(report),
            figure_in_full(comparison, 1, folder)
        ));
    }
    if let Some(changes) = &report.changes {
        text.push_str(&changes_section(changes));
    }
    for (at, machine) in report.machines.iter().enumerate() {
        if report.machines.len() > 1 {
            text.push_str(&format!("## Machine {}: {}\n\n", at + 1, escaped(&machine.run.machine)));
        }
        text.push_str(&machine_section(machine, at + 1, folder));
    }
    text.push_str(&format!("## Persistent memory\n\n{}\n", figure_in_full(&report.capacity, 1, folder)));
    text.push_str(
        "## Limitations\n\nThe layouts run in user space. Kernel locks, TLB shootdowns, kernel page tables, interrupts \
         and reclaim are not measured.\n\n",
    );
    text.push_str(&format!("Generated by `{}`.\n", command.replace('`', "'")));
    without_controls(&text).into_owned()
}

/// What changed between two runs; unchanged cases are folded.
fn changes_section(changes: &Result<Changes, String>) -> String {
    let changes = match changes {
        Ok(changes) => changes,
        Err(why) => return format!("## Changes between the runs\n\nThe runs cannot be compared: {}\n\n", escaped(why)),
    };
    let head = ["case", "layout", "on", "before", "after", "difference", "ratio", "verdict"].map(str::to_owned);
    let line = |change: &Change| {
        let verdict = change.verdict.to_string();
        let Change { case, layout, place, before, after, difference, ratio, .. } = change;
        [case, layout, place, before, after, difference, ratio, &verdict].map(|cell| escaped(cell)).to_vec()
    };
    let lines = |changes: &[Change]| table(&head, &changes.iter().map(line).collect::<Vec<_>>());
    let mut text = format!("## Changes from {} to {}\n\n", escaped(&changes.before), escaped(&changes.after));
    changes.sentences.iter().for_each(|sentence| text.push_str(&format!("{}\n\n", escaped(sentence))));
    if !changes.changed.is_empty() {
        text.push_str(&format!("{}\n", lines(&changes.changed)));
    }
    if !changes.unchanged.is_empty() {
        let nr = changes.unchanged.len();
        let fold = format!("<details><summary>Cases without a change that is proven: {nr}</summary>");
        text.push_str(&format!("{fold}\n\n{}\n</details>\n\n", lines(&changes.unchanged)));
    }
    if !changes.left_out.is_empty() {
        text.push_str(&format!("{}\n\n", escaped(&changes.left_out)));
    }
    text
}

fn machine_section(machine: &MachineReport, number: usize, folder: &str) -> String {
    let mut text = String::new();
    let mut push = |block: &str| text.push_str(&format!("{}\n\n", block.trim_end()));
    for trouble in &machine.run.troubles {
        push(&format!("> {}", escaped(trouble)));
    }
    machine.sentences.iter().for_each(|sentence| push(&escaped(sentence)));
    if !machine.winners.is_empty() {
        push(&winners(&machine.winners));
        push(&escaped(&machine.notes.join(" ")));
    }
    if !machine.costs.is_empty() {
        push("## Cost of the sub-section map to pfn\\_valid");
        push(&costs(&machine.costs, |_| true));
    }
    push("## Figures");
    for shown in &machine.figures {
        push(&format!("### {}", escaped(&shown.words.title)));
        push(&figure_in_full(shown, number, folder));
    }
    let summary = machine.view().main();
    push(&format!("## All operations, compared with {}", escaped(&summary.reference)));
    if machine.heat.is_empty() {
        push("Missing: the run measured neither lookups nor hotplug.");
    } else {
        push(&heat(machine, |_| true));
        push(&format!(
            "Each cell shows the time as a ratio to the time of {} (above 1 is slower), the corrected confidence \
             interval over processes, the time itself, the verdict and the difference. (b): the result reached the \
             next address through a branch. Data: [JSON]({folder}/{name}.json), [CSV]({folder}/{name}.csv).",
            escaped(&summary.reference),
            name = file_name("heat", number),
        ));
    }
    push("## Hotplug latency percentiles");
    push(&plain(&hotplug(summary)));
    push("## Memory use");
    push(&plain(&byte_table(summary)));
    push("## Machine and command");
    let facts = facts(machine);
    let lines: Vec<Vec<String>> = facts.iter().map(|(name, value)| vec![(*name).to_owned(), escaped(value)]).collect();
    push(&table(&[String::new(), String::new()], &lines));
    if let Some(doctor) = &machine.run.known.doctor_before {
        push(&format!("### Machine check (pfnbench doctor): {}", doctor.verdict()));
        for list in doctor.lists() {
            let line = |finding: &&Finding| {
                [finding.point.as_str(), finding.word(), &finding.seen, &finding.advice].map(escaped).to_vec()
            };
            let head = ["check", list.column, "found", "advice"].map(str::to_owned);
            push(&format!("{}:", list.heading));
            push(&table(&head, &list.findings.iter().map(line).collect::<Vec<_>>()));
        }
    }
    text
}

/// A table of the page as Markdown.
fn plain(text: &Plain) -> String {
    let escape = |cells: &Vec<String>| cells.iter().map(|cell| escaped(cell)).collect::<Vec<String>>();
    table(&escape(&text.head), &text.lines.iter().map(escape).collect::<Vec<_>>())
}

fn side_by_side(report: &Report) -> String {
    let head: Vec<String> = std::iter::once(String::new())
        .chain(
            report
                .machines
                .iter()
                .enumerate()
                .map(|(at, machine)| format!("{}: {}", at + 1, escaped(&machine.run.machine))),
        )
        .collect();
    let line = |what: &String| {
        let winner = |machine: &MachineReport| {
            machine.short().headline(what).map_or_else(String::new, |headline| escaped(&winner(headline)))
        };
        std::iter::once(escaped(what)).chain(report.machines.iter().map(winner)).collect::<Vec<String>>()
    };
    let whats: Vec<String> =
        report.machines[0].short().headlines.iter().map(|headline| headline.what.clone()).collect();
    table(&head, &whats.iter().map(line).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_text_is_escaped() {
        assert_eq!(escaped("<b>a|b_c*</b>\n`x`"), "&lt;b>a\\|b\\_c\\*&lt;/b> \\`x\\`");
    }

    #[test]
    fn a_table_has_a_rule_below_its_head() {
        let text = table(&["a".into(), "b".into()], &[vec!["1".into(), "2".into()]]);
        assert_eq!(text, "| a | b |\n| --- | --- |\n| 1 | 2 |\n");
    }
}
