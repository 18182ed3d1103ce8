//! THE list of APIs.
//!
//! One row per API: its Kafka name and request type, the file that answers it, the versions served
//! and what is special about it. Dispatch, the ApiVersions answer, metric labels and `docs/APIS.md`
//! are made from these rows. To add an API, write `api/<subject>/<name>.rs` with
//!
//! ```text
//! pub async fn handle(ctx: &Context, request: XRequest) -> Outcome { … ctx.answer(&response) }
//! ```
//!
//! and its row below, in ascending order of key. APIs of our own (keys 16000 and up) stand behind
//! Kafka's; key, name and versions come with their request, and they answer with `ctx.answer_ext`.

pub mod cluster;
pub mod context;
pub mod data;
pub mod docs;
pub mod error;
pub mod ext;
pub mod group;
pub mod security;
pub mod topic;
pub mod txn;

use bytes::Bytes;
use futures::future::BoxFuture;
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeProducersRequest,
    DescribeTransactionsRequest, EndTxnRequest, ListTransactionsRequest, TxnOffsetCommitRequest,
};
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterConfigsRequest, AlterPartitionReassignmentsRequest,
    AlterReplicaLogDirsRequest, ApiVersionsRequest, CreateAclsRequest, CreatePartitionsRequest,
    CreateTopicsRequest, DeleteAclsRequest, DeleteTopicsRequest, DescribeAclsRequest,
    DescribeClientQuotasRequest, DescribeClusterRequest, DescribeConfigsRequest,
    DescribeQuorumRequest, DescribeTopicPartitionsRequest, DescribeUserScramCredentialsRequest,
    ElectLeadersRequest, IncrementalAlterConfigsRequest, InitProducerIdRequest,
    ListConfigResourcesRequest, ListPartitionReassignmentsRequest, MetadataRequest,
    RemoveRaftVoterRequest, UnregisterBrokerRequest, UpdateFeaturesRequest,
};
use kafka_protocol::messages::{ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest};
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, HeartbeatRequest,
    JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest, OffsetDeleteRequest, SyncGroupRequest,
};
use kafka_protocol::messages::{
    DeleteRecordsRequest, FetchRequest, OffsetForLeaderEpochRequest, ProduceRequest,
};
use kafka_protocol::protocol::{Message, Request, VersionRange};
use tidelog_protocol_ext::ext::alter_table::AlterTableRequest;
use tidelog_protocol_ext::ext::columnar_fetch::ColumnarFetchRequest;
use tidelog_protocol_ext::ext::columnar_produce::ColumnarProduceRequest;
use tidelog_protocol_ext::ext::describe_table::DescribeTableRequest;
use tidelog_protocol_ext::ext::import_records::ImportRecordsRequest;
use tidelog_protocol_ext::ext::lookup::LookupRequest;
use tidelog_protocol_ext::ext::scan::ScanRequest;
use tidelog_protocol_ext::ext::tier_status::TierStatusRequest;
use tidelog_protocol_ext::ext::union_read_offsets::UnionReadOffsetsRequest;
use tidelog_protocol_ext::ext::{self as wire, decode_request};
use tidelog_protocol_ext::newer::{
    AddRaftVoterRequest, DescribeLogDirsRequest, ListOffsetsRequest, OffsetCommitRequest,
    OffsetFetchRequest, WriteTxnMarkersRequest,
};
use tidelog_protocol_ext::{api_key, decode};
use tracing::debug;

use crate::settings::Settings;
use context::{Context, Outcome, Reply};

