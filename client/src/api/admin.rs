//! Requests about topics, configs and groups, and Produce.
//!
//! The versions are those without topic ids and with one group per request, which every broker from
//! Kafka 2.4 on answers; but for the heartbeat of KIP-848, which Kafka has from 4.0 on.

use bytes::Bytes;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, CreatePartitionsRequest,
    CreateTopicsRequest, DeleteGroupsRequest, DeleteTopicsRequest, DescribeConfigsRequest,
    DescribeGroupsRequest, FindCoordinatorRequest, IncrementalAlterConfigsRequest,
    InitProducerIdRequest, ListGroupsRequest, OffsetCommitRequest, OffsetFetchRequest,
    ProduceRequest,
};
use kafka_protocol::protocol::{Decodable, Request, StrBytes};
use tidelog_protocol_ext::header::RequestHeader;
use tidelog_protocol_ext::shape::{
    Field, Kind, Shape, Span, array, array_of, boolean, bytes, check, int8, int16, int32, int64,
    string, structure, uuid,
};
use tidelog_protocol_ext::{WireError, frame};

use super::Call;

kafka! {
    OffsetCommitRequest => OFFSET_COMMIT;
    OffsetFetchRequest => OFFSET_FETCH;
    ListGroupsRequest => LIST_GROUPS;
    CreateTopicsRequest => CREATE_TOPICS;
    DescribeConfigsRequest => DESCRIBE_CONFIGS;
    CreatePartitionsRequest => CREATE_PARTITIONS;
    IncrementalAlterConfigsRequest => INCREMENTAL_ALTER_CONFIGS;
    DeleteTopicsRequest => DELETE_TOPICS;
    FindCoordinatorRequest => FIND_COORDINATOR;
    DescribeGroupsRequest => DESCRIBE_GROUPS;
    ConsumerGroupDescribeRequest => CONSUMER_GROUP_DESCRIBE;
    ConsumerGroupHeartbeatRequest => CONSUMER_GROUP_HEARTBEAT;
    DeleteGroupsRequest => DELETE_GROUPS;
    ProduceRequest => PRODUCE;
    InitProducerIdRequest => INIT_PRODUCER_ID;
}

const INIT_PRODUCER_ID: Shape = Shape::new(22, "InitProducerId", 0, 1).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    int64("producer_id"),
    int16("producer_epoch"),
]);

/// 9 is the first in which members of KIP-848 may commit.
const OFFSET_COMMIT: Shape = Shape::new(8, "OffsetCommit", 2, 9)
    .flexible_from(8)
    .fields(&[
        int32("throttle_time_ms").since(3),
        array(
            "topics",
            &[
                string("name"),
                array(
                    "partitions",
                    &[int32("partition_index"), int16("error_code")],
                ),
            ],
        ),
    ]);

/// From 2 on a client may ask for all topics, from 7 on for what no transaction can change any more.
const OFFSET_FETCH: Shape = Shape::new(9, "OffsetFetch", 2, 7)
    .flexible_from(6)
    .fields(&[
        int32("throttle_time_ms").since(3),
        array(
            "topics",
            &[
                string("name"),
                array(
                    "partitions",
                    &[
                        int32("partition_index"),
                        int64("committed_offset"),
                        int32("committed_leader_epoch").since(5),
                        string("metadata").nullable(),
                        int16("error_code"),
                    ],
                ),
            ],
        ),
        int16("error_code"),
    ]);

const LIST_GROUPS: Shape = Shape::new(16, "ListGroups", 0, 5)
    .flexible_from(3)
    .fields(&[
        int32("throttle_time_ms").since(1),
        int16("error_code"),
        array(
            "groups",
            &[
                string("group_id"),
                string("protocol_type"),
                string("group_state").since(4),
                string("group_type").since(5),
            ],
        ),
    ]);

/// 4 is the first that leaves the number of replicas to the broker.
const CREATE_TOPICS: Shape = Shape::new(19, "CreateTopics", 4, 4).fields(&[
    int32("throttle_time_ms"),
    array(
        "topics",
        &[
            string("name"),
            int16("error_code"),
            string("error_message").nullable(),
        ],
    ),
]);

const DESCRIBE_CONFIGS: Shape = Shape::new(32, "DescribeConfigs", 1, 2).fields(&[
    int32("throttle_time_ms"),
    array(
        "results",
        &[
            int16("error_code"),
            string("error_message").nullable(),
            int8("resource_type"),
            string("resource_name"),
            array(
                "configs",
                &[
                    string("name"),
                    string("value").nullable(),
                    boolean("read_only"),
                    int8("config_source"),
                    boolean("is_sensitive"),
                    array(
                        "synonyms",
                        &[string("name"), string("value").nullable(), int8("source")],
                    ),
                ],
            ),
        ],
    ),
]);

