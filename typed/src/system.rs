//! The system columns every row carries beside its value.
//!
//! Names and types are those the tierer takes rows by. The id of a system column is the lake id of
//! the same thing with its sign turned (`docs/formats/lake-table.md`: 2 `_offset`, 5 key, …), so
//! it can meet no value column's id, which are positive.

use crate::schema::{Field, Kind, TimeUnit};

/// Ids, of nested fields too. Frozen with the format.
pub mod id {
    pub const PARTITION: i32 = -1;
    pub const OFFSET: i32 = -2;
    pub const TIMESTAMP: i32 = -3;
    pub const KEY: i32 = -5;
    pub const HEADERS: i32 = -6;
    pub const HEADER: i32 = -7;
    pub const HEADER_KEY: i32 = -8;
    pub const HEADER_VALUE: i32 = -9;
    pub const TIMESTAMP_TYPE: i32 = -10;
    /// The value column of a `key_value` topic.
    pub const VALUE: i32 = -11;
    /// Columns of a changelog only.
    pub const CHANGE: i32 = -12;
    pub const PREV_OFFSET: i32 = -13;
    /// Columns of dead letters only.
    pub const ERROR: i32 = -14;
    pub const SCHEMA_ID: i32 = -15;
}

/// Names of the columns.
pub mod name {
    pub const PARTITION: &str = "_partition";
    pub const OFFSET: &str = "_offset";
    pub const TIMESTAMP: &str = "_timestamp";
    pub const TIMESTAMP_TYPE: &str = "_timestamp_type";
    pub const KEY: &str = "_key";
    pub const HEADERS: &str = "_headers";
    pub const VALUE: &str = "value";
    pub const ERROR: &str = "error";
    pub const SCHEMA_ID: &str = "schema_id";
    /// What happened to the row; only in a changelog.
    pub const CHANGE: &str = "_change";
    /// Offset of the row that was replaced; only in a changelog.
    pub const PREV_OFFSET: &str = "_prev_offset";
}

/// [`name::CHANGE`] of a row that was not there before.
pub const INSERT: &str = "insert";

/// How many system columns every row has.
pub(crate) const COUNT: usize = 6;

/// Names that no value column may have: those above, and those of columns to come.
const RESERVED: [&str; 9] = [
    name::PARTITION,
    name::OFFSET,
    name::TIMESTAMP,
    name::TIMESTAMP_TYPE,
    name::KEY,
    name::HEADERS,
    name::CHANGE,
    name::PREV_OFFSET,
    "_kafka",
];

/// True for a name that only a system column may have, whatever its case.
pub(crate) fn is_reserved(name: &str) -> bool {
    RESERVED
        .iter()
        .any(|reserved| reserved.eq_ignore_ascii_case(name))
}

/// The system columns in order, before the value's.
pub(crate) fn fields() -> [Field; COUNT] {
    let pair = vec![
        field(id::HEADER_KEY, "key", Kind::String, false),
        field(id::HEADER_VALUE, "value", Kind::Binary, true),
    ];
    let header = field(id::HEADER, "element", Kind::Struct(pair), false);
    let moment = Kind::Timestamp(TimeUnit::Microsecond);
    [
        field(id::PARTITION, name::PARTITION, Kind::Int, false),
        field(id::OFFSET, name::OFFSET, Kind::Long, false),
        field(id::TIMESTAMP, name::TIMESTAMP, moment, true),
        field(id::TIMESTAMP_TYPE, name::TIMESTAMP_TYPE, Kind::Int, false),
        field(id::KEY, name::KEY, Kind::Binary, true),
        field(
            id::HEADERS,
            name::HEADERS,
            Kind::List(Box::new(header)),
            false,
        ),
    ]
}

/// What a changelog's rows have behind those.
pub(crate) fn change_fields() -> [Field; 2] {
    [
        field(id::CHANGE, name::CHANGE, Kind::String, false),
        field(id::PREV_OFFSET, name::PREV_OFFSET, Kind::Long, true),
    ]
}

/// The value column of a `key_value` topic.
pub fn value_field() -> Field {
    field(id::VALUE, name::VALUE, Kind::Binary, true)
}

/// The columns of dead letters behind the system columns.
pub(crate) fn dead_letter_fields() -> [Field; 3] {
    [
        value_field(),
        field(id::ERROR, name::ERROR, Kind::String, false),
        field(id::SCHEMA_ID, name::SCHEMA_ID, Kind::Int, true),
    ]
}

fn field(id: i32, name: &str, kind: Kind, nullable: bool) -> Field {
    Field {
        id,
        name: name.to_owned(),
        kind,
        nullable,
        aliases: Vec::new(),
    }
}
