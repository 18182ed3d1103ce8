//! In which partition a key belongs, by the rules of the clients.
//!
//! A keyed topic needs every record of a key in one partition. Clients differ in how they hash:
//!
//! [`Rule`] has how they do it. A [`RuleSet`] holds the rules that are still possible. Under `auto` it starts with the three
//! hashes; each record rules out those that would have put it elsewhere. What is taken always lies
//! where every remaining rule puts it, so the set may stay undecided for as long as it likes.

use std::fmt;

pub use tidelog_records::partitioner::Rule;

/// The rules a topic's records may still follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RuleSet(u8);

/// No rule: the producer decides.
const EXPLICIT: u8 = 0;

impl RuleSet {
    /// Found out from the records.
    pub const AUTO: Self = Self(0b111);
    /// Any partition is right; who looks a key up says where.
    pub const EXPLICIT: Self = Self(EXPLICIT);

    pub fn only(rule: Rule) -> Self {
        Self(bit(rule))
    }

    /// From the topic's setting: `auto`, `explicit` or the name of a rule.
    pub fn parse(setting: &str) -> Option<Self> {
        match setting {
            "auto" => Some(Self::AUTO),
            "explicit" => Some(Self::EXPLICIT),
            name => Rule::named(name).map(Self::only),
        }
    }

    /// For the topic's record in the cluster image.
    pub fn to_bits(self) -> u8 {
        self.0
    }

    /// `None` for bits no version of this wrote.
    pub fn from_bits(bits: u8) -> Option<Self> {
        (bits <= Self::AUTO.0).then_some(Self(bits))
    }

    pub fn is_explicit(self) -> bool {
        self.0 == EXPLICIT
    }

    /// The rule, once only one is left.
    pub fn decided(self) -> Option<Rule> {
        let mut rules = self.rules();
        rules.next().filter(|_| rules.next().is_none())
    }

    /// The rules that remain.
    pub fn rules(self) -> impl Iterator<Item = Rule> {
        Rule::ALL
            .into_iter()
            .filter(move |rule| self.0 & bit(*rule) != 0)
    }

    /// Where a key must be looked up: `None` if several partitions are possible or only the producer
    /// knows.
    pub fn locate(self, key: &[u8], partitions: i32) -> Option<i32> {
        if partitions == 1 {
            return Some(0);
        }
        let mut places = self.rules().map(|rule| rule.partition(key, partitions));
        let first = places.next()?;
        places.all(|place| place == first).then_some(first)
    }

    /// What remains after a record with `key` came to `partition` of `partitions`. Where the set
    /// shrank, the smaller one must be durable before the record is acknowledged.
    ///
    /// The empty key is no evidence, because librdkafka's default scatters it: it is taken only
    /// where all remaining rules agree.
    pub fn observe(self, key: &[u8], partition: i32, partitions: i32) -> Result<Self, WrongBucket> {
        if self.is_explicit() {
            return Ok(self);
        }
        let fits = |rule: &Rule| rule.partition(key, partitions) == partition;
        let left = self.rules().filter(fits).map(bit).sum();
        if left == self.0 || (left != EXPLICIT && !key.is_empty()) {
            return Ok(Self(left));
        }
        Err(WrongBucket {
            partition,
            expected: self.locate(key, partitions),
            remaining: self,
        })
    }
}

impl fmt::Display for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_explicit() {
            return f.write_str("explicit");
        }
        for (at, rule) in self.rules().enumerate() {
            let separator = if at > 0 { " or " } else { "" };
            write!(f, "{separator}{rule}")?;
        }
        Ok(())
    }
}

fn bit(rule: Rule) -> u8 {
    match rule {
        Rule::Murmur2 => 1,
        Rule::Crc32 => 2,
        Rule::Fnv1a => 4,
    }
}

