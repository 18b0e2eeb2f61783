//! The published schema: it matches the types, run folders are valid against it, and no run folder
//! names a person or a host.

mod common;

use common::{SMALL_MAP, folder, json, pfnbench, smoke};
use jsonschema::Validator;
use memmap_layouts::X86_64;
use pfnbench::analysis::compare;
use pfnbench::case::layouts;
use pfnbench::record::instructions::{InstructionRow, Toolchain, cases};
use pfnbench::record::layout_note::LayoutNote;
use pfnbench::record::manifest::{self, Manifest, MapNote, Tool};
use pfnbench::record::{instructions, row};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::sync::LazyLock;
use tempfile::TempDir;

fn results() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../results")
}

fn published(version: u64) -> Value {
    let path = results().join(format!("schema/v{version}.json"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The schema of the current version.
fn current() -> Value {
    published(row::SCHEMA.into())
}

/// A validator for a definition of the current version.
fn validator(definition: &str) -> Validator {
    validator_of(current(), definition)
}

fn validator_of(mut schema: Value, definition: &str) -> Validator {
    assert!(schema["$defs"][definition].is_object(), "{definition}");
    let object = schema.as_object_mut().unwrap();
    object.remove("oneOf");
    object.insert("$ref".to_owned(), format!("#/$defs/{definition}").into());
    compiled(&schema)
}

fn compiled(schema: &Value) -> Validator {
    jsonschema::draft202012::options().should_validate_formats(true).build(schema).unwrap()
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn manifest(run: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(run.join("manifest.json")).unwrap()).unwrap()
}

fn assert_valid(validator: &Validator, value: &Value, what: &str) {
    let errors: Vec<String> =
        validator.iter_errors(value).map(|error| format!("{} at {}", error, error.instance_path())).collect();
    assert!(errors.is_empty(), "{what}: {}", errors.join("; "));
}

/// Validates every line and file of a run.
fn assert_run_is_valid(run: &Path) {
    let what = |name: &str| format!("{} of {}", name, run.display());
    // Everything is also valid against the whole document.
    let schema = published(manifest(run)["schema"].as_u64().unwrap());
    let validator = |definition: &str| validator_of(schema.clone(), definition);
    let (rows, any) = (validator("Row"), compiled(&schema));
    let samples = lines(&run.join("samples.jsonl"));
    assert!(!samples.is_empty());
    for row in &samples {
        assert_valid(&rows, row, &what("samples.jsonl"));
    }
    assert_valid(&any, &samples[0], &what("samples.jsonl"));
    assert_valid(&validator("Manifest"), &manifest(run), &what("manifest.json"));
    assert_valid(&any, &manifest(run), &what("manifest.json"));
    let counts = run.join(instructions::FILE_NAME);
    if counts.exists() {
        lines(&counts)
            .iter()
            .for_each(|row| assert_valid(&validator("InstructionRow"), row, &what("instructions.jsonl")));
    }
}

/// A run that the tests share, and its folder.
static SMOKE: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let dir = folder();
    let counts = dir.path().join("counts.jsonl");
    let rows: Vec<_> = cases().iter().map(|case| InstructionRow::new(case, 7168, 1024, &Toolchain::this())).collect();
    instructions::write(&counts, &rows).unwrap();
    let result = json(&mut smoke(&dir, &["--json", "--instructions", counts.to_str().unwrap()]));
    let run = dir.path().join(result["run"].as_str().unwrap());
    (dir, run)
});

#[test]
fn the_published_schema_matches_the_types() {
    let printed = json(pfnbench().arg("schema"));
    assert!(printed == current(), "results/schema/v2.json is outdated; run pfnbench schema > results/schema/v2.json");
    let version = |definition: &str, field: &str| printed["$defs"][definition]["properties"][field]["const"].clone();
    assert_eq!(version("Row", "v"), row::SCHEMA);
    assert_eq!(version("Manifest", "schema"), manifest::SCHEMA);
    assert_eq!(version("InstructionRow", "v"), instructions::SCHEMA);
    jsonschema::draft202012::meta::validate(&printed).unwrap();
    // Every field has a description.
    for (name, definition) in printed["$defs"].as_object().unwrap() {
        for (field, property) in definition["properties"].as_object().into_iter().flatten() {
            assert!(property["description"].is_string(), "{name}.{field}");
        }
    }
}

#[test]
fn a_run_is_valid_against_the_schema() {
    let run = &SMOKE.1;
    assert!(run.join(instructions::FILE_NAME).exists(), "the run has no instruction counts");
    assert_run_is_valid(run);
    let described = fs::read_to_string(results().join("README.md")).unwrap();
    for entry in fs::read_dir(run).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(described.contains(&format!("`{name}`")), "results/README.md does not describe {name}");
    }
}

