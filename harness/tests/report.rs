//! `pfnbench report` on the committed run, and on arguments that are not runs.

mod common;

use common::{file, folder, json, pfnbench, refused, smoke};
use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Path of the committed run, relative to the root.
fn reference() -> String {
    committed("results/reference")
}

/// The only run below a folder.
fn committed(folder: &str) -> String {
    let only = |dir: PathBuf| {
        let mut folders = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
        folders.find(|path| !path.ends_with("report")).unwrap()
    };
    let run = only(only(root().join(folder)));
    run.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()
}

/// Links to files in a Markdown document.
fn links(markdown: &str) -> Vec<&str> {
    let parts = markdown.split("](").skip(1);
    let links = parts.filter_map(|part| part.split_once(')').map(|(link, _)| link));
    links.filter(|link| !link.contains("://") && !link.starts_with('#')).collect()
}

#[test]
fn the_committed_run_has_every_figure_in_every_format() {
    let dir = folder();
    let (page, markdown) = (dir.path().join("a/page.html"), dir.path().join("b/report.md"));
    let mut command = pfnbench();
    command
        .current_dir(root())
        .arg("report")
        .arg(reference())
        .arg("-o")
        .arg(&page)
        .arg("-o")
        .arg(&markdown)
        .arg("--json");
    let said = json(&mut command);
    assert_eq!(said["machines"][0]["missing_figures"], serde_json::json!([]));
    assert_eq!(said["machines"][0]["troubles"], serde_json::json!([]));
    assert!(said["files"].as_array().unwrap().iter().all(|file| Path::new(file.as_str().unwrap()).exists()));
    let size = fs::metadata(&page).unwrap().len();
    assert!((100_000..2_000_000).contains(&size), "{size} bytes");
    let text = fs::read_to_string(&markdown).unwrap();
    let links = links(&text);
    assert!(links.len() >= 30, "{links:?}");
    for link in links {
        assert!(markdown.parent().unwrap().join(link).is_file(), "{link}");
    }
}

/// The page has the terms of the repository's `GLOSSARY.md` with their definitions.
#[test]
fn the_page_has_every_term_of_the_glossary() {
    let dir = folder();
    let run = root().canonicalize().unwrap().join(reference());
    pfnbench().current_dir(&dir).arg("report").arg(run).args(["-o", "x.html"]).assert().success();
    let page = fs::read_to_string(dir.path().join("x.html")).unwrap();
    let (_, entries) = page.split_once("<dl id=\"glossary\">").unwrap();
    let (entries, _) = entries.split_once("</dl>").unwrap();
    let glossary = fs::read_to_string(root().join("GLOSSARY.md")).unwrap();
    let rows: Vec<&str> = glossary.lines().filter(|line| line.starts_with('|')).skip(2).collect();
    assert!(rows.len() >= 10 && entries.matches("<dt>").count() == rows.len(), "{} rows: {entries}", rows.len());
    // Without markup, both have the same words.
    let plain = |text: &str| text.replace(['`', '*', '\\'], "");
    let entries = entries.replace("&#38;", "&").replace("&#34;", "\"").replace("&#39;", "'");
    let entries = ["<code>", "</code>", "<em>", "</em>"].iter().fold(entries, |text, tag| text.replace(tag, ""));
    for row in rows {
        let cells: Vec<&str> = row.split(" | ").collect();
        let (term, definition) = (plain(cells[0].trim_start_matches("| ")), plain(cells[1]));
        assert!(entries.contains(&format!("<dt>{term}</dt><dd>{definition}</dd>")), "{term}: {entries}");
    }
}

