//! Requests of idempotent and transactional producers.

use crate::shape::{Kind, Shape, array, array_of, boolean, int8, int16, int32, int64, string};

pub const INIT_PRODUCER_ID: Shape = Shape::new(22, "InitProducerId", 0, 5)
    .flexible_from(2)
    .fields(&[
        string("transactional_id").nullable(),
        int32("transaction_timeout_ms"),
        int64("producer_id").since(3),
        int16("producer_epoch").since(3),
    ]);

pub const ADD_PARTITIONS_TO_TXN: Shape = Shape::new(24, "AddPartitionsToTxn", 0, 5)
    .flexible_from(3)
    .fields(&[
        array(
            "transactions",
            &[
                string("transactional_id"),
                int64("producer_id"),
                int16("producer_epoch"),
                boolean("verify_only"),
                array(
                    "topics",
                    &[string("name"), array_of("partitions", &Kind::Int32)],
                ),
            ],
        )
        .since(4),
        string("v3_and_below_transactional_id").until(3),
        int64("v3_and_below_producer_id").until(3),
        int16("v3_and_below_producer_epoch").until(3),
        array(
            "v3_and_below_topics",
            &[string("name"), array_of("partitions", &Kind::Int32)],
        )
        .until(3),
    ]);

pub const ADD_OFFSETS_TO_TXN: Shape = Shape::new(25, "AddOffsetsToTxn", 0, 4)
    .flexible_from(3)
    .fields(&[
        string("transactional_id"),
        int64("producer_id"),
        int16("producer_epoch"),
        string("group_id"),
    ]);

pub const END_TXN: Shape = Shape::new(26, "EndTxn", 0, 5).flexible_from(3).fields(&[
    string("transactional_id"),
    int64("producer_id"),
    int16("producer_epoch"),
    boolean("committed"),
]);

pub const WRITE_TXN_MARKERS: Shape = Shape::new(27, "WriteTxnMarkers", 1, 2)
    .flexible_from(1)
    .fields(&[array(
        "markers",
        &[
            int64("producer_id"),
            int16("producer_epoch"),
            boolean("transaction_result"),
            array(
                "topics",
                &[string("name"), array_of("partition_indexes", &Kind::Int32)],
            ),
            int32("coordinator_epoch"),
            int8("transaction_version").since(2),
        ],
    )]);

pub const DESCRIBE_PRODUCERS: Shape = Shape::new(61, "DescribeProducers", 0, 0)
    .flexible_from(0)
    .fields(&[array(
        "topics",
        &[string("name"), array_of("partition_indexes", &Kind::Int32)],
    )]);

pub const DESCRIBE_TRANSACTIONS: Shape = Shape::new(65, "DescribeTransactions", 0, 0)
    .flexible_from(0)
    .fields(&[array_of("transactional_ids", &Kind::String)]);

pub const LIST_TRANSACTIONS: Shape = Shape::new(66, "ListTransactions", 0, 2)
    .flexible_from(0)
    .fields(&[
        array_of("state_filters", &Kind::String),
        array_of("producer_id_filters", &Kind::Int64),
        int64("duration_filter").since(1),
        string("transactional_id_pattern").since(2).nullable(),
    ]);

pub const TXN_OFFSET_COMMIT: Shape = Shape::new(28, "TxnOffsetCommit", 0, 5)
    .flexible_from(3)
    .fields(&[
        string("transactional_id"),
        string("group_id"),
        int64("producer_id"),
        int16("producer_epoch"),
        int32("generation_id").since(3),
        string("member_id").since(3),
        string("group_instance_id").since(3).nullable(),
        array(
            "topics",
            &[
                string("name"),
                array(
                    "partitions",
                    &[
                        int32("partition_index"),
                        int64("committed_offset"),
                        int32("committed_leader_epoch").since(2),
                        string("committed_metadata").nullable(),
                    ],
                ),
            ],
        ),
    ]);
