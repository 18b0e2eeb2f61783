//! The rows of an audit.

use crate::kernel_version::KernelVersion;
use crate::map::inventory::Span;
use crate::map::listing::MachineListing;
use crate::map::reading::UnusedPart;
use schemars::JsonSchema;
use serde::Serialize;

/// The step at which bytes are lost or used, from the bottom up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// DIMMs and expanders.
    Media,
    /// Regions.
    Region,
    /// Namespaces and DAX devices.
    Namespace,
    /// Memory blocks.
    Block,
    /// RAM.
    Ram,
    /// What can be used.
    Usable,
}

impl Stage {
    /// All stages, from the bottom up.
    pub const ALL: [Self; 6] = [Self::Media, Self::Region, Self::Namespace, Self::Block, Self::Ram, Self::Usable];

    /// Its heading.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Media => "DIMMs and expanders",
            Self::Region => "regions",
            Self::Namespace => "namespaces and devices",
            Self::Block => "memory blocks",
            Self::Ram => "RAM",
            Self::Usable => "usable",
        }
    }
}

/// What would win bytes back. It was tried with the same rules before it is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WinBack {
    /// What to do, in a sentence or as a command.
    pub how: String,
    /// Bytes that become usable.
    pub bytes: u64,
}

/// Why bytes are lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Loss {
    /// The cause, in a sentence.
    pub cause: String,
    /// The rule, with the kernel versions to which it applies.
    pub rule: &'static str,
    /// What would win them back; `None` if nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub win_back: Option<WinBack>,
}

/// Bytes with one use or one cause of loss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Row {
    /// The stage.
    pub stage: Stage,
    /// What has the bytes, e.g. `region0`.
    pub of: String,
    /// What they are.
    pub what: &'static str,
    /// Their number.
    pub bytes: u64,
    /// Their addresses, if they are known and contiguous.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
    /// Why they are lost; `None` if they are usable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
}

/// An audit: all memory of a machine, in rows that add up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Audit {
    /// Kernel whose rules apply; left out if they are those of whatever created what exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub kernel: Option<KernelVersion>,
    /// Size of a memory block in bytes.
    pub block_bytes: u64,
    /// Why it has this size.
    pub block_reason: String,
    /// Bytes of all rows.
    pub total_bytes: u64,
    /// Bytes of the rows that are usable.
    pub usable_bytes: u64,
    /// The rows, from the bottom up.
    pub rows: Vec<Row>,
    /// Addresses of windows that nothing uses. They are no memory, and in no row.
    pub unused_addresses: Vec<UnusedPart>,
    /// Remarks on what could not be told apart.
    pub notes: Vec<String>,
}

/// What `pfnbench audit --json` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AuditListing {
    /// The audits, one for each kernel.
    pub audits: Vec<Audit>,
    /// The machine. It can be read again as a map.
    pub machine: MachineListing,
}

/// An audit that is being made.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    rows: Vec<Row>,
    pub(super) notes: Vec<String>,
}

impl Ledger {
    /// Enters bytes that are lost.
    pub(super) fn lose(&mut self, stage: Stage, of: &str, what: &'static str, bytes: u64, loss: Loss) {
        if bytes > 0 {
            self.rows.push(Row { stage, of: of.to_owned(), what, bytes, span: None, loss: Some(loss) });
        }
    }

    /// Enters bytes that are lost at known addresses.
    pub(super) fn lose_span(&mut self, stage: Stage, of: &str, what: &'static str, span: Option<Span>, loss: Loss) {
        if let Some(span) = span {
            let bytes = span.bytes();
            self.rows.push(Row { stage, of: of.to_owned(), what, bytes, span: Some(span), loss: Some(loss) });
        }
    }

    /// Enters bytes that are usable.
    pub(super) fn use_(&mut self, of: &str, what: &'static str, bytes: u64, span: Option<Span>) {
        if bytes > 0 {
            self.rows.push(Row { stage: Stage::Usable, of: of.to_owned(), what, bytes, span, loss: None });
        }
    }

    /// Number of losses that could be won back.
    pub(super) fn nr_win_backs(&self) -> usize {
        self.rows.iter().filter(|row| row.loss.as_ref().is_some_and(|loss| loss.win_back.is_some())).count()
    }

    pub(super) fn finish(
        mut self,
        kernel: Option<KernelVersion>,
        block_bytes: u64,
        block_reason: String,
        unused_addresses: Vec<UnusedPart>,
        notes: Vec<String>,
    ) -> Audit {
        self.rows.sort_by_key(|row| row.stage);
        let sum = |is_counted: &dyn Fn(&Row) -> bool| -> u64 {
            self.rows.iter().filter(|row| is_counted(row)).map(|row| row.bytes).fold(0, u64::saturating_add)
        };
        let (total_bytes, usable_bytes) = (sum(&|_| true), sum(&|row| row.loss.is_none()));
        Audit { kernel, block_bytes, block_reason, total_bytes, usable_bytes, rows: self.rows, unused_addresses, notes }
    }
}
