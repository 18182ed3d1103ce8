//! Requests about topics, configs and groups.
//!
//! The versions are those without topic ids and with one group per request, which every broker from
//! Kafka 2.4 on answers.

use bytes::Bytes;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DescribeConfigsRequest,
    IncrementalAlterConfigsRequest, ListGroupsRequest, OffsetCommitRequest, OffsetFetchRequest,
};
use kafka_protocol::protocol::{Decodable, Request, StrBytes};
use tidelog_protocol_ext::header::RequestHeader;
use tidelog_protocol_ext::shape::{
    Shape, Span, array, boolean, check, int8, int16, int32, int64, string,
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
}

const OFFSET_COMMIT: Shape = Shape::new(8, "OffsetCommit", 2, 7).fields(&[
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
