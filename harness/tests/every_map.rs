//! A short run on every built-in map: no layout may be queried for a page that it does not have.

mod common;

use common::{folder, json, pfnbench};
use serde_json::Value;

/// Names of the built-in maps.
fn maps() -> Vec<String> {
    let listed = json(pfnbench().args(["list", "--json"]));
    let maps = listed["maps"].as_array().unwrap().iter();
    maps.map(|map| map.as_str().unwrap().to_owned()).collect()
}

/// Measures lookups of every layout on boot and added memory; `Err` holds the error message.
fn race(map: &str) -> Result<Value, String> {
    let dir = folder();
    let mut command = pfnbench();
    command.current_dir(dir.path()).args(["run", "--tier", "smoke", "--records-limit", "64M", "--json"]);
    command.args(["--filter", "^(pfn_valid|pfn_to_page|valid_to_page)/(boot|added)/random"]);
    let output = command.args(["--map", &format!("builtin:{map}")]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        Some(0) => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        _ => Err(said),
    }
}

#[test]
fn every_built_in_map_can_be_measured() {
    let mut raced = 0;
    for map in maps() {
        match race(&map) {
            Ok(result) => {
                let lines = result["summary"]["lookups"].as_array().unwrap();
                let timed =
                    |line: &Value| line["cells"].as_array().unwrap().iter().any(|cell| cell["median_ns"].is_f64());
                assert!(lines.iter().any(timed), "{map}: {result}");
                raced += 1;
            }
            // The map has only devices, or its span is too wide for the layouts in one process.
            Err(said) => {
                assert!(said.contains("has no boot memory") || said.contains("physical address bits"), "{map}: {said}")
            }
        }
    }
    assert!(raced >= 26, "{raced}");
}

/// Holes of whole sub-sections inside boot sections are valid for some layouts only, and get their
/// own case.
#[test]
fn disputed_pages_have_their_own_case() {
    let dir = folder();
    let mut command = pfnbench();
    command.current_dir(dir.path()).args(["run", "--tier", "default", "--processes", "1", "--records-limit", "64M"]);
    command.args(["--filter", "^pfn_valid/boot/random/disputed", "--map", "builtin:surface-pro-7-16g", "--json"]);
    let result = json(&mut command);
    let line = &result["summary"]["lookups"][0];
    assert_eq!(line["population"], "disputed");
    let share = line["share_percent"].as_f64().unwrap();
    assert!(share > 0.0 && share < 50.0, "{share}");
    // The bound checks nothing, so it has no answer for them.
    let mut layouts = line["cells"].as_array().unwrap().iter().filter(|cell| cell["layout"] != "no-check");
    assert!(layouts.all(|cell| cell["median_ns"].is_f64()), "{line}");
}
