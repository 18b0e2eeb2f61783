//! `pfnbench new-layout`: the files that it writes, and invalid arguments. CI also builds and
//! measures the crate.

mod common;

use common::{folder, json, pfnbench};
use predicates::str::contains;
use std::fs;

#[test]
fn a_complete_crate_is_written() {
    let dir = folder();
    let made = json(pfnbench().current_dir(&dir).args(["new-layout", "my-array", "--crate", "a/b", "--json"]));
    let files: Vec<&str> = made["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
    assert_eq!(files, ["Cargo.toml", "README.md", "src/lib.rs", "src/main.rs", "tests/layout.rs"]);
    let text = |name: &str| fs::read_to_string(dir.path().join("a/b").join(name)).unwrap();
    assert!(files.iter().all(|file| !text(file).contains("{{")), "a place was not filled");
    assert!(text("src/lib.rs").contains("const ID: &'static str = \"my-array\";"));
    assert!(text("src/main.rs").contains("pfnbench::layouts![my_array::MyArray]"));
    let manifest: toml::Table = text("Cargo.toml").parse().unwrap();
    assert!(manifest["workspace"].is_table(), "it is a workspace of its own");
    assert!(manifest["dependencies"]["pfnbench"]["path"].is_str());
    let beside = fs::read_dir(dir.path().join("a")).unwrap().count();
    assert_eq!(beside, 1, "nothing is left beside it");
}

#[test]
fn only_an_empty_or_new_folder_is_accepted() {
    let dir = folder();
    let (empty, full) = (dir.path().join("empty"), dir.path().join("full"));
    fs::create_dir(&empty).unwrap();
    fs::create_dir(&full).unwrap();
    fs::write(full.join("x"), "kept").unwrap();
    pfnbench().args(["new-layout", "mine", "--crate"]).arg(&empty).assert().success();
    assert!(empty.join("src/lib.rs").exists());
    for taken in [&full, &full.join("x")] {
        pfnbench().args(["new-layout", "mine", "--crate"]).arg(taken).assert().code(2).stderr(contains("full"));
    }
    let left: Vec<_> = fs::read_dir(&full).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!((left, fs::read_to_string(full.join("x")).unwrap()), (vec!["x".into()], "kept".to_owned()));
}

#[test]
fn an_invalid_name_writes_nothing() {
    let dir = folder();
    for (name, says) in [("My-Layout", "try my-layout"), ("subsection", "try my-subsection"), ("../x", "must have")] {
        let made = dir.path().join("made");
        pfnbench().args(["new-layout", name, "--crate"]).arg(&made).assert().code(2).stderr(contains(says));
        assert!(!made.exists());
    }
}
