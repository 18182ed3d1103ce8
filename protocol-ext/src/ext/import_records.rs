//! ImportRecords (16008): record batches of another cluster's log, appended at the offsets they have there.

use uuid::Uuid;

use super::wire::{api, message};
use crate::{Rope, StrBytes};

api!(16008 "ImportRecords" v0..=0: ImportRecordsRequest -> ImportRecordsResponse);

message! {
    /// What goes to the end of one partition.
    pub struct ImportRecordsRequest {
        /// The id of the topic, which must have tidelog.import=true.
        pub topic_id: Uuid,
        /// The partition index.
        pub partition: i32,
        /// Where the source's log starts: an empty partition begins there, and what lies before it goes;
        /// -1 to leave the log start alone.
        pub log_start_offset: i64,
        /// Whole record batches v2 as the source keeps them, back to back in ascending order of offset, at or
        /// above the end of the partition; empty to change or learn its ends only.
        pub records: Rope,
    }

    /// Where the partition begins and ends now.
    pub struct ImportRecordsResponse {
        /// How long the request was delayed by a quota, in milliseconds.
        pub throttle_time_ms: i32,
        /// An error, or 0. With an error, batches before the one at fault may have been appended.
        pub error_code: i16,
        /// The error in words, or null.
        pub error_message: Option<StrBytes>,
        /// The first offset of the partition; -1 with an error.
        pub log_start_offset: i64,
        /// The offset after the last record, all of them durable; -1 with an error.
        pub end_offset: i64,
    }
}
