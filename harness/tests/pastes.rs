//! Texts as people paste them: what each of them says, and that decorations do not change it.

mod common;

use common::{file, folder, json, pfnbench};
use pfnbench::map::decoration::Decoration;
use pfnbench::map::source::Source;
use pfnbench::map::{MapRange, Reading, read_machine};
use predicates::str::contains;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::Deserialize;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

fn pastes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pastes")
}

/// What a paste says. Lists that are left out are empty.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    file: String,
    ranges: Vec<String>,
    #[serde(default)]
    windows: Vec<String>,
    #[serde(default)]
    unused: Vec<String>,
    #[serde(default)]
    free: Vec<(String, u64)>,
    /// Bytes of each range.
    bytes: Option<u64>,
    /// True if the addresses are assumptions.
    #[serde(default)]
    assumed: bool,
    #[serde(default)]
    undone: Vec<String>,
    #[serde(default)]
    not_understood: Vec<u64>,
}

fn expected() -> Vec<Expected> {
    #[derive(Deserialize)]
    struct File {
        paste: Vec<Expected>,
    }
    toml::from_str::<File>(&fs::read_to_string(pastes().join("expect.toml")).unwrap()).unwrap().paste
}

fn span(value: &Value) -> String {
    format!("{:#x}-{:#x}", value["start"].as_u64().unwrap(), value["end"].as_u64().unwrap() - 1)
}

