//! The report page in a headless browser: layout, interaction and print.

#[path = "../common/mod.rs"]
mod common;

mod chromium;

use chromium::{Page, processes};
use common::{folder, json, pfnbench, reference_run, skipped, smoke};
use serde_json::{Value, json};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Names of the figures of a machine with one run.
const FIGURES: [&str; 12] = [
    "answer",
    "scale",
    "chain",
    "hot-add-percentiles",
    "hot-remove-percentiles",
    "phases",
    "readers",
    "pareto",
    "map",
    "lookups-boot",
    "lookups-added",
    "capacity",
];

/// Figures for which the reference run has no data.
const WITHOUT_DATA: [&str; 0] = [];

/// Makes the report of runs in a folder and opens it.
fn show(page: &mut Page, dir: &TempDir, runs: &[PathBuf]) {
    let file = dir.path().join("report.html");
    pfnbench().arg("report").args(runs).arg("-o").arg(&file).assert().success();
    page.show(&file);
}

/// Opens the report of the reference run in a window of 1280 by 800; `None` without a browser.
fn reference_page(dir: &TempDir) -> Option<Page> {
    let mut page = Page::empty()?;
    show(&mut page, dir, &[reference_run()]);
    Some(page)
}

/// Copies the reference run into a folder, with words replaced in its manifest, rows and folder
/// names, without the rows of some layouts, and with new checksums.
fn copy_of_reference(dir: &Path, words: &[(&str, &str)], without: &[&str]) -> PathBuf {
    let reference = reference_run();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let (machine, run) = (name(reference.parent().unwrap()), name(&reference));
    // The names of the folders contain the machine and the time, like the manifest.
    let renamed = |name: String| words.iter().fold(name, |name, (from, to)| name.replace(from, to));
    let copy = dir.join(renamed(machine)).join(renamed(run));
    fs::create_dir_all(&copy).unwrap();
    for entry in fs::read_dir(&reference).unwrap().map(Result::unwrap).filter(|entry| entry.file_name() != "SHA256SUMS")
    {
        let to = copy.join(entry.file_name());
        if ["manifest.json", "samples.jsonl"].iter().any(|name| entry.file_name() == *name) {
            let text = fs::read_to_string(entry.path()).unwrap();
            let is_kept = |line: &&str| !without.iter().any(|id| line.contains(&format!("\"layout\":\"{id}\"")));
            let text: String = text.split_inclusive('\n').filter(is_kept).collect();
            fs::write(to, words.iter().fold(text, |text, (from, to)| text.replace(from, to))).unwrap();
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
    assert!(
        Process::new("sh").args(["-c", "sha256sum *.* > SHA256SUMS"]).current_dir(&copy).status().unwrap().success()
    );
    copy
}

/// Asserts that a check found no problems.
#[track_caller]
fn assert_none(complaints: &[String], what: &str) {
    assert!(complaints.is_empty(), "{what}:\n  {}", complaints.join("\n  "));
}

/// Names of the figures that are drawn. The others must say what is missing.
#[track_caller]
fn drawn(page: &mut Page) -> Vec<String> {
    let figures = page.ask("check.figures()");
    let mut drawn = Vec::new();
    for figure in figures.as_array().unwrap() {
        let name = figure["name"].as_str().unwrap();
        assert!(!figure["caption"].as_str().unwrap().is_empty(), "{name} has no caption");
        // The heat table has links but no picture.
        if name == "heat" {
            assert_eq!(figure["links"], json!([1, 1]), "{name}");
            continue;
        }
        if figure["drawn"] == false {
            let missing = figure["missing"].as_str().unwrap_or_else(|| panic!("{name} is neither drawn nor missing"));
            assert!(missing.len() > 20, "{name} does not say what is missing and why: {missing:?}");
            assert_eq!(figure["links"], json!([0, 0]), "{name} links to data that it does not have");
            continue;
        }
        assert_eq!(figure["missing"], Value::Null, "{name} is drawn and missing");
        assert_eq!(figure["links"], json!([1, 1]), "{name} links to JSON and CSV");
        let (width, height) = (figure["width"].as_f64().unwrap(), figure["height"].as_f64().unwrap());
        assert!(width > 200.0 && height > 30.0, "{name} is {width} by {height}");
        let titles = figure["titles"].as_array().unwrap();
        assert!(!titles.is_empty(), "{name} has no marks that show a value");
        assert!(titles.iter().all(|title| title != ""), "{name} has marks without a value");
        drawn.push(name.to_owned());
    }
    drawn
}

/// Splits a line of CSV into fields.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            _ => fields.last_mut().unwrap().push(letter),
        }
    }
    fields
}

