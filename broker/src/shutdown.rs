//! How the broker is told to stop, and how its parts hear of it.
//!
//! The order of a stop: listeners close, each connection answers the requests it has in hand and
//! closes, and after `tidelog.shutdown.timeout.ms` what is still open is cut.

use tokio::sync::watch;

/// Starts the stop. Dropping it does so too, so that no part outlives its broker.
#[derive(Debug)]
pub struct Shutdown(watch::Sender<bool>);

/// The view of one part: cheap to copy and to ask.
#[derive(Debug, Clone)]
pub struct ShutdownSignal(watch::Receiver<bool>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(watch::channel(false).0)
    }
}

impl Shutdown {
    /// Tells every part to stop. Telling twice changes nothing.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    pub fn signal(&self) -> ShutdownSignal {
        ShutdownSignal(self.0.subscribe())
    }
}

impl ShutdownSignal {
    pub fn is_stopping(&self) -> bool {
        *self.0.borrow()
    }

    /// Ends when the stop begins, at once if it has.
    pub async fn stopping(&mut self) {
        // An error means that the broker is gone, which is as good a reason to stop.
        let _ = self.0.wait_for(|stopping| *stopping).await;
    }
}
