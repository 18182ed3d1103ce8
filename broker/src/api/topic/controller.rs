//! Asking the cluster's owner for a change, as long as the client is willing to wait.

use std::time::Duration;

use tidelog_coordinator::cluster::{Command, Reply};
use tokio::time::timeout;

use crate::api::context::Context;

/// Why a change has no answer. It may have been made all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    #[error("the cluster's owner lost its log for a moment: look whether it is done, or try again")]
    Unavailable,
    #[error("not done within the {waited_ms} ms of the request: it may still happen")]
    TimedOut { waited_ms: i32 },
}

/// Sends `command` and picks what belongs to it out of the reply. A `timeout_ms` of 0 or less asks
/// not to wait; a change takes about one sync of the disk, so it is waited for all the same.
///
/// # Errors
/// The owner started over, or the time ran out.
pub async fn ask<T>(
    ctx: &Context,
    command: Command,
    timeout_ms: i32,
    pick: impl FnOnce(Reply) -> Option<T>,
) -> Result<T, NoAnswer> {
    let answer = ctx.broker.cluster().call(command);
    let reply = match u64::try_from(timeout_ms) {
        Ok(1..) => timeout(
            Duration::from_millis(timeout_ms.unsigned_abs().into()),
            answer,
        )
        .await
        .map_err(|_| NoAnswer::TimedOut {
            waited_ms: timeout_ms,
        })?,
        _ => answer.await,
    };
    // The owner answers each command in kind; anything else tells us nothing.
    reply.ok().and_then(pick).ok_or(NoAnswer::Unavailable)
}
