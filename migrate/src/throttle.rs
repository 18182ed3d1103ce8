//! At most so many bytes a second, counted after they were read.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

pub struct Throttle {
    bytes_per_second: Option<u64>,
    /// When all that was read so far is paid for.
    paid: Mutex<Instant>,
}

impl Throttle {
    pub fn new(bytes_per_second: Option<u64>) -> Self {
        Self {
            bytes_per_second,
            paid: Mutex::new(Instant::now()),
        }
    }

    /// Waits until these bytes and those before them are within the rate.
    pub async fn spend(&self, bytes: usize) {
        let Some(rate) = self.bytes_per_second else {
            return;
        };
        let cost = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        let paid = {
            let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
            // Time in which nothing was read is not saved up.
            *paid = (*paid).max(Instant::now()) + cost;
            *paid
        };
        sleep_until(paid).await;
    }
}