/// The committed page "What Linux could gain" is what the command makes of its run.
#[test]
fn the_committed_page_of_gain_is_up_to_date() {
    let dir = folder();
    let run = committed("results/gain");
    let copied = dir.path().join(&run);
    fs::create_dir_all(&copied).unwrap();
    for entry in fs::read_dir(root().join(&run)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copied.join(entry.file_name())).unwrap();
    }
    let arguments = ["--page", "gain", "-o", "results/gain.md"];
    pfnbench().current_dir(&dir).arg("report").arg(&run).args(arguments).assert().success();
    let made = fs::read_to_string(dir.path().join("results/gain.md")).unwrap();
    let again = format!("regenerate it with pfnbench report {run} {}", arguments.join(" "));
    assert!(made == fs::read_to_string(root().join("results/gain.md")).unwrap(), "{again}");
}

/// The committed documents are what the command makes of the committed run.
#[test]
fn the_readme_and_the_committed_report_are_up_to_date() {
    let dir = folder();
    let copied = dir.path().join(reference());
    fs::create_dir_all(&copied).unwrap();
    for entry in fs::read_dir(root().join(reference())).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copied.join(entry.file_name())).unwrap();
    }
    fs::copy(root().join("README.md"), dir.path().join("README.md")).unwrap();
    let mut command = pfnbench();
    let arguments =
        ["-o", "results/reference/report.html", "-o", "results/reference/report.md", "--splice", "README.md"];
    command.current_dir(&dir).arg("report").arg(reference()).args(arguments).assert().success();
    let is_same = |name: &str| {
        let (made, committed) = (dir.path().join(name), root().join(name));
        fs::read_to_string(made).unwrap() == fs::read_to_string(committed).unwrap()
    };
    let again = format!("regenerate it with pfnbench report {} {}", reference(), arguments.join(" "));
    assert!(is_same("README.md"), "README.md is not up to date; {again}");
    assert!(is_same("results/reference/report.md"), "the report is not up to date; {again}");
    let mut pictures = 0;
    for entry in fs::read_dir(dir.path().join("results/reference/report")).unwrap() {
        let name = format!("results/reference/report/{}", entry.unwrap().file_name().to_str().unwrap());
        assert!(is_same(&name), "{name} is not up to date; {again}");
        pictures += usize::from(name.ends_with(".svg"));
    }
    assert!(pictures >= 10);
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.matches("](results/reference/report/").count() >= 1, "the README shows the picture of the answer");
}

#[test]
fn a_run_writes_the_report_of_its_folder() {
    let dir = folder();
    let said = json(&mut smoke(&dir, &["--layout", "flat", "--layout", "subsection", "-o", "results", "--json"]));
    let run = dir.path().join(said["run"].as_str().unwrap());
    let left = fs::read_to_string(run.join("report.html")).unwrap();
    assert!(
        !fs::read_to_string(run.join("SHA256SUMS")).unwrap().contains("report.html"),
        "the page is derived data, so it has no checksum"
    );
    pfnbench().current_dir(&dir).arg("report").arg(&run).args(["-o", "again.html"]).assert().success();
    assert!(fs::read_to_string(dir.path().join("again.html")).unwrap() == left);
    // One process and one map: figures that need more say so.
    assert!(left.contains("needs lookups on several maps"));
}

#[test]
fn invalid_requests_are_refused_and_write_nothing() {
    let dir = folder();
    let run = root().canonicalize().unwrap().join(reference());
    let run = run.to_str().unwrap();
    let empty = folder();
    let empty = empty.path().to_str().unwrap();
    let text = file(&dir, "text.md", "no markers\n");
    let marked = file(&dir, "marked.md", "<!-- pfnbench figure nothing -->\nkept\n<!-- pfnbench end -->\n");
    for (arguments, words) in [
        (vec![run], vec!["nothing to write", "report.html"]),
        (vec![run, "-o", "x.png"], vec!["x.png", ".html nor .md", ".pdf"]),
        (vec![run, "-o", "x.pdf"], vec!["x.pdf", "--figure"]),
        (vec![run, "-o", "x.html", "--figure", "scale"], vec!["x.html", ".svg or .pdf"]),
        (vec![run, "-o", "x.svg", "--figure", "nothing"], vec!["\"nothing\"", "lookups-added", "capacity"]),
        (vec!["nowhere", "-o", "x.html"], vec!["nowhere", "folder of a run"]),
        (vec![&text, "-o", "x.html"], vec!["text.md", "folder of a run"]),
        (vec![empty, "-o", "x.html"], vec!["not a run folder"]),
        (vec![run, "-o", "x.html", "--reference", "mine"], vec!["\"mine\"", "subsection-v6"]),
        (vec![run, "-o", "x.html", "--splice", &text], vec!["text.md", "no markers"]),
        (vec![run, "-o", "x.html", "--splice", &marked], vec!["line 1", "figure nothing", "lookups-added"]),
        (vec![run, "--splice", "nowhere.md"], vec!["nowhere.md"]),
        (vec![run, "-o", "/proc/x.html"], vec!["cannot write /proc/x.html"]),
    ] {
        refused(&dir, pfnbench().arg("report").args(&arguments), &words);
    }
    assert!(fs::read_to_string(&marked).unwrap().contains("kept"));
}

