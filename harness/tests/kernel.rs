//! `pfnbench kernel`, and compiled kernels in a race. The kernel is a model of this project.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use assert_cmd::Command;
use common::{SMALL_MAP, file, folder};
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// `pfnbench` with a cache of its own.
fn pfnbench(dir: &TempDir) -> Command {
    let mut command = Command::cargo_bin("pfnbench").unwrap();
    command.current_dir(dir).env("XDG_CACHE_HOME", dir.path().join("cache"));
    command
}

/// A copy of the model's build folder, with `old` replaced by `new` in one of its files.
fn model(dir: &TempDir, name: &str, old: &str, new: &str) -> PathBuf {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let to = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), to).unwrap();
            }
        }
    }
    let to = dir.path().join("build");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/model_kernel"), &to);
    let path = to.join(name);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(old), "{name} has no {old:?}");
    fs::write(path, text.replace(old, new)).unwrap();
    to
}

fn unchanged(dir: &TempDir) -> PathBuf {
    model(dir, "include/linux/mm.h", "flags", "flags")
}

fn add(dir: &TempDir, build: &Path) -> Command {
    let mut command = pfnbench(dir);
    command.args(["kernel", "add", "--headers"]).arg(build);
    command
}

/// Races the compiled kernel and `subsection`.
fn race(dir: &TempDir) -> Command {
    let map = file(dir, "small.txt", SMALL_MAP);
    let mut command = pfnbench(dir);
    command.args(["run", "--tier", "smoke", "--map", &map, "-o", "r", "--json", "--kernel", "9.8"]);
    command.args(["--layout", "subsection"]);
    command
}

#[test]
fn a_compiled_kernel_is_added_listed_raced_and_removed() {
    let dir = folder();
    add(&dir, &unchanged(&dir)).assert().success().stdout(contains("Linux 9.8.7-model, compiled by"));
    let output = pfnbench(&dir).args(["kernel", "list", "--json"]).assert().success().get_output().stdout.clone();
    let kernels: Value = serde_json::from_slice(&output).unwrap();
    assert_eq!((&kernels[0]["version"], &kernels[0]["release"]), (&json!("9.8"), &json!("9.8.7-model")));

    let mut verify = pfnbench(&dir);
    verify.args(["verify", "--kernel", "9.8", "--map", "builtin:vm-20g"]);
    verify.assert().success().stdout(contains("compiled-9.8").and(contains("linux-6.1")));

    let output = race(&dir).assert().success().get_output().stdout.clone();
    let result: Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(result["summary"]["layouts"], json!(["subsection", "compiled-9.8", "no-check"]));
    let lines = result["summary"]["lookups"].as_array().unwrap();
    for op in ["pfn_valid", "pfn_to_page", "page_to_pfn", "valid_to_page"] {
        for memory in ["boot", "added"] {
            let is_it = |line: &&Value| line["op"] == op && line["memory"] == memory;
            let median = |line: &Value, id: &str| {
                let cells = line["cells"].as_array()?.iter();
                cells.filter(|cell| cell["layout"] == id).find_map(|cell| cell["median_ns"].as_f64())
            };
            let asked: Vec<&Value> = lines.iter().filter(is_it).collect();
            assert!(asked.iter().any(|line| median(line, "compiled-9.8").is_some_and(|ns| ns > 0.0)), "{op} {memory}");
            for line in asked {
                let is_there = |id| median(line, id).is_some();
                assert_eq!(is_there("compiled-9.8"), is_there("subsection"), "{line}");
            }
        }
    }
    let run = dir.path().join(result["run"].as_str().unwrap());
    let manifest: Value = serde_json::from_slice(&fs::read(run.join("manifest.json")).unwrap()).unwrap();
    let kernel = manifest["layouts"].as_array().unwrap().iter().find(|layout| layout["id"] == "compiled-9.8");
    let kernel = &kernel.unwrap()["kernel"];
    assert_eq!(
        (&kernel["release"], &kernel["kernel_compiler"]),
        (&json!("9.8.7-model"), &json!("a compiler of the model"))
    );
    let report = fs::read_to_string(run.join("report.html")).unwrap();
    assert!(report.contains("the lookups of Linux 9.8.7-model, compiled by "), "the report names the kernel");
    let rows = fs::read_to_string(run.join("samples.jsonl")).unwrap();
    let reasons: Vec<&str> =
        rows.lines().filter(|row| row.contains("compiled-9.8") && row.contains("not_offered")).collect();
    for (op, reason) in
        [("next_valid_pfn", "Linux 6.16 added it"), ("hot_add", "beside a writer"), ("readers", "beside a writer")]
    {
        let found = reasons.iter().any(|row| row.contains(&format!("\"op\":\"{op}\"")) && row.contains(reason));
        assert!(found, "{op}: {reasons:#?}");
    }

    pfnbench(&dir).args(["kernel", "remove", "9.8"]).assert().success();
    race(&dir).assert().code(2).stderr(contains("no kernel \"9.8\" was added; run pfnbench kernel add 9.8"));
}

