//! Scenes of the cover letter.

use super::*;

#[test]
fn every_scene_ends_as_expected_under_both_rule_sets() {
    for scene in ["sub-section", "ndctl-76", "shift", "ram-collision", "chained", "zero-fields"] {
        for rules in ["before", "merged"] {
            let played = json(&["scene", scene, "--rules", rules, "--json"]);
            assert_eq!(played["holds"], true, "{scene} {rules}");
        }
    }
    namespace(&["scene", "shift", "--rules", "before"]).success().stdout(contains("observed ENOMEM"));
    namespace(&["scene", "shift", "--dir", "/does/not/exist"]).code(2).stderr(contains("--dir"));
    namespace(&["scene", "nothing"]).code(2).stderr(contains("ram-collision"));
}

#[test]
fn an_interrupted_scene_leaves_no_files() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("pfnbench"))
            .args(["namespace", "scene", "shift", "--dir"])
            .arg(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Its first step has been printed, so it is running.
        let mut first = [0];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(128 + signal.as_raw()), "{:?}", output.status);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "pfnbench: interrupted; nothing was written\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{signal:?} left files");
    }
    let told = namespace(&["scene", "shift", "--dir", "/does/not/exist", "--json"]).code(2).get_output().stdout.clone();
    assert_eq!(serde_json::from_slice::<Value>(&told).unwrap()["error"]["code"], "NS407");
}