/// One row: what dispatch, ApiVersions, metrics and documents need to know of an API.
#[derive(Debug)]
pub struct Api {
    pub key: i16,
    pub name: &'static str,
    /// Lowest and highest version that is answered.
    pub min: i16,
    pub max: i16,
    /// Lowest version in the ApiVersions answer. Kafka itself advertises Produce from 0, because old
    /// librdkafka switches compression off otherwise, and serves it from 3.
    pub advertised_min: i16,
    /// Whether a client may ask before it has logged in.
    pub before_login: bool,
    /// Whether a further request of this API may be taken while the reply is still being made.
    pub pipelined: bool,
    /// Whether the answer may be long in coming and is given up when the client goes away. Everything
    /// else is carried out once it was read, whoever listens: clients commit and leave as they close.
    pub waits: bool,
    /// What the documents say of it beyond its versions.
    pub note: &'static str,
    /// Versions our message type can carry, both ways.
    pub decodable: [VersionRange; 2],
    pub(crate) run: fn(Context, Bytes) -> BoxFuture<'static, Outcome>,
}

impl Api {
    /// A row with nothing special about it.
    pub(crate) const fn row<R: Request>(
        name: &'static str,
        min: i16,
        max: i16,
        run: fn(Context, Bytes) -> BoxFuture<'static, Outcome>,
    ) -> Self {
        Self {
            key: R::KEY,
            name,
            min,
            max,
            advertised_min: min,
            before_login: false,
            pipelined: false,
            waits: false,
            note: "",
            decodable: [R::VERSIONS, <R::Response as Message>::VERSIONS],
            run,
        }
    }

    /// The row of an API that is ours: all its versions are served.
    pub(crate) const fn ext_row<R: wire::Request>(
        run: fn(Context, Bytes) -> BoxFuture<'static, Outcome>,
    ) -> Self {
        let (min, max) = (R::VERSIONS.first, R::VERSIONS.last);
        Self {
            key: R::KEY,
            name: R::NAME,
            min,
            max,
            advertised_min: min,
            before_login: false,
            pipelined: false,
            waits: true,
            note: "",
            decodable: [VersionRange { min, max }; 2],
            run,
        }
    }

    /// Whether requests of this version are answered.
    pub fn serves(&self, version: i16) -> bool {
        (self.min..=self.max).contains(&version)
    }

    /// Whether this broker offers the API at all.
    pub fn is_offered(&self, settings: &Settings) -> bool {
        settings.extensions_enable || !(api_key::EXT_FIRST..=api_key::EXT_LAST).contains(&self.key)
    }

    /// Decodes the body and runs the handler. The version must be one that is served.
    pub fn run(&self, ctx: Context, body: Bytes) -> BoxFuture<'static, Outcome> {
        (self.run)(ctx, body)
    }
}

macro_rules! apis {
    (kafka { $($name:ident($request:ty) => $($module:ident)::+, $min:literal..=$max:literal
        $(, $field:ident: $value:literal)*;)+ }
    ours { $($ours:ty => $($our_module:ident)::+ $(, $our_field:ident: $our_value:literal)*;)+ }) => {
        /// Every API that is answered, in ascending order of key.
        pub static APIS: &[Api] = &[$(Api {
            $($field: $value,)*
            ..Api::row::<$request>(stringify!($name), $min, $max, |ctx, body| {
                Box::pin(async move {
                    match decode::<$request>(ctx.responder.api.key, ctx.version(), body) {
                        Ok(request) => $($module)::+::handle(&ctx, request).await,
                        Err(error) => malformed(&ctx, &error),
                    }
                })
            })
        },)+ $(Api {
            $($our_field: $our_value,)*
            ..Api::ext_row::<$ours>(|ctx, body| {
                Box::pin(async move {
                    match decode_request::<$ours>(ctx.version(), body) {
                        Ok(request) => $($our_module)::+::handle(&ctx, request).await,
                        Err(error) => malformed(&ctx, &error),
                    }
                })
            })
        },)+];
    };
}