#[test]
fn a_kernel_that_answers_wrongly_is_named_and_left_out() {
    let dir = folder();
    // Forgets the sub-section map.
    let build = model(&dir, "include/linux/mmzone.h", "section->usage->subsection_map[0] >> bit & 1", "bit < 64");
    add(&dir, &build).assert().success();
    let output = race(&dir).args(["--filter", "^pfn_valid/boot/random/"]).assert().code(1).get_output().clone();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("compiled-9.8 on ") && told.contains("pfn_valid(0x"), "{told}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["summary"]["layouts"], json!(["subsection", "no-check"]));
}

#[test]
fn a_kernel_that_returns_another_record_is_named_and_left_out() {
    let dir = folder();
    let build = model(&dir, "include/linux/mmzone.h", "(struct page *)vmemmap_base + (pfn)", "(struct page *)(pfn)");
    add(&dir, &build).assert().success();
    let output = race(&dir).args(["--filter", "^pfn_valid/boot/random/"]).assert().code(1).get_output().clone();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("compiled-9.8 on ") && told.contains("pfn_to_page(0x"), "{told}");
}

/// The control of a race without the reference is a copy of its first layout.
#[test]
fn a_compiled_kernel_races_alone_and_beside_its_model() {
    let dir = folder();
    add(&dir, &unchanged(&dir)).assert().success();
    let map = file(&dir, "small.txt", SMALL_MAP);
    for (layouts, cost) in [
        (&["compiled-9.8"][..], "no run has a kernel's own code beside its model"),
        (&["linux-5.2", "compiled-9.8", "linux-7.2"], "no cell is decided; measure in more processes"),
    ] {
        let mut command = pfnbench(&dir);
        command.args(["run", "--tier", "smoke", "--map", &map, "-o", "r", "--json", "--kernel", "9.8"]);
        command.args(["--filter", "^pfn_valid/(boot|added)/random/"]);
        layouts.iter().for_each(|id| {
            command.args(["--layout", id]);
        });
        let output = command.assert().success().get_output().stdout.clone();
        let result: Value = serde_json::from_slice(&output).unwrap();
        let raced = [layouts, &["no-check"]].concat();
        assert_eq!(result["summary"]["layouts"], json!(raced));
        // One process is too few for an interval.
        let assert = pfnbench(&dir).args(["kernel", "cost", result["run"].as_str().unwrap()]).assert();
        let output = assert.code(2).stderr(contains(cost)).get_output().stdout.clone();
        let table = String::from_utf8(output).unwrap();
        let has_pair = table.contains("compiled-9.8") && table.contains("linux-7.2");
        assert_eq!(has_pair, layouts.contains(&"linux-7.2"), "{table}");
    }
}

#[test]
fn a_map_of_another_architecture_is_raced_without_it() {
    let dir = folder();
    add(&dir, &unchanged(&dir)).assert().success();
    let mut command = pfnbench(&dir);
    command.args(["run", "--tier", "smoke", "--map", "builtin:ampere-altra-2s-512g", "-o", "r", "--json"]);
    command.args(["--kernel", "9.8", "--layout", "subsection", "--filter", "^pfn_valid/boot/random/"]);
    let output = command.assert().success().get_output().stdout.clone();
    let result: Value = serde_json::from_slice(&output).unwrap();
    let rows = fs::read_to_string(dir.path().join(result["run"].as_str().unwrap()).join("samples.jsonl")).unwrap();
    let reason = rows.lines().find(|row| row.contains("compiled-9.8")).unwrap();
    assert!(reason.contains("not_offered") && reason.contains("the layout is for x86-64"), "{reason}");
}

