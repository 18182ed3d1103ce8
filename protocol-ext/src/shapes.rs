//! The shapes of the requests we read, one table per subject.
//!
//! Versions and nullability follow Kafka's message schemas; the ranges are those that can be decoded: by
//! the `kafka-protocol` crate, which is not always what it claims in `valid_versions()`, and by
//! [`newer`](crate::newer).

mod acl;
mod admin;
mod data;
mod group;
mod quorum;
mod quota;
mod replica;
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
    &transaction::WRITE_TXN_MARKERS,
    &transaction::TXN_OFFSET_COMMIT,
    &acl::DESCRIBE_ACLS,
    &acl::CREATE_ACLS,
    &acl::DELETE_ACLS,
    &admin::DESCRIBE_CONFIGS,
    &admin::ALTER_CONFIGS,
    &replica::ALTER_REPLICA_LOG_DIRS,
    &admin::DESCRIBE_LOG_DIRS,
    &session::SASL_AUTHENTICATE,
    &topic::CREATE_PARTITIONS,
    &group::DELETE_GROUPS,
    &replica::ELECT_LEADERS,
    &admin::INCREMENTAL_ALTER_CONFIGS,
    &replica::ALTER_PARTITION_REASSIGNMENTS,
    &replica::LIST_PARTITION_REASSIGNMENTS,
    &group::OFFSET_DELETE,
    &quota::DESCRIBE_CLIENT_QUOTAS,
    &quota::ALTER_CLIENT_QUOTAS,
    &acl::DESCRIBE_USER_SCRAM_CREDENTIALS,
    &quorum::DESCRIBE_QUORUM,
    &quorum::UPDATE_FEATURES,
    &admin::DESCRIBE_CLUSTER,
    &transaction::DESCRIBE_PRODUCERS,
    &quorum::UNREGISTER_BROKER,
    &transaction::DESCRIBE_TRANSACTIONS,
    &transaction::LIST_TRANSACTIONS,
    &group::CONSUMER_GROUP_HEARTBEAT,
    &group::CONSUMER_GROUP_DESCRIBE,
    &admin::LIST_CONFIG_RESOURCES,
    &topic::DESCRIBE_TOPIC_PARTITIONS,
    &quorum::ADD_RAFT_VOTER,
    &quorum::REMOVE_RAFT_VOTER,
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
