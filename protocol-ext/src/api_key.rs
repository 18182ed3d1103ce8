//! Every API key we can name, and which headers go with it.
//!
//! A request header is v2 (with tagged fields) when the body is flexible and v1 otherwise; a response
//! header is v1 and v0 alike. Two keys break the rule: answers to ApiVersions always carry header v0,
//! so that a client can read them before it knows what the broker speaks, and ControlledShutdown v0
//! predates the client id (header v0).

/// One API: its key, its name, and the first flexible version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Api {
    pub key: i16,
    pub name: &'static str,
    /// First version with compact lengths and tagged fields; `i16::MAX` if there is none.
    pub flexible: i16,
}

pub const CONTROLLED_SHUTDOWN: i16 = 7;
pub const API_VERSIONS: i16 = 18;

/// First and last key kept for messages that are ours.
pub const EXT_FIRST: i16 = 16_000;
pub const EXT_LAST: i16 = 16_031;

const NEVER: i16 = i16::MAX;

macro_rules! apis {
    ($($key:literal $name:ident $flexible:expr;)*) => {
        &[$(Api { key: $key, name: stringify!($name), flexible: $flexible }),*]
    };
}

/// Every known API in ascending order of key, whether or not we answer it.
pub const ALL: &[Api] = apis! {
    0 Produce 9;
    1 Fetch 12;
    2 ListOffsets 6;
    3 Metadata 9;
    4 LeaderAndIsr 4;
    5 StopReplica 2;
    6 UpdateMetadata 6;
    7 ControlledShutdown 3;
    8 OffsetCommit 8;
    9 OffsetFetch 6;
    10 FindCoordinator 3;
    11 JoinGroup 6;
    12 Heartbeat 4;
    13 LeaveGroup 4;
    14 SyncGroup 4;
    15 DescribeGroups 5;
    16 ListGroups 3;
    17 SaslHandshake NEVER;
    18 ApiVersions 3;
    19 CreateTopics 5;
    20 DeleteTopics 4;
    21 DeleteRecords 2;
    22 InitProducerId 2;
    23 OffsetForLeaderEpoch 4;
    24 AddPartitionsToTxn 3;
    25 AddOffsetsToTxn 3;
    26 EndTxn 3;
    27 WriteTxnMarkers 1;
    28 TxnOffsetCommit 3;
    29 DescribeAcls 2;
    30 CreateAcls 2;
    31 DeleteAcls 2;
    32 DescribeConfigs 4;
    33 AlterConfigs 2;
    34 AlterReplicaLogDirs 2;
    35 DescribeLogDirs 2;
    36 SaslAuthenticate 2;
    37 CreatePartitions 2;
    38 CreateDelegationToken 2;
    39 RenewDelegationToken 2;
    40 ExpireDelegationToken 2;
    41 DescribeDelegationToken 2;
    42 DeleteGroups 2;
    43 ElectLeaders 2;
    44 IncrementalAlterConfigs 1;
    45 AlterPartitionReassignments 0;
    46 ListPartitionReassignments 0;
    47 OffsetDelete NEVER;
    48 DescribeClientQuotas 1;
    49 AlterClientQuotas 1;
    50 DescribeUserScramCredentials 0;
    51 AlterUserScramCredentials 0;
    52 Vote 0;
    53 BeginQuorumEpoch 1;
    54 EndQuorumEpoch 1;
    55 DescribeQuorum 0;
    56 AlterPartition 0;
    57 UpdateFeatures 0;
    58 Envelope 0;
    59 FetchSnapshot 0;
    60 DescribeCluster 0;
    61 DescribeProducers 0;
    62 BrokerRegistration 0;
    63 BrokerHeartbeat 0;
    64 UnregisterBroker 0;
    65 DescribeTransactions 0;
    66 ListTransactions 0;
    67 AllocateProducerIds 0;
    68 ConsumerGroupHeartbeat 0;
    69 ConsumerGroupDescribe 0;
    70 ControllerRegistration 0;
    71 GetTelemetrySubscriptions 0;
    72 PushTelemetry 0;
    73 AssignReplicasToDirs 0;
    74 ListConfigResources 0;
    75 DescribeTopicPartitions 0;
    76 ShareGroupHeartbeat 0;
    77 ShareGroupDescribe 0;
    78 ShareFetch 0;
    79 ShareAcknowledge 0;
    80 AddRaftVoter 0;
    81 RemoveRaftVoter 0;
    82 UpdateRaftVoter 0;
    83 InitializeShareGroupState 0;
    84 ReadShareGroupState 0;
    85 WriteShareGroupState 0;
    86 DeleteShareGroupState 0;
    87 ReadShareGroupStateSummary 0;
    88 StreamsGroupHeartbeat 0;
    89 StreamsGroupDescribe 0;
    90 DescribeShareGroupOffsets 0;
    91 AlterShareGroupOffsets 0;
    92 DeleteShareGroupOffsets 0;
    16000 ColumnarFetch 0;
    16001 ColumnarProduce 0;
    16002 Lookup 0;
    16003 UnionReadOffsets 0;
    16004 DescribeTable 0;
    16005 AlterTable 0;
    16006 Scan 0;
    16007 TierStatus 0;
    16008 ImportRecords 0;
};

