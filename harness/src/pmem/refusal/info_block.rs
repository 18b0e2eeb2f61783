//! Refusals of info blocks.

use super::rule::{self, Rule};
use super::{Refusal, Subject, distance};
use crate::size::argument;
use memmap_layouts::ByteSize;
use memmap_layouts::nvdimm::info_block::InfoBlockError;
use rustix::io::Errno;

fn list(aligns: &[u64]) -> String {
    aligns.iter().map(|align| ByteSize(*align).to_string()).collect::<Vec<_>>().join(", ")
}

fn arguments(aligns: &[u64]) -> String {
    aligns.iter().map(|align| argument(*align)).collect::<Vec<_>>().join(" or ")
}

impl Refusal {
    /// The refusal of a namespace with an invalid info block.
    pub fn from_info_block(error: &InfoBlockError, subject: &Subject) -> Self {
        use InfoBlockError as E;
        // Source: `nd_pmem_probe`, which creates a raw device on any error but EOPNOTSUPP.
        let in_linux = match error {
            E::DataInHead { .. } => "Linux does not map it either",
            _ if error.errno() == Errno::OPNOTSUPP => {
                "before Linux 5.7 it became a raw block device, whose writes could overwrite the data"
            }
            _ => "Linux treats it as a raw block device, whose writes could overwrite the data",
        };
        let cost = format!("it is not mapped; its data is unchanged ({in_linux})");
        let by = |rule: &'static Rule| Self::new(rule, subject).errno(error.errno()).cost(&cost);
        let recreate = "back up its data, destroy it and create it again";
        match *error {
            E::Signature => by(&rule::SIGNATURE).off_by("the signature is another one").fix(recreate),
            E::Checksum { found, computed } => by(&rule::CHECKSUM)
                .off_by(format!("the stored checksum is {found:#018x}, the computed one {computed:#018x}"))
                .fix(format!("restore the 4096 bytes at offset 4 KiB of the namespace from a backup, or {recreate}")),
            E::Parent => by(&rule::PARENT)
                .who(Some("a previous namespace at this address, or a copied medium".to_owned()))
                .fix(format!("use the labels that belong to the medium, or {recreate}")),
            E::Mode { mode } => by(&rule::MODE)
                .off_by(format!("the mode is {mode}"))
                .fix(format!("restore the info block with mode 1 or 2, or {recreate}")),
            E::PageSize { found, host } => by(&rule::PAGE_SIZE)
                .off_by(format!(
                    "it was created for pages of {}, and this kernel has pages of {}",
                    ByteSize(found),
                    ByteSize(host)
                ))
                .fix(format!("use a kernel with pages of {}, or {recreate}", ByteSize(found))),
            E::RecordSize { found, host } => by(&rule::RECORD_SIZE)
                .off_by(format!(
                    "each record has {found} bytes of space, {} fewer than the {host} that are needed",
                    host.saturating_sub(found)
                ))
                .fix(format!("use a kernel whose records have {found} bytes, or {recreate}")),
            E::UnsupportedAlign { align, aligns } => by(&rule::SERVED)
                .off_by(format!("{} is not one of {}", ByteSize(align), list(aligns)))
                .fix(format!("{recreate}, with --align {}", arguments(aligns))),
            E::Instance => by(&rule::INSTANCE).fix("disable it and enable it again"),
            E::Changed { .. } => by(&rule::CHANGED).fix("disable it and enable it again"),
            E::AlignExceedsCapacity { align, size, .. } => by(&rule::ALIGN_EXCEEDS)
                .off_by(format!("{} short of {}", ByteSize(align.saturating_sub(size)), ByteSize(align)))
                .fix(format!("{recreate}, with a larger size or a smaller alignment")),
            E::DataBeyondEnd { dataoff, size, .. } => by(&rule::DATA_BEYOND)
                .off_by(format!("its data would start {} after its end", ByteSize(dataoff.saturating_sub(size))))
                .fix(format!("restore its original size of more than {}, or {recreate}", ByteSize(dataoff))),
            E::BadOffset { at, off, align, .. } => by(&rule::OFFSET)
                .off_by(format!("the data starts at {at:#x}, {}", distance(at, off, align)))
                .who(Some("the firmware, if it has moved the region".to_owned()))
                .works_or(subject, recreate),
            E::StartMisaligned { at, off, compat } => by(&rule::START)
                .off_by(format!("{at:#x} is {}", distance(at, off, compat)))
                .who(subject.below(at))
                .works_or(subject, recreate),
            E::EndMisaligned { at, off, compat } => by(&rule::END)
                .off_by(format!("{at:#x} is {}", distance(at, off, compat)))
                .who(subject.above(at))
                .fix(format!("{recreate}, with the end {:#x} (end_trunc larger by {})", at - off, ByteSize(off))),
            E::DataInHead { dataoff, head } => by(&rule::HEAD)
                .off_by(format!(
                    "its data starts at {}, {} too early",
                    ByteSize(dataoff),
                    ByteSize(head.saturating_sub(dataoff))
                ))
                .fix(recreate),
            E::NothingLeft { start_pad, end_trunc, size } => by(&rule::NOTHING_LEFT)
                .off_by(format!(
                    "start_pad is {} and end_trunc {} of {}",
                    ByteSize(start_pad),
                    ByteSize(end_trunc),
                    ByteSize(size)
                ))
                .fix(format!("restore the info block with padding of less than {}, or {recreate}", ByteSize(size))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use memmap_layouts::nvdimm::info_block::{Contents, InfoBlock, Signature};
    use memmap_layouts::nvdimm::{Extent, Host, RecordsOn};
    use memmap_layouts::rules::RuleSet;
    use std::collections::BTreeSet;
    use zerocopy::IntoBytes;

    const UUID: [u8; 16] = [7; 16];
    const NAMESPACE: Extent = Extent { start: 4 << 30, size: 64 << 20 };

    fn good() -> Contents {
        Contents {
            signature: Signature::Dax,
            uuid: [1; 16],
            parent_uuid: UUID,
            minor: 4,
            dataoff: 4 << 20,
            npfns: 15 << 10,
            records: RecordsOn::Medium,
            start_pad: 0,
            end_trunc: 0,
            align: 2 << 20,
            page_bytes: 4096,
            record_bytes: 64,
        }
    }

    fn validate(block: &InfoBlock, namespace: Extent) -> Result<(), InfoBlockError> {
        block.validate(Signature::Dax, &UUID, namespace, &Host::X86_64, None, &RuleSet::MERGED).map(drop)
    }

    /// An info block with some bytes replaced and a valid checksum.
    fn forged(at: usize, bytes: &[u8]) -> InfoBlock {
        let mut block = good().block();
        block.as_mut_bytes()[at..at + bytes.len()].copy_from_slice(bytes);
        let sum = block.sum();
        block.as_mut_bytes()[4088..].copy_from_slice(&sum.to_le_bytes());
        block
    }

    #[test]
    fn every_condition_of_a_block_is_refused_in_its_parts() {
        assert_eq!(validate(&good().block(), NAMESPACE), Ok(()));
        let mut damaged = good().block();
        damaged.as_mut_bytes()[100] ^= 1;
        let blocks = [
            (forged(0, b"nothing"), "NS301"),
            (damaged, "NS302"),
            (Contents { parent_uuid: [0; 16], ..good() }.block(), "NS303"),
            (forged(72, &[9]), "NS304"),
            (Contents { page_bytes: 65536, ..good() }.block(), "NS305"),
            (Contents { record_bytes: 56, ..good() }.block(), "NS306"),
            (Contents { align: 16 << 20, ..good() }.block(), "NS307"),
            (Contents { align: 1 << 30, ..good() }.block(), "NS310"),
            (Contents { dataoff: 64 << 20, ..good() }.block(), "NS311"),
            (Contents { dataoff: 3 << 20, ..good() }.block(), "NS312"),
            (Contents { start_pad: 1 << 20, dataoff: 5 << 20, ..good() }.block(), "NS201"),
            (Contents { end_trunc: 1 << 20, ..good() }.block(), "NS202"),
            (Contents { end_trunc: 64 << 20, ..good() }.block(), "NS313"),
            (Contents { end_trunc: 60 << 20, ..good() }.block(), "NS313"),
            (Contents { dataoff: 0, ..good() }.block(), "NS314"),
        ];
        let subject = Subject::at("pmem0", NAMESPACE);
        let mut codes = BTreeSet::new();
        for (block, code) in blocks {
            let refusal = Refusal::from_info_block(&validate(&block, NAMESPACE).unwrap_err(), &subject);
            assert_eq!(refusal.rule.code, code, "{refusal}");
            let text = refusal.to_string();
            for part in ["pmem0 at 0x100000000-0x103ffffff (64 MiB)", "\n  rule ", "\n  cost ", "\n  fix ", "\n  see "]
            {
                assert!(text.contains(part), "{text}");
            }
            assert!(refusal.errno.is_some() && refusal.json()["fix"].is_string());
            codes.insert(code);
        }
        assert_eq!(codes.len(), 14);
    }
}
