//! Looking at transactions from outside: ListTransactions and DescribeTransactions (KIP-664).

use regex::{Regex, RegexBuilder};

use super::Transactions;
use super::command::{DescribedTransaction, ListTransactions, ListedTransaction, TransactionList};
use super::error::TxnError;
use super::state::TxnState;
use super::transaction::Transaction;

/// Bytes of memory one compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// A regular expression that a transactional id has to match as a whole (KIP-1152).
#[derive(Clone, Debug)]
pub struct IdPattern(Regex);

/// Not a regular expression, or one too large to be compiled: `INVALID_REGULAR_EXPRESSION`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a usable regular expression: {0}")]
pub struct PatternError(String);

impl IdPattern {
    /// Matching takes time linear in the id, whatever the pattern.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn parse(pattern: &str) -> Result<Self, PatternError> {
        // Compiled on its own first: wrapped, an unbalanced pattern could look balanced.
        let compile = |pattern: &str| {
            RegexBuilder::new(pattern)
                .size_limit(PATTERN_BYTES_MAX)
                .dfa_size_limit(PATTERN_BYTES_MAX)
                .build()
                .map_err(|error| PatternError(error.to_string()))
        };
        compile(pattern)?;
        compile(&format!(r"\A(?:{pattern})\z")).map(Self)
    }

    fn matches(&self, id: &str) -> bool {
        self.0.is_match(id)
    }
}

impl Transactions {
    pub(super) fn list(&self, filter: &ListTransactions, now_ms: i64) -> TransactionList {
        let (known, unknown): (Vec<_>, Vec<_>) = filter
            .states
            .iter()
            .partition(|name| TxnState::is_name(name));
        let passes = |id: &str, value: &Transaction| {
            (filter.producer_ids.is_empty() || filter.producer_ids.contains(&value.producer.id))
                && (filter.states.is_empty()
                    || known.iter().any(|name| *name == value.state.name()))
                && filter
                    .longer_than_ms
                    .is_none_or(|limit_ms| now_ms.saturating_sub(value.started_ms) > limit_ms)
                && filter
                    .id_pattern
                    .as_ref()
                    .is_none_or(|pattern| pattern.matches(id))
        };
        let listed = |(id, value): (&String, &Transaction)| ListedTransaction {
            transactional_id: id.clone(),
            producer_id: value.producer.id,
            state: value.state,
        };
        let transactions = self.durable.iter().filter(|(id, value)| passes(id, value));
        TransactionList {
            unknown_states: unknown.into_iter().cloned().collect(),
            transactions: transactions.map(listed).collect(),
        }
    }

    pub(super) fn describe(&self, id: &str) -> Result<DescribedTransaction, TxnError> {
        super::check_id(id)?;
        let value = self
            .durable
            .get(id)
            .ok_or(TxnError::UnknownTransactionalId)?;
        Ok(DescribedTransaction {
            producer: value.producer,
            state: value.state,
            timeout_ms: value.timeout_ms,
            started_ms: value.started_ms,
            partitions: value.partitions.to_vec(),
        })
    }
}
