//! `pfnbench namespace` on files.

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

fn namespace(args: &[&str]) -> assert_cmd::assert::Assert {
    Command::cargo_bin("pfnbench").unwrap().arg("namespace").args(args).assert()
}

fn json(args: &[&str]) -> Value {
    let output = namespace(args).success().get_output().stdout.clone();
    serde_json::from_slice(&output).unwrap()
}

#[test]
fn a_plan_shows_where_bytes_go_and_what_to_ask_for() {
    namespace(&["plan", "--size", "1500G"]).success().stdout(contains("1.44 TiB").and(contains("records")));
    let plan = json(&["plan", "--size", "1500G", "--json"]);
    assert_eq!(plan["rules"]["merged"]["division"]["usable_bytes"], 1_585_444_814_848u64);
    let inverse = json(&["plan", "--usable", "1500G", "--json"]);
    let size = inverse["rules"]["merged"]["size_bytes"].as_u64().unwrap();
    assert!(inverse["rules"]["merged"]["division"]["usable_bytes"].as_u64().unwrap() >= 1500 << 30);
    let less = json(&["plan", "--size", &(size - (16 << 20)).to_string(), "--json"]);
    assert!(less["rules"]["merged"]["division"]["usable_bytes"].as_u64().unwrap() < 1500 << 30);
    // RAM in the same section, as in the cover letter.
    let args = ["plan", "--size", "4G", "--start", "0x1fc000000", "--ram", "0x100000000-0x1fbffffff", "--json"];
    let beside = json(&args);
    assert_eq!(beside["rules"]["before"]["division"]["start_pad_bytes"], 64 << 20);
    assert_eq!(beside["rules"]["before"]["division"]["usable_bytes"], 3966u64 << 20);
    assert_eq!(beside["rules"]["merged"]["division"]["usable_bytes"], 4030u64 << 20);
}

#[test]
fn a_plan_that_cannot_be_is_told_apart_from_one_that_does_not_fit() {
    for (args, says) in [
        (["plan", "--size", "17M"], "1 MiB past one; 16 MiB or 32 MiB works"),
        (["plan", "--size", "0"], "16 MiB works"),
        (["plan", "--size", "many"], "is not a size"),
        (["plan", "--usable", "0"], "need no namespace"),
        (["plan", "--usable", "65536T"], "leave the physical space"),
    ] {
        namespace(&args).code(2).stderr(contains(says)).stdout("");
    }
    namespace(&["plan", "--size", "1G", "--align", "16G"]).code(2).stderr(contains("4 KiB, 2 MiB, 1 GiB"));
    namespace(&["plan", "--size", "1G", "--region-align", "3M"]).code(2).stderr(contains("power of two"));
    namespace(&["plan", "--size", "1G", "--ram", "9-1"]).code(2).stderr(contains("is no range"));
    namespace(&["plan", "--size", "1G", "--align", "1G"]).code(1).stdout(contains("refused").and(contains("no room")));
    namespace(&["plan", "--size", "1G", "--start", "0x100100000"]).code(1).stdout(contains("0x100200000"));
}

#[test]
fn every_sub_section_of_a_section_has_its_loss() {
    let lost = json(&["lost", "--json"]);
    assert_eq!(lost.as_array().unwrap().len(), 64 * 3);
    namespace(&["lost"]).success().stdout(contains("126 MiB").and(contains("refused")));
}

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