#[test]
fn kernels_that_cannot_be_compiled_say_why() {
    for (name, old, new, reason) in [
        ("include/config/auto.conf", "CONFIG_X86_64=y", "CONFIG_ARM64=y", "for another architecture than x86-64"),
        ("include/config/auto.conf", "CONFIG_X86_64=y", "CONFIG_X86_64=y\nCONFIG_CC_IS_CLANG=y", "built by clang"),
        (
            "include/config/auto.conf",
            "CONFIG_SPARSEMEM_VMEMMAP=y",
            "",
            "is configured without CONFIG_SPARSEMEM_VMEMMAP",
        ),
        ("include/linux/version.h", "KERNEL_VERSION(9, 8, 7)", "KERNEL_VERSION(5, 2, 0)", "needs Linux 5.3 or later"),
        (
            "include/linux/mm.h",
            "rest[7]",
            "rest[3]",
            "has sizeof(struct page) 32; only kernels with sizeof(struct page) 64",
        ),
        (
            "include/linux/mmzone.h",
            "int valid = 0;",
            "int valid = 0; extern void lock_of_the_kernel(void); lock_of_the_kernel();",
            "use lock_of_the_kernel of the kernel",
        ),
        (
            "include/linux/mmzone.h",
            "static inline int pfn_valid",
            "static inline int a_page_is_valid",
            "cannot compile",
        ),
    ] {
        let dir = folder();
        add(&dir, &model(&dir, name, old, new)).assert().code(2).stderr(contains(reason));
        pfnbench(&dir).args(["kernel", "list"]).assert().success().stdout(contains("no kernel was added"));
    }
    let dir = folder();
    let build = unchanged(&dir);
    add(&dir, &build).args(["--cc", "no-such-compiler"]).assert().code(2).stderr(contains("cannot run the compiler"));
    add(&dir, dir.path()).assert().code(2).stderr(contains("no include/config/auto.conf"));
    fs::write(build.join("Makefile"), "include /nowhere/source/Makefile\n").unwrap();
    add(&dir, &build).assert().code(2).stderr(contains("source folder /nowhere/source is missing"));
}

#[test]
fn code_that_others_could_have_written_is_not_run() {
    let dir = folder();
    add(&dir, &unchanged(&dir)).assert().success();
    let object = dir.path().join("cache/pfnbench/kernels/9.8.7-model/lookups.o");
    fs::set_permissions(&object, Permissions::from_mode(0o622)).unwrap();
    race(&dir)
        .assert()
        .code(2)
        .stderr(contains("only code that you alone can write is run").and(contains("lookups.o")));
    fs::set_permissions(&object, Permissions::from_mode(0o600)).unwrap();
    let mut code = fs::read(&object).unwrap();
    code[100] ^= 1;
    fs::write(&object, code).unwrap();
    race(&dir).assert().code(2).stderr(contains("its SHA-256 is not that of kernel.json"));
}

/// Programs in the place of apt and dpkg. The lists of the system know Linux 6.1, those of every
/// release also 9.8, whose package is `build`. The archive has it once lists were read `updates` times.
fn archive(dir: &TempDir, build: &Path, updates: u32) -> Command {
    let programs = dir.path().join("bin");
    fs::create_dir_all(&programs).unwrap();
    let (build, count) = (build.display(), dir.path().join("updates").display().to_string());
    for (name, text) in [
        (
            "apt-cache",
            "case \"$*\" in\n\
             *depends*) ;;\n\
             *Dir::State::Lists=*linux-headers-) echo linux-headers-6.1.0-9-amd64; echo linux-headers-9.8.7-1-amd64 ;;\n\
             *Dir::State::Lists=*linux-image-) echo linux-image-9.8.7-1-amd64 ;;\n\
             *linux-headers-) echo linux-headers-6.1.0-9-amd64 ;;\n\
             esac\n"
                .to_owned(),
        ),
        (
            "apt-get",
            format!(
                "case \"$*\" in\n\
                 *indextargets*) echo http://archive.example/debian/ ;;\n\
                 *update*) echo >>{count} ;;\n\
                 *download*6.1*) echo 'E: 404 Not Found' >&2; exit 100 ;;\n\
                 *download*) [ \"$(wc -l <{count})\" -ge {updates} ] || {{ echo 'E: 404 Not Found' >&2; exit 100; }}\n\
                 touch package.deb ;;\n\
                 esac\n"
            ),
        ),
        (
            "dpkg-deb",
            format!("mkdir -p \"$3/usr/src\" && cp -r {build} \"$3/usr/src/linux-headers-9.8.7-1-amd64\"\n"),
        ),
    ] {
        let path = programs.join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}")).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    let path = std::env::var_os("PATH").unwrap();
    let paths = [programs].into_iter().chain(std::env::split_paths(&path));
    let mut command = pfnbench(dir);
    command.env("PATH", std::env::join_paths(paths).unwrap());
    command
}

