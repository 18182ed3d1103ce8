//! TierStatus (16007): how far the lake is behind the log, and a nudge to catch up now.

use uuid::Uuid;

use super::wire::{api, message};
use crate::StrBytes;

api!(16007 "TierStatus" v0..=0: TierStatusRequest -> TierStatusResponse);

/// `action` of a [`TierStatusRequest`]: only answer the status.
pub const ACTION_STATUS: i8 = 0;
/// `action` of a [`TierStatusRequest`]: start a commit now, then answer the status without waiting
/// for it.
pub const ACTION_TIER_NOW: i8 = 1;
/// `action` of a [`TierStatusRequest`]: try dead letters again once what waits has moved, and answer
/// the status without waiting for it.
pub const ACTION_RETRY_DEAD_LETTERS: i8 = 2;

message! {
    /// Which topics, and what to do.
    pub struct TierStatusRequest {
        /// 0 to answer the status, 1 to start a commit of the topics now as well, 2 to try their dead
        /// letters again as well.
        pub action: i8,
        /// The topics; null for every tiered topic the client may see.
        pub topics: Option<Vec<TierTopic>>,
    }

    /// A topic by id or by name.
    pub struct TierTopic {
        /// The id of the topic, or the nil id to go by name.
        pub topic_id: Uuid,
        /// The name of the topic; null to go by id.
        pub name: Option<StrBytes>,
    }

    /// The state of the lake tables.
    pub struct TierStatusResponse {
        /// How long the request was delayed by a quota, in milliseconds.
        pub throttle_time_ms: i32,
        /// An error of the whole request, or 0.
        pub error_code: i16,
        /// The error in words, or null.
        pub error_message: Option<StrBytes>,
        /// The topics, in the order of the request, or by name if it named none.
        pub topics: Vec<TierTopicStatus>,
    }

    /// The lake table of one topic.
    pub struct TierTopicStatus {
        /// An error of this topic, or 0.
        pub error_code: i16,
        /// The error in words, or null.
        pub error_message: Option<StrBytes>,
        /// The name of the topic; null if it is not known.
        pub name: Option<StrBytes>,
        /// The id of the topic.
        pub topic_id: Uuid,
        /// How records become rows: the value of the topic's table mode setting.
        pub mode: StrBytes,
        /// The snapshot made by the last commit; -1 if there was none.
        pub last_snapshot_id: i64,
        /// When that was, in milliseconds since 1970; -1 if there was none.
        pub last_commit_ms: i64,
        /// Log bytes not in the lake yet.
        pub pending_bytes: i64,
        /// Why commits are suspended; null if they are not.
        pub suspended_reason: Option<StrBytes>,
        /// One per partition, in ascending order.
        pub partitions: Vec<TierPartitionStatus>,
    }

    /// One partition.
    pub struct TierPartitionStatus {
        /// The partition index.
        pub partition: i32,
        /// The first offset not in the lake.
        pub lake_end: i64,
        /// The end of rows: the smaller of high watermark and last stable offset.
        pub stable_end: i64,
        /// The age of the oldest row not in the lake, in milliseconds; 0 if there is none.
        pub lag_ms: i64,
    }
}
