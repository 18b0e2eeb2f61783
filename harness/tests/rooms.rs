//! The rooms of `harness/src` and the arrows between them: a room knows only rooms to its left.

use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms and single files, each with the ones that it may import besides itself. The files come first: they know nothing.
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

/// Imports of a source text: rooms with the line of each.
fn imports(text: &str) -> Vec<(usize, String)> {
    let path = Regex::new(r"\bcrate::(\w+)").unwrap();
    let group = Regex::new(r"\bcrate::\{").unwrap();
    let mut found = Vec::new();
    for (nr, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        assert!(!group.is_match(line), "line {}: one `use` a room, so that this test can read it", nr + 1);
        found.extend(path.captures_iter(line).map(|room| (nr + 1, room[1].to_owned())));
    }
    found
}

#[test]
fn a_room_knows_only_rooms_to_its_left() {
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
    assert!(unused.is_empty(), "arrows that nothing needs: {unused:?}");
}

#[test]
fn arrows_go_to_the_left() {
    let place = |room: &str| ROOMS.iter().position(|(known, _)| *known == room).unwrap();
    for (room, allowed) in ROOMS {
        assert!(allowed.iter().all(|to| place(to) < place(room)), "{room}");
    }
    let present = ROOMS.iter().find(|(room, _)| *room == "present").unwrap().1;
    assert!(!present.contains(&"engine") && !present.contains(&"run"));
}

#[test]
fn imports_are_found_wherever_they_stand() {
    let text = "//! [`crate::cli`]\nuse crate::row::Row;\n    let x = crate::engine::race(crate::case::OPS);\n";
    let found: Vec<String> = imports(text).into_iter().map(|(line, room)| format!("{line}:{room}")).collect();
    assert_eq!(found, ["2:row", "3:engine", "3:case"]);
}

/// A path in a document is a link that no compiler follows.
#[test]
fn paths_that_documents_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let path = Regex::new(r"`((?:harness|impls|benches|scripts)/[\w./-]*)`").unwrap();
    let mut nr = 0;
    for document in ["README.md", "CONTRIBUTING.md", "GLOSSARY.md", "METHODOLOGY.md", "impls/README.md"] {
        let text = fs::read_to_string(root.join(document)).unwrap();
        for found in path.captures_iter(&text) {
            // The example of a layout that is to be added.
            if &found[1] == "impls/src/layouts/offset.rs" {
                continue;
            }
            assert!(root.join(&found[1]).exists(), "{document}: {}", &found[1]);
            nr += 1;
        }
    }
    assert!(nr > 10, "{nr}");
}