/// What is known of an API key.
pub fn find(key: i16) -> Option<&'static Api> {
    let index = ALL.binary_search_by_key(&key, |api| api.key).ok()?;
    Some(&ALL[index])
}

/// The name of an API, `"Unknown"` for a key we cannot name.
pub fn name(key: i16) -> &'static str {
    find(key).map_or("Unknown", |api| api.name)
}

/// Whether the body of this version has compact lengths and tagged fields; `None` for an unknown key.
pub fn is_flexible(key: i16, version: i16) -> Option<bool> {
    find(key).map(|api| version >= api.flexible)
}

/// The version (0, 1 or 2) of the request header; `None` for an unknown key.
pub fn request_header_version(key: i16, version: i16) -> Option<i16> {
    Some(match is_flexible(key, version)? {
        true => 2,
        false if key == CONTROLLED_SHUTDOWN && version == 0 => 0,
        false => 1,
    })
}

/// The version (0 or 1) of the response header; `None` for an unknown key.
pub fn response_header_version(key: i16, version: i16) -> Option<i16> {
    let flexible = is_flexible(key, version)?;
    Some(i16::from(flexible && key != API_VERSIONS))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::ApiKey;

    use super::*;

    #[test]
    fn agrees_with_the_generated_messages() {
        for api in ALL {
            let Ok(theirs) = ApiKey::try_from(api.key) else {
                continue;
            };
            assert_eq!(format!("{theirs:?}"), api.name);
            // The generated table knows only the versions that were left of WriteTxnMarkers.
            let first = theirs.valid_versions().min;
            for version in first..=20 {
                assert_eq!(
                    request_header_version(api.key, version),
                    Some(theirs.request_header_version(version)),
                    "request header of {} v{version}",
                    api.name
                );
                assert_eq!(
                    response_header_version(api.key, version),
                    Some(theirs.response_header_version(version)),
                    "response header of {} v{version}",
                    api.name
                );
            }
        }
        for key in 0..=92 {
            assert!(find(key).is_some(), "key {key}");
        }
    }

    #[test]
    fn exceptions_and_strangers() {
        assert_eq!(request_header_version(CONTROLLED_SHUTDOWN, 0), Some(0));
        assert_eq!(request_header_version(CONTROLLED_SHUTDOWN, 1), Some(1));
        assert_eq!(request_header_version(API_VERSIONS, 99), Some(2));
        assert_eq!(response_header_version(API_VERSIONS, 99), Some(0));
        assert_eq!(request_header_version(EXT_FIRST, 0), Some(2));
        assert_eq!(request_header_version(12_345, 0), None);
        assert_eq!(name(-1), "Unknown");
        assert!(ALL.is_sorted_by(|a, b| a.key < b.key));
    }
}
