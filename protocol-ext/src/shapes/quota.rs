//! Requests on client quotas.

use crate::shape::{Shape, array, boolean, float64, int8, string};

pub const DESCRIBE_CLIENT_QUOTAS: Shape = Shape::new(48, "DescribeClientQuotas", 0, 1)
    .flexible_from(1)
    .fields(&[
        array(
            "components",
            &[
                string("entity_type"),
                int8("match_type"),
                string("match").nullable(),
            ],
        ),
        boolean("strict"),
    ]);

pub const ALTER_CLIENT_QUOTAS: Shape = Shape::new(49, "AlterClientQuotas", 0, 1)
    .flexible_from(1)
    .fields(&[
        array(
            "entries",
            &[
                array(
                    "entity",
                    &[string("entity_type"), string("entity_name").nullable()],
                ),
                array("ops", &[string("key"), float64("value"), boolean("remove")]),
            ],
        ),
        boolean("validate_only"),
    ]);
