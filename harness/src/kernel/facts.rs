//! The constants of a kernel, as its own compiled code states them.

use serde::{Deserialize, Serialize};

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
