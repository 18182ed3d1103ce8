//! In which partition a key belongs, by the rules of the clients.
//!
//! | rule | partition of a key | clients that do so unless told otherwise |
//! |---|---|---|
//! | murmur2 | `(murmur2(key) & 0x7fffffff) % n` | Java, kafka-python, aiokafka, kafkajs, franz-go |
//! | crc32 | `crc32(key) % n`, unsigned | librdkafka and what is built on it |
//! | fnv1a | `abs(int32(fnv1a32(key)) % n)` | sarama |
//!
//! Sources: Kafka `Utils.murmur2` and `BuiltInPartitioner`; librdkafka `rdkafka_msg.c`,
//! `rdmurmur2.c`, `rdfnv1a.c`; sarama `partitioner.go`.

use std::fmt;

/// How a key finds its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    Murmur2,
    Crc32,
    Fnv1a,
}

impl Rule {
    pub const ALL: [Self; 3] = [Self::Murmur2, Self::Crc32, Self::Fnv1a];

    /// The partition of `key` among `partitions`, which is at least 1.
    pub fn partition(self, key: &[u8], partitions: i32) -> i32 {
        let n = partitions.max(1);
        match self {
            Self::Murmur2 => (murmur2(key) & 0x7fff_ffff) as i32 % n,
            Self::Crc32 => (crc32(key) % n as u32) as i32,
            // The remainder first and its sign after: i32::MIN has no absolute value.
            Self::Fnv1a => (fnv1a(key) as i32 % n).abs(),
        }
    }

    /// By its name in the topic's setting and in DescribeTable.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }

    /// As in the topic's setting.
    pub fn name(self) -> &'static str {
        match self {
            Self::Murmur2 => "murmur2",
            Self::Crc32 => "crc32",
            Self::Fnv1a => "fnv1a",
        }
    }

    /// What to set in a client so that it follows the rule.
    pub fn client_setting(self) -> &'static str {
        match self {
            Self::Murmur2 => {
                "librdkafka: partitioner=murmur2_random; sarama: NewMurmur2Partitioner; Java: \
                 leave partitioner.class unset"
            }
            Self::Crc32 => {
                "librdkafka: partitioner=consistent_random; sarama: \
                 NewConsistentCRCHashPartitioner; Java: a partitioner.class that takes crc32"
            }
            Self::Fnv1a => {
                "librdkafka: partitioner=fnv1a_random; sarama: NewHashPartitioner; Java: a \
                 partitioner.class that takes fnv1a"
            }
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// 32-bit murmur2 with Kafka's seed.
fn murmur2(key: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ key.len() as u32;
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u32::from_le_bytes(last)).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// CRC-32 (IEEE 802.3), as in zlib.
fn crc32(key: &[u8]) -> u32 {
    !key.iter().fold(!0, |crc, byte| {
        CRC32[usize::from(crc as u8 ^ byte)] ^ (crc >> 8)
    })
}

const CRC32: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0xedb8_8320 * (crc & 1));
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

/// 32-bit FNV-1a.
fn fnv1a(key: &[u8]) -> u32 {
    key.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_is_javas() {
        // Kafka's UtilsTest; librdkafka's unittest_murmur2.
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
            ("kafka", 0xd067_cf64_u32 as i32),
            ("giberish123456789", 0x8f55_2b0c_u32 as i32),
            ("1234", 0x9fc9_7b14_u32 as i32),
            ("4", 0x5a4b_5ca1),
            ("", 0x106e_08d9),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
        // Sarama's table, checked there against the Java client; "kafka" and "bar" hash below zero.
        for (key, partition) in [
            ("foo", 16),
            ("bar", 45),
            ("baz", 80),
            ("kafka", 80),
            ("sarama", 11),
        ] {
            assert_eq!(
                Rule::Murmur2.partition(key.as_bytes(), 100),
                partition,
                "{key}"
            );
        }
    }

    #[test]
    fn crc32_is_librdkafkas() {
        // librdkafka's test 0048.
        for (key, hash) in [
            ("", 0),
            ("23456", 0xb1b4_51d7),
            (
                "this is another string with more length to it perhaps",
                0xb015_0df7,
            ),
            ("hejsan", 0xd077_037e),
        ] {
            assert_eq!(crc32(key.as_bytes()), hash, "{key}");
        }
        // Sarama's table for its partitioner like librdkafka's; signed, "SheetJS" would go to 70.
        for (key, partition) in [
            ("abc123def456", 57),
            ("SheetJS", 26),
            ("9e8c7f4cf45857cfff7645d6", 24),
            ("3900446192ff85a5f67da10c", 75),
            ("0f4407b7a67d6d27de372198", 50),
        ] {
            assert_eq!(
                Rule::Crc32.partition(key.as_bytes(), 100),
                partition,
                "{key}"
            );
        }
    }

    #[test]
    fn fnv1a_is_saramas() {
        // librdkafka's unittest_fnv1a and test 0048: absolute values of Go's hash/fnv.
        for (key, hash) in [
            ("kafka", 0x0d33_c4e1),
            ("giberish123456789", 0x77a5_8295),
            ("1234", 0x023b_dd03),
            ("234", 0x2dea_3cd2),
            ("34", 0x740f_a83e),
            ("4", 0x310c_a263),
            ("", 0x7ee3_623b),
            ("23456", 0x27e6_f469),
            ("hejsan", 0x17b1_e27a),
        ] {
            assert_eq!((fnv1a(key.as_bytes()) as i32).abs(), hash, "{key}");
            for n in [1, 7, 17, 50, 100] {
                assert_eq!(Rule::Fnv1a.partition(key.as_bytes(), n), hash % n, "{key}");
            }
        }
    }

    #[test]
    fn the_least_hash_stays_in_range() {
        // From sarama's tests: its hash is i32::MIN.
        let key = b"1468509572224";
        assert_eq!(fnv1a(key) as i32, i32::MIN);
        assert_eq!(Rule::Fnv1a.partition(key, 50), 48);
    }
}
