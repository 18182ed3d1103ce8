//! The shapes of the requests we read, one table per subject.
//!
//! Versions and nullability follow Kafka's message schemas; the ranges are those the
//! `kafka-protocol` crate decodes, which is not always what it claims in `valid_versions()`.

mod admin;
mod data;
mod group;
mod session;
mod topic;
mod transaction;

use crate::shape::Shape;

/// Every shape, in ascending order of key.
pub const ALL: &[&Shape] = &[
    &data::PRODUCE,
    &data::FETCH,
    &data::LIST_OFFSETS,
    &topic::METADATA,
    &group::OFFSET_COMMIT,
    &group::OFFSET_FETCH,
    &group::FIND_COORDINATOR,
    &group::JOIN_GROUP,
    &group::HEARTBEAT,
    &group::LEAVE_GROUP,
    &group::SYNC_GROUP,
    &group::DESCRIBE_GROUPS,
    &group::LIST_GROUPS,
    &session::SASL_HANDSHAKE,
    &session::API_VERSIONS,
    &topic::CREATE_TOPICS,
    &topic::DELETE_TOPICS,
    &data::DELETE_RECORDS,
    &transaction::INIT_PRODUCER_ID,
    &data::OFFSET_FOR_LEADER_EPOCH,
    &transaction::ADD_PARTITIONS_TO_TXN,
    &transaction::ADD_OFFSETS_TO_TXN,
    &transaction::END_TXN,
    &transaction::TXN_OFFSET_COMMIT,
    &admin::DESCRIBE_CONFIGS,
    &admin::ALTER_CONFIGS,
    &admin::DESCRIBE_LOG_DIRS,
    &session::SASL_AUTHENTICATE,
    &topic::CREATE_PARTITIONS,
    &group::DELETE_GROUPS,
    &admin::INCREMENTAL_ALTER_CONFIGS,
    &group::OFFSET_DELETE,
    &admin::DESCRIBE_CLUSTER,
    &topic::DESCRIBE_TOPIC_PARTITIONS,
];

/// The shape of the request with this API key.
pub fn find(key: i16) -> Option<&'static Shape> {
    let index = ALL.binary_search_by_key(&key, |shape| shape.key).ok()?;
    Some(ALL[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_ascend_and_names_agree() {
        assert!(ALL.is_sorted_by(|a, b| a.key < b.key));
        for shape in ALL {
            let api = crate::api_key::find(shape.key).unwrap();
            assert_eq!((shape.name, shape.flexible), (api.name, api.flexible));
        }
        assert!(find(4).is_none());
    }
}
