//! Which partition a key belongs to: as Java's producer has it, murmur2.
//!
//! Source: Kafka's `DefaultPartitioner`; brokers name the rule of a keyed table in DescribeTable.

/// The name of the rule.
pub(crate) const MURMUR2: &str = "murmur2";

const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: u32 = 0x5bd1_e995;

/// The partition of `key` among `count`, which is not 0.
pub(crate) fn partition(key: &[u8], count: usize) -> usize {
    // Java clears the sign bit.
    (murmur2(key) & 0x7fff_ffff) as usize % count
}

fn murmur2(key: &[u8]) -> u32 {
    let mix = |word: u32| {
        let word = word.wrapping_mul(MULTIPLIER);
        (word ^ word >> 24).wrapping_mul(MULTIPLIER)
    };
    let (words, tail) = key.as_chunks::<4>();
    // A key is no longer than a record, so its length has 32 bits.
    let mut hash = words.iter().fold(SEED ^ key.len() as u32, |hash, word| {
        hash.wrapping_mul(MULTIPLIER) ^ mix(u32::from_le_bytes(*word))
    });
    if !tail.is_empty() {
        let tail = tail.iter().rev();
        hash ^= tail.fold(0, |word, byte| word << 8 | u32::from(*byte));
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(MULTIPLIER);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of Kafka's own test of its hash.
    #[test]
    fn hashes_as_java_does() {
        for (key, expected) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), expected, "{key}");
        }
        assert!((0..100u8).all(|key| partition(&[key], 7) < 7));
    }
}
