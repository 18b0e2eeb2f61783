//! Every condition of an info block alone, the order of the conditions, and test vectors.

use super::*;
use crate::rules::{Before, Rules};

const GIB: u64 = 1 << 30;
const UUID: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const PARENT: [u8; 16] = [16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31];

/// 16 MiB with records on the medium.
fn contents() -> Contents {
    Contents {
        signature: Signature::Pfn,
        uuid: UUID,
        parent_uuid: PARENT,
        minor: MINOR,
        dataoff: 2 << 20,
        npfns: 3584,
        records: RecordsOn::Medium,
        start_pad: 0,
        end_trunc: 0,
        align: 2 << 20,
        page_bytes: 4096,
        record_bytes: 64,
    }
}

const NAMESPACE: Extent = Extent { start: 4 * GIB, size: 16 << 20 };

fn validated(block: &InfoBlock, rules: &RuleSet) -> Result<Settings, InfoBlockError> {
    block.validate(Signature::Pfn, &PARENT, NAMESPACE, &Host::X86_64, None, rules)
}

fn checked(block: &InfoBlock) -> Result<Settings, InfoBlockError> {
    validated(block, &RuleSet::MERGED)
}

fn sealed(change: impl FnOnce(&mut InfoBlock)) -> InfoBlock {
    let mut block = contents().block();
    change(&mut block);
    block.checksum = U64::new(block.sum());
    block
}

#[test]
fn t60_checksums_and_offsets_are_the_kernels() {
    let sum = |contents: Contents| contents.block().checksum.get();
    assert_eq!(sum(contents()), 0xca2d_555c_6c16_cee2);
    assert_eq!(sum(Contents { signature: Signature::Dax, ..contents() }), 0xd655_2d66_6016_d8dd);
    assert_eq!(sum(Contents { minor: 2, ..contents() }), 0xc207_bb1c_6c14_bea2);
    let mut bytes = vec![0u8; INFO_BLOCK_BYTES];
    assert_eq!(InfoBlock::read(&bytes).unwrap().sum(), 0);
    bytes[0] = 1;
    assert_eq!(InfoBlock::read(&bytes).unwrap().sum(), 0x0000_0400_0000_0001);
    assert!(InfoBlock::read(&bytes[1..]).is_none());
    assert_eq!(size_of::<InfoBlock>(), INFO_BLOCK_BYTES);
    // Each field has its offset and byte order.
    let block = Contents { start_pad: 0x0403_0201, end_trunc: 0x0807_0605, ..contents() }.block();
    let bytes = block.as_bytes();
    assert_eq!((&bytes[..16], &bytes[16..32], &bytes[32..48]), (&b"NVDIMM_PFN_INFO\0"[..], &UUID[..], &PARENT[..]));
    assert_eq!((&bytes[48..52], &bytes[52..56]), (&[0; 4][..], &[1, 0, 4, 0][..]));
    assert_eq!((&bytes[56..64], &bytes[64..72]), (&[0, 0, 0x20, 0, 0, 0, 0, 0][..], &[0, 0xe, 0, 0, 0, 0, 0, 0][..]));
    assert_eq!(
        (&bytes[72..76], &bytes[76..80], &bytes[80..84]),
        (&[2, 0, 0, 0][..], &[1, 2, 3, 4][..], &[5, 6, 7, 8][..])
    );
    assert_eq!((&bytes[84..88], &bytes[88..94]), (&[0, 0, 0x20, 0][..], &[0, 0x10, 0, 0, 64, 0][..]));
    assert!(bytes[94..4088].iter().all(|byte| *byte == 0));
    assert_eq!(bytes[4088..], block.checksum.get().to_le_bytes());
}

#[test]
fn t60_any_flipped_bit_is_detected() {
    let good = contents().block();
    assert!(checked(&good).is_ok());
    for byte in 0..INFO_BLOCK_BYTES {
        for bit in 0..8 {
            let mut bytes = good.as_bytes().to_vec();
            bytes[byte] ^= 1 << bit;
            let error = checked(InfoBlock::read(&bytes).unwrap()).unwrap_err();
            assert_eq!(error.errno(), Errno::NODEV, "byte {byte}, bit {bit}: {error}");
        }
    }
}

