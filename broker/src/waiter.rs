//! Waiting for any of several partitions to move.
//!
//! ```text
//! register ─▶ look ─▶ wait ─▶ look ─▶ wait …
//! ```
//! Whoever registers before looking misses nothing: a move between the two makes the next wait end
//! at once.

use std::sync::Arc;

use tidelog_storage::{Partition, Watch, WatchId};
use tokio::sync::Notify;

/// Watches partitions for as long as it lives.
pub struct Waiter {
    wake: Arc<Wake>,
    watched: Vec<(Arc<Partition>, WatchId)>,
}

#[derive(Default)]
struct Wake(Notify);

impl Watch for Wake {
    fn moved(&self) {
        self.0.notify_one();
    }
}

impl Waiter {
    /// Watches `partitions` from now on.
    pub fn register<'a>(partitions: impl Iterator<Item = &'a Arc<Partition>>) -> Self {
        let wake = Arc::new(Wake::default());
        let watch = |partition: &Arc<Partition>| {
            let id = partition.watch(Arc::clone(&wake) as Arc<dyn Watch>);
            (Arc::clone(partition), id)
        };
        let watched = partitions.map(watch).collect();
        Self { wake, watched }
    }

    /// Ends when a partition has moved since the last time, or was deleted or damaged.
    pub async fn moved(&self) {
        self.wake.0.notified().await;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        for (partition, id) in &self.watched {
            partition.unwatch(*id);
        }
    }
}