#[test]
fn current_and_older_manifests_are_read() {
    let written = manifest(&SMOKE.1);
    let read: Manifest = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(read.tool, Tool::THIS);
    let layouts = layouts::<X86_64>();
    let (bound, raced) = read.layouts.split_last().unwrap();
    assert_eq!(bound.id, "no-check");
    assert_eq!(raced, layouts.iter().map(LayoutNote::new::<X86_64>).collect::<Vec<_>>(), "every layout was raced");
    assert_eq!(serde_json::to_value(&read).unwrap(), written);
    // Later fields may be missing, in the manifest and in each map.
    let map = read.map.clone();
    let note = serde_json::to_value(MapNote::new(&map, 128 << 20)).unwrap();
    assert_eq!((note["end_bytes"].as_u64(), note["ram_bytes"].as_u64()), (Some(map.end()), Some(map.ram_bytes())));
    assert_eq!(note["nr_sections"], 3, "of a machine with 320 MiB");
    let before = ["end_bytes", "ram_bytes", "nr_sections"].iter().fold(note, |note, field| without(&note, field));
    let before = with(&without(&written, "layouts"), "other_maps", json!([before]));
    assert_valid(&validator("Manifest"), &before, "a manifest of before");
    let read: Manifest = serde_json::from_value(before).unwrap();
    assert_eq!((read.layouts.len(), read.other_maps[0].ram_bytes), (0, None));
}

#[test]
fn the_reference_runs_are_complete_and_valid() {
    // The folder also contains the report of the runs, with a folder of pictures.
    let folders = |dir: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).collect()
    };
    let runs: Vec<PathBuf> =
        folders(&results().join("reference")).iter().flat_map(|machine| folders(machine)).collect();
    assert!(!runs.is_empty());
    for run in runs {
        let read = compare::read(&run).unwrap();
        assert_eq!(run.parent().and_then(Path::file_name).unwrap().to_str(), Some(read.machine.as_str()));
        assert_run_is_valid(&run);
        let _: Manifest = serde_json::from_value(manifest(&run)).unwrap();
        for (name, contents) in contents(&run) {
            assert!(!contents.contains("Kernel code"), "{name}");
        }
    }
}

/// Schema 1 called added memory `hot`, and the field `sections`.
#[test]
fn rows_of_schema_1_are_converted() {
    let row = lines(&SMOKE.1.join("samples.jsonl")).into_iter().find(|row| row["memory"] == "added").unwrap();
    let old = with(&with(&without(&row, "memory"), "sections", json!("hot")), "v", json!(1));
    assert_valid(&validator_of(published(1), "Row"), &old, "a row of schema 1");
    assert!(!validator("Row").is_valid(&old));
    let read: row::Row = serde_json::from_value(old).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), with(&row, "v", json!(1)));

    let count = InstructionRow::new(&cases()[0], 7168, 1024, &Toolchain::this());
    let new = serde_json::to_value(&count).unwrap();
    let old = with(&with(&without(&new, "memory"), "sections", new["memory"].clone()), "v", json!(1));
    assert_valid(&validator_of(published(1), "InstructionRow"), &old, "a count of schema 1");
    assert_eq!(serde_json::from_value::<InstructionRow>(old).unwrap().limit_name(), count.limit_name());
}

