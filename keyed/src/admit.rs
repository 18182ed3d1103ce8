//! Whether a produced batch may enter a keyed partition: before it is appended, because what is in
//! the log is folded.

use tidelog_records::{RecordError, Records};

use crate::partitioner::{RuleSet, WrongBucket};
use crate::row::{KeyError, check_key};

/// The first record that keeps a batch out. Nothing of the batch may be appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {index}: {why}")]
pub struct Refused {
    /// Position in the batch, from 0.
    pub index: i32,
    pub why: RefusedBecause,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusedBecause {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Bucket(#[from] WrongBucket),
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Checks every record's key for `partition` of `partitions`. Answers the rules that remain; if
/// they are fewer than `rules`, they must be durable before the batch is acknowledged.
pub fn admit(
    records: &Records,
    rules: RuleSet,
    partition: i32,
    partitions: i32,
) -> Result<RuleSet, Refused> {
    let mut rules = rules;
    for (index, record) in (0..).zip(records) {
        let narrowed = record.map_err(RefusedBecause::from).and_then(|record| {
            let key = check_key(record.key)?;
            Ok(rules.observe(key, partition, partitions)?)
        });
        rules = narrowed.map_err(|why| Refused { index, why })?;
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use tidelog_records::BatchBuilder;

    use super::*;
    use crate::partitioner::Rule;

    fn batch(keys: &[Option<&str>]) -> Records {
        let mut batch = BatchBuilder::new();
        for key in keys {
            let key = key.map(str::as_bytes);
            batch.append(0, key, Some(b"v"), []).unwrap();
        }
        Records::open(&batch.finish().unwrap(), 1 << 20).unwrap()
    }

    #[test]
    fn a_batch_narrows_the_rules() {
        // "foo" and "bar" by murmur2 among 100.
        let rules = admit(&batch(&[Some("foo"), Some("foo")]), RuleSet::AUTO, 16, 100);
        assert_eq!(rules, Ok(RuleSet::only(Rule::Murmur2)));
        let refused = admit(&batch(&[Some("foo"), Some("bar")]), rules.unwrap(), 16, 100);
        let Err(Refused { index, why }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(index, 1);
        assert!(matches!(why, RefusedBecause::Bucket(wrong) if wrong.expected == Some(45)));
    }

    #[test]
    fn a_record_without_a_key_keeps_its_batch_out() {
        let refused = admit(&batch(&[Some("a"), None]), RuleSet::EXPLICIT, 0, 1).unwrap_err();
        assert_eq!(refused.why, RefusedBecause::Key(KeyError::Null));
        assert_eq!(
            refused.to_string(),
            "record 1: a record of a keyed topic needs a key"
        );
    }
}
