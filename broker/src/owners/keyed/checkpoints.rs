//! Writes a table's checkpoint when its log has grown enough since the last one, and what has grown is in
//! the index; never of an index that is ahead of its changelog.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use tidelog_keyed::EngineError;
use tidelog_keyed::checkpoint::{self, CheckpointMeta, WriteError};
use tidelog_storage::segment::FileId;
use tidelog_storage::{InstallError, Partition};
use tracing::{info, warn};

use super::{Keyed, Table};
use crate::log::Log;
use crate::shutdown::ShutdownSignal;

/// Between two looks at all tables.
const EVERY: Duration = Duration::from_secs(1);

/// Why there is no checkpoint. The next look tries again.
#[derive(Debug, thiserror::Error)]
enum CheckpointError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Install(#[from] InstallError),
}

pub(super) async fn run(keyed: Arc<Keyed>, mut stop: ShutdownSignal) {
    while !stop.is_stopping() {
        for table in keyed.all() {
            if stop.is_stopping() || !keyed.checkpoint_is_due(&table) {
                continue;
            }
            let log = Arc::clone(&keyed.log);
            keyed.log.blocking(move || write(&log, &table)).await;
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.stopping() => {}
        }
    }
}

impl Keyed {
    fn checkpoint_is_due(&self, table: &Table) -> bool {
        let partition = table.partition();
        let checkpoints = partition.checkpoints();
        let log_start = partition.marks().log_start;
        let newest = checkpoints.last().map_or(0, |newest| newest.reflects);
        let Ok(applied) = table.opened().map(|open| open.applied()) else {
            return false;
        };
        let bytes = partition.bytes_from(newest.max(log_start));
        let is_due =
            |bytes| checkpoint::is_due(&checkpoints, log_start, bytes, self.checkpoint_bytes_min);
        let in_index = bytes.saturating_sub(partition.bytes_from(applied.max(log_start)));
        let is_ready = is_due(in_index) && applied <= partition.rows_to();
        if is_due(bytes) && !is_ready {
            table.want_rows();
        }
        is_ready
    }
}

fn write(log: &Log, table: &Table) {
    let _upkeep = table.upkeep().lock();
    let partition = table.partition().id;
    match try_write(log, table) {
        Ok(Some(meta)) => info!(
            %partition,
            rows = meta.rows,
            bytes = meta.file_len,
            reflects = meta.reflects,
            "key checkpoint written"
        ),
        Ok(None) | Err(CheckpointError::Install(InstallError::Deleted | InstallError::Closing)) => {
        }
        Err(CheckpointError::Engine(error) | CheckpointError::Write(WriteError::Engine(error))) => {
            table.failed(&error);
        }
        Err(error) => warn!(%partition, %error, "no key checkpoint; trying again"),
    }
}

fn try_write(log: &Log, table: &Table) -> Result<Option<CheckpointMeta>, CheckpointError> {
    let Ok(open) = table.opened() else {
        return Ok(None);
    };
    open.flush()?;
    let snapshot = open.snapshot()?;
    let store = log.engine().store();
    let file = FileId((store.fresh_id)());
    let partition = table.partition();
    let (disk, rules) = (Arc::clone(&store.disk), open.rules());
    let meta = checkpoint::write_by(disk, file, partition.id, &*snapshot, &rules)?;
    let mut checkpoints = partition.checkpoints();
    checkpoints.push(meta.clone());
    // What it drops the manifest's owner removes, once it is named no longer.
    install(log, partition, checkpoint::keep_newest(checkpoints).keep)?;
    Ok(Some(meta))
}

/// Has the manifest name exactly these. Blocks until that is durable.
pub(super) fn install(
    log: &Log,
    partition: &Arc<Partition>,
    checkpoints: Vec<CheckpointMeta>,
) -> Result<(), InstallError> {
    let (done, outcome) = mpsc::channel();
    let told = move |installed| drop(done.send(installed));
    log.engine()
        .install_checkpoints(Arc::clone(partition), checkpoints, Box::new(told));
    outcome.recv().unwrap_or(Err(InstallError::Closing))
}
