//! Requests on access rules and on what users prove themselves with.

use crate::shape::{Field, Shape, array, int8, string};

/// What rules are looked for.
const FILTER: &[Field] = &[
    int8("resource_type_filter"),
    string("resource_name_filter").nullable(),
    int8("pattern_type_filter"),
    string("principal_filter").nullable(),
    string("host_filter").nullable(),
    int8("operation"),
    int8("permission_type"),
];

pub const DESCRIBE_ACLS: Shape = Shape::new(29, "DescribeAcls", 1, 3)
    .flexible_from(2)
    .fields(FILTER);

pub const CREATE_ACLS: Shape = Shape::new(30, "CreateAcls", 1, 3)
    .flexible_from(2)
    .fields(&[array(
        "creations",
        &[
            int8("resource_type"),
            string("resource_name"),
            int8("resource_pattern_type"),
            string("principal"),
            string("host"),
            int8("operation"),
            int8("permission_type"),
        ],
    )]);

pub const DELETE_ACLS: Shape = Shape::new(31, "DeleteAcls", 1, 3)
    .flexible_from(2)
    .fields(&[array("filters", FILTER)]);

pub const DESCRIBE_USER_SCRAM_CREDENTIALS: Shape =
    Shape::new(50, "DescribeUserScramCredentials", 0, 0)
        .flexible_from(0)
        .fields(&[array("users", &[string("name")]).nullable()]);
