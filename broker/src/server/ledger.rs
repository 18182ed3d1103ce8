//! The broker's one account of memory: bytes held by requests, recent data, responses, caches.
//!
//! Whoever is about to hold bytes takes a [`Charge`] first and waits while the budget is spent, so
//! a broker out of memory looks slow to its clients and never fails. A charge gives its bytes back
//! when dropped; it travels inside the buffer it pays for, so the account follows the allocation.
//!
//! A frame grows while it arrives, so several half-read frames could hold the whole budget and wait
//! for each other. One of them at a time may therefore overdraw ([`Charge::grow`]): at most
//! one largest frame is held beyond the budget, and one frame can always be completed.
//!
//! Large frames share half of the budget ([`Ledger::place`]): whoever sends a few of them slowly keeps
//! others like it waiting, but nobody with frames of usual size. The place is taken before the first
//! byte is charged: one that waits for a place holds nothing that another could wait for.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The account. One permit of `budget` is one byte.
#[derive(Debug)]
pub struct Ledger {
    budget_bytes: usize,
    budget: Arc<Semaphore>,
    overdraft: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// Bytes taken from a [`Ledger`] and given back on drop.
#[derive(Debug)]
pub struct Charge {
    ledger: Arc<Ledger>,
    permit: Option<OwnedSemaphorePermit>,
    overdraft: Option<OwnedSemaphorePermit>,
}

/// A place among the large ones, given back on drop.
#[derive(Debug)]
pub struct Place {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Ledger {
    /// An account of `budget_bytes` bytes, at least one.
    pub fn new(budget_bytes: usize) -> Arc<Self> {
        let budget_bytes = budget_bytes.clamp(1, Semaphore::MAX_PERMITS);
        Arc::new(Self {
            budget_bytes,
            budget: Arc::new(Semaphore::new(budget_bytes)),
            overdraft: Arc::new(Semaphore::new(1)),
            large: Arc::new(Semaphore::new(budget_bytes.div_ceil(2))),
        })
    }

    /// The whole budget in bytes.
    pub fn budget_bytes(&self) -> usize {
        self.budget_bytes
    }

    /// Bytes held or promised to the first in line; overdrawn bytes are not counted.
    pub fn used_bytes(&self) -> usize {
        self.budget_bytes - self.budget.available_permits()
    }

    /// Waits for `bytes` bytes, first come first served. More than the whole budget is taken as the
    /// whole budget. Do not call this while holding another charge: see [`Charge::grow`].
    pub async fn reserve(self: &Arc<Self>, bytes: usize) -> Charge {
        let permit = Arc::clone(&self.budget)
            .acquire_many_owned(self.permits(bytes))
            .await
            .ok();
        Charge {
            ledger: Arc::clone(self),
            permit,
            overdraft: None,
        }
    }

    /// Waits for a place among the large ones, of `bytes` bytes; more than there is room for takes all
    /// of it. Take it before any charge.
    pub async fn place(&self, bytes: usize) -> Place {
        let room = self.budget_bytes.div_ceil(2);
        let large = Arc::clone(&self.large);
        let permit = large
            .acquire_many_owned(self.permits(bytes.min(room)))
            .await;
        Place {
            _permit: permit.ok(),
        }
    }

    /// Takes `bytes` bytes if they are free now: for work that can be left out, such as caching.
    pub fn try_reserve(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        let permits = self.permits(bytes);
        let permit = Arc::clone(&self.budget)
            .try_acquire_many_owned(permits)
            .ok()?;
        Some(Charge {
            ledger: Arc::clone(self),
            permit: Some(permit),
            overdraft: None,
        })
    }

    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.min(self.budget_bytes)).unwrap_or(u32::MAX)
    }
}

impl Charge {
    /// Waits for `bytes` more. If the budget is spent, the first to ask overdraws and need not wait
    /// any more until its charge ends; the others wait for the budget or for their turn.
    pub async fn grow(&mut self, bytes: usize) {
        if self.overdraft.is_some() {
            return;
        }
        let ledger = &self.ledger;
        tokio::select! {
            biased;
            more = Arc::clone(&ledger.budget).acquire_many_owned(ledger.permits(bytes)) => {
                match (&mut self.permit, more) {
                    (Some(permit), Ok(more)) => permit.merge(more),
                    (permit, more) => *permit = more.ok(),
                }
            }
            overdraft = Arc::clone(&ledger.overdraft).acquire_owned() => {
                self.overdraft = overdraft.ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn waits_while_the_budget_is_spent() {
        let ledger = Ledger::new(100);
        let first = ledger.reserve(60).await;
        assert_eq!(ledger.used_bytes(), 60);
        assert!(ledger.reserve(50).now_or_never().is_none());
        assert!(ledger.try_reserve(50).is_none());
        let waiting = tokio::spawn({
            let ledger = Arc::clone(&ledger);
            async move { ledger.reserve(50).await }
        });
        tokio::task::yield_now().await;
        drop(first);
        let second = tokio::time::timeout(Duration::from_secs(5), waiting)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(ledger.used_bytes(), 50);
        drop(second);
        assert_eq!(ledger.used_bytes(), 0);
    }

    #[tokio::test]
    async fn asking_for_more_than_everything_takes_everything() {
        let ledger = Ledger::new(100);
        let _all = ledger.reserve(1_000).await;
        assert_eq!(ledger.used_bytes(), 100);
    }

    #[tokio::test]
    async fn large_ones_wait_for_each_other_only() {
        let ledger = Ledger::new(100);
        let first = ledger.place(40).await;
        assert!(ledger.place(20).now_or_never().is_none());
        ledger.reserve(100).now_or_never().expect("not a large one");
        drop(first);
        ledger.place(500).now_or_never().expect("the whole room");
    }

    #[tokio::test]
    async fn one_growing_charge_at_a_time_overdraws() {
        let ledger = Ledger::new(100);
        let mut first = ledger.reserve(50).await;
        let mut second = ledger.reserve(50).await;
        first.grow(500).now_or_never().expect("the first overdraws");
        first.grow(500).now_or_never().expect("and goes on");
        assert!(second.grow(1).now_or_never().is_none(), "the second waits");
        drop(first);
        second
            .grow(40)
            .now_or_never()
            .expect("until the first is done");
        assert_eq!(ledger.used_bytes(), 90);
    }
}
