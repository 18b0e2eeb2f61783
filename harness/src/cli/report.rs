//! The command `pfnbench report`.

use super::{Answer, Json, print, print_json};
use crate::files::replace;
use crate::present::gain;
use crate::present::report::{Report, html, markdown, splice};
use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench report results/MACHINE/RUN -o report.html   one file, without network
  pfnbench report results/MACHINE/RUN -o report.md     and figures in report/
  pfnbench report results/MACHINE/RUN -o docs/report.md --splice README.md
  pfnbench report results/MACHINE/*/ -o trend.html     runs of one machine
  pfnbench report results/*/*/ -o machines.html        several machines
  pfnbench report results/MACHINE/RUN --page gain -o gain.md
                                     what Linux could gain, as a cover letter
  pfnbench report results/MACHINE/RUN --figure scale -o scale.pdf
                                     one figure for a paper, with its caption

--splice replaces the text between <!-- pfnbench WHAT --> and
<!-- pfnbench end -->. WHAT is one of:
  answer, finding, winners, costs [REGEX], heat [REGEX], figure NAME, command

Exit codes: 0 success; 2 a run cannot be read, a file cannot be written, or a
usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct ReportArgs {
    /// Run folders; the report shows the newest of each machine in detail
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Output file: an HTML page if the name ends in .html, Markdown with a folder of figures if it
    /// ends in .md, with --figure one figure in .svg or .pdf; repeatable
    #[arg(short, long, value_name = "FILE")]
    output: Vec<PathBuf>,
    /// Which page to write
    #[arg(long, value_enum, default_value = "report")]
    page: PageKind,
    /// Write one figure, with its caption and its source, to the -o files. A wrong name lists all
    #[arg(long, value_name = "NAME", conflicts_with_all = ["splice", "page"])]
    figure: Option<String>,
    /// Fill in the pfnbench markers of this document (see below); repeatable
    #[arg(long, value_name = "FILE")]
    splice: Vec<PathBuf>,
    /// Reference layout for ratios [default: subsection, or the first layout]
    #[arg(long, value_name = "ID")]
    reference: Option<String>,
    #[command(flatten)]
    json: Json,
}

/// What the output files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum PageKind {
    /// The report: finding, winners, figures and data
    Report,
    /// "What Linux could gain": Linux as compiled, the idea in Rust, the fastest layout and the
    /// bound, cell by cell, in Markdown
    Gain,
}

/// The format of an output file, according to its extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Page,
    Markdown,
    Svg,
    Pdf,
}

impl Form {
    fn from_path(path: &Path) -> anyhow::Result<Self> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("html" | "htm") => Ok(Form::Page),
            Some("md" | "markdown") => Ok(Form::Markdown),
            Some("svg") => Ok(Form::Svg),
            Some("pdf") => Ok(Form::Pdf),
            _ => bail!(
                "the name {} ends in neither .html nor .md, nor in .svg or .pdf for a figure; try -o report.html",
                path.display()
            ),
        }
    }
}

/// The folder for the figures of a Markdown file: its path without the extension.
fn pictures(markdown: &Path) -> PathBuf {
    markdown.with_extension("")
}

/// The relative path by which a document in the folder `from` refers to `to`.
fn relative(from: &Path, to: &Path) -> anyhow::Result<String> {
    let absolute = |path: &Path| std::path::absolute(path).with_context(|| path.display().to_string());
    let (from, to) = (absolute(from)?, absolute(to)?);
    let from = from.parent().unwrap_or(Path::new("/")).components().collect::<Vec<Component<'_>>>();
    let to = to.components().collect::<Vec<Component<'_>>>();
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..".to_owned(), from.len() - shared);
    let down = to[shared..].iter().map(|part| part.as_os_str().to_string_lossy().replace(' ', "%20"));
    Ok(up.chain(down).collect::<Vec<_>>().join("/"))
}

