//! The constants of a kernel, as its own compiled code states them.

use memmap_layouts::{Geometry, Page, X86_64};
use serde::{Deserialize, Serialize};
use thiserror::Error;

macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The constants of a kernel that its tables are built to. Sizes and offsets are in bytes.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Facts {
            /// `UTS_RELEASE`, e.g. `6.1.0-57-cloud-amd64`.
            pub release: String,
            /// `__VERSION__` of the compiler that made the object file, e.g. `12.2.0`.
            pub compiler: String,
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Facts {
            /// Reads the constants. `bytes` returns the memory of a symbol, from its first byte on.
            ///
            /// # Errors
            /// The name of the first symbol that does not exist.
            pub fn read(mut bytes: impl FnMut(&str) -> Option<Vec<u8>>) -> Result<Self, String> {
                let mut text = |name: &str| {
                    let bytes = bytes(name).ok_or_else(|| name.to_owned())?;
                    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
                    Ok::<_, String>(String::from_utf8_lossy(&bytes[..end]).into_owned())
                };
                let (release, compiler) = (text("fact_release")?, text("fact_compiler")?);
                let mut number = |name: &str| {
                    let bytes = bytes(name).and_then(|bytes| Some(u64::from_le_bytes(*bytes.first_chunk()?)));
                    bytes.ok_or_else(|| name.to_owned())
                };
                Ok(Self { release, compiler, $($name: number(concat!("fact_", stringify!($name)))?,)* })
            }
        }
    };
}

facts! {
    /// Bits of an offset in a page.
    page_shift,
    /// Bits of an offset in a section.
    section_size_bits,
    /// Bits of an offset in a sub-section.
    subsection_shift,
    /// Section descriptors of a root.
    sections_per_root,
    /// Size of `struct page`.
    record_bytes,
    /// Size of `struct mem_section`.
    section_bytes,
    /// Offset of `section_mem_map` in it.
    section_word_offset,
    /// Offset of `usage` in it.
    section_usage_offset,
    /// Size of `struct mem_section_usage` without the page-block flags.
    usage_bytes,
    /// Offset of `subsection_map` in it.
    usage_map_offset,
    /// `SECTION_MARKED_PRESENT`.
    flag_present,
    /// `SECTION_HAS_MEM_MAP`.
    flag_has_map,
    /// `SECTION_IS_ONLINE`.
    flag_online,
    /// `SECTION_IS_EARLY`.
    flag_early,
    /// `SECTION_TAINT_ZONE_DEVICE`; 0 before Linux 5.12.
    flag_taint,
    /// `SECTION_MAP_MASK`.
    map_mask,
    /// Size of `struct alt_instr`.
    alternative_bytes,
    /// Offset of the place of the instructions in it.
    alternative_where_offset,
    /// Offset of the place of the replacement.
    alternative_replacement_offset,
    /// Offset of the feature that decides.
    alternative_feature_offset,
    /// Offset of the length of the instructions.
    alternative_length_offset,
    /// Offset of the length of the replacement.
    alternative_replacement_length_offset,
    /// `X86_FEATURE_ALWAYS`.
    feature_always,
    /// `X86_FEATURE_LA57`.
    feature_la57,
}

/// The value of a constant that does not fit the layouts.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("Linux {release} has {what} {found}; only kernels with {what} {expected} can be raced")]
pub struct Misfit {
    /// Release of the kernel.
    pub release: String,
    /// What the constant is.
    pub what: &'static str,
    /// Its value.
    pub found: u64,
    /// The values that fit.
    pub expected: String,
}

impl Facts {
    /// Checks that tables can be built to the constants, and that pages, sections and records have
    /// the sizes of the layouts.
    ///
    /// # Errors
    /// The first constant that does not fit.
    pub fn check(&self) -> Result<(), Misfit> {
        let misfit =
            |what, found, expected: String| Err(Misfit { release: self.release.clone(), what, found, expected });
        let page_shift = u64::from(X86_64::PAGE_SHIFT);
        for (what, found, expected) in [
            ("PAGE_SHIFT", self.page_shift, page_shift),
            ("SECTION_SIZE_BITS", self.section_size_bits, u64::from(X86_64::SECTION_SIZE_BITS)),
            ("SUBSECTION_SHIFT", self.subsection_shift, u64::from(X86_64::PFN_SUBSECTION_SHIFT) + page_shift),
            ("sizeof(struct page)", self.record_bytes, size_of::<Page>() as u64),
        ] {
            if found != expected {
                return misfit(what, found, expected.to_string());
            }
        }
        // A descriptor is at least a word and a pointer, and a root has one page.
        if !(16..=256).contains(&self.section_bytes) {
            return misfit("sizeof(struct mem_section)", self.section_bytes, "16 to 256".to_owned());
        }
        let most = X86_64::PAGE_SIZE / self.section_bytes;
        if !(1..=most).contains(&self.sections_per_root) {
            return misfit("SECTIONS_PER_ROOT", self.sections_per_root, format!("1 to {most}"));
        }
        if !(8..=256).contains(&self.usage_bytes) {
            return misfit("sizeof(struct mem_section_usage)", self.usage_bytes, "8 to 256".to_owned());
        }
        for (what, offset, size) in [
            ("offset of section_mem_map", self.section_word_offset, self.section_bytes),
            ("offset of usage", self.section_usage_offset, self.section_bytes),
            ("offset of subsection_map", self.usage_map_offset, self.usage_bytes),
        ] {
            if offset > size - 8 || !offset.is_multiple_of(8) {
                return misfit(what, offset, format!("0 to {}, a multiple of 8", size - 8));
            }
        }
        Ok(())
    }
}
