//! Puts the commit and the compiler into the binary.

use std::process::Command;

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

fn main() {
    let commit = output("git", &["describe", "--always", "--dirty", "--abbrev=7", "--exclude=*"]);
    println!("cargo::rustc-env=PFNBENCH_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    let rustc = std::env::var("RUSTC").ok().and_then(|rustc| output(&rustc, &["--version"]));
    println!("cargo::rustc-env=PFNBENCH_RUSTC={}", rustc.as_deref().unwrap_or("unknown"));
    println!("cargo::rustc-env=PFNBENCH_PROFILE={}", std::env::var("PROFILE").unwrap_or_default());
    println!("cargo::rerun-if-changed=build.rs");
    // A new commit moves one of these; where there is no repository, nothing changes.
    if let Some(git) = output("git", &["rev-parse", "--absolute-git-dir"]) {
        println!("cargo::rerun-if-changed={git}/HEAD");
        println!("cargo::rerun-if-changed={git}/logs/HEAD");
    }
}