#[test]
fn an_unreadable_folder_does_not_prevent_the_report_of_others() {
    let dir = folder();
    let run = root().canonicalize().unwrap().join(reference());
    let mut command = pfnbench();
    let assert = command.current_dir(&dir).arg("report").arg(run).args(["nowhere", "-o", "x.html"]).assert().success();
    assert!(String::from_utf8_lossy(&assert.get_output().stderr).contains("left out: nowhere: not a readable folder"));
    assert!(
        fs::read_to_string(dir.path().join("x.html")).unwrap().contains("Left out: nowhere: not a readable folder")
    );
}

#[test]
fn documents_are_filled_in_place() {
    let dir = folder();
    let run = root().canonicalize().unwrap().join(reference());
    fs::create_dir(dir.path().join("docs")).unwrap();
    let document = "# Mine\n\n<!-- pfnbench finding -->\n<!-- pfnbench end -->\n\n<!-- pfnbench figure scale -->\nwhat \
                    was here\n<!-- pfnbench end -->\n\n<!-- pfnbench heat ^pfn_valid added random this-machine$ \
                    -->\n<!-- pfnbench end -->\n";
    file(&dir, "docs/mine.md", document);
    let fill = || {
        let arguments = ["-o", "out/report.md", "--splice", "docs/mine.md"];
        pfnbench().current_dir(&dir).arg("report").arg(&run).args(arguments).assert().success();
        fs::read_to_string(dir.path().join("docs/mine.md")).unwrap()
    };
    let filled = fill();
    assert!(filled.contains("](../out/report/scale.svg)") && !filled.contains("what was here"), "{filled}");
    assert!(dir.path().join("docs/../out/report/scale.svg").is_file());
    assert_eq!(filled.matches("\n| pfn\\_valid | added | random |").count(), 1, "{filled}");
    assert_eq!(fill(), filled);
}

/// One figure for a paper: with its caption and its source, and the same in both formats.
#[test]
fn a_figure_is_written_alone() {
    let dir = folder();
    let run = root().canonicalize().unwrap().join(reference());
    for figure in ["answer", "scale", "lookups-added", "chain", "map", "capacity"] {
        let files = ["x.svg", "x.pdf"];
        let arguments = ["--figure", figure, "-o", files[0], "-o", files[1]];
        let said = pfnbench().current_dir(&dir).arg("report").arg(&run).args(arguments).assert().success();
        assert!(String::from_utf8_lossy(&said.get_output().stdout).contains("figure  x.svg, x.pdf"));
        let svg = fs::read_to_string(dir.path().join(files[0])).unwrap();
        assert!(svg.starts_with("<svg ") && svg.contains("Source: ") && svg.contains("fill=\"#ffffff\""), "{figure}");
        let pdf = fs::read(dir.path().join(files[1])).unwrap();
        assert!(pdf.starts_with(b"%PDF-") && pdf.len() > 2000, "{figure}");
        assert!(String::from_utf8_lossy(&pdf).contains("(Source: "), "{figure}: the source is in the PDF");
    }
}
