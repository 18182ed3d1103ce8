//! APIs about the broker and the cluster as a whole.

pub mod add_raft_voter;
pub mod alter_client_quotas;
pub mod alter_partition_reassignments;
pub mod alter_replica_log_dirs;
pub mod api_versions;
pub mod describe_client_quotas;
pub mod describe_cluster;
pub mod describe_log_dirs;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod elect_leaders;
pub mod init_producer_id;
pub mod list_partition_reassignments;
pub mod metadata;
pub mod operations;
pub mod quorum;
pub mod remove_raft_voter;
mod seat;
pub mod unregister_broker;
pub mod update_features;
