//! The published schema of run folders, `results/schema/v2.json`, generated from the types that are
//! written to them.

use crate::record::instructions::InstructionRow;
use crate::record::manifest::Manifest;
use crate::record::row::Row;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

/// The `description` of the schema document.
const DESCRIPTION: &str = "What pfnbench writes into a run folder: $defs/Row is a line of samples.jsonl, $defs/Manifest is \
                           manifest.json, $defs/InstructionRow is a line of instructions.jsonl. Each of them is valid against the \
                           whole document too. What does not apply is left out and never null. Sizes and addresses are in bytes; \
                           times have their unit beside them.";

fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12()
        .for_serialize()
        .with_transform(RecursiveTransform(without_formats_of_rust))
        .with_transform(RecursiveTransform(left_out_not_null))
        .with_transform(RecursiveTransform(without_line_breaks))
        .into_generator()
}

/// The whole document of run folders, as JSON Schema of draft 2020-12.
pub fn document() -> Value {
    let mut generator = generator();
    let one_of = [
        generator.subschema_for::<Row>(),
        generator.subschema_for::<Manifest>(),
        generator.subschema_for::<InstructionRow>(),
    ];
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pfnbench run folder, version 2",
        "description": DESCRIPTION,
        "oneOf": one_of,
        "$defs": generator.take_definitions(true),
    })
}

/// The schema of what a command prints, as JSON Schema of draft 2020-12.
pub fn document_of<T: JsonSchema>(title: &str, description: &str) -> Value {
    let mut generator = generator();
    let root = generator.subschema_for::<T>();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "description": description,
        "allOf": [root],
        "$defs": generator.take_definitions(true),
    })
}

/// Removes formats such as `uint32`: JSON Schema does not define them, and strict validators reject
/// unknown formats.
fn without_formats_of_rust(schema: &mut Schema) {
    let is_of_rust = |format: &str| ["int", "uint", "float", "double"].iter().any(|kind| format.starts_with(kind));
    if schema.get("format").and_then(Value::as_str).is_some_and(is_of_rust) {
        schema.remove("format");
    }
}

/// Joins the lines of descriptions, which wrap where the source code does.
fn without_line_breaks(schema: &mut Schema) {
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
}

/// Removes `null` from the types of optional fields: such a field is left out and never null.
fn left_out_not_null(schema: &mut Schema) {
    let required = schema.get("required").cloned().unwrap_or_default();
    let is_required = |name: &str| required.as_array().is_some_and(|names| names.iter().any(|other| other == name));
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (_, property) in properties.iter_mut().filter(|(name, _)| !is_required(name)) {
        let Some(property) = property.as_object_mut() else { continue };
        if let Some(types) = property.get_mut("type")
            && let Some([one, Value::String(null)]) = types.as_array().map(Vec::as_slice)
            && null == "null"
        {
            *types = one.clone();
        }
        let Some(either) = property.get("anyOf").and_then(Value::as_array).cloned() else { continue };
        if let [Value::Object(one), null] = either.as_slice()
            && *null == json!({ "type": "null" })
        {
            property.remove("anyOf");
            property.extend(one.clone());
        }
    }
}