#[test]
fn every_figure_is_drawn_with_readable_labels() {
    let dir = folder();
    let Some(mut page) = reference_page(&dir) else { return };
    let expected: Vec<&str> = FIGURES.into_iter().filter(|name| !WITHOUT_DATA.contains(name)).collect();
    let mut names = page.list("check.figures().map((figure) => figure.name)");
    let ids = page.list("check.figures().map((figure) => figure.id)");
    assert_eq!(ids, names.iter().map(|name| format!("figure-{name}")).collect::<Vec<_>>());
    names.retain(|name| name != "heat");
    names.sort();
    let mut all = FIGURES;
    all.sort_unstable();
    assert_eq!(names, all, "each once");
    for (width, height, phone) in [(1280, 800, false), (390, 844, true)] {
        page.resize(width, height, phone);
        let mut drawn = drawn(&mut page);
        drawn.sort_by_key(|name| FIGURES.iter().position(|known| known == name));
        assert_eq!(drawn, expected, "at {width}");
        assert_none(&page.list("check.broken()"), "labels and marks without a value");
        assert_none(&page.list("check.overlaps()"), &format!("overlapping labels at {width}"));
        assert_none(&page.list("check.cut()"), &format!("labels cut off at {width}"));
    }
    assert_none(&page.trouble(), "trouble");
}

