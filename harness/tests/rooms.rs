//! The allowed dependencies between the modules of `harness/src`.

use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Modules, each with the modules that it may use. A module may use only modules before it.
const ROOMS: [(&str, &[&str]); 23] = [
    ("files", &[]),
    ("interrupt", &[]),
    ("size", &[]),
    ("units", &[]),
    ("kernel_version", &[]),
    ("case", &[]),
    ("map", &["size"]),
    ("strand", &["kernel_version", "map"]),
    ("workload", &["files", "size", "case", "map"]),
    ("record", &["files", "size", "case", "map", "workload"]),
    ("analysis", &["files", "units", "case", "record"]),
    ("budget", &["size", "kernel_version", "case", "analysis"]),
    ("pmem", &["interrupt", "size", "kernel_version", "map"]),
    ("audit", &["kernel_version", "map", "strand", "pmem"]),
    ("message", &["size", "kernel_version", "map"]),
    ("hotplug_check", &["size", "kernel_version", "map", "pmem"]),
    ("kernel", &["files", "kernel_version", "case", "record"]),
    ("running", &["size"]),
    ("judge", &["size", "map", "kernel", "running"]),
    ("engine", &["interrupt", "case", "map", "workload", "record", "analysis", "kernel"]),
    ("run", &["interrupt", "case", "map", "workload", "record", "analysis", "engine"]),
    ("present", &["units", "case", "map", "record", "analysis", "pmem", "audit"]),
    (
        "cli",
        &[
            "files",
            "interrupt",
            "size",
            "units",
            "kernel_version",
            "case",
            "map",
            "strand",
            "workload",
            "record",
            "analysis",
            "budget",
            "pmem",
            "audit",
            "message",
            "hotplug_check",
            "kernel",
            "running",
            "judge",
            "engine",
            "run",
            "present",
        ],
    ),
];

/// Re-exports at the crate root, each with the module that defines it.
const REEXPORTS: [(&str, &str); 3] = [("Layouts", "engine"), ("Run", "run"), ("main_with", "cli")];

/// Names of the crate root that every module may use: a function, a crate and a macro.
const FREE: [&str; 3] = ["version", "memmap_layouts", "layouts"];

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

/// The module that defines a name of the crate root; `None` if every module may use the name.
fn defining_module(name: &str) -> Result<Option<&'static str>, String> {
    if FREE.contains(&name) {
        return Ok(None);
    }
    let reexport = REEXPORTS.into_iter().find(|(known, _)| *known == name).map(|(_, room)| room);
    let module = ROOMS.into_iter().map(|(room, _)| room).find(|room| *room == name);
    reexport.or(module).map(Some).ok_or_else(|| format!("crate::{name} is in no list of this test; add it to one"))
}

/// Number of modules around the text of a file: 1 for `run/mod.rs`, 2 for `run/measure.rs`.
fn file_depth(within_src: &Path) -> usize {
    within_src.iter().filter(|part| *part != "mod.rs").count()
}

/// Number of inline modules around each line. Relies on the indentation of rustfmt.
fn inline_depths(code: &str) -> Vec<usize> {
    let begin = Regex::new(r"^( *)(?:pub(?:\([^)]*\))? )?mod \w+ \{$").unwrap();
    let mut ends: Vec<String> = Vec::new();
    let depth = |line: &str| {
        if ends.last().is_some_and(|end| end == line) {
            ends.pop();
        }
        if let Some(found) = begin.captures(line) {
            ends.push(format!("{}}}", &found[1]));
        }
        ends.len()
    };
    code.lines().map(depth).collect()
}

