//! Requests on the records of a partition.

use crate::shape::{
    Kind, Shape, array, array_of, bytes, int8, int16, int32, int64, string, structure, uuid,
};

pub const PRODUCE: Shape = Shape::new(0, "Produce", 3, 13).flexible_from(9).fields(&[
    string("transactional_id").nullable(),
    int16("acks"),
    int32("timeout_ms"),
    array(
        "topic_data",
        &[
            string("name").until(12),
            uuid("topic_id").since(13),
            array(
                "partition_data",
                &[int32("index"), bytes("records").nullable()],
            ),
        ],
    ),
]);

pub const FETCH: Shape = Shape::new(1, "Fetch", 4, 18).flexible_from(12).fields(&[
    string("cluster_id").nullable().since(12).tagged(0),
    int32("replica_id").until(14),
    structure(
        "replica_state",
        &[int32("replica_id"), int64("replica_epoch")],
    )
    .since(15)
    .tagged(1),
    int32("max_wait_ms"),
    int32("min_bytes"),
    int32("max_bytes"),
    int8("isolation_level"),
    int32("session_id").since(7),
    int32("session_epoch").since(7),
    array(
        "topics",
        &[
            string("topic").until(12),
            uuid("topic_id").since(13),
            array(
                "partitions",
                &[
                    int32("partition"),
                    int32("current_leader_epoch").since(9),
                    int64("fetch_offset"),
                    int32("last_fetched_epoch").since(12),
                    int64("log_start_offset").since(5),
                    int32("partition_max_bytes"),
                    uuid("replica_directory_id").since(17).tagged(0),
                    int64("high_watermark").since(18).tagged(1),
                ],
            ),
        ],
    ),
    array(
        "forgotten_topics_data",
        &[
            string("topic").until(12),
            uuid("topic_id").since(13),
            array_of("partitions", &Kind::Int32),
        ],
    )
    .since(7),
    string("rack_id").since(11),
]);

pub const LIST_OFFSETS: Shape = Shape::new(2, "ListOffsets", 1, 11)
    .flexible_from(6)
    .fields(&[
        int32("replica_id"),
        int8("isolation_level").since(2),
        array(
            "topics",
            &[
                string("name"),
                array(
                    "partitions",
                    &[
                        int32("partition_index"),
                        int32("current_leader_epoch").since(4),
                        int64("timestamp"),
                    ],
                ),
            ],
        ),
        int32("timeout_ms").since(10),
    ]);

pub const DELETE_RECORDS: Shape = Shape::new(21, "DeleteRecords", 0, 2)
    .flexible_from(2)
    .fields(&[
        array(
            "topics",
            &[
                string("name"),
                array("partitions", &[int32("partition_index"), int64("offset")]),
            ],
        ),
        int32("timeout_ms"),
    ]);

pub const OFFSET_FOR_LEADER_EPOCH: Shape = Shape::new(23, "OffsetForLeaderEpoch", 2, 4)
    .flexible_from(4)
    .fields(&[
        int32("replica_id").since(3),
        array(
            "topics",
            &[
                string("topic"),
                array(
                    "partitions",
                    &[
                        int32("partition"),
                        int32("current_leader_epoch"),
                        int32("leader_epoch"),
                    ],
                ),
            ],
        ),
    ]);
