//! A lease that is kept for as long as somebody reads.

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::table::Table;
use crate::union::Lease;
use tidelog_protocol_ext::ErrorCode;

/// A lease is renewed this many times while it lasts, so that two renewals may fail.
const RENEWALS: u32 = 3;

/// Renews a lease in the background and gives it up when dropped.
///
/// A lease that is lost all the same (the broker was started anew) ends no read: what is gone then is
/// an error when it is read, and what is not is still exact.
pub(crate) struct LeaseKeeper {
    /// Dropped to say that the lease is not needed any more.
    needed: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl LeaseKeeper {
    pub(crate) fn start(table: Table, lease: Lease) -> Self {
        let (needed, done) = oneshot::channel();
        Self {
            needed,
            task: tokio::spawn(keep(table, lease, done)),
        }
    }

    /// Gives the lease up, and answers when the broker knows or cannot be told.
    pub(crate) async fn release(self) {
        let Self { needed, task } = self;
        drop(needed);
        // It was told to end; how it did is of no consequence.
        drop(task.await);
    }
}

async fn keep(table: Table, lease: Lease, mut done: oneshot::Receiver<()>) {
    loop {
        tokio::select! {
            _ = &mut done => break,
            () = sleep(lease.lasts / RENEWALS) => {}
        }
        if let Err(error) = table.renew(&lease, lease.lasts).await
            && error.error_code() == Some(ErrorCode::ResourceNotFound)
        {
            return;
        }
    }
    // If it cannot be given up it ends by itself.
    drop(table.release(lease).await);
}
