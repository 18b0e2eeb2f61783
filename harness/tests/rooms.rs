//! The allowed dependencies between the modules of `harness/src`.

use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Modules, each with the modules that it may use. A module may use only modules before it.
const ROOMS: [(&str, &[&str]); 14] = [
    ("files", &[]),
    ("interrupt", &[]),
    ("size", &[]),
    ("units", &[]),
    ("case", &[]),
    ("map", &["size"]),
    ("workload", &["files", "size", "case", "map"]),
    ("record", &["files", "size", "case", "map", "workload"]),
    ("analysis", &["files", "units", "case", "record"]),
    ("pmem", &["interrupt", "size"]),
    ("engine", &["interrupt", "case", "map", "workload", "record", "analysis"]),
    ("run", &["interrupt", "case", "map", "workload", "record", "analysis", "engine"]),
    ("present", &["units", "case", "map", "record", "analysis", "pmem"]),
    (
        "cli",
        &[
            "files",
            "interrupt",
            "size",
            "units",
            "case",
            "map",
            "workload",
            "record",
            "analysis",
            "pmem",
            "engine",
            "run",
            "present",
        ],
    ),
];

fn rust_files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// Modules that a source text uses, each with the line number.
fn imports(text: &str) -> Vec<(usize, String)> {
    let path = Regex::new(r"\bcrate::(\w+)").unwrap();
    let group = Regex::new(r"\bcrate::\{").unwrap();
    let mut found = Vec::new();
    for (nr, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        assert!(!group.is_match(line), "line {}: write one `use` per module, which this test can parse", nr + 1);
        found.extend(path.captures_iter(line).map(|room| (nr + 1, room[1].to_owned())));
    }
    found
}

#[test]
fn a_module_uses_only_modules_to_its_left() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let may: BTreeMap<&str, &[&str]> = ROOMS.into_iter().collect();
    let (mut files, mut wrong, mut arrows) = (Vec::new(), Vec::new(), BTreeSet::new());
    rust_files(&src, &mut files);
    for file in files {
        let within = file.strip_prefix(&src).unwrap();
        let first = within.iter().next().unwrap().to_str().unwrap();
        let room = first.trim_end_matches(".rs");
        if ["lib", "main"].contains(&room) {
            continue;
        }
        let allowed = may.get(room).unwrap_or_else(|| panic!("{first} is in no room of this test"));
        for (line, to) in imports(&fs::read_to_string(&file).unwrap()) {
            if to == room || !may.contains_key(to.as_str()) {
                continue;
            }
            if allowed.contains(&to.as_str()) {
                arrows.insert((room.to_owned(), to));
            } else {
                wrong.push(format!("{}:{line}: {room} must not know {to}", within.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let unused = ROOMS.into_iter().flat_map(|(room, allowed)| allowed.iter().map(move |to| (room, *to)));
    let unused: Vec<_> =
        unused.filter(|(room, to)| !arrows.contains(&((*room).to_owned(), (*to).to_owned()))).collect();
    assert!(unused.is_empty(), "dependencies that no file uses: {unused:?}");
}

#[test]
fn dependencies_point_to_the_left() {
    let place = |room: &str| ROOMS.iter().position(|(known, _)| *known == room).unwrap();
    for (room, allowed) in ROOMS {
        assert!(allowed.iter().all(|to| place(to) < place(room)), "{room}");
    }
    let present = ROOMS.iter().find(|(room, _)| *room == "present").unwrap().1;
    assert!(!present.contains(&"engine") && !present.contains(&"run"));
}

#[test]
fn imports_are_found_in_every_position() {
    let text = "//! [`crate::cli`]\nuse crate::row::Row;\n    let x = crate::engine::race(crate::case::OPS);\n";
    let found: Vec<String> = imports(text).into_iter().map(|(line, room)| format!("{line}:{room}")).collect();
    assert_eq!(found, ["2:row", "3:engine", "3:case"]);
}

/// The compiler does not check paths in documents.
#[test]
fn paths_that_documents_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let path = Regex::new(r"`((?:harness|impls|benches|scripts)/[\w./-]*)`").unwrap();
    let mut nr = 0;
    for document in ["README.md", "CONTRIBUTING.md", "GLOSSARY.md", "METHODOLOGY.md", "impls/README.md"] {
        let text = fs::read_to_string(root.join(document)).unwrap();
        for found in path.captures_iter(&text) {
            // CONTRIBUTING.md uses it as an example of a new layout.
            if &found[1] == "impls/src/layouts/offset.rs" {
                continue;
            }
            assert!(root.join(&found[1]).exists(), "{document}: {}", &found[1]);
            nr += 1;
        }
    }
    assert!(nr > 10, "{nr}");
}