#[test]
fn t63_each_condition_alone_has_its_errno() {
    let settings = checked(&contents().block()).unwrap();
    let adopted = Adopted { uuid: UUID, align: settings.align, records: settings.records };
    let with = |adopted: Adopted, block: &InfoBlock| {
        block.validate(Signature::Pfn, &PARENT, NAMESPACE, &Host::X86_64, Some(&adopted), &RuleSet::MERGED)
    };
    assert_eq!(with(adopted, &contents().block()), Ok(settings));
    let small = |size| {
        let namespace = Extent { size, ..NAMESPACE };
        contents().block().validate(Signature::Pfn, &PARENT, namespace, &Host::X86_64, None, &RuleSet::MERGED)
    };
    let dax = Contents { signature: Signature::Dax, align: 4 << 20, dataoff: 4 << 20, ..contents() }.block();
    let dax = dax.validate(Signature::Dax, &PARENT, NAMESPACE, &Host::X86_64, None, &RuleSet::MERGED);
    let cases: [(&str, Result<Settings, InfoBlockError>, Errno); 17] = [
        ("signature", checked(&Contents { signature: Signature::Dax, ..contents() }.block()), Errno::NODEV),
        ("parent", checked(&sealed(|block| block.parent_uuid = UUID)), Errno::NODEV),
        ("no mode", checked(&sealed(|block| block.mode = U32::new(0))), Errno::NXIO),
        ("mode 3", checked(&sealed(|block| block.mode = U32::new(3))), Errno::NXIO),
        ("page size", checked(&sealed(|block| block.page_size = U32::new(64 << 10))), Errno::OPNOTSUPP),
        ("record size", checked(&sealed(|block| block.page_struct_size = U16::new(56))), Errno::OPNOTSUPP),
        ("align of a DAX device", dax, Errno::OPNOTSUPP),
        ("instance", with(Adopted { uuid: PARENT, ..adopted }, &contents().block()), Errno::NODEV),
        ("previous align", with(Adopted { align: 4096, ..adopted }, &contents().block()), Errno::OPNOTSUPP),
        (
            "previous place of records",
            with(Adopted { records: RecordsOn::Ram, ..adopted }, &contents().block()),
            Errno::OPNOTSUPP,
        ),
        ("capacity", checked(&sealed(|block| block.align = U32::new(32 << 20))), Errno::OPNOTSUPP),
        ("data beyond the end", small(2 << 20), Errno::OPNOTSUPP),
        ("offset", checked(&sealed(|block| block.dataoff = U64::new(3 << 20))), Errno::OPNOTSUPP),
        (
            "start",
            checked(&sealed(|block| {
                (block.start_pad, block.align) = (U32::new(4096), U32::new(4096));
            })),
            Errno::OPNOTSUPP,
        ),
        ("end", checked(&sealed(|block| block.end_trunc = U32::new(4096))), Errno::OPNOTSUPP),
        (
            "pads of everything",
            checked(&sealed(|block| {
                (block.start_pad, block.end_trunc) = (U32::new(8 << 20), U32::new(8 << 20));
            })),
            Errno::OPNOTSUPP,
        ),
        (
            "all bits set",
            checked(&sealed(|block| {
                (block.dataoff, block.align) = (U64::new(u64::MAX), U32::new(u32::MAX));
            })),
            Errno::OPNOTSUPP,
        ),
    ];
    for (name, result, errno) in cases {
        assert_eq!(result.unwrap_err().errno(), errno, "{name}");
    }
    // With records in RAM, the sizes of page and record do not matter.
    let ram = sealed(|block| (block.mode, block.page_size) = (U32::new(1), U32::new(64 << 10)));
    assert!(checked(&ram).is_ok());
    // Kernels before 5.4 do not check: they map records for other page sizes.
    let larger = sealed(|block| block.page_size = U32::new(64 << 10));
    assert!(validated(&larger, &Before::SET).is_ok());
}

/// If any two conditions do not hold, the error names the one that the kernel checks first.
#[test]
fn t63_conditions_are_checked_in_the_kernels_order() {
    type Change = fn(&mut InfoBlock);
    // Each change breaks one condition and none before it. Two changes of the same field would
    // overwrite each other, so these are not paired.
    let in_order: [(&str, Change); 12] = [
        ("signature", |block| block.signature = *Signature::Dax.bytes()),
        ("parent", |block| block.parent_uuid = UUID),
        ("mode", |block| block.mode = U32::new(3)),
        ("page size", |block| block.page_size = U32::new(64 << 10)),
        ("record size", |block| block.page_struct_size = U16::new(56)),
        ("instance", |block| block.uuid = PARENT),
        ("align > size", |block| block.align = U32::new(32 << 20)),
        ("dataoff >= size", |block| block.dataoff = U64::new(64 << 20)),
        ("offset", |block| block.dataoff = U64::new((3 << 20) + 512)),
        ("pads", |block| block.end_trunc = U32::new(16 << 20)),
        ("start", |block| (block.start_pad, block.align) = (U32::new(4096), U32::new(4096))),
        ("end", |block| block.end_trunc = U32::new(4096)),
    ];
    let adopted = Adopted { uuid: UUID, align: 2 << 20, records: RecordsOn::Medium };
    let first_error = |changes: &[Change]| {
        let block = sealed(|block| changes.iter().for_each(|change| change(block)));
        // The adopted alignment follows that of the block: that condition is tested separately.
        let adopted = Adopted { align: u64::from(block.align.get()), ..adopted };
        let result =
            block.validate(Signature::Pfn, &PARENT, NAMESPACE, &Host::X86_64, Some(&adopted), &RuleSet::MERGED);
        std::mem::discriminant(&result.unwrap_err())
    };
    let same_field = [("align > size", "start"), ("dataoff >= size", "offset"), ("pads", "end")];
    let mut pairs = 0;
    for (nr, (first, change)) in in_order.iter().enumerate() {
        for (second, other) in &in_order[nr + 1..] {
            if same_field.contains(&(*first, *second)) {
                continue;
            }
            assert_eq!(first_error(&[*change, *other]), first_error(&[*change]), "{first} before {second}");
            pairs += 1;
        }
    }
    assert_eq!(pairs, 63);
    // Damage is reported before everything but the signature.
    let mut damaged = sealed(|block| block.parent_uuid = UUID);
    damaged.padding[7] ^= 1;
    assert!(matches!(checked(&damaged), Err(InfoBlockError::Checksum { .. })));
    damaged.signature = *Signature::Dax.bytes();
    assert_eq!(checked(&damaged), Err(InfoBlockError::Signature));
    // A changed alignment is reported before one that exceeds the namespace.
    let grown = sealed(|block| block.align = U32::new(32 << 20));
    let result = grown.validate(Signature::Pfn, &PARENT, NAMESPACE, &Host::X86_64, Some(&adopted), &RuleSet::MERGED);
    assert!(matches!(result, Err(InfoBlockError::Changed { .. })));
}