#[test]
fn instruction_counts_are_valid_against_the_schema() {
    let validator = validator("InstructionRow");
    let mut toolchain = Toolchain::this();
    for flags in ["", "-C target-cpu=native"] {
        toolchain.rustflags = flags.to_owned();
        for case in cases() {
            let row = serde_json::to_value(InstructionRow::new(&case, 7168, 1024, &toolchain)).unwrap();
            assert_valid(&validator, &row, &case.name());
            assert!(!validator.is_valid(&with(&row, "n_ops", json!(-1))));
            assert!(!validator.is_valid(&with(&row, "unit", json!("ns/op"))));
            assert!(!validator.is_valid(&with(&row, "host", json!("x"))));
            assert!(!validator.is_valid(&without(&row, "rustc")));
        }
    }
}

fn with(value: &Value, field: &str, other: Value) -> Value {
    let mut changed = value.clone();
    changed[field] = other;
    changed
}

fn without(value: &Value, field: &str) -> Value {
    let mut changed = value.clone();
    changed.as_object_mut().unwrap().remove(field);
    changed
}

#[test]
fn invalid_rows_are_rejected() {
    let validator = validator("Row");
    let rows = lines(&SMOKE.1.join("samples.jsonl"));
    let row = rows.iter().find(|row| row["metric"] == "time" && row["status"] == "ok").unwrap();
    assert_valid(&validator, row, "a row");
    let required = current()["$defs"]["Row"]["required"].clone();
    for field in required.as_array().unwrap() {
        assert!(!validator.is_valid(&without(row, field.as_str().unwrap())), "without {field}");
    }
    for (field, wrong) in [
        ("v", json!(row::SCHEMA + 1)),
        ("status", json!("fine")),
        ("memory", json!("cold")),
        ("tables", json!("warm")),
        ("doctor", json!("good")),
        ("layout", json!(1)),
        ("process", json!(-1)),
        ("process", json!(0.5)),
        ("value", json!("12")),
        // Absent fields are omitted. A null would mean a value that is not a number.
        ("value", json!(null)),
        ("reason", json!(null)),
        ("memory", json!(null)),
        ("hostname", json!("x")),
    ] {
        assert!(!validator.is_valid(&with(row, field, wrong.clone())), "{field}: {wrong}");
    }
    // A measured row has a value.
    assert!(!validator.is_valid(&without(row, "value")));
    assert!(validator.is_valid(&with(&without(row, "value"), "status", json!("not_offered"))));
    let any = compiled(&current());
    assert!(any.is_valid(row) && !any.is_valid(&with(row, "hostname", json!("x"))) && !any.is_valid(&json!({})));
}

#[test]
fn invalid_manifests_are_rejected() {
    let validator = validator("Manifest");
    let manifest = manifest(&SMOKE.1);
    // Older or undisturbed runs do not have these fields.
    let tolerated = ["layouts", "margin", "interference"];
    for field in manifest.as_object().unwrap().keys() {
        let is_valid = validator.is_valid(&without(&manifest, field));
        assert_eq!(is_valid, tolerated.contains(&field.as_str()), "without {field}");
    }
    for (field, wrong) in
        [("tier", json!("long")), ("schema", json!(0)), ("started", json!("today")), ("user", json!("x"))]
    {
        assert!(!validator.is_valid(&with(&manifest, field, wrong.clone())), "{field}: {wrong}");
    }
    for (inner, wrong) in [("environment", "hostname"), ("tool", "path"), ("map", "file")] {
        let mut changed = manifest.clone();
        changed[inner][wrong] = json!("x");
        assert!(!validator.is_valid(&changed), "{inner}.{wrong}");
    }
}

