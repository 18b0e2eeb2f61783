//! Finding, disabling and destroying a namespace of a region.

use super::PmemError;
use super::refusal::Refusal;
use super::region_files::{namespace_subject, region_subject};
use memmap_layouts::nvdimm::label::Label;
use memmap_layouts::nvdimm::region::Region;
use memmap_layouts::nvdimm::storage::StorageFile;
use thiserror::Error;
use uuid::Uuid;

/// A name that no namespace has, or more than one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{} namespaces have the name {name:?}, and exactly one must; if several do, use a UUID", uuids.len())]
pub struct NameError {
    /// The requested name.
    pub name: String,
    /// UUIDs of the namespaces with this name.
    pub uuids: Vec<String>,
    /// Names of all namespaces of the region.
    pub existing: Vec<String>,
}

/// Finds a namespace by its name, or by its UUID in upper or lower case.
///
/// # Errors
/// [`PmemError::Refused`] if no namespace, or more than one, has this name.
pub fn find(region: &Region<StorageFile>, name: &str) -> Result<Label, PmemError> {
    let uuid = |label: &Label| Uuid::from_bytes(label.uuid).to_string();
    let is_meant = |label: &&Label| label.name == name || uuid(label) == name.to_lowercase();
    let found: Vec<_> = region.labels().iter().filter(is_meant).collect();
    if let [label] = found[..] {
        return Ok(label.clone());
    }
    let error = NameError {
        name: name.to_owned(),
        uuids: found.into_iter().map(uuid).collect(),
        existing: region.labels().iter().map(|label| label.name.clone()).collect(),
    };
    Err(Refusal::from_name(&error, &region_subject(region.medium().path())).into())
}

/// Marks a namespace as disabled in the labels, durably. Returns its label from before the change.
///
/// # Errors
/// [`PmemError::Refused`] if no single namespace has this name, or the labels cannot be written.
pub fn disable(region: &mut Region<StorageFile>, name: &str) -> Result<Label, PmemError> {
    let label = find(region, name)?;
    let result = region.set_disabled(&label.uuid, true);
    result.map_err(|error| Refusal::from_region(&error, &namespace_subject(region, &label)))?;
    Ok(label)
}

/// Deletes a disabled namespace from the labels, durably. Returns its label.
///
/// # Errors
/// [`PmemError::Refused`] if no single namespace has this name, if it is enabled, or if the labels
/// cannot be written.
pub fn destroy(region: &mut Region<StorageFile>, name: &str) -> Result<Label, PmemError> {
    let label = find(region, name)?;
    let result = region.destroy_namespace(&label.uuid);
    result.map_err(|error| Refusal::from_region(&error, &namespace_subject(region, &label)))?;
    Ok(label)
}
