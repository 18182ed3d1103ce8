//! APIs about the broker and the cluster as a whole.

pub mod api_versions;
pub mod describe_cluster;
pub mod describe_log_dirs;
pub mod describe_topic_partitions;
pub mod init_producer_id;
pub mod metadata;
mod operations;
mod seat;
