//! The two threads of an incarnation: one writes slots, one syncs them. Both end when it fails.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::{Shared, join, spawn};
use crate::appender::{AppendError, Appender, GroupOutcome, Written};
use crate::store::FlushMode;
use crate::wal::WalSyncer;

/// An incarnation at work.
pub(super) struct Line {
    appender: JoinHandle<()>,
    syncer: JoinHandle<()>,
}

/// Slots that wait to be synced.
#[derive(Default)]
pub(super) struct WrittenQueue {
    slots: VecDeque<Written>,
    /// No more will be synced.
    pub has_failed: bool,
    /// No more will be written.
    is_complete: bool,
}

impl Shared {
    pub(super) fn start_line(self: &Arc<Self>, appender: Appender, syncer: Arc<WalSyncer>) {
        *self.written.lock() = WrittenQueue::default();
        let line = Line {
            appender: spawn("tidelog-append", {
                let shared = Arc::clone(self);
                move || append(&shared, appender)
            }),
            syncer: spawn("tidelog-sync", {
                let shared = Arc::clone(self);
                move || sync(&shared, &syncer)
            }),
        };
        *self.line.lock() = Some(line);
    }

    /// Waits until both threads of a failed incarnation have ended, and answers what is left of it.
    /// What somebody was told has failed is never in the log afterwards, so this is the moment: a
    /// slot that its last sync covered has not failed. `synced_to` tells where that ended.
    pub(super) fn bury_line(&self, synced_to: impl FnOnce() -> u64, error: &AppendError) {
        self.join_line();
        let waiting = self.appends.lock().take_all();
        super::appends::refuse(waiting, error);
        let slots = std::mem::take(&mut self.written.lock().slots);
        let synced_to = synced_to();
        for slot in slots {
            match slot.number < synced_to {
                true => slot.settle(),
                false => slot.fail(error),
            }
        }
    }

    /// Has both threads finish, in their order, if they run. No more is handed to them.
    pub(super) fn join_line(&self) {
        let mut line = self.line.lock();
        let (appender, syncer) = line.take().map(|line| (line.appender, line.syncer)).unzip();
        self.append_news.notify_one();
        join(appender);
        let mut written = self.written.lock();
        written.is_complete = true;
        drop(written);
        self.written_news.notify_one();
        join(syncer);
    }
}

fn append(shared: &Shared, mut appender: Appender) {
    let mut spare_asked_for = false;
    while let Some(group) = shared.next_group() {
        match appender.append(group) {
            Ok(GroupOutcome::Written(written)) => {
                if shared.store.options.flush_mode == FlushMode::Os {
                    written.settle();
                } else {
                    shared.written.lock().slots.push_back(written);
                    shared.written_news.notify_one();
                }
            }
            Ok(GroupOutcome::Settled) => {}
            Ok(GroupOutcome::WaitForSpace(group)) => shared.wait_for_space(group),
            Err(error) => shared.fail(&error),
        }
        let half_full = appender.writer().fill() > 0.5;
        if half_full && !spare_asked_for {
            shared.want(|chores| chores.spare_wanted = true);
        }
        spare_asked_for = half_full;
    }
    if shared.appends.lock().failed.is_none() {
        appender.close();
    }
}

fn sync(shared: &Shared, syncer: &WalSyncer) {
    loop {
        let mut queue = shared.written.lock();
        while queue.slots.is_empty() && !queue.is_complete && !queue.has_failed {
            shared.written_news.wait(&mut queue);
        }
        if queue.has_failed {
            return;
        }
        if queue.slots.is_empty() {
            break;
        }
        drop(queue);
        sync_once(shared, syncer);
    }
    // The note of a clean end was written last of all.
    if let Err(error) = syncer.sync() {
        tracing::error!(%error, "the last sync of the WAL failed");
    }
}

/// Syncs what is written and answers it.
fn sync_once(shared: &Shared, syncer: &WalSyncer) {
    shared.set_syncing(true);
    let synced = syncer.sync();
    shared.set_syncing(false);
    shared.store.count_sync();
    match synced {
        Ok(synced_to) => {
            let mut queue = shared.written.lock();
            let durable = queue.slots.partition_point(|slot| slot.number < synced_to);
            let slots: Vec<_> = queue.slots.drain(..durable).collect();
            drop(queue);
            slots.into_iter().for_each(Written::settle);
        }
        Err(error) => shared.fail(&AppendError::Storage(format!("sync of the WAL: {error}"))),
    }
}