/// Name of a person, which is part of the name of every folder and of the host.
const PERSON: &str = "zebediah";

/// A memory map with recognisable kernel addresses.
const PRIVATE_MAP: &str = "\
00001000-0009ffff : System RAM
000a0000-000fffff : Reserved
  000c0000-000c7fff : Video ROM
00100000-13ffffff : System RAM
  02a4b000-0377dfff : Kernel code
  0379d000-04c7bfff : Kernel rodata
20000000-2fffffff : PCI Bus 0000:00
  2e7c4000-2e7c7fff : 0000:00:1f.3
    2e7c4000-2e7c7fff : SERIAL-7QX93
";

/// Name of the folder for run folders.
const PUBLISHED: &str = "published";

/// Words that no file may contain, in addition to the names of the person and of the real host.
const PRIVATE_WORDS: [&str; 9] = [
    "Kernel code",
    "Kernel rodata",
    "2a4b000",
    "377dfff",
    "379d000",
    "4c7bfff",
    "0000:00:1f.3",
    "SERIAL-7QX93",
    env!("CARGO_MANIFEST_DIR"),
];

/// Name and text of every file in a folder and its subfolders.
fn contents(dir: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            files.push((path.file_name().unwrap().to_string_lossy().into_owned(), text));
        }
    }
    files
}

/// A command prefix that sets the host name to the name of the person; empty if this user cannot
/// set it.
fn on_host() -> Vec<&'static str> {
    let script = "echo zebediahs-laptop > /proc/sys/kernel/hostname && exec \"$0\" \"$@\"";
    for unshare in [&["unshare", "--uts"][..], &["unshare", "--user", "--map-root-user", "--uts"]] {
        let command = [unshare, &["sh", "-c", script]].concat();
        let named = Process::new(command[0]).args(&command[1..]).args(["uname", "-n"]).output();
        if named.is_ok_and(|output| output.stdout == b"zebediahs-laptop\n") {
            return command;
        }
    }
    eprintln!("skipped: this user cannot set a host name, so the test searches for that of this machine");
    Vec::new()
}

/// Makes a run as the person, in folders of the person. Returns the folder that contains
/// [`PUBLISHED`]. Without a map, the run uses the map of this machine and one that the workload
/// names.
fn run_as_person(backing: &str, with_map: bool, arguments: &[&str]) -> TempDir {
    let dir = tempfile::Builder::new().prefix(PERSON).tempdir().unwrap();
    let home = dir.path();
    let workload = home.join("workloads");
    fs::create_dir(&workload).unwrap();
    let workload = workload.join("mine.toml");
    let about = "about = \"mine\"\n[[lookups]]\ntier = \"smoke\"\nmaps = [\"this-machine\", \"MAP\"]\nops = [\"pfn_valid\"]\n\
                 patterns = [\"random\"]\n[[hotplug]]\ntier = \"smoke\"\nsizes = [\"2 MiB\"]\n";
    let other = home.join("other.txt");
    fs::write(&other, SMALL_MAP).unwrap();
    fs::write(&workload, about.replace("MAP", other.to_str().unwrap())).unwrap();
    fs::write(home.join("private.txt"), PRIVATE_MAP).unwrap();
    let output = home.join(PUBLISHED);
    let start = on_host();
    let program = env!("CARGO_BIN_EXE_pfnbench");
    let mut command = match start.split_first() {
        Some((first, rest)) => {
            let mut command = Process::new(first);
            command.args(rest).arg(program);
            command
        }
        None => Process::new(program),
    };
    command.current_dir(home).args(["run", "--records-limit", "64M"]);
    command.arg("--workload").arg(&workload).arg("-o").arg(&output).args(["--backing", backing]).args(arguments);
    if with_map {
        command.arg("--map").arg(home.join("private.txt"));
    }
    for variable in ["USER", "LOGNAME", "HOSTNAME"] {
        command.env(variable, PERSON);
    }
    let ran = command.env("HOME", home).env("PWD", home).output().unwrap();
    assert!(output.is_dir(), "{}", String::from_utf8_lossy(&ran.stderr));
    dir
}