impl ReportArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let forms = self.output.iter().map(|path| Form::from_path(path)).collect::<anyhow::Result<Vec<Form>>>()?;
        if self.output.is_empty() && self.splice.is_empty() {
            bail!(
                "neither -o nor --splice was given, so there is nothing to write; try -o report.html or -o report.md"
            );
        }
        for (path, form) in self.output.iter().zip(&forms) {
            match (form, &self.figure) {
                (Form::Svg | Form::Pdf, None) => {
                    bail!("{} holds one figure; say which with --figure, e.g. --figure scale", path.display())
                }
                (Form::Page | Form::Markdown, Some(_)) => {
                    bail!("a figure is written to .svg or .pdf, not to {}; try -o figure.svg", path.display())
                }
                _ => {}
            }
        }
        if self.page == PageKind::Gain {
            if let Some((path, _)) = self.output.iter().zip(&forms).find(|(_, form)| **form == Form::Page) {
                bail!("the page gain is written in Markdown, not to {}; try -o gain.md", path.display());
            }
            if !self.splice.is_empty() {
                bail!("the page gain fills in no document; write it with -o, and --splice in another call");
            }
        }
        let mut places = BTreeSet::new();
        for path in self.output.iter().chain(&self.splice) {
            // Documents exist; outputs may not exist yet.
            let place = fs::canonicalize(path).or_else(|_| std::path::absolute(path))?;
            if !places.insert(place) {
                bail!("{} was given twice, and the second output would overwrite the first", path.display());
            }
        }
        let markdown = self.output.iter().zip(&forms).find(|(_, form)| **form == Form::Markdown).map(|(path, _)| path);
        // Documents are read first, so that a missing one is reported at once.
        let read = |path: &PathBuf| {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok((path.clone(), text))
        };
        let documents = self.splice.iter().map(read).collect::<anyhow::Result<Vec<(PathBuf, String)>>>()?;
        let report = self.read()?;
        let command = self.command();
        // All files are generated before the first is written.
        let mut files: Vec<(PathBuf, Vec<u8>)> = Vec::new();
        let figure = self.figure.as_deref().unwrap_or_default();
        for (path, form) in self.output.iter().zip(&forms) {
            match form {
                _ if self.page == PageKind::Gain => {
                    files.push((path.clone(), gain::page(&report.machines[0], &command)?.into_bytes()));
                }
                Form::Page => files.push((path.clone(), html::page(&report)?.into_bytes())),
                Form::Svg => files.push((path.clone(), report.figure_svg(figure)?.into_bytes())),
                Form::Pdf => files.push((path.clone(), report.figure_pdf(figure)?)),
                Form::Markdown => {
                    let folder = pictures(path);
                    let name = folder.file_name().unwrap_or_default().to_string_lossy().replace(' ', "%20");
                    files.push((path.clone(), markdown::report(&report, &name, &command).into_bytes()));
                    let pictures = markdown::files(&report)?.into_iter();
                    files.extend(pictures.map(|file| (folder.join(file.name), file.contents.into_bytes())));
                }
            }
        }
        for (path, document) in &documents {
            let folder = markdown.map(|markdown| relative(path, &pictures(markdown))).transpose()?;
            let filled = splice::splice(&report, document, folder.as_deref(), &command);
            files.push((path.clone(), filled.with_context(|| path.display().to_string())?.into_bytes()));
        }
        for (path, contents) in &files {
            replace(path, contents).with_context(|| format!("cannot write {}", path.display()))?;
        }
        for (path, contents) in
            files.iter().filter(|(path, _)| Form::from_path(path).is_ok_and(|form| form == Form::Page))
        {
            if contents.len() > html::MOST_BYTES {
                let mib = contents.len() >> 20;
                super::tell(&format!(
                    "warning: {} has {mib} MiB, which is slow to load; report fewer runs or layouts",
                    path.display()
                ));
            }
        }
        self.tell(&report, &files)?;
        Ok(Answer::Yes)
    }

    fn read(&self) -> anyhow::Result<Report> {
        let style =
            ProgressStyle::with_template("{spinner} reading runs {bar:24} {pos}/{len}").expect("a valid template");
        let bar = ProgressBar::new(self.runs.len() as u64).with_style(style);
        let report = Report::from_folders(&self.runs, self.reference.as_deref(), |_| bar.inc(1));
        bar.finish_and_clear();
        Ok(report?)
    }

    fn tell(&self, report: &Report, files: &[(PathBuf, Vec<u8>)]) -> anyhow::Result<()> {
        for reason in &report.unread {
            super::tell(&format!("warning: left out: {reason}"));
        }
        for part in &report.machines {
            for trouble in &part.run.troubles {
                super::tell(&format!("warning: {}: {trouble}", part.run.name));
            }
        }
        if self.json.json {
            let parts = report.machines.iter().map(|part| {
                let missing: Vec<_> = part.figures.iter().filter_map(|figure| Some((figure.name(), figure.drawing.as_ref().err()?))).collect();
                json!({
                    "machine": part.run.machine,
                    "run": part.run.name,
                    "runs": part.runs.len(),
                    "finding": part.sentences,
                    "missing_figures": missing.into_iter().map(|(name, why)| json!({ "figure": name, "why": why })).collect::<Vec<_>>(),
                    "troubles": part.run.troubles,
                })
            });
            return print_json(&json!({
                "reference": report.reference,
                "machines": parts.collect::<Vec<_>>(),
                "left_out": report.unread,
                "files": files.iter().map(|(path, _)| path).collect::<Vec<_>>(),
            }));
        }
        if self.figure.is_some() {
            let written: Vec<String> = self.output.iter().map(|path| path.display().to_string()).collect();
            return print(format!("figure  {}", written.join(", ")));
        }
        for sentence in &report.machines[0].sentences {
            print(sentence)?;
        }
        let missing = report.machines.iter().flat_map(|part| &part.figures).filter(|figure| figure.drawing.is_err());
        let missing: Vec<&str> = missing.map(|figure| figure.name()).collect();
        if !missing.is_empty() {
            print(format!("Figures without data in this run: {}.", missing.join(", ")))?;
        }
        let written = self.output.iter().chain(&self.splice).map(|path| path.display().to_string());
        print(format!("report  {}", written.collect::<Vec<_>>().join(", ")))
    }

    /// The command line that a document shows.
    fn command(&self) -> String {
        let mut command = "pfnbench report".to_owned();
        let mut push = |option: &str, path: &Path| {
            let path = path.display().to_string();
            let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+=:".contains(letter);
            let path = if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', "'\\''")) };
            command.push_str(&format!(" {option}{}{path}", if option.is_empty() { "" } else { " " }));
        };
        self.runs.iter().for_each(|run| push("", run));
        self.output.iter().for_each(|path| push("-o", path));
        self.splice.iter().for_each(|path| push("--splice", path));
        if self.page == PageKind::Gain {
            push("--page", Path::new("gain"));
        }
        if let Some(reference) = &self.reference {
            push("--reference", Path::new(reference));
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_pictures_are_relative_to_the_document() {
        let link = |from: &str, to: &str| relative(Path::new(from), Path::new(to)).unwrap();
        assert_eq!(link("README.md", "results/report"), "results/report");
        assert_eq!(link("docs/a.md", "results/report"), "../results/report");
        assert_eq!(link("/a/b.md", "/c d"), "../c%20d");
    }

    #[test]
    fn the_extension_selects_the_format() {
        assert_eq!(Form::from_path(Path::new("a.b/x.html")).unwrap(), Form::Page);
        assert_eq!(Form::from_path(Path::new("x.md")).unwrap(), Form::Markdown);
        assert!(Form::from_path(Path::new("x")).is_err() && Form::from_path(Path::new("x.png")).is_err());
        assert_eq!(Form::from_path(Path::new("x.pdf")).unwrap(), Form::Pdf);
    }
}
