//! UnionReadOffsets (16003): the exact cut between a table's lake snapshot and its log.
//!
//! A reader takes the rows of the snapshot, then the log of each partition from `lake_end` on, and
//! has seen every row once. A lease keeps both in place meanwhile: it can be renewed or given up by its
//! id, and never lasts longer than the broker's cap. A broker may keep leases in memory only, so that
//! its restart ends them.

use uuid::Uuid;

use super::wire::{api, message};
use crate::StrBytes;

api!(16003 "UnionReadOffsets" v0..=0: UnionReadOffsetsRequest -> UnionReadOffsetsResponse);

message! {
    /// Where lake and log meet.
    pub struct UnionReadOffsetsRequest {
        /// The id of the topic.
        pub topic_id: Uuid,
        /// The lease to renew (its cut is answered again) or, with lease_ms 0, to give up; the nil
        /// id for a new cut.
        pub lease_id: Uuid,
        /// How long to keep both sides in place, in milliseconds; 0 for no lease.
        pub lease_ms: i32,
    }

    /// The cut.
    pub struct UnionReadOffsetsResponse {
        /// How long the request was delayed by a quota, in milliseconds.
        pub throttle_time_ms: i32,
        /// An error, or 0.
        pub error_code: i16,
        /// The error in words, or null.
        pub error_message: Option<StrBytes>,
        /// The lake snapshot to read; -1 if there is none and the log holds every row.
        pub snapshot_id: i64,
        /// Where the metadata of the lake table lies; null if there is no snapshot.
        pub metadata_location: Option<StrBytes>,
        /// The id of the lease; the nil id if none was asked for.
        pub lease_id: Uuid,
        /// How long the lease lasts from now, in milliseconds: at most what was asked for.
        pub lease_ms: i32,
        /// One per partition, in ascending order.
        pub partitions: Vec<Cut>,
    }

    /// The cut of one partition.
    pub struct Cut {
        /// The partition index.
        pub partition: i32,
        /// The end of the snapshot and the first offset to read from the log.
        pub lake_end: i64,
        /// The first offset that the log holds.
        pub log_start_offset: i64,
        /// The end of rows: the smaller of high watermark and last stable offset.
        pub stable_end: i64,
    }
}
