//! Persistent-memory namespaces: capacity, regions in files, namespaces of a region, and refusals.
//!
//! Every function takes plain values and returns plain values or a [`PmemError`]. Nothing here
//! parses arguments or prints.
//!
//! | module | contents |
//! | --- | --- |
//! | [`capacity`] | where the bytes of a namespace go, and which size to request |
//! | [`described_region`] | a region that a memory map or a listing describes |
//! | [`region_files`] | the medium and the label file of a region, and opening them |
//! | [`create_region`] | creating a region |
//! | [`create_namespace`] | creating a namespace in a region |
//! | [`namespaces`] | finding, disabling and destroying a namespace |
//! | [`probe`] | whether a kernel would accept the namespaces of a region |
//! | [`enable`] | enabling namespaces on a machine with a given layout |
//! | [`scene`] | replaying a scenario on temporary files |
//! | [`refusal`] | why a request is refused, in six parts |

pub mod capacity;
pub mod create_namespace;
pub mod create_region;
pub mod described_region;
pub mod enable;
mod error;
pub mod kernel_rules;
pub mod namespaces;
pub mod nearby_memory;
pub mod probe;
pub mod refusal;
pub mod region_files;
pub mod scene;
pub mod shrunk_media;
mod suggestion;
mod working_starts;

pub use error::PmemError;
pub use kernel_rules::KernelRules;
pub use nearby_memory::NearbyMemory;

use memmap_layouts::nvdimm::Host;

/// The host for which namespaces are planned, created and enabled.
pub const HOST: Host = Host::X86_64;