/// Asserts that no file names the person, the host or other private data.
fn assert_names_nobody(published: &Path) {
    let iomem = fs::read_to_string("/proc/iomem").unwrap_or_default();
    let kernel = iomem.lines().filter(|line| line.contains(" : Kernel "));
    let ends = kernel.flat_map(|line| line.trim().split([' ', '-']).take(2)).map(|end| end.trim_start_matches('0'));
    // Without root, all addresses are 0. Round or purely decimal ones may equal other numbers.
    let is_odd = |end: &&str| end.len() > 6 && !end.ends_with("000") && end.contains(|c: char| c.is_ascii_alphabetic());
    let ends: Vec<&str> = ends.filter(is_odd).collect();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned();
    let files = contents(published);
    assert!(files.iter().any(|(name, _)| name == "SHA256SUMS"), "{files:?}");
    for (name, text) in files {
        assert!(
            !text.contains(PERSON),
            "{name} names a person, or a folder or host of theirs: {}",
            around(&text, PERSON)
        );
        for word in PRIVATE_WORDS.iter().chain(&ends) {
            assert!(!text.contains(word), "{name} contains {word}: {}", around(&text, word));
        }
        // A short host name may be an ordinary word.
        assert!(host.len() < 8 || !text.contains(&host), "{name} names the host: {}", around(&text, &host));
    }
}

fn around(text: &str, word: &str) -> String {
    text.lines().find(|line| line.contains(word)).unwrap_or_default().chars().take(1000).collect()
}

fn run_in(published: &Path) -> PathBuf {
    let machine = fs::read_dir(published).unwrap().next().unwrap().unwrap().path();
    fs::read_dir(machine).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn a_run_folder_names_no_person_or_host() {
    let Ok(tmpfs) = tempfile::Builder::new().prefix(PERSON).tempdir_in("/dev/shm") else {
        panic!("this test needs a tmpfs at /dev/shm");
    };
    let backing = format!("tmpfs:{}", tmpfs.path().display());
    let home = run_as_person(&backing, true, &["--tier", "smoke"]);
    let published = home.path().join(PUBLISHED);
    assert_names_nobody(&published);
    let run = run_in(&published);
    assert_run_is_valid(&run);
    let manifest = manifest(&run);
    let command = manifest["command"].as_str().unwrap();
    for said in ["--map private", "--workload mine.toml", "--backing tmpfs:DIR"] {
        assert!(command.contains(said), "{command}");
    }
    let id = manifest["environment"]["machine_id"].as_str().unwrap();
    let hash = id.rsplit('-').next().unwrap();
    assert!(hash.len() == 8 && hash.chars().all(|c| c.is_ascii_hexdigit()), "{id}");
}

#[test]
fn error_rows_name_no_person_or_host() {
    let dir = tempfile::Builder::new().prefix(PERSON).tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let backing = format!("file:{}", dir.path().display());
    // The cases take longer than a second, so they are aborted and get error rows.
    let home = run_as_person(
        &backing,
        false,
        &["--case-timeout", "1", "--tier", "full", "--processes", "1", "--filter", "^(hotplug|pfn_valid/boot)"],
    );
    let published = home.path().join(PUBLISHED);
    assert_names_nobody(&published);
    let run = run_in(&published);
    assert_run_is_valid(&run);
    let rows = lines(&run.join("samples.jsonl"));
    let failed: Vec<&Value> = rows.iter().filter(|row| row["status"] == "error").collect();
    assert_eq!(manifest(&run)["other_maps"][0]["name"], "other");
    assert!(!failed.is_empty() && failed.iter().all(|row| row["backing"] == "file"), "{failed:?}");
}
