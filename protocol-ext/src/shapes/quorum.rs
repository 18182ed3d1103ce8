//! Requests on the controllers' quorum, features, and who belongs to the cluster.

use crate::shape::{Shape, array, boolean, int8, int16, int32, string, uint16, uuid};

pub const DESCRIBE_QUORUM: Shape = Shape::new(55, "DescribeQuorum", 0, 2)
    .flexible_from(0)
    .fields(&[array(
        "topics",
        &[
            string("topic_name"),
            array("partitions", &[int32("partition_index")]),
        ],
    )]);

pub const UPDATE_FEATURES: Shape = Shape::new(57, "UpdateFeatures", 0, 2)
    .flexible_from(0)
    .fields(&[
        int32("timeout_ms"),
        array(
            "feature_updates",
            &[
                string("feature"),
                int16("max_version_level"),
                boolean("allow_downgrade").until(0),
                int8("upgrade_type").since(1),
            ],
        ),
        boolean("validate_only").since(1),
    ]);

pub const UNREGISTER_BROKER: Shape = Shape::new(64, "UnregisterBroker", 0, 0)
    .flexible_from(0)
    .fields(&[int32("broker_id")]);

pub const ADD_RAFT_VOTER: Shape = Shape::new(80, "AddRaftVoter", 0, 1)
    .flexible_from(0)
    .fields(&[
        string("cluster_id").nullable(),
        int32("timeout_ms"),
        int32("voter_id"),
        uuid("voter_directory_id"),
        array(
            "listeners",
            &[string("name"), string("host"), uint16("port")],
        ),
        boolean("ack_when_committed").since(1),
    ]);

pub const REMOVE_RAFT_VOTER: Shape = Shape::new(81, "RemoveRaftVoter", 0, 0)
    .flexible_from(0)
    .fields(&[
        string("cluster_id").nullable(),
        int32("voter_id"),
        uuid("voter_directory_id"),
    ]);
