//! Memory for what is read from the disk for clients, from the read until the reply is written.
//!
//! A share of its own beside the [`Ledger`] of requests, so that slow readers of old records never keep
//! producers waiting. While there is enough, a read gets what it asks for. When there is not, it gets
//! [`SCARCE_BYTES`] as soon as they are free: many small answers instead of a few large ones, so a
//! client that takes its answer slowly holds little.

use std::sync::Arc;

use bytes::Bytes;

use super::ledger::{Charge, Ledger};

/// What a read may take while memory is short. One batch is answered however large it is.
const SCARCE_BYTES: u64 = 1 << 20;

/// The account of such reads.
#[derive(Debug)]
pub struct ReadBudget {
    ledger: Arc<Ledger>,
}

/// Leave to read so many bytes.
#[derive(Debug)]
pub struct Grant {
    pub max_bytes: u64,
    charge: Arc<Charge>,
}

impl ReadBudget {
    pub fn new(bytes: usize) -> Self {
        Self {
            ledger: Ledger::new(bytes),
        }
    }

    /// Leave to read `wanted` bytes, or fewer. Only the first read of an answer waits: one that waited
    /// for more while it holds some could wait for itself. For the others `None` is the answer's end.
    pub async fn take(&self, wanted: u64, is_first: bool) -> Option<Grant> {
        let grant = |max_bytes, charge| Grant {
            max_bytes,
            charge: Arc::new(charge),
        };
        if let Some(charge) = self.ledger.try_reserve(permits(wanted)) {
            return Some(grant(wanted, charge));
        }
        let max_bytes = wanted.min(SCARCE_BYTES);
        match is_first {
            true => Some(grant(
                max_bytes,
                self.ledger.reserve(permits(max_bytes)).await,
            )),
            false => None,
        }
    }

    /// Bytes of reads under way and of their replies that are not written yet.
    pub fn used_bytes(&self) -> usize {
        self.ledger.used_bytes()
    }
}

impl Grant {
    /// The same bytes, which give the grant back when the last of them is dropped.
    pub fn pay_for(&self, bytes: Bytes) -> Bytes {
        if bytes.is_empty() {
            return bytes;
        }
        Bytes::from_owner(Paid {
            bytes,
            _charge: Arc::clone(&self.charge),
        })
    }
}

struct Paid {
    bytes: Bytes,
    _charge: Arc<Charge>,
}

impl AsRef<[u8]> for Paid {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn permits(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const MIB: u64 = 1 << 20;

    #[tokio::test]
    async fn a_grant_lasts_as_long_as_its_bytes() {
        let budget = ReadBudget::new(4 << 20);
        let grant = budget.take(3 * MIB, true).await.unwrap();
        assert_eq!((grant.max_bytes, budget.used_bytes()), (3 * MIB, 3 << 20));
        let paid = grant.pay_for(Bytes::from_static(b"rows"));
        drop(grant);
        let slice = paid.slice(1..2);
        drop(paid);
        assert_eq!((&slice[..], budget.used_bytes()), (&b"o"[..], 3 << 20));
        drop(slice);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[tokio::test]
    async fn scarce_memory_makes_small_answers() {
        let budget = ReadBudget::new(4 << 20);
        let _large = budget.take(3 * MIB, true).await.unwrap();
        let small = budget.take(3 * MIB, true).await.unwrap();
        assert_eq!(small.max_bytes, MIB);
        assert!(budget.take(1, false).await.is_none(), "not the first");
        assert!(budget.take(1, true).now_or_never().is_none(), "waits");
        drop(small);
        assert_eq!(budget.take(1, false).await.unwrap().max_bytes, 1);
    }

    #[tokio::test]
    async fn more_than_everything_is_granted_alone() {
        let budget = ReadBudget::new(100);
        let all = budget.take(MIB, true).await.unwrap();
        assert_eq!(all.max_bytes, MIB);
        assert!(budget.take(1, true).now_or_never().is_none());
    }
}