/// First names of the items of a group, each with its offset. `tree` begins after the brace.
fn group_items(tree: &str) -> Vec<(usize, &str)> {
    let token = Regex::new(r"\w+|[{},*]").unwrap();
    let (mut depth, mut is_new, mut found) = (1, true, Vec::new());
    for token in token.find_iter(tree) {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," => is_new |= depth == 1,
            name if is_new && depth == 1 => {
                found.push((token.start(), name));
                is_new = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

/// Names of the crate root that a source text uses, by `crate::` or by enough `super::`, each with
/// the line number. `file_depth` is that of the file. A `super` within a group is returned as it
/// is, and `*` for all names.
fn imports(file_depth: usize, text: &str) -> Vec<(usize, String)> {
    let path =
        Regex::new(r"\b(?:crate|(?<supers>super(?:\s*::\s*super)*))\s*::\s*(?:(?<name>\w+)|(?<group>\{)|\*)").unwrap();
    let without_comment = |line| if str::trim_start(line).starts_with("//") { "" } else { line };
    let code = text.lines().map(without_comment).collect::<Vec<&str>>().join("\n");
    let depths = inline_depths(&code);
    let line_at = |offset: usize| code[..offset].matches('\n').count();
    let mut found = Vec::new();
    for path in path.captures_iter(&code) {
        let whole = path.get(0).unwrap();
        let supers = path.name("supers").map_or(0, |supers| supers.as_str().matches("super").count());
        let is_root = supers == 0 || supers >= file_depth + depths[line_at(whole.start())];
        let is_group = path.name("group").is_some();
        let names = match path.name("name") {
            Some(name) => vec![(name.start(), name.as_str())],
            None if is_group => {
                let items = group_items(&code[whole.end()..]);
                items.into_iter().map(|(offset, name)| (whole.end() + offset, name)).collect()
            }
            None => vec![(whole.start(), "*")],
        };
        let counts = |name: &str| if name == "super" { is_group } else { is_root };
        let names = names.into_iter().filter(|(_, name)| counts(name));
        found.extend(names.map(|(offset, name)| (line_at(offset) + 1, name.to_owned())));
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
        for (line, name) in imports(file_depth(within), &fs::read_to_string(&file).unwrap()) {
            match defining_module(&name) {
                Ok(None) => {}
                Ok(Some(to)) if to == room => {}
                Ok(Some(to)) if allowed.contains(&to) => {
                    arrows.insert((room.to_owned(), to));
                }
                Ok(Some(to)) => wrong.push(format!("{}:{line}: {room} must not use {to}", within.display())),
                Err(what) => wrong.push(format!("{}:{line}: {what}", within.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let unused = ROOMS.into_iter().flat_map(|(room, allowed)| allowed.iter().map(move |to| (room, *to)));
    let unused: Vec<_> = unused.filter(|(room, to)| !arrows.contains(&((*room).to_owned(), *to))).collect();
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
    assert_eq!(imported(1, text), ["2:row", "3:engine", "3:case"]);
}

fn imported(file_depth: usize, text: &str) -> Vec<String> {
    imports(file_depth, text).into_iter().map(|(line, name)| format!("{line}:{name}")).collect()
}

#[test]
fn names_of_the_crate_root_are_modules_reexports_or_free() {
    assert_eq!(defining_module("case"), Ok(Some("case")));
    let reexports = ["Layouts", "Run", "main_with"].map(defining_module);
    assert_eq!(reexports, ["engine", "run", "cli"].map(|room| Ok(Some(room))));
    assert_eq!(defining_module("version"), Ok(None));
    for unknown in ["cases", "run_with", "super", "*"] {
        assert!(defining_module(unknown).is_err(), "{unknown}");
    }
}

#[test]
fn a_path_of_supers_is_resolved_by_the_file() {
    assert_eq!(["files.rs", "run/mod.rs", "run/measure.rs"].map(|file| file_depth(Path::new(file))), [1, 1, 2]);
    let text = "use super::a;\nuse super::super::b;\npub(super) fn f() {}\nmod tests {\n    use super::*;\n    \
                use super::super::c;\n}\nuse super::*;\n";
    assert_eq!(imported(1, text), ["1:a", "2:b", "6:c", "8:*"]);
    assert_eq!(imported(2, text), ["2:b"]);
    assert!(imported(3, text).is_empty());
    assert_eq!(imported(3, "use super::{super::super::d, e};"), ["1:super"]);
}

#[test]
fn groups_are_found_over_several_lines() {
    let text = "use crate::{\n    case::{self, Layout},\n    // crate::cli\n    map::Map,\n};\nuse crate::\n    \
                {files, super::x};\nuse crate\n    ::size::ByteSize;\nuse super::super::{engine::*, run};\n";
    assert_eq!(imported(2, text), ["2:case", "4:map", "7:files", "7:super", "9:size", "10:engine", "10:run"]);
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