const CREATE_PARTITIONS: Shape = Shape::new(37, "CreatePartitions", 0, 1).fields(&[
    int32("throttle_time_ms"),
    array(
        "results",
        &[
            string("name"),
            int16("error_code"),
            string("error_message").nullable(),
        ],
    ),
]);

const INCREMENTAL_ALTER_CONFIGS: Shape = Shape::new(44, "IncrementalAlterConfigs", 0, 0).fields(&[
    int32("throttle_time_ms"),
    array(
        "responses",
        &[
            int16("error_code"),
            string("error_message").nullable(),
            int8("resource_type"),
            string("resource_name"),
        ],
    ),
]);

/// Up to 5 topics go by name.
const DELETE_TOPICS: Shape = Shape::new(20, "DeleteTopics", 1, 5)
    .flexible_from(4)
    .fields(&[
        int32("throttle_time_ms"),
        array(
            "responses",
            &[
                string("name"),
                int16("error_code"),
                string("error_message").nullable().since(5),
            ],
        ),
    ]);

const FIND_COORDINATOR: Shape = Shape::new(10, "FindCoordinator", 1, 2).fields(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    string("error_message").nullable(),
    int32("node_id"),
    string("host"),
    int32("port"),
]);

const DESCRIBE_GROUPS: Shape = Shape::new(15, "DescribeGroups", 0, 4).fields(&[
    int32("throttle_time_ms").since(1),
    array(
        "groups",
        &[
            int16("error_code"),
            string("group_id"),
            string("group_state"),
            string("protocol_type"),
            string("protocol_data"),
            array(
                "members",
                &[
                    string("member_id"),
                    string("group_instance_id").nullable().since(4),
                    string("client_id"),
                    string("client_host"),
                    bytes("member_metadata"),
                    bytes("member_assignment"),
                ],
            ),
            int32("authorized_operations").since(3),
        ],
    ),
]);

const CONSUMER_GROUP_DESCRIBE: Shape = Shape::new(69, "ConsumerGroupDescribe", 0, 1)
    .flexible_from(0)
    .fields(&[
        int32("throttle_time_ms"),
        array(
            "groups",
            &[
                int16("error_code"),
                string("error_message").nullable(),
                string("group_id"),
                string("group_state"),
                int32("group_epoch"),
                int32("assignment_epoch"),
                string("assignor_name"),
                array(
                    "members",
                    &[
                        string("member_id"),
                        string("instance_id").nullable(),
                        string("rack_id").nullable(),
                        int32("member_epoch"),
                        string("client_id"),
                        string("client_host"),
                        array_of("subscribed_topic_names", &Kind::String),
                        string("subscribed_topic_regex").nullable(),
                        structure("assignment", &[ASSIGNED]),
                        structure("target_assignment", &[ASSIGNED]),
                        int8("member_type").since(1),
                    ],
                ),
                int32("authorized_operations"),
            ],
        ),
    ]);

const ASSIGNED: Field = array(
    "topic_partitions",
    &[
        uuid("topic_id"),
        string("topic_name"),
        array_of("partitions", &Kind::Int32),
    ],
);

/// In version 1 a member brings an id of its own, as Kafka's clients do.
const CONSUMER_GROUP_HEARTBEAT: Shape = Shape::new(68, "ConsumerGroupHeartbeat", 1, 1)
    .flexible_from(0)
    .fields(&[
        int32("throttle_time_ms"),
        int16("error_code"),
        string("error_message").nullable(),
        string("member_id").nullable(),
        int32("member_epoch"),
        int32("heartbeat_interval_ms"),
        structure(
            "assignment",
            &[array(
                "topic_partitions",
                &[uuid("topic_id"), array_of("partitions", &Kind::Int32)],
            )],
        )
        .nullable(),
    ]);

const DELETE_GROUPS: Shape = Shape::new(42, "DeleteGroups", 0, 1).fields(&[
    int32("throttle_time_ms"),
    array("results", &[string("group_id"), int16("error_code")]),
]);

/// 8 is the first that says in words what is wrong, and the last without tagged fields.
const PRODUCE: Shape = Shape::new(0, "Produce", 3, 8).fields(&[
    array(
        "responses",
        &[
            string("name"),
            array(
                "partition_responses",
                &[
                    int32("index"),
                    int16("error_code"),
                    int64("base_offset"),
                    int64("log_append_time_ms"),
                    int64("log_start_offset").since(5),
                    array(
                        "record_errors",
                        &[int32("batch_index"), string("message").nullable()],
                    )
                    .since(8),
                    string("error_message").nullable().since(8),
                ],
            ),
        ],
    ),
    int32("throttle_time_ms"),
]);
