//! Prints which kind of device a namespace becomes, as text and as JSON.

use memmap_layouts::ByteSize;
use memmap_layouts::nvdimm::Extent;
use memmap_layouts::nvdimm::info_block::Signature;
use memmap_layouts::nvdimm::region::Personality;
use serde_json::{Value, json};

/// Text for a namespace whose info block the kernel ignores.
pub(super) const INFO_BLOCK_IGNORED: &str = "treated as a raw block device; its info block is ignored";

pub(super) fn device_kind_text(personality: &Personality, namespace: Extent) -> String {
    match personality {
        Personality::Raw => "a raw block device".to_owned(),
        Personality::Pages(signature, settings) => format!(
            "{} of data at offset {}{}",
            ByteSize(settings.data_bytes(namespace)),
            ByteSize(settings.block_io_offset()),
            match (settings.has_dax(), signature) {
                (true, _) => "",
                (false, Signature::Pfn) => "; padded at the start, so it is a block device without DAX",
                (false, Signature::Dax) => "; padded at the start, so processes cannot map it",
            }
        ),
    }
}

pub(super) fn device_kind_json(personality: &Personality, namespace: Extent) -> Value {
    match personality {
        Personality::Raw => json!({ "is": "raw" }),
        Personality::Pages(_, settings) => json!({
            "is": "pages", "data_bytes": settings.data_bytes(namespace),
            "data_offset_bytes": settings.block_io_offset(), "dax": settings.has_dax(),
        }),
    }
}

/// Adds name, start in bytes and size in bytes of a namespace to its JSON object.
pub(super) fn with_place(mut json: Value, name: &str, namespace: Extent) -> Value {
    (json["name"], json["start"], json["size_bytes"]) = (name.into(), namespace.start.into(), namespace.size.into());
    json
}
