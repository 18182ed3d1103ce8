//! Requests on where replicas are and who leads.

use crate::shape::{Kind, Shape, array, array_of, boolean, int8, int32, string};

pub const ALTER_REPLICA_LOG_DIRS: Shape = Shape::new(34, "AlterReplicaLogDirs", 1, 2)
    .flexible_from(2)
    .fields(&[array(
        "dirs",
        &[
            string("path"),
            array(
                "topics",
                &[string("name"), array_of("partitions", &Kind::Int32)],
            ),
        ],
    )]);

pub const ELECT_LEADERS: Shape = Shape::new(43, "ElectLeaders", 0, 2)
    .flexible_from(2)
    .fields(&[
        int8("election_type").since(1),
        array(
            "topic_partitions",
            &[string("topic"), array_of("partitions", &Kind::Int32)],
        )
        .nullable(),
        int32("timeout_ms"),
    ]);

pub const ALTER_PARTITION_REASSIGNMENTS: Shape =
    Shape::new(45, "AlterPartitionReassignments", 0, 1)
        .flexible_from(0)
        .fields(&[
            int32("timeout_ms"),
            boolean("allow_replication_factor_change").since(1),
            array(
                "topics",
                &[
                    string("name"),
                    array(
                        "partitions",
                        &[
                            int32("partition_index"),
                            array_of("replicas", &Kind::Int32).nullable(),
                        ],
                    ),
                ],
            ),
        ]);

pub const LIST_PARTITION_REASSIGNMENTS: Shape = Shape::new(46, "ListPartitionReassignments", 0, 0)
    .flexible_from(0)
    .fields(&[
        int32("timeout_ms"),
        array(
            "topics",
            &[string("name"), array_of("partition_indexes", &Kind::Int32)],
        )
        .nullable(),
    ]);
