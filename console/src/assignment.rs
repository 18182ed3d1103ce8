//! What a member of a classic group was given, in the bytes that its leader sent.

use std::collections::BTreeMap;

use bytes::Buf as _;

/// Partitions by topic; `None` if the bytes are not those of Kafka's consumers.
///
/// Source: `ConsumerProtocolAssignment.json` of Kafka, versions 0 to 3.
pub fn parse(mut bytes: &[u8]) -> Option<BTreeMap<String, Vec<i32>>> {
    if bytes.is_empty() {
        return Some(BTreeMap::new());
    }
    let _version = bytes.try_get_i16().ok()?;
    let topics = bytes.try_get_i32().ok()?;
    let mut assigned = BTreeMap::new();
    for _ in 0..topics {
        let length = usize::try_from(bytes.try_get_i16().ok()?).ok()?;
        let (name, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        let count = bytes.try_get_i32().ok()?;
        let mut partitions = Vec::new();
        for _ in 0..count {
            partitions.push(bytes.try_get_i32().ok()?);
        }
        assigned.insert(std::str::from_utf8(name).ok()?.to_owned(), partitions);
    }
    Some(assigned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_by_topic_and_nothing_from_hostile_bytes() {
        let bytes = [
            0, 1, 0, 0, 0, 1, 0, 2, b'a', b'b', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7, 255, 255, 255,
            255,
        ];
        let assigned = parse(&bytes).expect("an assignment");
        assert_eq!(assigned["ab"], [0, 7]);
        assert_eq!(parse(&[]), Some(BTreeMap::new()));
        for end in 1..22 {
            assert_eq!(parse(&bytes[..end]), None, "{end}");
        }
        assert_eq!(parse(&[0, 1, 127, 255, 255, 255]), None);
    }
}
