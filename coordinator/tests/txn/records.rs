//! The bytes of `__transaction_state`. The expected ones are those that Apache Kafka 4.3.1 writes.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidelog_coordinator::producer::Producer;
use tidelog_coordinator::txn::{
    TopicPartition, Transaction, TransactionVersion, TxnRecord, TxnRecordError, TxnState,
};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(char::is_ascii_hexdigit).collect();
    let pairs = digits.chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap())
        .collect()
}

/// Key `tx`.
const KEY: &str = "0000 0002 7478";

fn ongoing() -> Transaction {
    let partitions = [("b", 7), ("a", 1), ("a", 0)];
    Transaction {
        producer: Producer::new(1000, 5),
        previous_producer_id: 999,
        next_producer_id: -1,
        last_epoch: -1,
        timeout_ms: 60_000,
        state: TxnState::Ongoing,
        partitions: partitions
            .map(|(topic, partition)| TopicPartition::new(topic, partition))
            .into_iter()
            .collect(),
        started_ms: 1_700_000_000_000,
        updated_ms: 1_700_000_000_001,
        version: TransactionVersion::V2,
    }
}

fn record(value: Option<Transaction>) -> TxnRecord {
    TxnRecord {
        transactional_id: "tx".to_owned(),
        value,
    }
}

#[test]
fn a_value_of_version_1() {
    let value = "0001
        00000000000003e8 0005 0000ea60 01
        03 02 61 03 00000000 00000001 00
           02 62 02 00000007 00
        0000018bcfe56801 0000018bcfe56800
        02 00 08 00000000000003e7 02 02 0002";
    let ongoing = record(Some(ongoing()));
    let (key, encoded) = ongoing.encode();
    assert_eq!(key, bytes(KEY));
    assert_eq!(encoded.as_deref(), Some(&bytes(value)[..]));
    assert_eq!(
        TxnRecord::decode(&key, encoded.as_deref()),
        Ok(Some(ongoing))
    );
}

#[test]
fn the_epoch_held_before_is_a_tag_of_ours() {
    // Kafka 4.3.1 reads this as the value above: it steps over what it does not know.
    let tags = bytes("03 00 08 00000000000003e7 02 02 0002 904e 02 0004");
    let held = record(Some(Transaction {
        last_epoch: 4,
        ..ongoing()
    }));
    let (key, encoded) = held.encode();
    assert!(encoded.as_ref().unwrap().ends_with(&tags));
    assert_eq!(TxnRecord::decode(&key, encoded.as_deref()), Ok(Some(held)));
}

#[test]
fn an_empty_value_has_no_partitions_and_defaults_take_no_room() {
    let value = "0001
        00000000000003e8 0000 0000ea60 00
        00
        0000018bcfe56800 ffffffffffffffff
        00";
    let empty = record(Some(Transaction {
        producer: Producer::new(1000, 0),
        previous_producer_id: -1,
        state: TxnState::Empty,
        partitions: [].into_iter().collect(),
        started_ms: -1,
        updated_ms: 1_700_000_000_000,
        version: TransactionVersion::V0,
        ..ongoing()
    }));
    let (key, encoded) = empty.encode();
    assert_eq!(encoded.as_deref(), Some(&bytes(value)[..]));
    assert_eq!(TxnRecord::decode(&key, encoded.as_deref()), Ok(Some(empty)));
}

#[test]
fn a_value_of_version_0_is_read() {
    let value = bytes(
        "0000
        00000000000003e8 0005 0000ea60 01
        00000002 0001 61 00000002 00000001 00000000
                 0001 62 00000001 00000007
        0000018bcfe56801 0000018bcfe56800",
    );
    let expected = Transaction {
        previous_producer_id: -1,
        version: TransactionVersion::V0,
        ..ongoing()
    };
    let read = TxnRecord::decode(&bytes(KEY), Some(&value));
    assert_eq!(read, Ok(Some(record(Some(expected)))));
    let nothing =
        bytes("0000 00000000000003e8 0005 0000ea60 00 ffffffff 0000018bcfe56801 ffffffffffffffff");
    let read = TxnRecord::decode(&bytes(KEY), Some(&nothing))
        .unwrap()
        .unwrap();
    assert_eq!(read.value.unwrap().state, TxnState::Empty);
}

#[test]
fn tombstones_other_keys_and_unknown_values() {
    assert_eq!(record(None).encode(), (bytes(KEY).into(), None));
    assert_eq!(TxnRecord::decode(&bytes(KEY), None), Ok(Some(record(None))));
    assert_eq!(TxnRecord::decode(&bytes("0001 00"), None), Ok(None));
    let unknown = |value: &str| TxnRecord::decode(&bytes(KEY), Some(&bytes(value))).unwrap_err();
    assert!(matches!(unknown("0002"), TxnRecordError::Wire(_)));
    assert!(matches!(unknown("0001 00"), TxnRecordError::Wire(_)));
    let dead = "0001 00000000000003e8 0005 0000ea60 06";
    assert_eq!(unknown(dead), TxnRecordError::UnknownState { id: 6 });
}

#[test]
fn unknown_tags_are_passed_over() {
    let (key, value) = record(Some(ongoing())).encode();
    let mut value = value.unwrap().to_vec();
    // Two tags become three: Kafka 4.3 knows the next producer's epoch, for two-phase commit.
    let count = value.len() - 15;
    assert_eq!(value[count], 2);
    value[count] = 3;
    value.extend(bytes("03 02 0009"));
    let read = TxnRecord::decode(&key, Some(&value));
    assert_eq!(read, Ok(Some(record(Some(ongoing())))));
}

#[test]
fn whatever_the_bytes_reading_them_ends() {
    let mut rng = SmallRng::seed_from_u64(1);
    let (key, value) = record(Some(ongoing())).encode();
    let value = value.unwrap();
    for _ in 0..20_000 {
        let mut value = value.to_vec();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..value.len());
            value[at] = rng.random();
        }
        value.truncate(rng.random_range(0..=value.len()));
        if let Ok(Some(read)) = TxnRecord::decode(&key, Some(&value)) {
            let (key, encoded) = read.encode();
            assert_eq!(TxnRecord::decode(&key, encoded.as_deref()), Ok(Some(read)));
        }
    }
}
