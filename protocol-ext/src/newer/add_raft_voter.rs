//! The body of AddRaftVoter v1: v0 and whether to answer only when the change is committed. Nobody
//! here reads that, so it is not kept.

use kafka_protocol::messages::AddRaftVoterRequest;
use kafka_protocol::messages::add_raft_voter_request as v0;
use uuid::Uuid;

use crate::StrBytes;
use crate::ext::wire::message;

message! {
    /// See [`AddRaftVoterRequest`].
    pub struct Body {
        pub cluster_id: Option<StrBytes>,
        pub timeout_ms: i32,
        pub voter_id: i32,
        pub voter_directory_id: Uuid,
        pub listeners: Vec<Listener>,
        pub ack_when_committed: bool,
    }

    /// Where the voter can be reached.
    pub struct Listener {
        pub name: StrBytes,
        pub host: StrBytes,
        pub port: u16,
    }
}

impl From<Body> for AddRaftVoterRequest {
    fn from(body: Body) -> Self {
        let listener = |listener: Listener| {
            v0::Listener::default()
                .with_name(listener.name)
                .with_host(listener.host)
                .with_port(listener.port)
        };
        AddRaftVoterRequest::default()
            .with_cluster_id(body.cluster_id)
            .with_timeout_ms(body.timeout_ms)
            .with_voter_id(body.voter_id)
            .with_voter_directory_id(body.voter_directory_id)
            .with_listeners(body.listeners.into_iter().map(listener).collect())
    }
}

impl From<AddRaftVoterRequest> for Body {
    fn from(request: AddRaftVoterRequest) -> Self {
        let listener = |listener: v0::Listener| Listener {
            name: listener.name,
            host: listener.host,
            port: listener.port,
        };
        Body {
            cluster_id: request.cluster_id,
            timeout_ms: request.timeout_ms,
            voter_id: request.voter_id,
            voter_directory_id: request.voter_directory_id,
            listeners: request.listeners.into_iter().map(listener).collect(),
            ack_when_committed: true,
        }
    }
}
