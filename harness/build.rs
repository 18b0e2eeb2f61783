//! Puts the commit and the compiler into the binary.

use std::process::Command;

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// The flags that change machine code; lints and cfgs do not.
fn codegen_flags() -> String {
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let mut flags = flags.split('\u{1f}');
    let mut codegen = Vec::new();
    while let Some(flag) = flags.next() {
        match flag {
            "-C" | "-Z" | "--codegen" => codegen.extend([flag, flags.next().unwrap_or_default()]),
            _ if ["-C", "-Z", "--codegen="].iter().any(|start| flag.starts_with(start)) => codegen.push(flag),
            _ => {}
        }
    }
    // Published with the counts, and folders may name people.
    let separators = [' ', ',', '='];
    let without_folder = |word: &str| match word.contains('/') {
        true => format!("PATH{}", &word[word.trim_end_matches(separators).len()..]),
        false => word.to_owned(),
    };
    codegen.join(" ").split_inclusive(separators).map(without_folder).collect()
}

fn main() {
    let commit = output("git", &["describe", "--always", "--dirty", "--abbrev=7", "--exclude=*"]);
    println!("cargo::rustc-env=PFNBENCH_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    let date = output("git", &["log", "-1", "--format=%cs"]);
    println!("cargo::rustc-env=PFNBENCH_COMMIT_DATE={}", date.as_deref().unwrap_or("undated"));
    let rustc = std::env::var("RUSTC").ok().and_then(|rustc| output(&rustc, &["--version"]));
    println!("cargo::rustc-env=PFNBENCH_RUSTC={}", rustc.as_deref().unwrap_or("unknown"));
    println!("cargo::rustc-env=PFNBENCH_PROFILE={}", std::env::var("PROFILE").unwrap_or_default());
    println!("cargo::rustc-env=PFNBENCH_TARGET={}", std::env::var("TARGET").unwrap_or_default());
    println!("cargo::rustc-env=PFNBENCH_RUSTFLAGS={}", codegen_flags());
    println!("cargo::rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");
    println!("cargo::rerun-if-changed=build.rs");
    // A new commit moves one of these; where there is no repository, nothing changes.
    if let Some(git) = output("git", &["rev-parse", "--absolute-git-dir"]) {
        println!("cargo::rerun-if-changed={git}/HEAD");
        println!("cargo::rerun-if-changed={git}/logs/HEAD");
    }
}
