//! Describes the kind of device that a namespace becomes, as text and as JSON.

use memmap_layouts::Bytes;
use memmap_layouts::nvdimm::Extent;
use memmap_layouts::nvdimm::info_block::Signature;
use memmap_layouts::nvdimm::region::Personality;
use serde_json::{Value, json};

pub(super) fn verdict(personality: &Personality, namespace: Extent) -> String {
    match personality {
        Personality::Raw => "a raw block device".to_owned(),
        Personality::Pages(signature, settings) => format!(
            "{} of data from {} on{}",
            Bytes(settings.data_bytes(namespace)),
            Bytes(settings.block_io_offset()),
            match (settings.has_dax(), signature) {
                (true, _) => "",
                (false, Signature::Pfn) => "; padded in front, so it is a block device without DAX",
                (false, Signature::Dax) => "; padded in front, so nothing of it can be mapped into processes",
            }
        ),
    }
}

/// The description as JSON.
pub(super) fn verdict_json(personality: &Personality, namespace: Extent) -> Value {
    match personality {
        Personality::Raw => json!({ "is": "raw" }),
        Personality::Pages(_, settings) => json!({
            "is": "pages", "data_bytes": settings.data_bytes(namespace), "data_offset_bytes": settings.block_io_offset(),
            "dax": settings.has_dax(),
        }),
    }
}
