//! Requests to the group coordinator.

use crate::shape::{
    Kind, Shape, array, array_of, boolean, bytes, int8, int32, int64, string, uuid,
};

pub const OFFSET_COMMIT: Shape = Shape::new(8, "OffsetCommit", 2, 10)
    .flexible_from(8)
    .fields(&[
        string("group_id"),
        int32("generation_id_or_member_epoch"),
        string("member_id"),
        string("group_instance_id").since(7).nullable(),
        int64("retention_time_ms").until(4),
        array(
            "topics",
            &[
                string("name").until(9),
                uuid("topic_id").since(10),
                array(
                    "partitions",
                    &[
                        int32("partition_index"),
                        int64("committed_offset"),
                        int32("committed_leader_epoch").since(6),
                        string("committed_metadata").nullable(),
                    ],
                ),
            ],
        ),
    ]);

pub const OFFSET_FETCH: Shape = Shape::new(9, "OffsetFetch", 1, 10)
    .flexible_from(6)
    .fields(&[
        string("group_id").until(7),
        array(
            "topics",
            &[string("name"), array_of("partition_indexes", &Kind::Int32)],
        )
        .until(7)
        .nullable_since(2),
        array(
            "groups",
            &[
                string("group_id"),
                string("member_id").since(9).nullable(),
                int32("member_epoch").since(9),
                array(
                    "topics",
                    &[
                        string("name").until(9),
                        uuid("topic_id").since(10),
                        array_of("partition_indexes", &Kind::Int32),
                    ],
                )
                .nullable(),
            ],
        )
        .since(8),
        boolean("require_stable").since(7),
    ]);

pub const FIND_COORDINATOR: Shape = Shape::new(10, "FindCoordinator", 0, 6)
    .flexible_from(3)
    .fields(&[
        string("key").until(3),
        int8("key_type").since(1),
        array_of("coordinator_keys", &Kind::String).since(4),
    ]);

pub const JOIN_GROUP: Shape = Shape::new(11, "JoinGroup", 0, 9).flexible_from(6).fields(&[
    string("group_id"),
    int32("session_timeout_ms"),
    int32("rebalance_timeout_ms").since(1),
    string("member_id"),
    string("group_instance_id").since(5).nullable(),
    string("protocol_type"),
    array("protocols", &[string("name"), bytes("metadata")]),
    string("reason").since(8).nullable(),
]);

pub const HEARTBEAT: Shape = Shape::new(12, "Heartbeat", 0, 4).flexible_from(4).fields(&[
    string("group_id"),
    int32("generation_id"),
    string("member_id"),
    string("group_instance_id").since(3).nullable(),
]);

pub const LEAVE_GROUP: Shape = Shape::new(13, "LeaveGroup", 0, 5)
    .flexible_from(4)
    .fields(&[
        string("group_id"),
        string("member_id").until(2),
        array(
            "members",
            &[
                string("member_id"),
                string("group_instance_id").nullable(),
                string("reason").since(5).nullable(),
            ],
        )
        .since(3),
    ]);

pub const SYNC_GROUP: Shape = Shape::new(14, "SyncGroup", 0, 5).flexible_from(4).fields(&[
    string("group_id"),
    int32("generation_id"),
    string("member_id"),
    string("group_instance_id").since(3).nullable(),
    string("protocol_type").since(5).nullable(),
    string("protocol_name").since(5).nullable(),
    array("assignments", &[string("member_id"), bytes("assignment")]),
]);

pub const DESCRIBE_GROUPS: Shape = Shape::new(15, "DescribeGroups", 0, 6)
    .flexible_from(5)
    .fields(&[
        array_of("groups", &Kind::String),
        boolean("include_authorized_operations").since(3),
    ]);

pub const LIST_GROUPS: Shape = Shape::new(16, "ListGroups", 0, 5)
    .flexible_from(3)
    .fields(&[
        array_of("states_filter", &Kind::String).since(4),
        array_of("types_filter", &Kind::String).since(5),
    ]);

pub const DELETE_GROUPS: Shape = Shape::new(42, "DeleteGroups", 0, 2)
    .flexible_from(2)
    .fields(&[array_of("groups_names", &Kind::String)]);

pub const OFFSET_DELETE: Shape = Shape::new(47, "OffsetDelete", 0, 0).fields(&[
    string("group_id"),
    array(
        "topics",
        &[
            string("name"),
            array("partitions", &[int32("partition_index")]),
        ],
    ),
]);

pub const CONSUMER_GROUP_HEARTBEAT: Shape = Shape::new(68, "ConsumerGroupHeartbeat", 0, 1)
    .flexible_from(0)
    .fields(&[
        string("group_id"),
        string("member_id"),
        int32("member_epoch"),
        string("instance_id").nullable(),
        string("rack_id").nullable(),
        int32("rebalance_timeout_ms"),
        array_of("subscribed_topic_names", &Kind::String).nullable(),
        string("subscribed_topic_regex").since(1).nullable(),
        string("server_assignor").nullable(),
        array(
            "topic_partitions",
            &[uuid("topic_id"), array_of("partitions", &Kind::Int32)],
        )
        .nullable(),
    ]);

pub const CONSUMER_GROUP_DESCRIBE: Shape = Shape::new(69, "ConsumerGroupDescribe", 0, 1)
    .flexible_from(0)
    .fields(&[
        array_of("group_ids", &Kind::String),
        boolean("include_authorized_operations"),
    ]);
