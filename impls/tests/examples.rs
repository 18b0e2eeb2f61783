//! The examples of the library run and say what they promise.
#![cfg(not(loom))]

use std::path::PathBuf;
use std::process::Command;

/// Runs an example, which `cargo test` has built, and returns its output.
fn run(name: &str) -> String {
    // The test is in `deps`, the examples are beside that folder.
    let test = std::env::current_exe().unwrap();
    let program: PathBuf = test.parent().unwrap().with_file_name("examples").join(name);
    assert!(program.exists(), "{}: cargo test builds examples unless told not to", program.display());
    let output = Command::new(program).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn memory_is_added_read_and_removed() {
    let said = run("hotplug");
    assert!(said.contains("zone Some(Device)"), "{said}");
    assert!(said.lines().last().is_some_and(|line| line.starts_with("after removal:")), "{said}");
}

#[test]
fn a_layout_of_ones_own_conforms() {
    assert!(run("own_layout").contains(" cases passed, 0 failed"));
}
