//! The alignment of namespaces.

use crate::map::inventory::{Inventory, Span};
use serde::Serialize;

/// Alignments that namespaces are held against, in bytes: a sub-section (what device memory needs), the
/// default alignment of regions, and the largest that `ndctl` makes.
pub const NAMESPACE_ALIGNMENTS: [u64; 3] = [2 << 20, 16 << 20, 1 << 30];

/// How a namespace lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamespaceAlignment {
    /// Name, e.g. `namespace0.0`.
    pub name: String,
    /// Its addresses; `None` if no source states them: its alignment is unknown then.
    pub span: Option<Span>,
    /// The largest power of two in bytes that divides both ends.
    pub align_bytes: Option<u64>,
    /// Whether both ends are multiples of each of [`NAMESPACE_ALIGNMENTS`].
    pub is_multiple: Option<[bool; 3]>,
}

/// The alignment of each namespace of an inventory.
pub fn alignments(inventory: &Inventory) -> Vec<NamespaceAlignment> {
    let of_namespaces = inventory.namespaces.iter().map(|namespace| {
        let span = namespace.span.filter(|span| span.start < span.end);
        // The end is above the start, so it is not 0.
        let align_bytes = span.map(|span| 1 << (span.start | span.end).trailing_zeros());
        let is_multiple = align_bytes.map(|align: u64| NAMESPACE_ALIGNMENTS.map(|wanted| align >= wanted));
        NamespaceAlignment { name: namespace.name.clone(), span, align_bytes, is_multiple }
    });
    of_namespaces.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::inventory::Namespace;

    #[test]
    fn both_ends_count() {
        let namespace = |start: u64, end| Namespace {
            name: "n".into(),
            region: None,
            span: Span::new(start, end),
            mode: None,
            enabled: true,
            records: None,
            bytes: 0,
            align: None,
            node: None,
            sources: Vec::new(),
        };
        let of = |start, end| {
            let inventory = Inventory { namespaces: vec![namespace(start, end)], ..Inventory::default() };
            alignments(&inventory).remove(0).is_multiple
        };
        assert_eq!(of(4 << 30, 8 << 30), Some([true; 3]));
        assert_eq!(of(4 << 30, (8 << 30) + (16 << 20)), Some([true, true, false]));
        assert_eq!(of((4 << 30) + (2 << 20), 8 << 30), Some([true, false, false]));
        assert_eq!(of((4 << 30) + 4096, 8 << 30), Some([false; 3]));
        assert_eq!(of(1, 1), None, "unknown");
    }
}
