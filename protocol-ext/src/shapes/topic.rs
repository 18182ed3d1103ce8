//! Requests on topics and their partitions.

use crate::shape::{Kind, Shape, array, array_of, boolean, int16, int32, string, structure, uuid};

pub const METADATA: Shape = Shape::new(3, "Metadata", 0, 13).flexible_from(9).fields(&[
    array(
        "topics",
        &[
            uuid("topic_id").since(10),
            string("name").nullable_since(10),
        ],
    )
    .nullable_since(1),
    boolean("allow_auto_topic_creation").since(4),
    boolean("include_cluster_authorized_operations")
        .since(8)
        .until(10),
    boolean("include_topic_authorized_operations").since(8),
]);

pub const CREATE_TOPICS: Shape = Shape::new(19, "CreateTopics", 2, 7)
    .flexible_from(5)
    .fields(&[
        array(
            "topics",
            &[
                string("name"),
                int32("num_partitions"),
                int16("replication_factor"),
                array(
                    "assignments",
                    &[
                        int32("partition_index"),
                        array_of("broker_ids", &Kind::Int32),
                    ],
                ),
                array("configs", &[string("name"), string("value").nullable()]),
            ],
        ),
        int32("timeout_ms"),
        boolean("validate_only"),
    ]);

pub const DELETE_TOPICS: Shape = Shape::new(20, "DeleteTopics", 1, 6)
    .flexible_from(4)
    .fields(&[
        array("topics", &[string("name").nullable(), uuid("topic_id")]).since(6),
        array_of("topic_names", &Kind::String).until(5),
        int32("timeout_ms"),
    ]);

pub const CREATE_PARTITIONS: Shape = Shape::new(37, "CreatePartitions", 0, 3)
    .flexible_from(2)
    .fields(&[
        array(
            "topics",
            &[
                string("name"),
                int32("count"),
                array("assignments", &[array_of("broker_ids", &Kind::Int32)]).nullable(),
            ],
        ),
        int32("timeout_ms"),
        boolean("validate_only"),
    ]);

pub const DESCRIBE_TOPIC_PARTITIONS: Shape = Shape::new(75, "DescribeTopicPartitions", 0, 0)
    .flexible_from(0)
    .fields(&[
        array("topics", &[string("name")]),
        int32("response_partition_limit"),
        structure("cursor", &[string("topic_name"), int32("partition_index")]).nullable(),
    ]);
