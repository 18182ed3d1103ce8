//! AlterTable (16005): other columns for a table, without writing a row anew.

use uuid::Uuid;

use super::wire::{api, message};
use crate::StrBytes;

api!(16005 "AlterTable" v0..=0: AlterTableRequest -> AlterTableResponse);

/// `action` of a [`ColumnChange`]: a new column `path` of type `column_type`.
pub const ACTION_ADD: i8 = 0;
/// `action` of a [`ColumnChange`]: give column `path` the wider type `column_type`.
pub const ACTION_WIDEN: i8 = 1;
/// `action` of a [`ColumnChange`]: call column `path` `new_name`.
pub const ACTION_RENAME: i8 = 2;
/// `action` of a [`ColumnChange`]: let column `path` be null.
pub const ACTION_MAKE_OPTIONAL: i8 = 3;
/// `action` of a [`ColumnChange`]: leave column `path` out of later rows.
pub const ACTION_DROP: i8 = 4;

message! {
    /// Changes of one table, all of them or none.
    pub struct AlterTableRequest {
        /// How long to wait until the change is durable, in milliseconds.
        pub timeout_ms: i32,
        /// The id of the topic, or the nil id to go by name.
        pub topic_id: Uuid,
        /// The name of the topic; null to go by id.
        pub name: Option<StrBytes>,
        /// The schema the changes were made for, to be refused if there is a newer one; -1 for whichever is the newest.
        pub schema_id: i32,
        /// Only say whether it would be done.
        pub validate_only: bool,
        /// What to change, in this order.
        pub changes: Vec<ColumnChange>,
    }

    /// One change.
    pub struct ColumnChange {
        /// 0 to add, 1 to widen, 2 to rename, 3 to make optional, 4 to drop.
        pub action: i8,
        /// The column: a dotted path ("address.city") or "#" and a field id ("#17"); for a new one the path it gets.
        pub path: StrBytes,
        /// The type to add or to widen to, as the schema's JSON has it; null for other actions.
        pub column_type: Option<StrBytes>,
        /// The name to rename to; null for other actions.
        pub new_name: Option<StrBytes>,
    }

    /// What became of it.
    pub struct AlterTableResponse {
        /// How long the request was delayed by a quota, in milliseconds.
        pub throttle_time_ms: i32,
        /// An error, or 0.
        pub error_code: i16,
        /// The error in words (the change at fault is named), or null.
        pub error_message: Option<StrBytes>,
        /// The id of the schema later rows are written with; -1 on an error.
        pub schema_id: i32,
    }
}
