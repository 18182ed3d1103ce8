//! Codes of what is refused about topics, settings, brokers and the cluster.

use tidelog_coordinator::cluster::settings::ConfigError;
use tidelog_coordinator::cluster::{ClusterError, QuotaError};
use tidelog_protocol_ext::ErrorCode;

use super::Coded;
use crate::api::cluster::alter_client_quotas::UnknownHost;
use crate::api::cluster::alter_partition_reassignments::NotMoved;
use crate::api::cluster::api_versions::Refusal;
use crate::api::cluster::describe_client_quotas::BadFilter;
use crate::api::cluster::describe_cluster::WrongEndpoint;
use crate::api::cluster::elect_leaders::NoElection;
use crate::api::cluster::init_producer_id;
use crate::api::cluster::quorum::QuorumError;
use crate::api::cluster::update_features::UnknownDirection;
use crate::api::security::NoAuthorizer;
use crate::api::topic::{BadReference, BadResource, NoAnswer};
use crate::views::BadLens;

impl From<Refusal> for ErrorCode {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnknownVersion => ErrorCode::UnsupportedVersion,
            Refusal::BadSoftwareName => ErrorCode::InvalidRequest,
        }
    }
}

impl Coded for ClusterError {
    fn code(&self) -> ErrorCode {
        match self {
            ClusterError::TopicExists { .. } => ErrorCode::TopicAlreadyExists,
            ClusterError::InvalidTopicName { .. } | ClusterError::NameCollision { .. } => {
                ErrorCode::InvalidTopicException
            }
            ClusterError::DuplicateTopic { .. }
            | ClusterError::DuplicateResource { .. }
            | ClusterError::AssignmentsAndCounts
            | ClusterError::MalformedConfig(_)
            | ClusterError::UnknownBroker { .. } => ErrorCode::InvalidRequest,
            ClusterError::InvalidPartitions { .. } | ClusterError::KeyedTableFixed { .. } => {
                ErrorCode::InvalidPartitions
            }
            ClusterError::InvalidReplicationFactor { .. } => ErrorCode::InvalidReplicationFactor,
            ClusterError::InvalidReplicaAssignment { .. } => ErrorCode::InvalidReplicaAssignment,
            ClusterError::InvalidConfig(error) => error.code(),
            ClusterError::BadView { .. } => ErrorCode::InvalidConfig,
            ClusterError::UnknownTopic { .. } => ErrorCode::UnknownTopicOrPartition,
            ClusterError::UnknownTopicId { .. } => ErrorCode::UnknownTopicId,
            ClusterError::InternalTopic { .. }
            | ClusterError::HasViews { .. }
            | ClusterError::TooManyResources { .. }
            | ClusterError::TooManySettings { .. } => ErrorCode::PolicyViolation,
            ClusterError::InvalidFeature { .. } => ErrorCode::InvalidUpdateVersion,
            // Neither is the client's doing, and Kafka has no code for them.
            ClusterError::TopicIdTaken { .. } | ClusterError::ProducerIdsExhausted => {
                ErrorCode::UnknownServerError
            }
        }
    }
}

impl Coded for BadLens {
    fn code(&self) -> ErrorCode {
        ErrorCode::InvalidConfig
    }
}

impl Coded for ConfigError {
    fn code(&self) -> ErrorCode {
        match self {
            // Wrong whatever the value is.
            ConfigError::Duplicate { .. } | ConfigError::ReadOnly { .. } => {
                ErrorCode::InvalidRequest
            }
            ConfigError::Unknown { .. }
            | ConfigError::Invalid { .. }
            | ConfigError::Null { .. }
            | ConfigError::NotAList { .. }
            | ConfigError::TooLong { .. }
            | ConfigError::Conflict { .. } => ErrorCode::InvalidConfig,
        }
    }
}

impl Coded for UnknownDirection {
    fn code(&self) -> ErrorCode {
        ErrorCode::InvalidUpdateVersion
    }
}

impl Coded for QuotaError {
    fn code(&self) -> ErrorCode {
        ErrorCode::InvalidRequest
    }
}

impl Coded for UnknownHost {
    fn code(&self) -> ErrorCode {
        ErrorCode::InvalidRequest
    }
}

impl Coded for BadFilter {
    fn code(&self) -> ErrorCode {
        match self {
            BadFilter::UnknownType(_) => ErrorCode::UnsupportedVersion,
            _ => ErrorCode::InvalidRequest,
        }
    }
}

impl Coded for NoAuthorizer {
    fn code(&self) -> ErrorCode {
        ErrorCode::SecurityDisabled
    }
}

impl Coded for NoElection {
    fn code(&self) -> ErrorCode {
        match self {
            NoElection::UnknownKind(_) => ErrorCode::InvalidRequest,
            NoElection::UnknownPartition { .. } => ErrorCode::UnknownTopicOrPartition,
            NoElection::NotNeeded => ErrorCode::ElectionNotNeeded,
            NoElection::Offline => ErrorCode::EligibleLeadersNotAvailable,
        }
    }
}

impl Coded for NotMoved {
    fn code(&self) -> ErrorCode {
        match self {
            NotMoved::UnknownPartition { .. } => ErrorCode::UnknownTopicOrPartition,
            NotMoved::NothingToCancel => ErrorCode::NoReassignmentInProgress,
            NotMoved::NoReplica(_) | NotMoved::OtherReplicas(_) => {
                ErrorCode::InvalidReplicaAssignment
            }
        }
    }
}

impl Coded for QuorumError {
    fn code(&self) -> ErrorCode {
        match self {
            QuorumError::OtherCluster { .. } => ErrorCode::InconsistentClusterId,
            QuorumError::BadVoter(_) | QuorumError::Itself(_) => ErrorCode::InvalidRequest,
            QuorumError::Static => ErrorCode::UnsupportedVersion,
            QuorumError::NotRegistered(_) => ErrorCode::BrokerIdNotRegistered,
        }
    }
}

impl Coded for BadResource {
    fn code(&self) -> ErrorCode {
        ErrorCode::InvalidRequest
    }
}

impl Coded for BadReference {
    fn code(&self) -> ErrorCode {
        match self {
            BadReference::Disabled { version: 3.. } => ErrorCode::TopicDeletionDisabled,
            BadReference::Disabled { .. } | BadReference::Neither | BadReference::Both => {
                ErrorCode::InvalidRequest
            }
        }
    }
}

impl Coded for NoAnswer {
    fn code(&self) -> ErrorCode {
        match self {
            // Clients look for the controller again and retry.
            NoAnswer::Unavailable => ErrorCode::NotController,
            NoAnswer::TimedOut { .. } => ErrorCode::RequestTimedOut,
        }
    }
}

impl Coded for WrongEndpoint {
    fn code(&self) -> ErrorCode {
        match self {
            WrongEndpoint::Controllers => ErrorCode::MismatchedEndpointType,
            WrongEndpoint::Unknown(_) => ErrorCode::UnsupportedEndpointType,
        }
    }
}

impl Coded for init_producer_id::Refusal {
    fn code(&self) -> ErrorCode {
        use init_producer_id::Refusal;
        match self {
            Refusal::EmptyTransactionalId | Refusal::HalfIdentity => ErrorCode::InvalidRequest,
            // Retried as it is; "not available" would make clients look for a coordinator first.
            Refusal::Unavailable => ErrorCode::CoordinatorLoadInProgress,
        }
    }
}
