//! The operations of `pfnbench::pmem`, called as functions.

use super::*;
use memmap_layouts::nvdimm::RecordsOn;
use memmap_layouts::nvdimm::label::NamespaceKind;
use pfnbench::interrupt::Interrupt;
use pfnbench::pmem::create_namespace::NewNamespace;
use pfnbench::pmem::create_region::NewRegion;
use pfnbench::pmem::enable::{EnableRequest, enable};
use pfnbench::pmem::probe::{ProbeOutcome, probe};
use pfnbench::pmem::region_files::RegionFiles;
use pfnbench::pmem::{KernelRules, NearbyMemory, PmemError, namespaces};

const MIB: u64 = 1 << 20;

fn code<T: std::fmt::Debug>(result: Result<T, PmemError>) -> &'static str {
    match result {
        Err(PmemError::Refused(refusal)) => refusal.rule.code,
        other => panic!("no refusal: {other:?}"),
    }
}

#[test]
fn a_namespace_is_created_probed_enabled_and_destroyed() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let files = RegionFiles { medium: dir.path().join("pmem0"), labels: None };
    let new_region = NewRegion { files: files.clone(), size: Some(64 * MIB), start: None, align: None, mappings: 1 };
    let interrupt = Interrupt::default();
    let created = new_region.create(&interrupt).unwrap();
    assert_eq!((created.start, created.size_bytes, created.align_bytes), (4 << 30, 64 * MIB, 16 * MIB));
    assert_eq!((created.past_sub_section_bytes, created.is_existing_file), (0, false));
    assert_eq!(code(new_region.create(&interrupt)), "NS417");

    let mut region = files.open(None, Access::Write).unwrap();
    let new_namespace = NewNamespace {
        size: 16 * MIB,
        kind: NamespaceKind::DevDax,
        records: RecordsOn::Medium,
        align: 2 * MIB,
        name: None,
        skips_to_sub_section: false,
        nearby: NearbyMemory::default(),
        rules: KernelRules::Merged,
    };
    let namespace = new_namespace.create(&mut region).unwrap();
    assert_eq!((namespace.name.as_str(), namespace.start, namespace.usable_bytes), ("namespace0.0", 4 << 30, 14 * MIB));
    let too_large = NewNamespace { size: 1 << 30, ..new_namespace };
    assert_eq!(code(too_large.create(&mut region)), "NS204");

    let probed = probe(&region, &NearbyMemory::default(), KernelRules::Merged);
    assert!(matches!(probed[0].outcome, ProbeOutcome::Accepted(Personality::Pages(..))), "{probed:?}");
    let request = |layout: &str| EnableRequest {
        namespaces: vec!["all".into()],
        layout: layout.into(),
        ram: Vec::new(),
        kernel: None,
    };
    let enabled = enable(&mut region, &request("dax-x86"), &mut ()).unwrap();
    match &enabled[0].outcome {
        ProbeOutcome::Accepted(one) => assert_eq!((one.nr_pages, one.ram_record_bytes), (4096, 4096 * 64)),
        other => panic!("{other:?}"),
    }
    let unknown = enable(&mut region, &request("flat"), &mut ()).unwrap_err();
    assert!(unknown.to_string().contains("dax-x86"), "{unknown}");

    assert_eq!(code(namespaces::destroy(&mut region, "namespace0.0")), "NS409");
    namespaces::disable(&mut region, "namespace0.0").unwrap();
    namespaces::destroy(&mut region, &namespace.uuid.to_string().to_uppercase()).unwrap();
    assert_eq!(code(namespaces::find(&region, "namespace0.0")), "NS408");
}
