//! Keeps the table of one topic in shape between passes: one step of its maintenance at a time.
//!
//! What readers were promised stays: the snapshots of leases, and the one the cached mark names.

use std::collections::BTreeSet;
use std::sync::Arc;

use iceberg::TableIdent;
use tidelog_coordinator::cluster::Topic;
use tidelog_tiering::TopicIdentity;
use tidelog_tiering::maintain::{MaintainError, Maintainer, Policy, StepReport};
use tracing::{debug, info};

use super::Shared;

/// The maintenance of one open table.
pub struct Upkeep {
    maintainer: Maintainer,
}

impl Upkeep {
    pub fn new(shared: &Shared, table: TableIdent, identity: TopicIdentity) -> Self {
        let maintainer = Maintainer::new(
            Arc::clone(&shared.catalog) as _,
            Some(Arc::clone(&shared.files)),
            Arc::clone(&shared.env),
            table,
            identity,
            Policy::default(),
            shared.clock.now_ms(),
        );
        Self { maintainer }
    }

    pub fn is_due(&self, now_ms: i64) -> bool {
        self.maintainer.next_step(now_ms).is_some()
    }

    /// Does the step that is due, if one is; true if the table has another snapshot now.
    pub async fn step(&mut self, topic: &Topic, now_ms: i64, pinned: &BTreeSet<i64>) -> bool {
        let Some(step) = self.maintainer.next_step(now_ms) else {
            return false;
        };
        let done: Result<StepReport, MaintainError> =
            Box::pin(self.maintainer.run(step, now_ms, pinned)).await;
        match done {
            Ok(report) if report.did_something() => {
                info!(topic = topic.name, ?report, "the lake table was maintained");
                true
            }
            Ok(_) => false,
            // It is due again by itself.
            Err(error) => {
                debug!(topic = topic.name, ?step, %error, "the lake table was not maintained");
                false
            }
        }
    }
}