#[test]
fn every_figure_offers_its_data() {
    let dir = folder();
    let Some(mut page) = reference_page(&dir) else { return };
    let mut names = drawn(&mut page);
    names.push("heat".to_owned());
    for name in &names {
        let mut data = |format: &str| page.ask(&format!("check.data('figure-{name}', '{format}')"));
        let text = data("json");
        let value: Value = serde_json::from_str(text.as_str().unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(value.as_array().is_none_or(|rows| !rows.is_empty()) && !value.is_null(), "{name}: {value}");
        let text = data("csv");
        let mut lines = text.as_str().unwrap().lines();
        let header = fields(lines.next().unwrap_or_else(|| panic!("{name}: empty CSV")));
        assert!(header.len() >= 2 && header.iter().all(|field| !field.is_empty()), "{name}: {header:?}");
        let rows: Vec<Vec<String>> = lines.map(fields).collect();
        assert!(!rows.is_empty() && rows.iter().all(|row| row.len() == header.len()), "{name}: {header:?} {rows:?}");
    }
    // Downloads by clicking the links.
    let downloads = dir.path().join("downloads");
    fs::create_dir(&downloads).unwrap();
    page.call("Page.setDownloadBehavior", json!({ "behavior": "allow", "downloadPath": downloads }));
    for (nr, format) in ["json", "csv"].into_iter().enumerate() {
        let link = format!("#figure-{} a[data-format={format}]", names[0]);
        let offered = page.ask(&format!("document.querySelector('{link}').download")).as_str().unwrap().to_owned();
        assert!(offered.ends_with(&format!(".{format}")), "{offered:?}");
        page.click(&link);
        page.wait(|page| {
            let ended = page.told("Page.downloadProgress").filter(|progress| progress["state"] == "completed");
            (ended.count() > nr).then_some(())
        });
        let saved = fs::read_to_string(downloads.join(&offered)).unwrap();
        assert_eq!(saved, page.ask(&format!("check.data('figure-{}', '{format}')", names[0])));
    }
    assert_none(&page.trouble(), "trouble");
}

/// True if the numbers are sorted and cells without a number come last.
fn is_sorted(values: &[String], ascending: bool) -> bool {
    let with_value = values.iter().take_while(|value| !value.is_empty()).count();
    let numbers: Vec<f64> = values[..with_value].iter().map(|value| value.parse().unwrap()).collect();
    values[with_value..].iter().all(String::is_empty)
        && numbers.is_sorted_by(|a, b| if ascending { a <= b } else { a >= b })
}

#[test]
fn the_heat_table_sorts_by_number_both_ways() {
    let dir = folder();
    let Some(mut page) = reference_page(&dir) else { return };
    let columns = page.ask("check.columns()");
    let columns: Vec<usize> = columns
        .as_array()
        .unwrap()
        .iter()
        .filter(|column| column["numeric"] == true && column["nr_values"].as_u64() > Some(1))
        .map(|column| column["column"].as_u64().unwrap() as usize)
        .collect();
    let layouts = page.list("check.layouts()").len();
    assert!(layouts >= 2 && columns.len() >= layouts, "the column of each layout is sortable: {columns:?}");
    let sort = |page: &mut Page, column: usize| {
        page.click(&format!("#heat thead button[data-column='{column}']"));
        let state = page.ask("check.columns()");
        let sorted =
            state.as_array().unwrap().iter().filter(|column| !matches!(column["sort"].as_str(), None | Some("none")));
        let sorted: Vec<&Value> = sorted.collect();
        assert_eq!(sorted.len(), 1, "exactly one column determines the order: {state}");
        assert_eq!(sorted[0]["column"], column);
        let ascending = match sorted[0]["sort"].as_str().unwrap() {
            "ascending" => true,
            "descending" => false,
            other => panic!("aria-sort is {other}"),
        };
        let values = page.list(&format!("check.values({column})"));
        assert!(is_sorted(&values, ascending), "column {column}, ascending: {ascending}: {values:?}");
        ascending
    };
    let before = page.ask("check.rows().length");
    for &column in &columns {
        let (first, second, third) = (sort(&mut page, column), sort(&mut page, column), sort(&mut page, column));
        assert_eq!((second, third), (!first, first), "column {column}");
    }
    // Numbers whose alphabetical order differs, and empty cells.
    page.ask(&format!("check.put({}, ['10', '9', '', '100', '2.5', '1e3', '-1'])", columns[0]));
    page.click(&format!("#heat thead button[data-column='{}']", columns[1]));
    assert_ne!(sort(&mut page, columns[0]), sort(&mut page, columns[0]));
    assert_eq!(page.ask("check.rows().length"), before);
    assert_none(&page.trouble(), "trouble");
}

/// Number of rows that are shown, which the page must state.
#[track_caller]
fn shown(page: &mut Page, expected: impl Fn(&Value) -> bool) -> usize {
    let rows = page.ask("check.rows()");
    let mut count = 0;
    for row in rows.as_array().unwrap() {
        assert_eq!(
            row["shown"],
            !row["hidden"].as_bool().unwrap(),
            "rows with the attribute `hidden` are not shown: {row}"
        );
        assert_eq!(row["shown"], expected(row), "{row}");
        count += usize::from(row["shown"] == true);
    }
    let said = page.ask("document.querySelector('p#heat-count[aria-live]').textContent");
    let said = said.as_str().unwrap();
    let numbers: Vec<usize> =
        said.split(|letter: char| !letter.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
    assert!(
        numbers.contains(&count) || count == 0 && said.to_lowercase().contains("no "),
        "{count} rows, said: {said:?}"
    );
    count
}

#[test]
fn filters_hide_rows_and_columns_and_combine() {
    let dir = folder();
    let Some(mut page) = reference_page(&dir) else { return };
    let all = shown(&mut page, |_| true);
    let label = |row: &Value| row["label"].as_str().unwrap().to_lowercase();
    let rows = page.ask("check.rows()");
    let middle = label(&rows[all / 2]);
    let words: Vec<&str> = middle.split_whitespace().filter(|word| word.len() > 2).collect();
    let (first, last) = (words[0], *words.last().unwrap());
    let both = |row: &Value| label(row).contains(first) && label(row).contains(last);
    page.fill("#heat-filter", first);
    let with_first = shown(&mut page, |row| label(row).contains(first));
    page.fill("#heat-filter", &format!("{last} {first}"));
    let with_both = shown(&mut page, both);
    assert!(0 < with_both && with_both <= with_first && with_first < all, "{all} {with_first} {with_both}");
    page.choose("#heat-memory", "boot");
    let boot = shown(&mut page, |row| both(row) && row["memory"] == "boot");
    page.choose("#heat-memory", "added");
    let added = shown(&mut page, |row| both(row) && row["memory"] == "added");
    assert_eq!(boot + added, with_both);
    page.fill("#heat-filter", "no such row");
    assert_eq!(shown(&mut page, |_| false), 0);
    page.fill("#heat-filter", "");
    let added = shown(&mut page, |row| row["memory"] == "added");
    assert!(0 < added && added < all);

    // Hiding columns combines with filtering rows and with sorting.
    let layouts = page.list("check.layouts()");
    let (hidden, kept) = (&layouts[0], &layouts[1]);
    let look = |page: &mut Page, layout: &str| {
        let seen = page.ask(&format!("check.shownOf({})", json!(layout)));
        (seen["shown"].as_u64().unwrap() as usize, seen["heads"].as_u64().unwrap())
    };
    let (cells, heads) = look(&mut page, hidden);
    assert_eq!(cells, added);
    let tick = format!("input[type=checkbox][name=layout][value={}]", json!(hidden));
    page.click(&tick);
    assert_eq!((look(&mut page, hidden), look(&mut page, kept)), ((0, heads - 1), (added, heads - 1)));
    page.choose("#heat-memory", "all");
    assert_eq!((look(&mut page, hidden).0, look(&mut page, kept).0), (0, all));
    page.ask("check.columns()");
    let of_kept = format!(
        "[...document.querySelectorAll('#heat td')].find((td) => td.dataset.layout === {}).cellIndex",
        json!(kept)
    );
    let column = page.ask(&of_kept);
    page.click(&format!("#heat thead button[data-column='{column}']"));
    assert_eq!((look(&mut page, hidden).0, look(&mut page, kept).0), (0, all));
    page.click(&tick);
    assert_eq!((look(&mut page, hidden), look(&mut page, kept)), ((all, heads), (all, heads)));
    assert_none(&page.trouble(), "trouble");
}

#[test]
fn nothing_is_fetched() {
    let dir = folder();
    let Some(mut page) = reference_page(&dir) else { return };
    assert_none(&page.list("check.outside()"), "references to external resources");
    // Positive control: a request is detected.
    assert_none(&page.trouble(), "trouble");
    page.ask("fetch('http://127.0.0.1:9/asked-for').catch(() => null)");
    assert!(page.trouble().iter().any(|complaint| complaint.contains("asked-for")), "{:?}", page.trouble());
}

/// The folder `PFNBENCH_SCREENSHOTS`, or a temporary one.
fn screenshots(dir: &TempDir) -> PathBuf {
    let wanted = std::env::var_os("PFNBENCH_SCREENSHOTS").filter(|folder| !folder.is_empty());
    let folder = wanted.map_or_else(|| dir.path().join("screenshots"), PathBuf::from);
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn the_page_fits_phones_and_screens_in_light_and_dark() {
    let dir = folder();
    let Some(mut page) = reference_page(&dir) else { return };
    let pictures = screenshots(&dir);
    let ground =
        "getComputedStyle(document.body).backgroundColor + getComputedStyle(document.documentElement).backgroundColor";
    for (name, width, height, phone) in [("phone", 390, 844, true), ("screen", 1280, 800, false)] {
        page.resize(width, height, phone);
        let mut grounds = Vec::new();
        for colours in ["light", "dark"] {
            page.dress("screen", colours);
            let what = format!("{name}-{colours}");
            page.screenshot(&pictures.join(format!("{what}.png")));
            assert_none(&page.list(&format!("check.wide({width})")), &format!("{what}: wider than the window"));
            assert_none(&page.list("check.faint()"), &format!("{what}: low contrast"));
            grounds.push(page.ask(ground));
        }
        assert_ne!(grounds[0], grounds[1], "the dark page has another background");
    }
    assert_none(&page.trouble(), "trouble");
}

#[test]
fn the_glossary_opens_and_fits_a_phone() {
    let dir = folder();
    let Some(mut page) = reference_page(&dir) else { return };
    page.resize(390, 844, true);
    assert_none(&page.list("check.terms()"), "terms of the collapsed glossary");
    page.click("header a[href='#glossary']");
    let terms = page.list("check.terms()");
    assert!(terms.len() >= 10 && terms.iter().any(|term| term == "grace period"), "{terms:?}");
    for colours in ["light", "dark"] {
        page.dress("screen", colours);
        assert_none(&page.list("check.wide(390)"), "wider than the window");
        assert_none(&page.list("check.faint()"), &format!("low contrast in {colours}"));
    }
    assert_none(&page.trouble(), "trouble");
}

#[test]
fn the_page_can_be_printed() {
    let dir = folder();
    let Some(mut page) = reference_page(&dir) else { return };
    let pictures = screenshots(&dir);
    // A4 without margins, at 96 pixels per inch.
    page.resize(718, 1000, false);
    page.dress("print", "light");
    page.screenshot(&pictures.join("print.png"));
    // The table of every operation has sheets in landscape format.
    let heat = "document.querySelector('#figure-heat')";
    page.ask(&format!("{heat}.hidden = true"));
    assert_none(&page.list("check.wide(718)"), "wider than the paper");
    page.ask(&format!("{heat}.hidden = false"));
    page.resize(1047, 700, false);
    assert_none(&page.list("check.wide(1047)"), "wider than the paper in landscape format");
    assert_none(&page.list("check.brokenWords()"), "words broken inside a cell on paper");
    page.resize(718, 1000, false);
    assert_none(&page.list("check.faint(true)"), "low contrast on paper");
    assert_eq!(drawn(&mut page).len(), FIGURES.len() - WITHOUT_DATA.len());
    assert!(page.list("check.terms()").len() >= 10, "a printed page has the glossary, which is collapsed on a screen");
    let pdf = page.pdf();
    assert!(pdf.starts_with(b"%PDF-") && pdf.len() > 10_000, "{} bytes", pdf.len());
    fs::write(pictures.join("print.pdf"), pdf).unwrap();
    assert_none(&page.trouble(), "trouble");
}

#[test]
fn the_first_screen_has_the_finding_the_picture_and_the_contents() {
    let dir = folder();
    let Some(mut page) = reference_page(&dir) else { return };
    assert_ne!(page.ask("document.querySelector('section#finding p').textContent.trim()"), "");
    assert!(page.ask("document.querySelectorAll('table#winners tbody tr').length").as_u64() >= Some(5));
    assert!(page.ask("document.querySelectorAll('nav#contents a').length").as_u64() >= Some(5));
    for element in ["section#finding", "nav#contents", "figure#figure-lookups-added .plot"] {
        let at = page.ask(&format!("document.querySelector('{element}').getBoundingClientRect().toJSON()"));
        let inside = |edge: &str, end: f64| (0.0..=end).contains(&at[edge].as_f64().unwrap());
        let whole =
            inside("top", 800.0) && inside("bottom", 800.0) && inside("left", 1280.0) && inside("right", 1280.0);
        assert!(whole && at["height"].as_f64() > Some(20.0), "{element}: {at}");
    }
}

#[test]
fn words_in_cells_stay_whole() {
    let dir = folder();
    let Some(mut page) = reference_page(&dir) else { return };
    page.ask("for (const fold of document.querySelectorAll('details')) fold.open = true");
    for (width, height, phone) in [(1280, 800, false), (800, 900, false), (390, 844, true)] {
        page.resize(width, height, phone);
        assert_none(&page.list("check.brokenWords()"), &format!("words broken inside a cell at {width}"));
    }
}

#[test]
fn headings_and_figures_have_ids_and_links() {
    let dir = folder();
    let Some(mut page) = reference_page(&dir) else { return };
    assert_none(&page.list("check.unlinked()"), "ids that are missing, twice or without a link");
}

#[test]
fn figures_have_the_intervals_of_the_run() {
    let dir = folder();
    let Some(mut page) = reference_page(&dir) else { return };
    let whiskers = page.ask("check.whiskers()");
    let mut with_intervals = Vec::new();
    for name in FIGURES {
        let text = page.ask(&format!("check.data('figure-{name}', 'csv')"));
        let mut lines = text.as_str().unwrap().lines().map(fields);
        let header = lines.next().unwrap();
        let low = header.iter().position(|column| column.ends_with("_low"));
        // Data may have more rows than the picture, e.g. of layouts that coincide.
        let known = low.map_or(0, |low| lines.filter(|row| !row[low].is_empty()).count());
        let drawn = whiskers[name].as_u64().unwrap();
        assert_eq!(known > 0, drawn > 0, "{name}: {known} intervals in the data, {drawn} in the picture");
        if drawn > 0 {
            with_intervals.push(name);
        }
    }
    assert_eq!(with_intervals, ["answer", "scale", "readers", "pareto", "lookups-boot", "lookups-added"]);
}

#[test]
fn figures_fit_their_page_or_scroll() {
    let dir = folder();
    let Some(mut page) = reference_page(&dir) else { return };
    for (width, height, phone) in [(1400, 900, false), (800, 900, false), (390, 844, true)] {
        page.resize(width, height, phone);
        assert_none(&page.list(&format!("check.wideFigures({width})")), &format!("figures wider than {width}"));
    }
    // Panels are stacked on a phone.
    let lefts = page.list("[...document.querySelectorAll('#figure-scale .plot svg')].map((svg) => String(Math.round(svg.getBoundingClientRect().left)))");
    assert!(lefts.len() == 4 && lefts.iter().all(|left| *left == lefts[0]), "{lefts:?}");
}

/// The file `axe.min.js` of axe-core, from `AXE` or where `scripts/tools` puts it.
fn axe() -> Option<String> {
    let named = std::env::var_os("AXE").filter(|file| !file.is_empty()).map(PathBuf::from);
    let file = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/axe.min.js"));
    let text = fs::read_to_string(file).ok();
    if text.is_none() {
        skipped("no axe-core: the rules of WCAG; scripts/tools installs it if there is npm");
    }
    text
}

#[test]
fn the_page_meets_wcag_aa() {
    let dir = folder();
    let Some(axe) = axe() else { return };
    let Some(mut page) = reference_page(&dir) else { return };
    page.ask("for (const fold of document.querySelectorAll('details')) fold.open = true");
    page.ask(&format!("{axe}; typeof axe"));
    for (width, height, phone) in [(1280, 800, false), (390, 844, true)] {
        page.resize(width, height, phone);
        for colours in ["light", "dark"] {
            page.dress("screen", colours);
            assert_none(&page.list("check.axe()"), &format!("WCAG at {width} in {colours}"));
        }
    }
    // Positive control: a violation is found.
    page.ask("document.querySelector('html').removeAttribute('lang')");
    let found = page.list("check.axe()");
    assert!(found.iter().any(|violation| violation.starts_with("html-has-lang")), "{found:?}");
}

#[test]
fn names_are_escaped() {
    let (dir, from) = (folder(), folder());
    let Some(mut page) = Page::empty() else { return };
    let (layout, map) = ("</script><script>alert(1)</script>", "\"><img src=x onerror=alert(2)>");
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let reference = fs::read_to_string(reference_run().join("samples.jsonl")).unwrap();
    let row: Value = serde_json::from_str(reference.lines().next().unwrap()).unwrap();
    let (old_map, old_layout) = (row["map"].as_str().unwrap(), "sparse");
    let manifest = fs::read_to_string(reference_run().join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let cpu = manifest["environment"]["cpu"].as_str().unwrap();
    let run = copy_of_reference(
        from.path(),
        &[
            (&format!("\"layout\":{}", quoted(old_layout)), &format!("\"layout\":{}", quoted(layout))),
            (&quoted(old_map), &quoted(map)),
            (&quoted(cpu), &quoted("<b id=made>&amp;</b>")),
        ],
        &[],
    );
    show(&mut page, &dir, &[run]);
    assert!(page.list("check.layouts()").iter().any(|name| name == layout), "{:?}", page.list("check.layouts()"));
    let visible = "(() => { const copy = document.body.cloneNode(true); copy.querySelectorAll('script, \
                   style').forEach((node) => node.remove()); return copy.textContent; })()";
    let visible = page.ask(visible);
    for name in [layout, map] {
        assert!(visible.as_str().unwrap().contains(name), "{name} is not shown literally");
    }
    let made = "[...document.querySelectorAll('img[src=x], #made, [onerror]')].map((element) => \
                element.outerHTML).concat([...document.scripts].map((script) => script.text).filter((text) => \
                text.startsWith('alert')))";
    assert_none(&page.list(made), "elements created from a name");
    // Figures and their data are still valid.
    for name in drawn(&mut page) {
        let text = page.ask(&format!("check.data('figure-{name}', 'json')"));
        serde_json::from_str::<Value>(text.as_str().unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    let ticks = "[...document.querySelectorAll('input[name=layout]')].map((box) => box.value)";
    assert!(page.list(ticks).iter().any(|name| name == layout), "there is no checkbox for {layout}");
    assert_none(&page.trouble(), "trouble");
}

/// Names from right to left and of 200 letters: no part of the page is pushed out of sight, and no sentence reversed.
#[test]
fn odd_names_stay_legible() {
    let (dir, from) = (folder(), folder());
    let Some(mut page) = Page::empty() else { return };
    let long = "layout-of-".repeat(20);
    let (hebrew, reversing) = ("\u{5e4}\u{5e8}\u{5d9}\u{5e1}\u{5d4}", "abc\u{202e}def");
    let names = [("sparse", long.as_str()), ("dax", hebrew), ("segments", reversing)];
    let quoted = |name: &str| format!("\"layout\":{}", serde_json::to_string(name).unwrap());
    let words: Vec<(String, String)> = names.iter().map(|(old, new)| (quoted(old), quoted(new))).collect();
    let words: Vec<(&str, &str)> = words.iter().map(|(old, new)| (old.as_str(), new.as_str())).collect();
    show(&mut page, &dir, &[copy_of_reference(from.path(), &words, &[])]);
    let text = page.ask("document.body.textContent");
    let text = text.as_str().unwrap();
    assert!(text.contains(&long) && text.contains(hebrew), "names are shown whole");
    assert!(text.contains("abc\u{fffd}def") && !text.contains('\u{202e}'), "nothing reverses the text after it");
    for (width, height, phone) in [(1280, 800, false), (390, 844, true)] {
        page.resize(width, height, phone);
        assert_none(&page.list(&format!("check.wide({width})")), &format!("wider than {width}"));
        assert_none(&page.list(&format!("check.wideFigures({width})")), &format!("figures wider than {width}"));
        assert_none(&page.list("check.overlaps()"), &format!("overlapping labels at {width}"));
        assert_none(&page.list("check.cut()"), &format!("labels cut off at {width}"));
    }
    assert_none(&page.trouble(), "trouble");
}

#[test]
fn figures_without_data_say_so() {
    let dir = folder();
    let Some(mut page) = Page::empty() else { return };
    let result = json(&mut smoke(&dir, &["--json", "--filter", "^pfn_valid/.*/random"]));
    show(&mut page, &dir, &[dir.path().join(result["run"].as_str().unwrap())]);
    let drawn = drawn(&mut page);
    assert!(drawn.iter().any(|name| name == "map"), "{drawn:?}");
    for without in ["hot-add-percentiles", "hot-remove-percentiles", "phases", "readers"] {
        assert!(drawn.iter().all(|name| name != without), "{without} is drawn without data");
    }
    let names = page.list("check.figures().map((figure) => figure.name)");
    assert!(FIGURES.iter().all(|name| names.iter().filter(|known| known == name).count() == 1), "{names:?}");
    assert_none(&page.list("check.broken()"), "labels and marks without a value");
    assert_none(&page.trouble(), "trouble");
}

#[test]
fn runs_and_machines_are_compared() {
    let (dir, from) = (folder(), folder());
    let Some(mut page) = Page::empty() else { return };
    let manifest = fs::read_to_string(reference_run().join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let machine = manifest["environment"]["machine_id"].as_str().unwrap();
    let day = &manifest["started"].as_str().unwrap()[..10];
    let (short, other) = (day.replace('-', ""), "aarch64-64cpu-512g-0123abcd");
    // Two machines with all layouts would exceed the size of a page.
    let others = ["segments", "subsection-v6", "linux-5.2", "linux-6.1", "compiled-6.1", "dax-x86"];
    let copy = |words: &[(&str, &str)]| copy_of_reference(from.path(), words, &others);
    let (first, later) = (copy(&[]), copy(&[(day, "2030-01-02"), (&short, "20300102")]));
    let elsewhere = copy(&[(machine, other)]);
    for (runs, more) in [
        (vec![first.clone(), later.clone()], vec!["trend"]),
        (vec![first, later, elsewhere], vec!["trend", "machines"]),
    ] {
        show(&mut page, &dir, &runs);
        let drawn = drawn(&mut page);
        assert!(more.iter().all(|name| drawn.iter().any(|known| known == name)), "{more:?} of {drawn:?}");
        let ids = page.list("check.figures().map((figure) => figure.id)");
        let mut once = ids.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), ids.len(), "ids are unique: {ids:?}");
        for name in FIGURES {
            // The capacity figure is not specific to a machine.
            let of_machines = more.contains(&"machines") && name != "capacity";
            let second = ids.contains(&format!("figure-{name}-2"));
            assert!(ids.contains(&format!("figure-{name}")) && second == of_machines, "{name}: {ids:?}");
        }
        assert_none(&page.list("check.broken()"), "labels and marks without a value");
        assert_none(&page.list("check.overlaps()"), "overlapping labels");
        assert_none(&page.list("check.wide(1280)"), "wider than the window");
        assert_none(&page.trouble(), "trouble");
    }
}

#[test]
fn a_hanging_page_times_out_and_leaves_no_process() {
    let Some(page) = Page::empty() else { return };
    let profile = page.profile().to_owned();
    assert!(!processes(&profile).is_empty());
    let mut page = page.within(Duration::from_secs(2));
    let begin = Instant::now();
    // The panic drops the page, as in a failing test.
    let hung = catch_unwind(AssertUnwindSafe(move || page.ask("for (;;) {}")));
    let said = hung.unwrap_err().downcast::<String>().unwrap();
    assert!(said.contains("no answer within 2s"), "{said}");
    assert!(begin.elapsed() < Duration::from_secs(30));
    assert!(processes(&profile).is_empty() && !profile.exists());
}
