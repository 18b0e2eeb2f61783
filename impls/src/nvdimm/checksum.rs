//! Sums that guard what is written: libnvdimm's, and that of our labels.

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

/// A sum over little-endian words of 64 bits, each mixed with its place before it is added, of which `parts` have whole numbers.
///
/// Fletcher's is linear: labels differ by small numbers in rows, and a copy that is torn between two tables could have the sum of
/// either. The mixer is the last step of SplitMix64 (Steele, Lea and Flood, 2014).
pub(super) fn mixed64(parts: &[&[u8]]) -> u64 {
    let mix = |mut word: u64| {
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    };
    let words = parts.iter().flat_map(|part| part.as_chunks::<8>().0).map(|word| u64::from_le_bytes(*word));
    // Twice, so that a place and a word do not make up for each other.
    let at_place = |(nr, word): (u64, u64)| mix(mix(word).wrapping_add(nr.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    (1..).zip(words).map(at_place).fold(0, u64::wrapping_add)
}
