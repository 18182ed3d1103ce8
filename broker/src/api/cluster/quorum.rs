//! What cannot be changed about a quorum of one, as AddRaftVoter, RemoveRaftVoter and
//! UnregisterBroker answer it.

use tidelog_protocol_ext::StrBytes;

use crate::api::context::Context;

/// Why nobody joins or leaves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuorumError {
    #[error("cluster {asked} is not this one, {own}")]
    OtherCluster { asked: String, own: String },
    #[error("voter {0} is none: give a number of 0 or more")]
    BadVoter(i32),
    #[error("the quorum of this cluster is its one broker: voters cannot be added or removed")]
    Static,
    #[error("broker {0} is not registered")]
    NotRegistered(i32),
    #[error("broker {0} is the one that answers: stop it instead of unregistering it")]
    Itself(i32),
}

/// Answers a change of voters, which is never made: Kafka's checks come before its refusal.
pub fn refuse_voters(ctx: &Context, cluster_id: Option<&StrBytes>, voter: i32) -> QuorumError {
    let own = ctx.broker.cluster_id();
    match cluster_id {
        Some(asked) if asked.as_str() != own => QuorumError::OtherCluster {
            asked: asked.to_string(),
            own: own.to_owned(),
        },
        _ if voter < 0 => QuorumError::BadVoter(voter),
        _ => QuorumError::Static,
    }
}
