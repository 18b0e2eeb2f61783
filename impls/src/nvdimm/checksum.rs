//! The sum that guards what libnvdimm writes.

/// Fletcher's sum with 64 bits over little-endian words of 32 bits, of which `parts` have whole numbers. Source: `nd_fletcher64`.
pub(super) fn fletcher64(parts: &[&[u8]]) -> u64 {
    let (mut low, mut high) = (0u32, 0u64);
    let words = parts.iter().flat_map(|part| part.chunks_exact(4));
    for word in words.map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])) {
        low = low.wrapping_add(word);
        high = high.wrapping_add(low.into());
    }
    high << 32 | u64::from(low)
}
