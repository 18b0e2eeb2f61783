//! Whether a machine would accept more memory: DIMMs, virtio-mem, CXL, DAX devices as RAM, device
//! mappings. The checks are those of the modelled machine, on its address space without records
//! ([`AddressSpace`](memmap_layouts::machine::AddressSpace)).
//!
//! | module | contents |
//! | --- | --- |
//! | [`architecture`] | architectures, and their sections by page size and kernel |
//! | [`block_size`] | the memory block size that applies, and why |
//! | [`request`] | what is to be added |
//! | [`machine`] | the machine that is asked, made from a map |
//! | [`verdict`] | accepted, or every broken rule |
//! | [`sequence`] | several requests in a row |
//!
//! ```
//! use pfnbench::hotplug_check::architecture::Architecture;
//! use pfnbench::hotplug_check::machine::MachineDescription;
//! use pfnbench::hotplug_check::request::{Request, RequestKind};
//!
//! // arm64 with 4 KiB pages had sections, hence memory blocks, of 1 GiB before Linux 5.12.
//! let machine = MachineDescription { kernel: "5.10".parse()?, ..MachineDescription::new(Architecture::Arm64) };
//! let machine = machine.prepare()?;
//! let verdict = machine.judge(&Request::parse("0xc8000000+1G", RequestKind::Dimm)?);
//! assert_eq!(verdict.refusals[0].rule.code, "MB101");
//! let nearest: Vec<String> = verdict.nearest.iter().map(|nearest| nearest.argument.clone()).collect();
//! assert_eq!(nearest, ["0xc0000000+1G", "0x100000000+1G"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod architecture;
pub mod block_size;
mod broken_rule;
pub mod machine;
mod nearest;
pub mod request;
pub mod sequence;
pub mod verdict;

/// Base and size of CXL windows and regions are multiples of this many bytes.
const CXL_UNIT_BYTES: u64 = 256 << 20;
/// Start and length of an extent of dynamic capacity are multiples of this many bytes, as posted.
const EXTENT_UNIT_BYTES: u64 = 2 << 20;
