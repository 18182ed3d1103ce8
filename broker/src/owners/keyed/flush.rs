//! Opens tables that are closed, and moves stable changes from their overlays to the index.
//!
//! Rounds over all tables, about five a second and at once when writers wait for room.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidelog_keyed::FjallStore;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Keyed, Table};
use crate::shutdown::ShutdownSignal;

/// Between two rounds.
const ROUND: Duration = Duration::from_millis(200);
/// The same where writers wait for what is not in rows files: these take their time.
const ROUND_MIN: Duration = Duration::from_millis(5);
/// What one step of one table moves, and the steps a table may take before the next has its turn.
const STEP_BYTES: usize = 4 << 20;
const STEPS_MAX: usize = 8;
/// Tables opened at a time: loading one reads and writes as fast as the disk goes.
const OPENING_MAX: usize = 2;

pub(super) async fn run(keyed: Arc<Keyed>, engines: Arc<FjallStore>, mut stop: ShutdownSignal) {
    let turns = Arc::new(Semaphore::new(OPENING_MAX));
    let mut opening = JoinSet::new();
    loop {
        let is_last = stop.is_stopping();
        let tables = keyed.all();
        if !is_last {
            for table in tables.iter().filter(|table| table.is_to_be_opened()) {
                let (keyed, engines) = (Arc::clone(&keyed), Arc::clone(&engines));
                opening.spawn(open(keyed, engines, Arc::clone(table), Arc::clone(&turns)));
            }
        }
        while opening.try_join_next().is_some() {}
        let bytes_max = keyed.overlay_bytes_max();
        let flushing = move || {
            let overlay_bytes = flush_all(&tables);
            want_rows(&tables, overlay_bytes, bytes_max);
            overlay_bytes
        };
        let overlay_bytes = keyed.log.blocking(flushing).await;
        keyed.overlay_bytes.store(overlay_bytes, Ordering::Relaxed);
        keyed.flushed.notify_waiters();
        keyed.snapshots.expire(Instant::now());
        if is_last {
            return;
        }
        if keyed.is_full() {
            tokio::time::sleep(ROUND_MIN).await;
        }
        tokio::select! {
            () = tokio::time::sleep(ROUND) => {}
            () = keyed.flush_wanted.notified() => {}
            () = stop.stopping() => {}
        }
    }
}

async fn open(
    keyed: Arc<Keyed>,
    engines: Arc<FjallStore>,
    table: Arc<Table>,
    turns: Arc<Semaphore>,
) {
    // Never closed.
    let permit = turns.acquire_owned().await.ok();
    let opened = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        table.open(&*engines, &keyed.log);
        keyed.opened.notify_waiters();
    });
    if let Err(error) = opened.await
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// Some steps of each table that has something stable; answers what is left in memory, in bytes.
fn flush_all(tables: &[Arc<Table>]) -> usize {
    for table in tables {
        // Records written with acks 0 or 1 have nobody who folds them.
        let stable_end = table.partition().marks().stable_end;
        if !table.is_folded_to(stable_end) {
            // It notes what went wrong itself. Where there was no room, the flush makes some.
            let _ = table.catch_up(stable_end);
        }
        flush(table);
    }
    tables.iter().map(|table| table.overlay_bytes()).sum()
}

/// Asks for the rows that keep most of the memory, before writers have to wait for it.
fn want_rows(tables: &[Arc<Table>], overlay_bytes: usize, bytes_max: usize) {
    if overlay_bytes < bytes_max / 2 {
        return;
    }
    let share = overlay_bytes / tables.len().max(1);
    let large = tables.iter().filter(|table| table.overlay_bytes() >= share);
    large.for_each(|table| table.want_rows());
}

fn flush(table: &Table) {
    let Ok(open) = table.opened() else { return };
    for _ in 0..STEPS_MAX {
        match open.flush_step(STEP_BYTES) {
            Ok(step) if step.more => {}
            Ok(_) => return,
            Err(error) => {
                table.failed(&error);
                return;
            }
        }
    }
}
