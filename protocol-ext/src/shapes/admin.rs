//! Requests on configuration and the cluster.

use crate::shape::{Kind, Shape, array, array_of, boolean, int8, string};

pub const DESCRIBE_CONFIGS: Shape = Shape::new(32, "DescribeConfigs", 1, 4)
    .flexible_from(4)
    .fields(&[
        array(
            "resources",
            &[
                int8("resource_type"),
                string("resource_name"),
                array_of("configuration_keys", &Kind::String).nullable(),
            ],
        ),
        boolean("include_synonyms"),
        boolean("include_documentation").since(3),
    ]);

pub const ALTER_CONFIGS: Shape = Shape::new(33, "AlterConfigs", 0, 2)
    .flexible_from(2)
    .fields(&[
        array(
            "resources",
            &[
                int8("resource_type"),
                string("resource_name"),
                array("configs", &[string("name"), string("value").nullable()]),
            ],
        ),
        boolean("validate_only"),
    ]);

pub const DESCRIBE_LOG_DIRS: Shape = Shape::new(35, "DescribeLogDirs", 1, 5)
    .flexible_from(2)
    .fields(&[array(
        "topics",
        &[string("topic"), array_of("partitions", &Kind::Int32)],
    )
    .nullable()]);

pub const INCREMENTAL_ALTER_CONFIGS: Shape = Shape::new(44, "IncrementalAlterConfigs", 0, 1)
    .flexible_from(1)
    .fields(&[
        array(
            "resources",
            &[
                int8("resource_type"),
                string("resource_name"),
                array(
                    "configs",
                    &[
                        string("name"),
                        int8("config_operation"),
                        string("value").nullable(),
                    ],
                ),
            ],
        ),
        boolean("validate_only"),
    ]);

pub const DESCRIBE_CLUSTER: Shape = Shape::new(60, "DescribeCluster", 0, 2)
    .flexible_from(0)
    .fields(&[
        boolean("include_cluster_authorized_operations"),
        int8("endpoint_type").since(1),
        boolean("include_fenced_brokers").since(2),
    ]);

pub const LIST_CONFIG_RESOURCES: Shape = Shape::new(74, "ListConfigResources", 0, 1)
    .flexible_from(0)
    .fields(&[array_of("resource_types", &Kind::Int8).since(1)]);