/// A record came to a partition where its key does not belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongBucket {
    /// Where it came to.
    pub partition: i32,
    /// Where it belongs, if the remaining rules agree on that.
    pub expected: Option<i32>,
    pub remaining: RuleSet,
}

impl std::error::Error for WrongBucket {}

impl fmt::Display for WrongBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key does not belong in partition {}", self.partition)?;
        if let Some(expected) = self.expected {
            write!(f, " but in {expected}")?;
        }
        write!(f, " by the topic's partitioner, {}. ", self.remaining)?;
        match self.remaining.decided() {
            Some(rule) => write!(f, "Set in the producer: {}. ", rule.client_setting())?,
            None => write!(f, "Set tidelog.partitioner to the rule of your clients. ")?,
        }
        write!(
            f,
            "Or choose partitions yourself with tidelog.partitioner=explicit."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_decided_by_the_first_records_that_can() {
        let keys: Vec<_> = (0..50).map(|n| format!("order-{n}")).collect();
        for rule in Rule::ALL {
            let set = keys.iter().try_fold(RuleSet::AUTO, |set, key| {
                set.observe(key.as_bytes(), rule.partition(key.as_bytes(), 6), 6)
            });
            assert_eq!(set.map(RuleSet::decided), Ok(Some(rule)));
        }
    }

    #[test]
    fn one_partition_decides_nothing() {
        let set = RuleSet::AUTO.observe(b"k", 0, 1);
        assert_eq!(set, Ok(RuleSet::AUTO));
        assert_eq!(RuleSet::AUTO.locate(b"k", 1), Some(0));
        assert_eq!(RuleSet::EXPLICIT.locate(b"k", 1), Some(0));
    }

    #[test]
    fn the_wrong_bucket_names_the_setting() {
        let set = RuleSet::only(Rule::Murmur2);
        let wrong = set.observe(b"foo", 3, 100).unwrap_err();
        assert_eq!((wrong.partition, wrong.expected), (3, Some(16)));
        let message = wrong.to_string();
        assert!(
            message.contains("in 16 by the topic's partitioner, murmur2"),
            "{message}"
        );
        assert!(message.contains("partitioner=murmur2_random"), "{message}");
    }

    #[test]
    fn no_rule_at_all_asks_for_explicit() {
        let key = b"foo";
        let taken: Vec<_> = Rule::ALL.map(|rule| rule.partition(key, 100)).into();
        let elsewhere = (0..).find(|p| !taken.contains(p)).unwrap();
        let wrong = RuleSet::AUTO.observe(key, elsewhere, 100).unwrap_err();
        assert_eq!(wrong.expected, None);
        let message = wrong.to_string();
        assert!(message.contains("murmur2 or crc32 or fnv1a"), "{message}");
        assert!(
            message.contains("tidelog.partitioner=explicit"),
            "{message}"
        );
        assert_eq!(
            RuleSet::EXPLICIT.observe(key, elsewhere, 100),
            Ok(RuleSet::EXPLICIT)
        );
    }

    #[test]
    fn the_empty_key_decides_nothing() {
        let murmur = Rule::Murmur2.partition(b"", 7);
        assert_ne!(murmur, Rule::Crc32.partition(b"", 7));
        assert!(RuleSet::AUTO.observe(b"", murmur, 7).is_err());
        let decided = RuleSet::only(Rule::Murmur2);
        assert_eq!(decided.observe(b"", murmur, 7), Ok(decided));
        assert_eq!(RuleSet::AUTO.observe(b"", 0, 1), Ok(RuleSet::AUTO));
    }

    #[test]
    fn sets_survive_storage_and_settings() {
        for setting in ["auto", "explicit", "murmur2", "crc32", "fnv1a"] {
            let set = RuleSet::parse(setting).unwrap();
            assert_eq!(RuleSet::from_bits(set.to_bits()), Some(set));
        }
        assert_eq!(RuleSet::parse("random"), None);
        assert_eq!(RuleSet::from_bits(8), None);
    }
}
