//! Capacity: plans and losses.

use super::*;

#[test]
fn a_plan_shows_where_bytes_go_and_which_size_to_request() {
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
fn an_invalid_plan_and_one_that_does_not_fit_have_different_exit_codes() {
    for (args, says) in [
        (["plan", "--size", "17M"], "--size 16M or --size 32M works"),
        (["plan", "--size", "0"], "--size 16M"),
        (["plan", "--size", "many"], "is not a size"),
        (["plan", "--usable", "0"], "NS106"),
        (["plan", "--usable", "65536T"], "NS207"),
        (["plan", "--size", "65536T"], "NS104"),
        (["plan", "--size", "0x"], "hexadecimal"),
    ] {
        namespace(&args).code(2).stderr(contains(says)).stdout("");
    }
    namespace(&["plan", "--size", "1G", "--align", "16G"]).code(2).stderr(contains("4 KiB, 2 MiB, 1 GiB"));
    namespace(&["plan", "--size", "1G", "--region-align", "3M"]).code(2).stderr(contains("power of two"));
    namespace(&["plan", "--size", "1G", "--ram", "9-1"]).code(2).stderr(contains("is not a range"));
    let refused = contains("refused")
        .and(contains("no room"))
        .and(contains("fix     --size 2G or --memmap mem --align 1G works").or(contains("fix     --size 2G")));
    namespace(&["plan", "--size", "1G", "--align", "1G"]).code(1).stdout(refused);
    // The cause is the same for a size and for an amount of data.
    for size in ["--size", "--usable"] {
        namespace(&["plan", size, "1G", "--start", "0x100100000"]).code(1).stdout(contains("0x100200000"));
        namespace(&["plan", size, "1G", "--start", "0x100000001"]).code(2).stderr(contains("--start 0x100000000"));
        namespace(&["plan", size, "1G", "--start", "0xffffffffffe00000"])
            .code(2)
            .stderr(contains("physical address space"));
    }
    let said = contains("another region").and(contains("--size 256M or --start 0x120000000 works"));
    namespace(&["plan", "--size", "1G", "--region", "0x110000000+256M"]).code(1).stdout(said);
    namespace(&["plan", "--usable", "1G", "--region", "0x110000000-0x11fffffff"])
        .code(1)
        .stdout(contains("256 MiB that are free").and(contains("another region above it, 0x110000000")));
    let odd = namespace(&["plan", "--size", "4097", "--region-align", "4K"]).code(2);
    odd.stderr(contains("--size 16M works"));
}

#[test]
fn the_loss_is_given_for_every_sub_section() {
    let lost = json(&["lost", "--json"]);
    assert_eq!(lost.as_array().unwrap().len(), 64 * 3);
    namespace(&["lost"]).success().stdout(contains("126 MiB").and(contains("refused")));
}

#[test]
fn suggestions_for_a_refused_plan_work() {
    let mut typed = 0;
    let beside = ["--ram", "0x100000000-0x17fffffff", "--region", "0x190000000+256M", "--region", "0x1a0100000+1G"];
    for size in ["--size", "--usable"] {
        for wanted in ["0", "4097", "1M", "17M", "16M", "1G", "1000T", "65536T"] {
            for rest in [
                &[][..],
                &["--align", "1G"],
                &["--align", "3M"],
                &["--region-align", "4K"],
                &["--region-align", "3M"],
                &["--start", "0x180000001"],
                &["--start", "0x180100000"],
                &["--start", "0x180100000", "--region-align", "4K"],
                &["--start", "0x17fe00000"],
                &["--start", "0x18f000000"],
                &["--start", "0x190000000", "--align", "1G"],
                &["--start", "0x1a1000000"],
                &["--start", "0x3ffffff00000"],
                &["--start", "0x3fffffe00000", "--map", "mem"],
            ] {
                let mut args = vec!["plan", size, wanted];
                args.extend(beside.iter().chain(rest));
                let run = |args: &[String]| -> Value {
                    let mut command = Command::cargo_bin("pfnbench").unwrap();
                    let output = command.arg("namespace").args(args).arg("--json").output().unwrap();
                    assert!(matches!(output.status.code(), Some(0..=2)), "{args:?}");
                    let said = String::from_utf8_lossy(&output.stderr);
                    let told = serde_json::from_slice(&output.stdout);
                    told.unwrap_or_else(|error| panic!("{args:?}: {error}: {said}"))
                };
                let told = run(&replaced(&args, ""));
                let refused = |told: &Value, time: &str| told["rules"][time]["division"]["refused"].clone();
                // Refused under any rules: the suggestions work under the rules since the series.
                let of_all = Some(("merged", told["error"].clone())).filter(|(_, error)| error.is_object());
                let of_times = ["before", "merged"].map(|time| (time, refused(&told, time)));
                for (time, error) in of_times.into_iter().filter(|(_, error)| error.is_object()).chain(of_all) {
                    for suggestion in suggestions(&error) {
                        let typed_args = replaced(&args, &suggestion);
                        let told = run(&typed_args);
                        assert!(
                            told.get("error").is_none() && refused(&told, time).is_null(),
                            "{time}: {typed_args:?}, suggested for {args:?}: {told:#}"
                        );
                        typed += 1;
                    }
                }
            }
        }
    }
    assert!(typed > 150, "{typed}");
}
