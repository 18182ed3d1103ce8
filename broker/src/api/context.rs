//! What a handler may touch, and the ways it may answer.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use kafka_protocol::protocol::Encodable;
use tidelog_protocol_ext::{Rope, StrBytes, WireError, ext, frame};
use tracing::error;

use super::Api;
use crate::broker::Broker;
use crate::server::listener::Listener;

/// Everything that belongs to one request.
///
/// Values of the request body and `client_id` are slices of the request's frame: whoever keeps one
/// beyond the request keeps the whole frame in memory, so copy what is small and kept.
#[derive(Debug)]
pub struct Context {
    pub broker: Arc<Broker>,
    pub peer: SocketAddr,
    /// The listener the client came through; answers that name the broker use its address.
    pub listener: Arc<Listener>,
    pub principal: Principal,
    pub client_id: Option<StrBytes>,
    /// Shapes the answer. Copy it into futures that outlive the handler.
    pub responder: Responder,
}

impl Context {
    /// Version of the API the client speaks.
    pub fn version(&self) -> i16 {
        self.responder.version
    }

    /// Answers with `response` in the client's version.
    pub fn answer(&self, response: &impl Encodable) -> Outcome {
        Outcome::Now(self.responder.encode(response))
    }

    /// As [`Context::answer`], to a request of ours.
    pub fn answer_ext<R: ext::Request>(&self, response: &R::Response) -> Outcome {
        self.responder.encode_ext::<R>(response).into()
    }
}

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Kafka's principal type; people and programs are `User`.
    pub kind: &'static str,
    pub name: Arc<str>,
}

impl Principal {
    /// Whoever comes through a listener without login.
    pub fn anonymous() -> Self {
        Self {
            kind: "User",
            name: "ANONYMOUS".into(),
        }
    }
}

/// What goes back for one request.
#[derive(Debug)]
pub enum Reply {
    /// A whole frame, size included.
    Send(Rope),
    /// Nothing: a Produce request with acks=0.
    Silent,
    /// The connection is closed, the answer to what Kafka calls malformed.
    Close,
}

/// What a handler decided.
pub enum Outcome {
    Now(Reply),
    /// The request has its place in order (Produce: its batches are submitted) and the next one
    /// may be read; the reply follows. Counted and bounded per connection. The future is polled
    /// only once the replies before it are made: it must wait for work done elsewhere, not do it.
    Later(BoxFuture<'static, Reply>),
}

impl Outcome {
    /// An answer that is still being made.
    pub fn later(reply: impl Future<Output = Reply> + Send + 'static) -> Self {
        Self::Later(Box::pin(reply))
    }
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        Self::Now(reply)
    }
}

/// What is needed to turn a response into the frame of one request's answer.
#[derive(Debug, Clone, Copy)]
pub struct Responder {
    pub api: &'static Api,
    pub version: i16,
    pub correlation_id: i32,
}

impl Responder {
    /// Encodes `response` in the client's version.
    pub fn encode(self, response: &impl Encodable) -> Reply {
        self.encode_as(self.version, response)
    }

    /// As [`Responder::encode`], to a request of ours.
    pub fn encode_ext<R: ext::Request>(self, response: &R::Response) -> Reply {
        let frame = ext::encode_response::<R>(self.version, self.correlation_id, response);
        self.sealed(frame)
    }

    /// As [`Responder::encode`], in a version other than the client's.
    pub fn encode_as(self, version: i16, response: &impl Encodable) -> Reply {
        let frame = frame::response(self.api.key, version, self.correlation_id, response);
        self.sealed(frame.map(|frame| vec![frame]))
    }

    /// Answers with a frame that was written piece by piece, as `frame::seal` returns it.
    ///
    /// A response that cannot be expressed in the client's version is our own fault: it is logged
    /// and the connection closed, because the client would wait for an answer that never comes.
    pub fn sealed(self, frame: Result<Vec<Bytes>, WireError>) -> Reply {
        match frame {
            Ok(pieces) => Reply::Send(pieces.into()),
            Err(error) => {
                error!(api = self.api.name, version = self.version, %error, "no answer");
                Reply::Close
            }
        }
    }
}
