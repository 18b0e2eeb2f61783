//! `pfnbench audit`: what it prints, writes and refuses.

mod common;

use common::{file, folder, json, pfnbench};
use jsonschema::draft202012;
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const MACHINE: &str = "\
00001000-0009ffff : System RAM
00100000-bfffffff : System RAM
100000000-143ffffff : System RAM
144000000-243ffffff : Persistent Memory
";

const NDCTL: &str = r#"[{"dev":"region0","size":4294967296,"align":16777216,"available_size":1073741824,"type":"pmem",
"namespaces":[{"dev":"namespace0.0","mode":"devdax","map":"dev","size":3168796672,"align":2097152,"chardev":"dax0.0"}]}]
"#;

const DAXCTL: &str = r#"[{"chardev":"dax0.0","size":3168796672,"target_node":2,"align":2097152,"mode":"system-ram"}]
"#;

fn files(dir: &TempDir) -> [String; 3] {
    [file(dir, "iomem.txt", MACHINE), file(dir, "ndctl.json", NDCTL), file(dir, "daxctl.json", DAXCTL)]
}

fn row<'a>(audit: &'a Value, what: &str) -> &'a Value {
    let rows = audit["rows"].as_array().unwrap();
    rows.iter().find(|row| row["what"] == what).unwrap_or_else(|| panic!("{what}: {audit:#}"))
}

#[test]
fn several_files_are_one_machine_and_a_region_counts_once() {
    let dir = folder();
    let printed = json(pfnbench().arg("audit").arg("--json").args(files(&dir)));
    let audit = &printed["audits"][0];
    // 4 GiB and 64 MiB of RAM, without its first page and the hole below 1 MiB, and 4 GiB of persistent memory.
    assert_eq!(audit["total_bytes"], (4u64 << 30) + (64 << 20) - (0x1000 + 0x6_0000) + (4 << 30));
    assert_eq!(row(audit, "in no namespace")["bytes"], 1 << 30);
    // In RAM, the records would leave no more whole memory blocks.
    assert!(row(audit, "records on the medium")["loss"]["win_back"].is_null());
    assert_eq!(row(audit, "RAM of a device")["bytes"].as_u64().unwrap() % (128 << 20), 0);
    let one = file(&dir, "all.txt", &format!("{MACHINE}---\n{NDCTL}{DAXCTL}"));
    assert_eq!(json(pfnbench().arg("audit").arg("--json").arg(&one))["audits"], printed["audits"]);
    // Standard input, and the JSON that was printed.
    let again = pfnbench().args(["audit", "--json", "-"]).write_stdin(printed.to_string()).output().unwrap();
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(again["audits"][0]["rows"], audit["rows"]);
}

#[test]
fn the_json_is_valid_against_its_published_schema() {
    let dir = folder();
    for (subject, printed) in [
        ("audit", json(pfnbench().arg("audit").arg("--json").args(files(&dir)))),
        ("map", json(pfnbench().arg("map").arg("--json").arg(&files(&dir)[0]))),
    ] {
        let schema = json(pfnbench().args(["schema", subject]));
        let published = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../results/schema/{subject}-v1.json"));
        let published: Value = serde_json::from_str(&fs::read_to_string(published).unwrap()).unwrap();
        assert!(schema == published, "results/schema/{subject}-v1.json is outdated; run pfnbench schema {subject}");
        draft202012::meta::validate(&schema).unwrap();
        let validator = draft202012::new(&schema).unwrap();
        let errors: Vec<String> = validator.iter_errors(&printed).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{subject}: {errors:?}");
    }
}

#[test]
fn both_sides_of_a_change_stand_side_by_side() {
    let dir = folder();
    let printed = json(pfnbench().args(["audit", "--json", "--kernel", "5.2", "--kernel", "6.12"]).args(files(&dir)));
    let [before, since] = &printed["audits"].as_array().unwrap()[..] else { panic!("{printed:#}") };
    assert_eq!((&before["kernel"], &since["kernel"]), (&"5.2".into(), &"6.12".into()));
    assert_eq!(before["total_bytes"], since["total_bytes"]);
    assert_eq!(row(before, "padding at the start")["bytes"], 64 << 20);
    let text =
        pfnbench().arg("audit").args(["--kernel", "5.2", "--kernel", "6.12"]).args(files(&dir)).assert().success();
    text.stdout(contains("Linux 5.2")).stdout(contains("Linux 6.12")).stdout(contains("padding at the start"));
}

#[test]
fn pages_and_pictures_are_written_and_names_are_escaped() {
    let dir = folder();
    let evil = file(&dir, "<b>x&.txt", MACHINE);
    let (page, picture) = (dir.path().join("a.html"), dir.path().join("a.svg"));
    pfnbench().arg("audit").arg(&evil).arg("-o").arg(&page).arg("-o").arg(&picture).assert().success();
    let (page, picture) = (fs::read_to_string(page).unwrap(), fs::read_to_string(picture).unwrap());
    assert!(page.starts_with("<!doctype html>") && page.contains("records of RAM") && page.contains("<svg"));
    assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
    for text in [&page, &picture] {
        assert!(!text.contains("<b>") && text.contains("&lt;b&gt;x&amp;"), "{text}");
    }
    let bad = dir.path().join("a.pdf");
    pfnbench().arg("audit").arg(&evil).arg("-o").arg(&bad).assert().code(2).stderr(contains("audit.svg"));
    assert!(!bad.exists());
}

#[test]
fn what_cannot_be_read_is_refused() {
    let dir = folder();
    let [iomem, ..] = files(&dir);
    let refused = |args: &[&str]| {
        let output = pfnbench().arg("audit").arg(&iomem).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused(&["--kernel", "old"]).contains("is not a version of Linux"));
    assert!(refused(&["--block-size", "3M"]).contains("power of two"));
    assert!(refused(&["--shift", "1"]).contains("multiple of a page"));
    assert!(refused(&["--shift", "99E"]).contains("2^64"));
    assert!(refused(&["/does/not/exist"]).contains("/does/not/exist"));
    assert!(refused(&["builtin:vm-20g"]).contains("without other files"));
    let damaged = file(&dir, "damaged.json", "[{\"dev\":\"region0\",\n\"size\":12");
    assert!(refused(&[&damaged]).contains("damaged.json: line 2"));
    let five: Vec<&str> = std::iter::repeat_n(["--kernel", "6.1"], 5).flatten().collect();
    assert!(refused(&five).contains("at most 4"));
    // Words are named, and fail only if asked.
    let words = file(&dir, "words.txt", "some words\n");
    pfnbench().arg("audit").args([&iomem, &words]).assert().success().stderr(contains("not understood"));
    pfnbench().arg("audit").arg("--strict").args([&iomem, &words]).assert().code(1);
}

#[test]
fn a_shift_moves_everything_but_ram() {
    let dir = folder();
    let of = |shift: &str| json(pfnbench().args(["audit", "--json", "--shift", shift]).args(files(&dir)));
    let (still, moved) = (of("0"), of("64M"));
    assert_eq!(still["audits"][0]["total_bytes"], moved["audits"][0]["total_bytes"]);
    // The device begins at another place of its memory block.
    assert_ne!(
        row(&still["audits"][0], "in front of whole blocks"),
        row(&moved["audits"][0], "in front of whole blocks")
    );
    let refused = of("1M");
    assert_eq!(row(&refused["audits"][0], "refused at its new address")["of"], "namespace0.0");
    assert_eq!(of("-64M")["audits"][0]["total_bytes"], still["audits"][0]["total_bytes"]);
}