#[test]
fn a_kernel_that_this_release_lacks_is_found_in_another() {
    let dir = folder();
    let build = unchanged(&dir);
    let added = archive(&dir, &build, 1).args(["kernel", "add", "9.8"]).assert().success();
    added.stdout(contains("Linux 9.8.7-model")).stderr(contains("looking in every Debian release"));
    // The lists are not read again for a day.
    archive(&dir, &build, 1).args(["kernel", "add", "newest"]).assert().success();
    assert_eq!(fs::read_to_string(dir.path().join("updates")).unwrap().lines().count(), 1);
    let unknown = archive(&dir, &build, 1).args(["kernel", "add", "1.2"]).assert().code(2);
    unknown
        .stderr(contains("no headers of Linux 1.2").and(contains("it has 6.1, 9.8; for another, use --headers DIR")));
    archive(&dir, &build, 1).args(["kernel", "add", "6.1"]).assert().code(2).stderr(contains("E: 404 Not Found"));
}

#[test]
fn lists_are_read_again_if_the_archive_lacks_what_they_name() {
    let dir = folder();
    let build = unchanged(&dir);
    archive(&dir, &build, 2).args(["kernel", "add", "9.8"]).assert().success();
    assert_eq!(fs::read_to_string(dir.path().join("updates")).unwrap().lines().count(), 2);
}

/// Ctrl-C reaches the tool too, which fails.
#[test]
fn an_interrupted_download_leaves_nothing() {
    let dir = folder();
    let build = unchanged(&dir);
    let temporary = dir.path().join("temporary");
    fs::create_dir(&temporary).unwrap();
    for command in [&["kernel", "add", "6.1"][..], &["kernel", "image", "9.8", "images/9.8"]] {
        let mut interrupted = archive(&dir, &build, 1);
        let tool = dir.path().join("bin/apt-get");
        let text = fs::read_to_string(&tool).unwrap();
        let stops = "#!/bin/sh\ncase \"$*\" in *download*) kill -INT $PPID; exit 100 ;; esac";
        fs::write(&tool, text.replacen("#!/bin/sh", stops, 1)).unwrap();
        let assert = interrupted.env("TMPDIR", &temporary).args(command).assert().code(130);
        assert.stderr(contains("looking in every Debian release").count(usize::from(command[1] == "image")));
        let left = |folder: &Path| fs::read_dir(folder).map_or(0, Iterator::count);
        assert_eq!((left(&temporary), left(&dir.path().join("images"))), (0, 0), "{command:?}");
    }
}

#[test]
fn an_image_is_unpacked_whole_or_not_at_all() {
    let dir = folder();
    let build = unchanged(&dir);
    let image = || {
        let mut command = archive(&dir, &build, 1);
        command.args(["kernel", "image", "9.8", "images/9.8"]);
        command
    };
    image().assert().success().stdout(contains("linux-image-9.8.7-1-amd64"));
    assert!(dir.path().join("images/9.8/usr/src").is_dir());
    image().assert().code(2).stderr(contains("images/9.8 exists"));
    let refused = archive(&dir, &build, 1).args(["kernel", "image", "1.2", "images/1.2"]).assert().code(2);
    refused.stderr(contains("no image of Linux 1.2"));
    let left: Vec<_> =
        fs::read_dir(dir.path().join("images")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["9.8"], "nothing else is left");
}

#[test]
fn machine_code_is_shown_by_function() {
    let dir = folder();
    add(&dir, &unchanged(&dir)).assert().success();
    let output = pfnbench(&dir).args(["kernel", "show", "9.8"]).assert().success().get_output().stdout.clone();
    let told = String::from_utf8(output).unwrap();
    assert!(told.starts_with("one_valid of Linux 9.8.7-model, compiled by "), "{told}");
    assert!(told.contains("mem_section") && told.contains("one_valid+0x"), "symbols and targets have names: {told}");
    let unknown = pfnbench(&dir).args(["kernel", "show", "9.8", "none"]).assert().code(2);
    unknown.stderr(contains("has no function none; there are loop_to_page,"));
}