#[test]
fn every_paste_says_what_it_says() {
    let all = expected();
    let files = fs::read_dir(pastes()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<String> = files.filter(|name| name.ends_with(".txt")).collect();
    files.sort();
    let mut named: Vec<String> = all.iter().map(|paste| paste.file.clone()).collect();
    named.sort();
    assert_eq!(files, named, "a paste without expectation, or the reverse");
    for paste in all {
        let map = json(pfnbench().args(["map", "--json"]).arg(pastes().join(&paste.file)));
        let what = &paste.file;
        let array = |key: &str| map[key].as_array().unwrap().clone();
        let range = |range: &Value| {
            let node = range["node"].as_u64().map_or_else(String::new, |node| format!(" {node}"));
            format!("{} {}{node}", span(range), range["kind"].as_str().unwrap())
        };
        assert_eq!(array("ranges").iter().map(range).collect::<Vec<_>>(), paste.ranges, "{what}");
        let spans = |key: &str| array(key).iter().map(|item| span(&item["span"])).collect::<Vec<_>>();
        assert_eq!(spans("windows"), paste.windows, "{what}");
        assert_eq!(spans("unused"), paste.unused, "{what}");
        let mut free: Vec<(String, u64)> = array("free")
            .iter()
            .map(|free| (free["of"].as_str().unwrap().to_owned(), free["bytes"].as_u64().unwrap()))
            .collect();
        free.sort();
        assert_eq!(free, paste.free, "{what}");
        for range in array("ranges") {
            let bytes = range["end"].as_u64().unwrap() - range["start"].as_u64().unwrap();
            assert!(paste.bytes.is_none_or(|expected| expected == bytes), "{what}: {bytes}");
            assert_eq!(range["base_assumed"].as_bool().unwrap_or(false), paste.assumed, "{what}");
        }
        let words = |key: &str, field: &str| array(key).iter().map(|item| item[field].clone()).collect::<Vec<_>>();
        let undone = words("undone", "decoration");
        assert_eq!(undone, paste.undone.iter().map(|word| Value::from(word.as_str())).collect::<Vec<_>>(), "{what}");
        assert_eq!(words("not_understood", "line"), paste.not_understood, "{what}");
        assert_eq!(array("contradictions"), Vec::<Value>::new(), "{what}");
        // The listing is a map again.
        let dir = folder();
        let again = file(&dir, "again.json", &map.to_string());
        let again = json(pfnbench().args(["map", "--json"]).arg(again));
        for key in ["ranges", "windows", "free", "dimms", "regions", "namespaces", "devices", "blocks"] {
            assert_eq!(again[key], map[key], "{what}: {key}");
        }
    }
}

/// A listing in each format, as its program prints it.
struct Sample {
    text: &'static str,
    is_log: bool,
    /// True if its lines may be wrapped between words.
    can_wrap: bool,
}

const fn log(text: &'static str) -> Sample {
    Sample { text, is_log: true, can_wrap: true }
}

const fn listing(text: &'static str) -> Sample {
    Sample { text, is_log: false, can_wrap: true }
}

const SAMPLES: [Sample; 16] = [
    log("\
[    0.000000] BIOS-provided physical RAM map:
[    0.000000] BIOS-e820: [mem 0x0000000000001000-0x000000000009fbff] usable
[    0.000000] BIOS-e820: [mem 0x0000000000100000-0x00000000bffdffff] usable
[    0.000000] BIOS-e820: [mem 0x00000000bffe0000-0x00000000bfffffff] reserved
[    0.000000] BIOS-e820: [mem 0x0000000100000000-0x000000023fffffff] usable
[    0.000000] BIOS-e820: [mem 0x0000000240000000-0x000000033fdfffff] persistent (type 12)
[    0.000000] BIOS-e820: [mem 0x0000000400000000-0x000000043fffffff] soft reserved
"),
    log("\
[    0.000000] BIOS-e820: [mem 0x0000000000000000-0x000000000009ffff]  System RAM
[    0.000000] BIOS-e820: [gap 0x00000000000a0000-0x00000000000fffff]
[    0.000000] BIOS-e820: [mem 0x0000000000100000-0x0000000009a7efff]  System RAM
[    0.000000] BIOS-e820: [mem 0x0000000009a7f000-0x0000000009ffffff]  device reserved
[    0.000000] BIOS-e820: [mem 0x000000000a200000-0x000000000a23bfff]  ACPI NVS
[    0.000000] BIOS-e820: [mem 0x0000000100000000-0x000000055e2fffff]  System RAM
"),
    log("\
[    0.003000]   node   0: [mem 0x0000000000001000-0x000000000009ffff]
[    0.003000]   node   1: [mem 0x0000000100000000-0x00000001fffeffff]
[    0.005128] ACPI: SRAT: Node 2 PXM 2 [mem 0x2070000000-0x606fffffff] hotplug
[    0.005128] ACPI: SRAT: Node 3 PXM 3 [mem 0xa070000000-0xb06fffffff] non-volatile
"),
    log("\
[    0.003818] MEMBLOCK configuration:
[    0.003819]  memory[0x0]	[0x0000000000001000-0x000000000009efff], 0x000000000009e000 bytes flags: 0x0
[    0.003820]  memory[0x1]	[0x0000000000100000-0x00000000bffdffff], 0x00000000bfee0000 bytes on node 1 flags: 0x0
[    0.003822]  reserved[0x0]	[0x0000000000000000-0x000000000000ffff], 0x0000000000010000 bytes flags: 0x0
"),
    log("\
[    0.000000] efi: mem00: [Conventional Memory|   |  |  |  |  |  |  |   |WB|WT|WC|UC] range=[0x0000000000000000-0x000000000005efff] (0MB)
[    0.000000] efi: mem53: [Conventional Memory|   |  |SP|  |  |  |  |  |   |WB|WT|WC|UC] range=[0x240000000-0x2ffffffff] (3072MB)
"),
    Sample {
        text: "\
(XEN) EFI RAM map:
(XEN)  [0000000000000000, 000000000009ffff] (usable)
(XEN)  [00000000000a0000, 00000000000fffff] (reserved)
(XEN)  [0000000100000000, 000000207fffffff] (usable)
",
        is_log: false,
        can_wrap: true,
    },
    log(" BIOS-e820: 0000000000000000 - 000000000009f400 (usable)\n BIOS-e820: 0000000000100000 - 00000000bfff0000 (usable)\n"),
    listing("\
00000000-00000fff : Reserved
00001000-0009fbff : System RAM
00100000-bffdffff : System RAM
  01000000-01556eb4 : Kernel code
100000000-23fffffff : System RAM
240000000-33fdfffff : Persistent Memory
  240000000-2403fffff : namespace0.0
  280000000-2bfffffff : dax0.0
    280000000-2bfffffff : System RAM (kmem)
c050000000-fcefffffff : CXL Window 0
  c050000000-d04fffffff : region0
    c050000000-d04fffffff : dax1.0
      c050000000-d04fffffff : System RAM (kmem)
"),
    listing("\
RANGE                                  SIZE   STATE REMOVABLE  BLOCK NODE
0x0000000000000000-0x00000000bfffffff    3G  online       yes   0-23    0
0x0000000100000000-0x00000001a7ffffff  2.6G offline             32-52    1

Memory block size:       128M
Total online memory:       3G
Total offline memory:    2.6G
"),
    listing("\
{
  \"memory\": [
     {\"range\": \"0x0000000000000000-0x0000000007ffffff\", \"size\": \"128M\", \"state\": \"online\", \"node\": 0},
     {\"range\": \"0x0000000008000000-0x000000000fffffff\", \"size\": \"128M\", \"state\": \"offline\", \"node\": 0}
  ]
}
"),
    listing("\
[
  {
    \"dev\":\"region0\",
    \"size\":\"252.00 GiB (270.58 GB)\",
    \"align\":16777216,
    \"available_size\":\"4.00 GiB (4.29 GB)\",
    \"type\":\"pmem\",
    \"resource\":\"0x140000000\",
    \"namespaces\":[ { \"dev\":\"namespace0.0\", \"mode\":\"devdax\", \"map\":\"dev\", \"size\":\"244.00 GiB (261.99 GB)\", \"chardev\":\"dax0.0\" } ]
  }
]
"),
    listing("\
[
  {
    \"bus\":\"root0\",
    \"memdevs:root0\":[ { \"memdev\":\"mem0\", \"ram_size\":4294967296, \"serial\":0 } ],
    \"decoders:root0\":[
      {
        \"decoder\":\"decoder0.0\",
        \"resource\":17179869184,
        \"size\":8589934592,
        \"regions:decoder0.0\":[ { \"region\":\"region0\", \"resource\":17179869184, \"size\":4294967296, \"type\":\"ram\" } ]
      }
    ]
  }
]
"),
    listing("{\"chardev\":\"dax1.0\",\"size\":1073741824,\"target_node\":2,\"mode\":\"system-ram\",\n \"mappings\":[{\"page_offset\":0,\"start\":8589934592,\"end\":9663676415,\"size\":1073741824}]}\n"),
    listing("\
[030h 0048   1]                Subtable Type : 01 [CXL Fixed Memory Window Structure]
[038h 0056   8]          Window base address : 000000C050000000
[040h 0064   8]                  Window size : 0000003CA0000000
"),
    listing("0x100000000 0x40000000 Persistent Memory\n0000001000000000 0000000400000000\n"),
    Sample { text: "RANGE=\"0x0000000000000000-0x0000000017ffffff\" SIZE=\"384M\" STATE=\"online\" NODE=\"1\"\n", is_log: false, can_wrap: false },
];

/// Everything that decorations must not change.
fn facts(reading: &Reading) -> (Vec<MapRange>, String, usize) {
    let mut inventory = reading.inventory.clone();
    // Decorations move lines.
    let sources =
        |sources: &mut Vec<pfnbench::map::inventory::Mention>| sources.iter_mut().for_each(|source| source.line = 0);
    inventory.windows.iter_mut().for_each(|item| sources(&mut item.sources));
    inventory.regions.iter_mut().for_each(|item| sources(&mut item.sources));
    inventory.namespaces.iter_mut().for_each(|item| sources(&mut item.sources));
    inventory.devices.iter_mut().for_each(|item| sources(&mut item.sources));
    inventory.blocks.iter_mut().for_each(|item| sources(&mut item.sources));
    inventory.dimms.iter_mut().for_each(|item| sources(&mut item.sources));
    (reading.map.ranges.clone(), format!("{inventory:?}"), reading.hotplug_windows.len())
}

fn lines(text: &str, change: impl Fn(&str) -> String) -> String {
    text.lines().map(|line| change(line) + "\n").collect()
}

/// Wraps lines between words, as mail clients do.
fn wrapped(text: &str, width: usize) -> String {
    let mut wrapped = String::new();
    for line in text.lines() {
        let mut column = 0;
        for (nr, word) in line.split(' ').enumerate() {
            let len = word.chars().count();
            if nr > 0 && column + 1 + len > width && !word.is_empty() && column > 0 {
                wrapped.push('\n');
                column = 0;
            } else if nr > 0 {
                wrapped.push(' ');
                column += 1;
            }
            wrapped.push_str(word);
            column += len;
        }
        wrapped.push('\n');
    }
    wrapped
}

/// Encodes a text as mails do: RFC 2045.
fn quoted_printable(text: &str) -> String {
    let mut encoded = String::new();
    for line in text.lines() {
        let mut column = 0;
        let chars: Vec<char> = line.chars().collect();
        for (nr, char) in chars.iter().enumerate() {
            let at_end = nr + 1 == chars.len();
            let sign = match char {
                '=' => "=3D".to_owned(),
                ' ' | '\t' if at_end => format!("={:02X}", u32::from(*char)),
                char if !char.is_ascii() || char.is_ascii_control() && *char != '\t' => {
                    char.to_string().bytes().map(|byte| format!("={byte:02X}")).collect()
                }
                char => char.to_string(),
            };
            if column + sign.len() > 75 {
                encoded.push_str("=\n");
                column = 0;
            }
            encoded.push_str(&sign);
            column += sign.len();
        }
        encoded.push('\n');
    }
    encoded
}

/// Decorates a text at random; returns the names of what was done.
fn decorated(sample: &Sample, rng: &mut Pcg64Mcg) -> (String, Vec<&'static str>) {
    let mut text = sample.text.to_owned();
    let mut done = Vec::new();
    let mut is = |chance: u32, name: &'static str, rng: &mut Pcg64Mcg| {
        let is = rng.random_range(0..100) < chance;
        if is {
            done.push(name);
        }
        is
    };
    if sample.is_log {
        match rng.random_range(0..8) {
            0 => text = lines(&text, |line| format!("Jun 30 21:12:14 localhost kernel: {line}")),
            1 => text = lines(&text, |line| format!("<6>{line}")),
            2 => text = lines(&text, |line| format!("kern  :info  : {line}")),
            3 => text = lines(&text, |line| line.split_once("] ").map_or(line, |(_, rest)| rest).to_owned()),
            4 => {
                let entry = |line: &str| {
                    let message = line.split_once("] ").map_or(line, |(_, rest)| rest);
                    serde_json::json!({ "PRIORITY": "6", "MESSAGE": message }).to_string()
                };
                text = lines(&text, entry);
                return (text, vec!["journald"]);
            }
            5 => {
                let entry = |line: &str| {
                    let message = line.split_once("] ").map_or(line, |(_, rest)| rest);
                    format!("    {}", serde_json::json!({ "pri": 6, "time": 0.0, "msg": message }))
                };
                let entries: Vec<String> = text.lines().map(entry).collect();
                return (format!("{{\n  \"dmesg\": [\n{}\n  ]\n}}\n", entries.join(",\n")), vec!["dmesg --json"]);
            }
            6 => {
                text =
                    lines(&text, |line| format!("\u{1b}[32m{}\u{1b}[0m", line.replace("] ", "] \u{1b}[0m\u{1b}[33m")))
            }
            _ => {}
        }
    }
    if sample.can_wrap && is(40, "wrapped", rng) {
        text = wrapped(&text, rng.random_range(66..79));
    }
    if is(20, "indented", rng) {
        text = lines(&text, |line| format!("    {line}"));
    }
    if is(40, "quoted", rng) {
        let mark = ["> ", ">> ", "> > ", ">", "| "][rng.random_range(0..5)];
        text = lines(&text, |line| format!("{mark}{line}"));
    }
    if is(30, "fenced", rng) {
        text = format!("```text\n{text}```\n");
    }
    if is(30, "prompt", rng) {
        let prompt = ["[root@host ~]# ", "root@host:~# ", "user@host:/tmp$ ", "$ ", "# "][rng.random_range(0..5)];
        text = format!("{prompt}sudo cat /proc/iomem\n{text}{prompt}\n");
    }
    if is(30, "HTML", rng) {
        text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        text = lines(&text, |line| format!("{line}<br>"));
    }
    if is(20, "no-break spaces", rng) {
        text = text.replace("  ", "\u{a0}\u{a0}");
    }
    if is(30, "quoted-printable", rng) {
        text = quoted_printable(&format!("a=b\n{text}"));
    }
    if is(40, "CR LF", rng) {
        text = text.replace('\n', "\r\n");
    }
    (text, done)
}

#[test]
fn decorations_change_nothing() {
    let mut rng = Pcg64Mcg::seed_from_u64(21);
    for sample in &SAMPLES {
        let plain = facts(&read_machine("plain", "test", sample.text).unwrap());
        for _ in 0..200 {
            let (text, done) = decorated(sample, &mut rng);
            let reading =
                read_machine("decorated", "test", &text).unwrap_or_else(|error| panic!("{done:?}: {error}\n{text}"));
            assert_eq!(facts(&reading), plain, "{done:?} of:\n{text}\n{:?}", reading.unknown);
        }
    }
}

#[test]
fn undecorated_listings_are_left_alone() {
    for sample in &SAMPLES {
        let reading = read_machine("plain", "test", sample.text).unwrap();
        assert_eq!(
            (reading.undone.len(), reading.unknown.len()),
            (0, 0),
            "{:?} {:?}\n{}",
            reading.undone,
            reading.unknown,
            sample.text
        );
    }
}

/// Any mixture of sources gives the ranges of the best one alone, and those that only others have.
#[test]
fn formats_mix_in_one_text() {
    let alone = |text: &str| read_machine("alone", "test", text).unwrap();
    let mut rng = Pcg64Mcg::seed_from_u64(22);
    let iomem = SAMPLES[7].text;
    let best = facts(&alone(iomem)).0;
    // Listings of the same machine, which say less.
    let others = [
        "BIOS-e820: [mem 0x0000000000100000-0x00000000bffdffff] usable\nBIOS-e820: [mem 0x0000000240000000-0x000000033fdfffff] persistent (type 12)\n",
        "{\"dev\":\"region0\",\"size\":4292870144,\"type\":\"pmem\"}\n",
        "[{\"region\":\"region0\",\"size\":68719476736,\"type\":\"ram\"}]\n",
        "[{\"chardev\":\"dax1.0\",\"size\":68719476736,\"mode\":\"system-ram\"}]\n",
        "[{\"chardev\":\"dax0.0\",\"size\":1073741824,\"mode\":\"system-ram\"}]\n",
        "0x0000000100000000-0x000000023fffffff  5G  online 32-71\n",
        "reserve setup_data: [mem 0x0000000100000000-0x000000023fffffff] usable\n",
        "extended: [mem 0x0000000100000000-0x000000023fffffff] usable\n",
        "Window base address : 000000C050000000\nWindow size : 0000003CA0000000\n",
        "some words about the machine\n",
    ];
    for _ in 0..500 {
        let mut texts: Vec<&str> = others.iter().copied().filter(|_| rng.random_bool(0.5)).collect();
        texts.insert(rng.random_range(0..=texts.len()), iomem);
        let between = if rng.random_bool(0.5) { "---\n" } else { "" };
        let text = texts.join(between);
        let reading = alone(&text);
        assert_eq!(reading.map.ranges, best, "of:\n{text}\n{:?}", reading.map.warnings);
    }
}

#[test]
fn text_of_powershell_and_a_byte_order_mark_are_read() {
    let dir = folder();
    let text = SAMPLES[7].text.replace('\n', "\r\n");
    let expected = facts(&read_machine("plain", "test", SAMPLES[7].text).unwrap());
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let marked = [b"\xef\xbb\xbf", text.as_bytes()].concat();
    for bytes in [utf16, marked] {
        let path = dir.path().join("iomem.txt");
        fs::write(&path, bytes).unwrap();
        assert_eq!(facts(&Source::File(path).read().unwrap()), expected);
    }
}

#[test]
fn a_text_without_memory_says_which_lines_were_not_understood() {
    let dir = folder();
    let refused = |text: &str| {
        let path = file(&dir, "x.txt", text);
        let output = pfnbench().arg("map").arg(path).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        String::from_utf8(output.stderr).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let told = refused("a picture\nof a screen\n\n\nand more\n");
    assert!(told.contains("line 1: \"a picture\" is not a memory range"), "{told}");
    assert!(told.contains("line 2 \"of a screen\", line 5 \"and more\""), "{told}");
    assert!(refused("").contains("the text is empty"));
    assert!(refused(&"\u{1}\u{2}\0ELF".repeat(100)).contains("this is a binary file"));
    let told = refused("BIOS-e820: [mem 0x0-0xfff] reserved\nand words\n");
    assert!(told.contains("of the 1 entries that were read, none is memory"), "{told}");
    for text in [
        "Memory block size:       128M\nTotal online memory:      16G\n",
        "00100000-bffdffff : Sys...\n",
        "00100000-bffdffff : System R\n",
    ] {
        refused(text);
    }
    // Windows, disabled regions and reserved ranges say that there is no memory.
    for text in [
        "1000000000-1fffffffff : CXL Window 0\n",
        "{\"region\":\"region0\",\"size\":4294967296,\"state\":\"disabled\"}\n",
        "fd00000000-ffffffffff : Reserved\n",
    ] {
        pfnbench().arg("map").arg(file(&dir, "x.txt", text)).assert().success();
    }
}

#[test]
fn contradictions_are_named_and_fail_only_if_asked() {
    let dir = folder();
    let text = "[{\"region\":\"region0\",\"resource\":17179869184,\"size\":4294967296,\"type\":\"ram\"}]\n---\n\
                [{\"region\":\"region0\",\"resource\":34359738368,\"size\":4294967296,\"type\":\"ram\"}]\n";
    let path = file(&dir, "x.txt", text);
    let map = json(pfnbench().args(["map", "--json"]).arg(&path));
    let told = map["contradictions"][0].as_str().unwrap();
    assert!(told.contains("line 1") && told.contains("line 3") && told.contains("0x400000000"), "{told}");
    pfnbench().args(["map", "--strict"]).arg(&path).assert().code(1);
    let plain = file(&dir, "y.txt", SAMPLES[7].text);
    pfnbench().args(["map", "--strict"]).arg(&plain).assert().success();
    let words = file(&dir, "z.txt", &format!("{}some words\n", SAMPLES[7].text));
    pfnbench().args(["map", "--strict"]).arg(&words).assert().code(1);
}

#[test]
fn sources_that_differ_are_contradictions() {
    let e820 = "BIOS-e820: [mem 0x0000000000100000-0x000000007fffffff] usable\n\
                BIOS-e820: [mem 0x0000000100000000-0x000000047fffffff] usable\n";
    for (text, says) in [
        (format!("{e820}---\n100000000-4ffffffff : System RAM\n"), "of RAM where /proc/iomem has none"),
        (
            "00100000-7fffffff : System RAM\n100000000-1ffffffff : Persistent Memory\n---\n\
             0x0000000100000000-0x000000017fffffff   2G online yes 32-47\n"
                .to_owned(),
            "another source has persistent memory there",
        ),
        (
            "0x0000000100000000-0x000000017fffffff   2G online yes 32-47\nTotal online memory: 16G\n".to_owned(),
            "states 16 GiB of memory blocks that are online, and the rows have 2 GiB",
        ),
        (
            "{\"dev\":\"region0\",\"size\":1073741824,\"resource\":4294967296,\"type\":\"pmem\",\"available_size\":2147483648,\
             \"namespaces\":[{\"dev\":\"namespace0.0\",\"mode\":\"fsdax\",\"map\":\"mem\",\"size\":2147483648}]}\n"
                .to_owned(),
            "more than its region region0 with 1 GiB",
        ),
        (
            "100000000-1ffffffff : dax0.0\n---\n{\"chardev\":\"dax0.0\",\"size\":2147483648,\"mode\":\"devdax\"}\n".to_owned(),
            "dax0.0 has 4 GiB in line 1 and 2 GiB in line 3",
        ),
        (
            "0x0000000100000000-0x000000017fffffff   2G online yes 32-47\nMemory block size: 128M\n\
             {\"chardev\":\"dax0.0\",\"size\":2147483648,\"mode\":\"system-ram\",\"online_memblocks\":14,\"total_memblocks\":16,\
             \"mappings\":[{\"start\":4294967296,\"end\":6442450943}]}\n"
                .to_owned(),
            "dax0.0 in line 3 has 14 memory blocks online, and the list of blocks has 16",
        ),
        (
            "{\"decoder\":\"decoder0.0\",\"resource\":17179869184,\"size\":4294967296,\"max_available_extent\":0}\n".to_owned(),
            "decoder0.0 in line 1 is said to be full, and no source names what uses 4 GiB of it",
        ),
    ] {
        let reading = read_machine("test", "test", &text).unwrap();
        assert!(reading.contradictions.iter().any(|told| told.contains(says)), "{says}: {:?}", reading.contradictions);
    }
}

/// Loggers, terminals and programs that quote, around any listing.
#[test]
fn prefixes_breaks_and_quotes_change_no_listing() {
    let plain = |text: &str| facts(&read_machine("plain", "test", text).unwrap());
    let (iomem, lsmem) = (SAMPLES[7].text, SAMPLES[8].text);
    for text in [iomem, lsmem] {
        for prefix in [
            "Jun 30 21:12:14 localhost kernel: ",
            "2024-05-01T08:00:00.123456789Z stdout F ",
            "2026-11-29T15:53:16,000000+00:00 ",
            "[    0.000000] ",
        ] {
            let decorated = lines(text, |line| format!("{prefix}{line}"));
            assert_eq!(facts(&read_machine("x", "test", &decorated).unwrap()), plain(text), "{decorated}");
        }
        let quoted = text.trim_end().replace('\n', "\\n");
        assert_eq!(facts(&read_machine("x", "test", &quoted).unwrap()), plain(text), "{quoted}");
        let spaces = quoted_printable(text).replace(' ', "=20");
        assert_eq!(facts(&read_machine("x", "test", &spaces).unwrap()), plain(text), "{spaces}");
    }
    for sample in [&SAMPLES[9], &SAMPLES[10], &SAMPLES[11]] {
        let one_line = serde_json::from_str::<Value>(sample.text).unwrap().to_string();
        for width in 41..120 {
            let chars: Vec<char> = one_line.chars().collect();
            for mark in ["", "> "] {
                let broken: String =
                    chars.chunks(width).map(|part| format!("{mark}{}\n", part.iter().collect::<String>())).collect();
                let reading = read_machine("x", "test", &broken).unwrap_or_else(|error| panic!("{error}\n{broken}"));
                assert_eq!(facts(&reading), plain(&one_line), "{width}:\n{broken}");
            }
        }
    }
}

#[test]
fn sources_that_contradict_each_other_are_both_named() {
    for (text, expected, words) in [
        // Memory blocks that no other source has.
        (
            "100000000-13fffffff : System RAM\n---\nRANGE SIZE STATE\n0x0000000180000000-0x00000001bfffffff 1G online\n",
            vec!["0x100000000-0x13fffffff ram", "0x180000000-0x1bfffffff ram"],
            &["0x180000000", "line 4"][..],
        ),
        // A region that is larger than what the kernel has there.
        (
            "140000000-23e1fffff : Persistent Memory\n---\n{\"dev\":\"region0\",\"size\":8589934592,\"resource\":5368709120,\"type\":\"pmem\"}\n",
            vec!["0x140000000-0x23e1fffff persistent"],
            &["line 1", "line 3", "the first is used"],
        ),
        (
            "100000000-1bfffffff : System RAM\n---\nBIOS-e820: [mem 0x0000000100000000-0x000000017fffffff] usable\n",
            vec!["0x100000000-0x1bfffffff ram"],
            &["3 GiB", "2 GiB"],
        ),
        (
            "[{\"decoder\":\"decoder0.0\",\"resource\":17179869184,\"size\":8589934592,\"max_available_extent\":-5}]\n",
            vec![],
            &["line 1", "-5 bytes", "impossible"],
        ),
    ] {
        let reading = read_machine("x", "test", text).unwrap();
        let kind = |range: &MapRange| serde_json::to_value(range.kind).unwrap().as_str().unwrap().to_owned();
        let range = |range: &MapRange| format!("{:#x}-{:#x} {}", range.start, range.end - 1, kind(range));
        assert_eq!(reading.map.disjoint().iter().map(range).collect::<Vec<_>>(), expected, "{text}");
        let [told] = &reading.contradictions[..] else { panic!("{text}\n{:?}", reading.contradictions) };
        assert!(words.iter().all(|word| told.contains(word)), "{told}");
    }
    // What the kernel made of the firmware's table is no contradiction.
    let text = "240000000-33fffffff : Persistent Memory (legacy)\n---\nBIOS-e820: [mem 0x0000000100000000-0x000000033fffffff] usable\n";
    let reading = read_machine("x", "test", text).unwrap();
    let spans: Vec<_> = reading.map.ranges.iter().map(|range| (range.start, range.end)).collect();
    assert_eq!(spans, [(0x1_0000_0000, 0x2_4000_0000), (0x2_4000_0000, 0x3_4000_0000)]);
}

#[test]
fn a_boot_log_of_xen_is_raced_to_its_end() {
    let dir = folder();
    let map = pastes().join("xen-efi-map-126g.txt");
    let mut command = pfnbench();
    command.current_dir(&dir).args(["run", "--tier", "smoke", "--op", "pfn_to_page", "--map"]).arg(map);
    command.assert().success().stdout(contains("pfn_to_page"));
}

#[test]
fn every_decoration_has_a_name() {
    let names: Vec<&str> = [Decoration::Utf16, Decoration::LineWraps].map(Decoration::name).into();
    assert_eq!(names, ["UTF-16", "line wraps"]);
}
