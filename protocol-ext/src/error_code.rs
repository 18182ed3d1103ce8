//! Kafka's error codes.
//!
//! One list gives the enum, the numbers, the names, the meanings and which of them clients retry.

macro_rules! error_codes {
    ($($(#[doc = $meaning:literal])+ $name:ident = $code:literal $retry:ident;)*) => {
        /// A code of the Kafka protocol, sent as an i16. Codes are never reused, so the list only grows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i16)]
        pub enum ErrorCode {
            $($(#[doc = $meaning])+ $name = $code,)*
        }

        impl ErrorCode {
            /// Every code in ascending order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The code of a number, if it is one we know.
            pub const fn from_code(code: i16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// What it means, in one line.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($meaning),+).trim_ascii(),)*
                }
            }

            /// Whether a client may expect success from sending the same request again.
            pub const fn is_retriable(self) -> bool {
                match self {
                    $(Self::$name => matches!(Retry::$retry, Retry::Yes),)*
                }
            }
        }
    };
}

enum Retry {
    Yes,
    No,
}

error_codes! {
    /// The broker met an error it has no other code for.
    UnknownServerError = -1 No;
    /// Success.
    None = 0 No;
    /// The offset lies before the log start or after its end.
    OffsetOutOfRange = 1 No;
    /// A record batch failed its checksum or size check.
    CorruptMessage = 2 Yes;
    /// This broker has no such topic or partition, or the client may not see it.
    UnknownTopicOrPartition = 3 Yes;
    /// The requested fetch size is not valid.
    InvalidFetchSize = 4 No;
    /// The partition has no leader at the moment.
    LeaderNotAvailable = 5 Yes;
    /// This broker does not lead the partition, or holds no replica of it.
    NotLeaderOrFollower = 6 Yes;
    /// The request was not completed within its timeout.
    RequestTimedOut = 7 Yes;
    /// The broker is not available.
    BrokerNotAvailable = 8 No;
    /// The replica asked for is not available.
    ReplicaNotAvailable = 9 Yes;
    /// A record batch exceeds the topic's size limit.
    MessageTooLarge = 10 No;
    /// The controller has moved on.
    StaleControllerEpoch = 11 No;
    /// The text stored with a committed offset exceeds its limit.
    OffsetMetadataTooLarge = 12 No;
    /// The connection ended before an answer came.
    NetworkException = 13 Yes;
    /// The coordinator is still reading its log.
    CoordinatorLoadInProgress = 14 Yes;
    /// There is no coordinator at the moment.
    CoordinatorNotAvailable = 15 Yes;
    /// This broker does not coordinate that group or transactional id.
    NotCoordinator = 16 Yes;
    /// The topic name is not legal, or the topic may not be used in this way.
    InvalidTopicException = 17 No;
    /// The record batch exceeds the segment size.
    RecordListTooLarge = 18 No;
    /// Too few replicas are in sync to accept the write.
    NotEnoughReplicas = 19 Yes;
    /// The write was appended, but to too few replicas.
    NotEnoughReplicasAfterAppend = 20 Yes;
    /// Acks must be -1, 0 or 1.
    InvalidRequiredAcks = 21 No;
    /// The group has moved to another generation.
    IllegalGeneration = 22 No;
    /// The member shares no protocol with the group.
    InconsistentGroupProtocol = 23 No;
    /// The group id is not legal.
    InvalidGroupId = 24 No;
    /// The group has no such member.
    UnknownMemberId = 25 No;
    /// The session timeout is outside the range the broker allows.
    InvalidSessionTimeout = 26 No;
    /// The group is rebalancing: join again.
    RebalanceInProgress = 27 No;
    /// The offsets to commit do not fit in one batch.
    InvalidCommitOffsetSize = 28 No;
    /// The client may not do this with the topic.
    TopicAuthorizationFailed = 29 No;
    /// The client may not do this with the group.
    GroupAuthorizationFailed = 30 No;
    /// The client may not do this with the cluster.
    ClusterAuthorizationFailed = 31 No;
    /// A record's timestamp is outside the range the topic allows.
    InvalidTimestamp = 32 No;
    /// The SASL mechanism is not enabled.
    UnsupportedSaslMechanism = 33 No;
    /// The request does not fit the state of the SASL exchange.
    IllegalSaslState = 34 No;
    /// The API or this version of it is not supported.
    UnsupportedVersion = 35 No;
    /// A topic of this name exists.
    TopicAlreadyExists = 36 No;
    /// The number of partitions is not valid.
    InvalidPartitions = 37 No;
    /// The replication factor is below 1 or above the number of brokers.
    InvalidReplicationFactor = 38 No;
    /// The replica assignment is not valid.
    InvalidReplicaAssignment = 39 No;
    /// A configuration key or value is not valid.
    InvalidConfig = 40 No;
    /// This broker is not the controller.
    NotController = 41 Yes;
    /// The request contradicts itself or the protocol.
    InvalidRequest = 42 No;
    /// The record format cannot carry this.
    UnsupportedForMessageFormat = 43 No;
    /// A policy of the cluster or topic forbids this.
    PolicyViolation = 44 No;
    /// The producer's sequence does not follow the last one.
    OutOfOrderSequenceNumber = 45 No;
    /// The producer's sequence was seen before.
    DuplicateSequenceNumber = 46 No;
    /// The producer's epoch is older than the current one.
    InvalidProducerEpoch = 47 No;
    /// The transaction is not in a state that allows this.
    InvalidTxnState = 48 No;
    /// The producer id does not belong to the transactional id.
    InvalidProducerIdMapping = 49 No;
    /// The transaction timeout exceeds what the broker allows.
    InvalidTransactionTimeout = 50 No;
    /// The transaction is still being completed: try again shortly.
    ConcurrentTransactions = 51 No;
    /// The transaction coordinator has been replaced.
    TransactionCoordinatorFenced = 52 No;
    /// The client may not use the transactional id.
    TransactionalIdAuthorizationFailed = 53 No;
    /// No authorizer is configured.
    SecurityDisabled = 54 No;
    /// The broker did not try, because another part of the request failed.
    OperationNotAttempted = 55 No;
    /// The log could not be read or written.
    KafkaStorageError = 56 Yes;
    /// The broker has no such log directory.
    LogDirNotFound = 57 No;
    /// The credentials were refused.
    SaslAuthenticationFailed = 58 No;
    /// The broker knows nothing of this producer id.
    UnknownProducerId = 59 No;
    /// The partition is being reassigned.
    ReassignmentInProgress = 60 No;
    /// Delegation tokens are not enabled.
    DelegationTokenAuthDisabled = 61 No;
    /// The broker has no such delegation token.
    DelegationTokenNotFound = 62 No;
    /// The token belongs to another principal.
    DelegationTokenOwnerMismatch = 63 No;
    /// Tokens may not be managed over this connection.
    DelegationTokenRequestNotAllowed = 64 No;
    /// The client may not use the token.
    DelegationTokenAuthorizationFailed = 65 No;
    /// The token has expired.
    DelegationTokenExpired = 66 No;
    /// The type of principal is not supported.
    InvalidPrincipalType = 67 No;
    /// The group still has members.
    NonEmptyGroup = 68 No;
    /// There is no such group.
    GroupIdNotFound = 69 No;
    /// There is no such fetch session.
    FetchSessionIdNotFound = 70 Yes;
    /// The epoch of the fetch session does not follow the last one.
    InvalidFetchSessionEpoch = 71 Yes;
    /// The leader has no listener of the name the client came through.
    ListenerNotFound = 72 Yes;
    /// Topics may not be deleted on this cluster.
    TopicDeletionDisabled = 73 No;
    /// The client's leader epoch is older than the broker's.
    FencedLeaderEpoch = 74 Yes;
    /// The client's leader epoch is newer than the broker's.
    UnknownLeaderEpoch = 75 Yes;
    /// This version may not carry batches of that compression.
    UnsupportedCompressionType = 76 No;
    /// The broker has registered again since.
    StaleBrokerEpoch = 77 No;
    /// The high watermark has not caught up after a leader change.
    OffsetNotAvailable = 78 Yes;
    /// Join again with the member id given in this answer.
    MemberIdRequired = 79 No;
    /// The preferred leader is not available.
    PreferredLeaderNotAvailable = 80 Yes;
    /// The group has as many members as it may.
    GroupMaxSizeReached = 81 No;
    /// Another member has taken this static instance id.
    FencedInstanceId = 82 No;
    /// No replica may become leader.
    EligibleLeadersNotAvailable = 83 Yes;
    /// The leader is already the right one.
    ElectionNotNeeded = 84 Yes;
    /// The partition is not being reassigned.
    NoReassignmentInProgress = 85 No;
    /// The group still reads the topic.
    GroupSubscribedToTopic = 86 No;
    /// A record was refused; nothing of its batch was written.
    InvalidRecord = 87 No;
    /// A transaction that commits offsets is still open.
    UnstableOffsetCommit = 88 Yes;
    /// A quota is used up: try again after the throttle time.
    ThrottlingQuotaExceeded = 89 Yes;
    /// A newer producer has taken the transactional id.
    ProducerFenced = 90 No;
    /// The resource does not exist.
    ResourceNotFound = 91 No;
    /// The resource is named twice.
    DuplicateResource = 92 No;
    /// The credential does not meet the rules.
    UnacceptableCredential = 93 No;
    /// The voter sets of the two sides differ.
    InconsistentVoterSet = 94 No;
    /// The update was made against another version.
    InvalidUpdateVersion = 95 No;
    /// The feature level could not be changed.
    FeatureUpdateFailed = 96 No;
    /// The forwarded principal could not be read.
    PrincipalDeserializationFailure = 97 No;
    /// There is no such snapshot.
    SnapshotNotFound = 98 No;
    /// The position lies outside the snapshot.
    PositionOutOfRange = 99 No;
    /// This broker has no topic of this id.
    UnknownTopicId = 100 Yes;
    /// A broker of this id is registered already.
    DuplicateBrokerRegistration = 101 No;
    /// No broker of this id is registered.
    BrokerIdNotRegistered = 102 No;
    /// The topic id does not fit the topic name.
    InconsistentTopicId = 103 Yes;
    /// The cluster id is that of another cluster.
    InconsistentClusterId = 104 No;
    /// There is no such transactional id.
    TransactionalIdNotFound = 105 No;
    /// The fetch session mixes topic names and topic ids.
    FetchSessionTopicIdError = 106 Yes;
    /// The replica may not join the in-sync set.
    IneligibleReplica = 107 No;
    /// The change led to the election of another leader.
    NewLeaderElected = 108 No;
    /// The offset is only in remote storage.
    OffsetMovedToTieredStorage = 109 No;
    /// The member's epoch is not the one the group expects: join again.
    FencedMemberEpoch = 110 No;
    /// The static instance id is still held by another member.
    UnreleasedInstanceId = 111 No;
    /// The group does not support the assignor.
    UnsupportedAssignor = 112 No;
    /// The member's epoch is old: heartbeat first.
    StaleMemberEpoch = 113 No;
    /// The request was sent to the wrong kind of endpoint.
    MismatchedEndpointType = 114 No;
    /// The kind of endpoint is not supported.
    UnsupportedEndpointType = 115 No;
    /// There is no such controller.
    UnknownControllerId = 116 No;
    /// The telemetry subscription is out of date.
    UnknownSubscriptionId = 117 No;
    /// The telemetry exceeds its size limit.
    TelemetryTooLarge = 118 No;
    /// The registration is not valid.
    InvalidRegistration = 119 No;
    /// The transaction cannot go on: abort it.
    TransactionAbortable = 120 No;
    /// The record's delivery state does not allow this acknowledgement.
    InvalidRecordState = 121 No;
    /// There is no such share session.
    ShareSessionNotFound = 122 Yes;
    /// The epoch of the share session does not follow the last one.
    InvalidShareSessionEpoch = 123 Yes;
    /// The state epoch is older than the stored one.
    FencedStateEpoch = 124 No;
    /// The voter's key does not fit the replica.
    InvalidVoterKey = 125 No;
    /// The voter is in the set already.
    DuplicateVoter = 126 No;
    /// The voter is not in the set.
    VoterNotFound = 127 No;
    /// The subscription's regular expression is not valid.
    InvalidRegularExpression = 128 No;
    /// The client must start again from its bootstrap servers.
    RebootstrapRequired = 129 No;
    /// The topology is not valid.
    StreamsInvalidTopology = 130 No;
    /// The epoch of the topology is not valid.
    StreamsInvalidTopologyEpoch = 131 No;
    /// The epoch of the topology is old.
    StreamsTopologyFenced = 132 No;
    /// The broker holds as many share sessions as it may.
    ShareSessionLimitReached = 133 Yes;
}

impl ErrorCode {
    /// The number on the wire.
    pub const fn code(self) -> i16 {
        self as i16
    }

    pub const fn is_error(self) -> bool {
        !matches!(self, Self::None)
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?} ({}): {}", self.code(), self.meaning())
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::ResponseError;

    use super::*;

    #[test]
    fn numbers_names_and_retriability_are_kafkas() {
        assert_eq!(ErrorCode::ALL.len(), 135);
        for (code, &ours) in (-1..=133).zip(ErrorCode::ALL) {
            assert_eq!(ours.code(), code);
            assert_eq!(ErrorCode::from_code(code), Some(ours));
            if let Some(theirs) = ResponseError::try_from_code(code) {
                assert_eq!(theirs.to_string(), format!("{ours:?}"));
                assert_eq!(theirs.is_retriable(), ours.is_retriable(), "{ours:?}");
            }
        }
        assert_eq!(ErrorCode::from_code(134), None);
        assert_eq!(ErrorCode::from_code(-2), None);
    }

    #[test]
    fn meanings_read_as_sentences() {
        for code in ErrorCode::ALL {
            assert!(code.meaning().ends_with('.') || code.meaning().contains(": "));
        }
        assert_eq!(ErrorCode::None.to_string(), "None (0): Success.");
    }
}