#[test]
fn instructions_of_a_kernel_are_counted_and_have_no_limits() {
    let dir = folder();
    add(&dir, &unchanged(&dir)).assert().success();
    let count = |more: &[&str]| {
        let mut command = pfnbench(&dir);
        command.args(["instructions", "--layout", "flat", "--kernel", "9.8", "-o", "c.jsonl"]).args(more);
        command
    };
    if std::process::Command::new("valgrind").arg("--version").output().is_err() {
        common::skipped("valgrind is not installed");
    } else {
        count(&[]).assert().success();
        let rows = fs::read_to_string(dir.path().join("c.jsonl")).unwrap();
        let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let value = |layout: &str, op: &str, memory: &str| {
            let row = rows.iter().find(|row| row["layout"] == layout && row["op"] == op && row["memory"] == memory);
            row.unwrap_or_else(|| panic!("{layout} {op}"))["value"].as_f64().unwrap()
        };
        let [boot, added] = ["boot", "added"].map(|memory| value("compiled-9.8", "pfn_valid", memory));
        assert!(value("flat", "pfn_valid", "boot") < boot && boot < added && added < 100.0, "{boot} {added}");
        assert!(rows.iter().all(|row| row["layout"] == "flat" || row["compiler"].as_str().unwrap().starts_with("gcc")));
        // Limits are for release builds alone, which this test may not be.
        let release = fs::read_to_string(dir.path().join("c.jsonl")).unwrap();
        let release = release.replace("\"profile\":\"debug\"", "\"profile\":\"release\"");
        fs::write(dir.path().join("c.jsonl"), release).unwrap();
        pfnbench(&dir).args(["gate", "--limits", "limits.toml", "--write", "c.jsonl"]).assert().success();
        let limits = fs::read_to_string(dir.path().join("limits.toml")).unwrap();
        assert!(limits.contains("/flat\"") && !limits.contains("compiled"), "{limits}");
    }
    // A counter of time counts no instructions.
    let by_time = count(&["--by-time-stamp"]).output().unwrap();
    let said = String::from_utf8(by_time.stderr).unwrap();
    assert!(by_time.status.success() || said.contains("QEMU with -accel tcg -icount shift=0"), "{said}");
}

#[test]
fn logs_are_judged_and_damaged_ones_refused() {
    let dir = folder();
    let log = |name, text: &str| {
        let head = "@KERNEL 6.1.0 0x8000000\n@EARLY 0 0 0xfffffff\n@SCENE one\n";
        file(&dir, name, &format!("{head}{text}"))
    };
    let judge = |log: &str| {
        let mut command = pfnbench(&dir);
        command.args(["kernel", "judge", log, "-o", "table.md"]);
        command
    };
    let map = "@DO map a 0x10000000 0x103fffff\n";
    judge(&log("same.log", &format!("{map}@RC 0\n@STATUS 0\n"))).assert().success().stdout(contains("linux-6.1"));
    let table = fs::read_to_string(dir.path().join("table.md")).unwrap();
    assert!(table.contains("| 6.1.0 | same | linux-6.1 | 1 | 0 |"), "{table}");
    let differs = judge(&log("other.log", &format!("{map}@RC 1\n@STATUS 0\n"))).assert().code(1);
    differs.stdout(contains("operation (one): map a 0x10000000 0x103fffff: the kernel refuses it, the model does it"));
    for (text, says) in [
        (&*format!("{map}@RC 0\n"), "the guest hung, crashed or was stopped"),
        ("@DO map a 0x1000 0xffffffffffffffff\n@RC 0\n@STATUS 0\n", "the model knows no operation"),
        ("@DO region 0x100000000 0xffffffffffffff00 0x1000\n@RC 0\n@STATUS 0\n", "operation differs 1 times"),
    ] {
        let assert = judge(&log("damaged.log", text)).assert();
        let output = assert.get_output();
        let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success() && told.contains(says) && !told.contains("panicked"), "{told}");
    }
}

#[test]
fn a_snapshot_is_json_or_says_what_cannot_be_read() {
    let dir = folder();
    let output = pfnbench(&dir).args(["kernel", "snapshot", "--below", "0x100"]).output().unwrap();
    match output.status.code() {
        Some(0) => {
            let snapshot: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert!(snapshot["sections"].is_array(), "{snapshot}");
        }
        code => {
            let told = String::from_utf8(output.stderr).unwrap();
            assert!(code == Some(2) && (told.contains("/proc/") || told.contains("/sys/")), "{told}");
        }
    }
}
