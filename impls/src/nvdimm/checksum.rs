//! Checksums of info blocks (as in libnvdimm) and of our labels.

/// The 64-bit Fletcher checksum over little-endian 32-bit words. The length of each part must be a
/// multiple of 4 bytes. Source: `nd_fletcher64`.
pub(super) fn fletcher64(parts: &[&[u8]]) -> u64 {
    let (mut low, mut high) = (0u32, 0u64);
    let words = parts.iter().flat_map(|part| part.chunks_exact(4));
    for word in words.map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])) {
        low = low.wrapping_add(word);
        high = high.wrapping_add(low.into());
    }
    high << 32 | u64::from(low)
}

/// A sum over little-endian 64-bit words, each mixed with its position first. The length of each
/// part must be a multiple of 8 bytes.
///
/// The Fletcher checksum is linear, and labels differ by small numbers in rows. A copy torn between
/// two tables could then have the checksum of either. The mixer is the last step of SplitMix64
/// (Steele, Lea and Flood, 2014).
pub(super) fn mixed64(parts: &[&[u8]]) -> u64 {
    let mix = |mut word: u64| {
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    };
    let words = parts.iter().flat_map(|part| part.as_chunks::<8>().0).map(|word| u64::from_le_bytes(*word));
    // Mix twice, so that a change of position and one of the word do not cancel out.
    let at_place = |(nr, word): (u64, u64)| mix(mix(word).wrapping_add(nr.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    (1..).zip(words).map(at_place).fold(0, u64::wrapping_add)
}
