//! From a frame to the handler that answers it: the gate every request passes.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tidelog_protocol_ext::{WireError, api_key, header};
use tracing::trace;

use super::connection::Connection;
use crate::api::cluster::api_versions;
use crate::api::context::{Context, Outcome, Responder};
use crate::api::{self, Api};

/// A request that may run.
#[derive(Debug)]
pub struct Call {
    api: &'static Api,
    ctx: Context,
    body: Bytes,
}

impl Call {
    /// Reads the header and finds the row of the API.
    ///
    /// # Errors
    /// The header is malformed, or we do not answer this API or version; only ApiVersions is
    /// answered in every version.
    pub fn parse(connection: &Connection, frame: Bytes) -> Result<Self, WireError> {
        let (header, body) = header::parse_request(frame)?;
        let (key, version) = (header.api_key, header.api_version);
        let api = api::position(connection.apis, key)
            .map(|row| &connection.apis[row])
            .filter(|api| api.is_offered(&connection.broker.settings()))
            .ok_or(WireError::UnknownApi(key))?;
        if !api.serves(version) && key != api_key::API_VERSIONS {
            return Err(WireError::UnsupportedVersion {
                api: api.name,
                version,
            });
        }
        let ctx = Context {
            broker: Arc::clone(&connection.broker),
            peer: connection.peer,
            listener: Arc::clone(&connection.listener),
            principal: connection.principal.clone(),
            client_id: header.client_id,
            responder: Responder {
                api,
                version,
                correlation_id: header.correlation_id,
            },
        };
        Ok(Self { api, ctx, body })
    }

    /// Whether it may run while earlier replies are still being made.
    pub fn pipelined(&self) -> bool {
        self.api.pipelined
    }

    /// Whether it is given up when the client goes away.
    pub fn waits(&self) -> bool {
        self.api.waits
    }

    /// Runs the handler and measures the time until its reply is made.
    pub async fn run(self) -> Outcome {
        let (api, version) = (self.api.name, self.ctx.version());
        trace!(target: "tidelog::request", api, version, client = self.ctx.client_id.as_deref());
        let started = Instant::now();
        let broker = Arc::clone(&self.ctx.broker);
        let key = self.api.key;
        let answered = move || broker.metrics().answered(key, started.elapsed());
        let outcome = if self.api.serves(self.ctx.version()) {
            self.api.run(self.ctx, self.body).await
        } else {
            api_versions::unknown_version(&self.ctx)
        };
        match outcome {
            Outcome::Now(reply) => {
                answered();
                Outcome::Now(reply)
            }
            Outcome::Later(reply) => Outcome::later(async move {
                let reply = reply.await;
                answered();
                reply
            }),
        }
    }
}
