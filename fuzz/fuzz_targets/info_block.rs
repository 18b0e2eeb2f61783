//! Any block with a right checksum is refused, or says what lies within its namespace.

#![no_main]

use libfuzzer_sys::fuzz_target;
use memmap_layouts::nvdimm::info_block::{INFO_BLOCK_BYTES, InfoBlock, Signature};
use memmap_layouts::nvdimm::{Extent, HEAD_BYTES, Host};
use memmap_layouts::rules::{Before, RuleSet, Rules};

fuzz_target!(|data: &[u8]| {
    let mut bytes = [0; INFO_BLOCK_BYTES];
    let len = data.len().min(bytes.len());
    bytes[..len].copy_from_slice(&data[..len]);
    let signature = if bytes[0] & 1 == 0 { Signature::Pfn } else { Signature::Dax };
    bytes[..16].copy_from_slice(signature.bytes());
    let parent: [u8; 16] = bytes[32..48].try_into().unwrap();
    let sum = InfoBlock::read(&bytes).unwrap().sum();
    bytes[INFO_BLOCK_BYTES - 8..].copy_from_slice(&sum.to_le_bytes());
    let block = InfoBlock::read(&bytes).unwrap();
    let namespace = Extent { start: 4 << 30, size: 1 << 30 };
    for rules in [RuleSet::MERGED, Before::SET] {
        for host in [Host::X86_64, Host::ARM64_64K] {
            match block.validate(signature, &parent, namespace, &host, None, &rules) {
                Ok(settings) => {
                    let mapped = settings.mapped(namespace);
                    assert!(mapped.start >= namespace.start && mapped.end() <= namespace.end() && mapped.size > 0);
                    assert!(settings.dataoff >= HEAD_BYTES && settings.data_bytes(namespace) > 0);
                }
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
});