apis! {
    kafka {
        Produce(ProduceRequest) => data::produce, 3..=13, advertised_min: 0, pipelined: true;
        Fetch(FetchRequest) => data::fetch, 4..=18, waits: true;
        ListOffsets(ListOffsetsRequest) => data::list_offsets, 1..=11;
        Metadata(MetadataRequest) => cluster::metadata, 0..=13;
        OffsetCommit(OffsetCommitRequest) => group::offset_commit, 2..=10;
        OffsetFetch(OffsetFetchRequest) => group::offset_fetch, 1..=10;
        FindCoordinator(FindCoordinatorRequest) => group::find_coordinator, 0..=6;
        JoinGroup(JoinGroupRequest) => group::join_group, 0..=9, waits: true;
        Heartbeat(HeartbeatRequest) => group::heartbeat, 0..=4;
        LeaveGroup(LeaveGroupRequest) => group::leave_group, 0..=5;
        SyncGroup(SyncGroupRequest) => group::sync_group, 0..=5, waits: true;
        DescribeGroups(DescribeGroupsRequest) => group::describe_groups, 0..=6;
        ListGroups(ListGroupsRequest) => group::list_groups, 0..=5;
        ApiVersions(ApiVersionsRequest) => cluster::api_versions, 0..=4, before_login: true;
        CreateTopics(CreateTopicsRequest) => topic::create_topics, 2..=7;
        DeleteTopics(DeleteTopicsRequest) => topic::delete_topics, 1..=6;
        DeleteRecords(DeleteRecordsRequest) => data::delete_records, 0..=2;
        InitProducerId(InitProducerIdRequest) => cluster::init_producer_id, 0..=5;
        OffsetForLeaderEpoch(OffsetForLeaderEpochRequest) => data::offset_for_leader_epoch, 2..=4;
        AddPartitionsToTxn(AddPartitionsToTxnRequest) => txn::add_partitions_to_txn, 0..=5;
        AddOffsetsToTxn(AddOffsetsToTxnRequest) => txn::add_offsets_to_txn, 0..=4;
        EndTxn(EndTxnRequest) => txn::end_txn, 0..=5;
        WriteTxnMarkers(WriteTxnMarkersRequest) => txn::write_txn_markers, 1..=2;
        TxnOffsetCommit(TxnOffsetCommitRequest) => txn::txn_offset_commit, 0..=5;
        DescribeAcls(DescribeAclsRequest) => security::describe_acls, 1..=3,
            note: "There is no authorizer: SECURITY_DISABLED.";
        CreateAcls(CreateAclsRequest) => security::create_acls, 1..=3,
            note: "There is no authorizer: SECURITY_DISABLED.";
        DeleteAcls(DeleteAclsRequest) => security::delete_acls, 1..=3,
            note: "There is no authorizer: SECURITY_DISABLED.";
        DescribeConfigs(DescribeConfigsRequest) => topic::describe_configs, 1..=4;
        AlterConfigs(AlterConfigsRequest) => topic::alter_configs, 0..=2;
        AlterReplicaLogDirs(AlterReplicaLogDirsRequest) => cluster::alter_replica_log_dirs, 1..=2,
            note: "There is one directory.";
        DescribeLogDirs(DescribeLogDirsRequest) => cluster::describe_log_dirs, 1..=5;
        CreatePartitions(CreatePartitionsRequest) => topic::create_partitions, 0..=3;
        DeleteGroups(DeleteGroupsRequest) => group::delete_groups, 0..=2;
        ElectLeaders(ElectLeadersRequest) => cluster::elect_leaders, 0..=2,
            note: "There is one replica, which leads: ELECTION_NOT_NEEDED.";
        IncrementalAlterConfigs(IncrementalAlterConfigsRequest) => topic::incremental_alter_configs, 0..=1;
        AlterPartitionReassignments(AlterPartitionReassignmentsRequest) => cluster::alter_partition_reassignments, 0..=1,
            note: "A partition can only be told to stay.";
        ListPartitionReassignments(ListPartitionReassignmentsRequest) => cluster::list_partition_reassignments, 0..=0,
            note: "There are none.";
        OffsetDelete(OffsetDeleteRequest) => group::offset_delete, 0..=0;
        DescribeClientQuotas(DescribeClientQuotasRequest) => cluster::describe_client_quotas, 0..=1,
            note: "Shows what was set; nobody is slowed down by it.";
        AlterClientQuotas(AlterClientQuotasRequest) => cluster::alter_client_quotas, 0..=1,
            note: "Kept and shown; nobody is slowed down by it.";
        DescribeUserScramCredentials(DescribeUserScramCredentialsRequest)
            => security::describe_user_scram_credentials, 0..=0,
            note: "Nobody has credentials: there are no logins.";
        DescribeQuorum(DescribeQuorumRequest) => cluster::describe_quorum, 0..=2,
            note: "A quorum of one: this broker.";
        UpdateFeatures(UpdateFeaturesRequest) => cluster::update_features, 0..=2;
        DescribeCluster(DescribeClusterRequest) => cluster::describe_cluster, 0..=2;
        DescribeProducers(DescribeProducersRequest) => txn::describe_producers, 0..=0;
        UnregisterBroker(UnregisterBrokerRequest) => cluster::unregister_broker, 0..=0,
            note: "This broker cannot be unregistered.";
        DescribeTransactions(DescribeTransactionsRequest) => txn::describe_transactions, 0..=0;
        ListTransactions(ListTransactionsRequest) => txn::list_transactions, 0..=2;
        ConsumerGroupHeartbeat(ConsumerGroupHeartbeatRequest) => group::consumer_group_heartbeat, 0..=1;
        ConsumerGroupDescribe(ConsumerGroupDescribeRequest) => group::consumer_group_describe, 0..=1;
        ListConfigResources(ListConfigResourcesRequest) => topic::list_config_resources, 0..=1;
        DescribeTopicPartitions(DescribeTopicPartitionsRequest) => cluster::describe_topic_partitions, 0..=0;
        AddRaftVoter(AddRaftVoterRequest) => cluster::add_raft_voter, 0..=1,
            note: "Refused, as by every static quorum.";
        RemoveRaftVoter(RemoveRaftVoterRequest) => cluster::remove_raft_voter, 0..=0,
            note: "Refused, as by every static quorum.";
    }
    ours {
        ColumnarFetchRequest => ext::columnar_fetch;
        ColumnarProduceRequest => ext::columnar_produce, pipelined: true, waits: false;
        LookupRequest => ext::lookup;
        UnionReadOffsetsRequest => ext::union_read_offsets;
        DescribeTableRequest => ext::describe_table;
        AlterTableRequest => ext::alter_table;
        ScanRequest => ext::scan;
        TierStatusRequest => ext::tier_status;
        ImportRecordsRequest => ext::import_records;
    }
}

