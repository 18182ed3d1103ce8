//! Waiting for a partition to move.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Somebody who waits. Called on storage's threads: wake a task and return.
pub trait Watch: Send + Sync {
    fn moved(&self);
}

/// Names one registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchId(u64);

#[derive(Default)]
pub(crate) struct Watchers {
    next: AtomicU64,
    list: Mutex<Vec<(u64, Arc<dyn Watch>)>>,
}

impl Watchers {
    pub(crate) fn add(&self, watch: Arc<dyn Watch>) -> WatchId {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.list.lock().push((id, watch));
        WatchId(id)
    }

    pub(crate) fn remove(&self, WatchId(id): WatchId) {
        let mut list = self.list.lock();
        if let Some(at) = list.iter().position(|(other, _)| *other == id) {
            list.swap_remove(at);
        }
    }

    pub(crate) fn wake(&self) {
        for (_, watch) in self.list.lock().iter() {
            watch.moved();
        }
    }
}
