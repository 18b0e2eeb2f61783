//! `pfnbench namespace` on files, and the same operations as a library.

mod described;
mod kernels;
mod kills;
mod library;
mod media;
mod namespaces;
mod places;
mod plans;
mod regions;
mod scenes;

use assert_cmd::Command;
use memmap_layouts::nvdimm::Host;
use memmap_layouts::nvdimm::region::{Personality, Region};
use memmap_layouts::nvdimm::storage::{Access, StorageFile};
use memmap_layouts::rules::RuleSet;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn namespace(args: &[&str]) -> assert_cmd::assert::Assert {
    Command::cargo_bin("pfnbench").unwrap().arg("namespace").args(args).assert()
}

fn json(args: &[&str]) -> Value {
    let output = namespace(args).success().get_output().stdout.clone();
    serde_json::from_slice(&output).unwrap()
}

/// A region on tmpfs.
struct Pmem {
    dir: TempDir,
}

impl Pmem {
    fn new(size: &str) -> Self {
        let pmem = Self { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
        pmem.run("region", &["--size", size]).success();
        pmem
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("pmem0")
    }

    fn run(&self, verb: &str, args: &[&str]) -> assert_cmd::assert::Assert {
        Command::cargo_bin("pfnbench").unwrap().args(["namespace", verb]).arg(self.path()).args(args).assert()
    }

    fn bytes(&self) -> (Vec<u8>, Vec<u8>) {
        (fs::read(self.path()).unwrap(), fs::read(self.dir.path().join("pmem0.labels")).unwrap())
    }
}

/// Replaces arguments by the ones that a refusal suggests.
fn replaced(args: &[&str], suggestion: &str) -> Vec<String> {
    let mut args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let mut words = suggestion.split_whitespace().peekable();
    while let Some(option) = words.next() {
        let value = words.next_if(|next| !next.starts_with("--"));
        let position = args.iter().position(|arg| arg == option);
        match (position, value) {
            (Some(at), Some(value)) => args[at + 1] = value.to_owned(),
            (Some(_), None) => {}
            (None, value) => args.extend([Some(option), value].into_iter().flatten().map(str::to_owned)),
        }
    }
    args
}

/// Arguments that a refusal suggests, from its JSON.
fn suggestions(error: &Value) -> Vec<String> {
    error["works"].as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}
