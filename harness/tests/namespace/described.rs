//! Regions that a file describes.

use super::*;

/// RAM up to the start of a region in the middle of a section, and another region after it.
const MAP: &str = "\
00001000-0009ffff : System RAM
100000000-1fbffffff : System RAM
1fc000000-2fbffffff : Persistent Memory
2fc000000-3fbffffff : Persistent Memory
";

fn file(text: &str) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("iomem.txt");
    fs::write(&path, text).unwrap();
    (dir, path.to_str().unwrap().to_owned())
}

#[test]
fn a_plan_takes_start_size_and_neighbours_from_a_map() {
    let (_dir, map) = file(MAP);
    let first = ["plan", "--from", &map, "--region-name", "region0", "--json"];
    let told = json(&first);
    assert_eq!((&told["region"], &told["start"]), (&"region0".into(), &0x1_fc00_0000u64.into()));
    // As in the cover letter: RAM in the first section, and a region in the last one.
    let typed = json(&[
        "plan",
        "--size",
        "4G",
        "--start",
        "0x1fc000000",
        "--ram",
        "0x100000000-0x1fbffffff",
        "--region",
        "0x2fc000000+4G",
        "--json",
    ]);
    assert_eq!(told["rules"], typed["rules"]);
    assert_eq!(told["rules"]["before"]["division"]["start_pad_bytes"], 64 << 20);
    assert_eq!(told["rules"]["before"]["division"]["end_trunc_bytes"], 64 << 20);
    // Options override what the file says.
    let smaller = json(&[&first[..], &["--size", "1G", "--start", "0x200000000"]].concat());
    assert_eq!(smaller["rules"]["before"]["division"]["start_pad_bytes"], 0);
    let alone =
        json(&[&first[..], &["--ram", "0x1000-0x9ffff", "--region", "0x800000000+1G", "--map", "mem"]].concat());
    assert_eq!(alone["rules"]["before"]["division"]["end_trunc_bytes"], 0);
    assert_eq!(json(&[&first[..], &["--interleave", "6"]].concat())["region_align_bytes"], 96 << 20);
    let usable = json(&[&first[..], &["--usable", "1G"]].concat());
    assert_eq!(usable["rules"]["merged"]["size_bytes"], (1 << 30) + (32 << 20));
    namespace(&["plan", "--from", &map, "--region-name", "region1"]).success().stdout(contains("region1: 4 GiB at"));
    // The rest of the region, from a start on.
    let rest = json(&[&first[..], &["--start", "0x2f0000000"]].concat());
    assert_eq!(rest["rules"]["merged"]["size_bytes"], 192 << 20);
}

/// A report: the region is not a multiple of its alignment.
#[test]
fn the_only_region_of_a_map_needs_no_name() {
    let (_dir, map) = file("140000000-23e1fffff : Persistent Memory\n");
    let told = json(&["plan", "--from", &map, "--align", "4K", "--kernel", "6.1", "--json"]);
    assert_eq!(told["rules"]["6.1"]["size_bytes"], 4_261_412_864u64);
    assert_eq!(told["rules"]["6.1"]["division"]["usable_bytes"], 4_127_195_136u64);
    let mut command = Command::cargo_bin("pfnbench").unwrap();
    let text = "140000000-23e1fffff : Persistent Memory\n";
    let output = command.args(["namespace", "plan", "--from", "-"]).write_stdin(text).assert().success();
    output.stdout(contains("region0: 3.97 GiB at 0x140000000; namespaces start and end at multiples of 16 MiB"));
}

#[test]
fn a_region_that_cannot_be_found_is_a_usage_error() {
    let (_dir, map) = file(MAP);
    namespace(&["plan", "--from", &map]).code(2).stderr(contains("--region-name region0 or region1"));
    namespace(&["plan", "--from", &map, "--region-name", "region7"])
        .code(2)
        .stderr(contains("it has region0, region1"));
    namespace(&["plan", "--size", "1G", "--region-name", "region0"]).code(2).stderr(contains("--from"));
    namespace(&["plan", "--from", "/does/not/exist"]).code(2).stderr(contains("/does/not/exist"));
    namespace(&["lost", "--from", &map, "--neighbours", "front"]).code(2).stderr(contains("cannot be used with"));
    let (_dir, ram) = file("100000000-1fbffffff : System RAM\n");
    for verb in ["plan", "lost"] {
        namespace(&[verb, "--from", &ram]).code(2).stderr(contains("describes no region of persistent memory"));
    }
}

#[test]
fn a_namespace_outside_of_the_described_region_is_refused() {
    let (_dir, map) = file(MAP);
    let args = ["plan", "--from", &map, "--region-name", "region1"];
    for more in [&["--size", "5G"][..], &["--start", "0x3f0000000", "--size", "1G"], &["--usable", "4G"]] {
        let args = [&args[..], more, &["--json"]].concat();
        let output = namespace(&args).code(1).get_output().stdout.clone();
        let told: Value = serde_json::from_slice(&output).unwrap();
        let error = &told["rules"]["merged"]["division"]["refused"];
        assert!(["NS204", "NS206"].contains(&error["code"].as_str().unwrap()), "{told}");
        assert!(!suggestions(error).is_empty(), "{error}");
        for one in suggestions(error) {
            let args = replaced(&args, &one);
            json(&args.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
    // Below the region is RAM, or the other region.
    namespace(&[&args[..], &["--start", "0x500000000", "--size", "1G"]].concat()).code(1).stdout(contains("NS204"));
}

#[test]
fn the_loss_is_given_for_each_region_of_a_map() {
    let (_dir, map) = file(MAP);
    let lost = json(&["lost", "--from", &map, "--json"]);
    let found: Vec<_> = lost.as_array().unwrap().iter().map(|one| one["region"].as_str().unwrap()).collect();
    assert_eq!(found, ["region0", "region1"]);
    // 64 MiB at both ends, and records.
    assert_eq!(lost[0]["losses"][0]["lost_bytes"], (128 + 64) << 20);
    assert!(lost[0]["losses"][1]["lost_bytes"].as_u64().unwrap() <= 66 << 20);
    namespace(&["lost", "--from", &map, "--region-name", "region1", "--kernel", "6.1"])
        .success()
        .stdout(contains("region1").and(contains("lost, 6.1")).and(contains("region0").not()));
    namespace(&["lost", "--from", &map, "--csv"]).success().stdout(contains("region0,8522825728,4294967296,before,"));
}

#[test]
fn check_and_create_place_a_region_where_the_map_has_it() {
    let (_dir, map) = file(MAP);
    let pmem = Pmem::new("4G");
    let from = ["--from", &map, "--region-name", "region0"];
    pmem.run("create", &[&["--size", "128M", "--rules", "before"], &from[..]].concat())
        .success()
        .stdout(contains("at 0x1fc000000"));
    // RAM in front: Linux up to 5.2 padded it. At the address where it was created there is none.
    pmem.run("check", &[&["--rules", "before", "--json"], &from[..]].concat())
        .success()
        .stdout(contains("\"data_offset_bytes\": 71303168"));
    pmem.run("check", &[&["--at", "0x100000000", "--rules", "before"], &from[..]].concat())
        .code(1)
        .stdout(contains("RAM"));
    // The file and the medium describe different regions.
    let (_dir, other) = file("140000000-23e1fffff : Persistent Memory\n");
    pmem.run("check", &["--from", &other])
        .code(2)
        .stderr(contains("has 4 GiB").and(contains("region0 in the file iomem has 3.97 GiB")));
}