#[test]
fn t63_fields_newer_than_the_minor_version_are_ignored() {
    let old = sealed(|block| {
        (block.version_minor, block.start_pad, block.end_trunc) = (U16::ZERO, U32::new(0xaaaa), U32::new(0xaaaa));
        (block.align, block.page_size, block.page_struct_size) = (U32::new(0xaaaa), U32::MAX_VALUE, U16::ZERO);
    });
    let settings = checked(&old).unwrap();
    assert_eq!((settings.start_pad, settings.end_trunc, settings.align), (0, 0, 2 << 20));
    // With 18 MiB before the data the alignment is 16 MiB, which 4 GiB plus 18 MiB violates.
    let namespace = Extent { start: 4 * GIB, size: GIB };
    let odd = sealed(|block| (block.align, block.dataoff) = (U32::ZERO, U64::new(0x120_0000)));
    let result = odd.validate(Signature::Pfn, &PARENT, namespace, &Host::X86_64, None, &RuleSet::MERGED);
    assert!(matches!(result, Err(InfoBlockError::BadOffset { align: 0x100_0000, .. })), "{result:?}");
    assert_eq!(result.unwrap_err().errno(), Errno::OPNOTSUPP);
}

#[test]
fn before_the_series_errnos_differed_and_ends_were_not_checked() {
    let before = |block: &InfoBlock| validated(block, &Before::SET);
    let errno = |block: &InfoBlock| before(block).unwrap_err().errno();
    assert_eq!(errno(&sealed(|block| block.align = U32::new(32 << 20))), Errno::INVAL);
    assert_eq!(errno(&sealed(|block| block.dataoff = U64::new(32 << 20))), Errno::BUSY);
    assert_eq!(errno(&sealed(|block| block.dataoff = U64::new(3 << 20))), Errno::NXIO);
    assert!(before(&sealed(|block| block.end_trunc = U32::new(4096))).is_ok());
}

#[test]
fn t64_a_padded_namespace_is_mapped_but_has_no_dax() {
    let namespace = Extent { start: 4 * GIB - (64 << 20), size: GIB };
    let padded = sealed(|block| block.start_pad = U32::new(64 << 20));
    let validate = |rules| padded.validate(Signature::Pfn, &PARENT, namespace, &Host::X86_64, None, rules);
    let settings = validate(&RuleSet::MERGED).unwrap();
    assert_eq!(settings.mapped(namespace), Extent { start: 4 * GIB, size: GIB - (64 << 20) });
    assert_eq!(settings.block_io_offset(), (64 << 20) + (2 << 20));
    assert!(!settings.has_dax() && checked(&contents().block()).unwrap().has_dax());
    assert_eq!(validate(&Before::SET), Ok(settings));
}

#[test]
fn t65_a_new_block_keeps_no_stale_bytes() {
    let mut medium = vec![0xaau8; 2 * INFO_BLOCK_BYTES];
    medium[INFO_BLOCK_BYTES..].copy_from_slice(contents().block().as_bytes());
    let block = InfoBlock::read(&medium[INFO_BLOCK_BYTES..]).unwrap();
    assert_eq!((block.flags.get(), block.version_minor.get()), (0, MINOR));
    assert!(block.padding.iter().all(|byte| *byte == 0));
    let old = Contents { minor: 2, page_bytes: 4096, ..contents() }.block();
    assert_eq!((old.page_size.get(), old.page_struct_size.get()), (0, 0));
}