/// Place of an API key in `apis`, which are in ascending order of key.
pub fn position(apis: &[Api], key: i16) -> Option<usize> {
    apis.binary_search_by_key(&key, |api| api.key).ok()
}

/// Kafka answers a body it cannot read by closing the connection.
fn malformed(ctx: &Context, error: &tidelog_protocol_ext::WireError) -> Outcome {
    debug!(peer = %ctx.peer, client = ctx.client_id.as_deref(), %error, "malformed request");
    Reply::Close.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_sound() {
        assert!(
            APIS.is_sorted_by(|a, b| a.key < b.key),
            "one row per key, in order"
        );
        for api in APIS {
            assert_eq!(api.name, api_key::name(api.key));
            assert!(
                api.advertised_min <= api.min && api.min <= api.max,
                "{}",
                api.name
            );
            for range in api.decodable {
                let carried = range.min <= api.min && api.max <= range.max;
                assert!(
                    carried,
                    "{} cannot carry {}..={}",
                    api.name, api.min, api.max
                );
            }
            let shape = tidelog_protocol_ext::shapes::find(api.key);
            let checked = shape.is_none_or(|shape| {
                shape.versions.first <= api.min && api.max <= shape.versions.last
            });
            assert!(checked, "{} has versions without a shape", api.name);
        }
    }

    #[test]
    fn the_committed_document_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/APIS.md");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == docs::markdown(),
            "run `tidelog api docs > docs/APIS.md`"
        );
    }
}
