//! What time does: transactions that run too long are aborted, ids nobody uses are forgotten.

use super::Transactions;
use super::error::TxnError;
use super::turn::Turn;

/// Records per tick; a longer list is continued by the next tick, so that none holds up the rest.
const TICK_RECORDS_MAX: usize = 1_000;
/// When to look again at an abort that lacks a producer id.
const PRODUCER_ID_PAUSE_MS: i64 = 1_000;

impl Transactions {
    pub(super) fn abort_timed_out(&mut self, turn: &mut Turn) {
        for id in self.timeouts.due(turn.now_ms) {
            if turn.records() >= TICK_RECORDS_MAX {
                return;
            }
            if let Err(TxnError::NoProducerIds) = self.abort_by_coordinator(&id, turn) {
                self.endings.ask_for_producer_ids();
                let again_ms = turn.now_ms.saturating_add(PRODUCER_ID_PAUSE_MS);
                self.timeouts.set(&id, Some(again_ms));
            }
        }
    }

    /// Writes tombstones for ids that have been settled and untouched for too long.
    pub(super) fn forget_expired(&mut self, turn: &mut Turn) {
        let before_ms = turn.now_ms.saturating_sub(self.settings.id_expiration_ms);
        let expired = self
            .durable
            .iter()
            .filter(|(_, value)| value.state.is_settled() && value.updated_ms <= before_ms);
        for (id, _) in expired.take(TICK_RECORDS_MAX) {
            turn.write(id, None);
        }
        let pause_ms = if turn.records() >= TICK_RECORDS_MAX {
            0
        } else {
            self.settings.id_expiration_interval_ms.max(1)
        };
        self.next_sweep_ms = Some(turn.now_ms.saturating_add(pause_ms));
    }
}
