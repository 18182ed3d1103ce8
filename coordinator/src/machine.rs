//! The shape of everything stateful: a command becomes records, the records change the state, the
//! answer follows once they are durable.
//!
//! ```text
//! command ─▶ decide ─▶ records ─▶ append ─▶ apply          (at once, in log order)
//!                  └─▶ replies ─▶ parked ─▶ sent           (when the log is durable up to here)
//! ```
//!
//! A [`Machine`] owns no clock, no randomness and no file. The **driver** that runs one promises:
//!
//! 1. **One owner.** One task calls the machine; calls never overlap.
//! 2. **Apply at append.** The records of a decision are appended in order and each is passed to
//!    [`Machine::apply`] before the next call of `decide`, `cancel` or `tick`. They need not be
//!    durable yet, so several decisions may share one sync.
//! 3. **Reply after durable.** The replies of a decision leave when the log is durable up to its
//!    end *as it stood after that decision's records were appended*, also when the decision wrote
//!    nothing: an answer read from applied state may not outrun the record it was read from.
//! 4. **Failed append.** The machine is dropped, a new one is rebuilt from the log (`apply` for each
//!    record, then `loaded`), and the driver itself answers every token still outstanding, whether
//!    it was parked in the machine or behind the flush, with "coordinator not available".
//! 5. **Wake up.** `tick` is called no later than shortly after [`Machine::next_deadline`].
//!
//! In return a machine promises that each token is answered at most once, and that a token not
//! answered by its own decision is answered by a later one, unless it is cancelled first.
//!
//! An effect outside the log (a marker to be written elsewhere) is a reply too: whoever carries it
//! out keeps a call waiting in the machine, so the effect leaves when its record is durable, and a
//! machine that was rebuilt offers it again.

use crate::producer::Producer;

/// Names one caller that waits for a reply. Chosen by the driver, unique among outstanding calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// The kind of batch a record travels in.
///
/// Consecutive records of a decision that share an envelope may share a batch; records of different
/// envelopes never do, and a marker is alone in its own. The bytes of a record do not depend on its
/// envelope, so a reader needs both: the driver takes the envelope from the batch header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Envelope {
    /// A batch without a producer.
    Plain,
    /// A transactional batch of this producer, without sequence numbers: the records count once a
    /// commit marker of the producer follows.
    Transaction(Producer),
    /// A control batch of this producer: the record is the marker that ends its transaction.
    Marker(Producer),
}

/// What to write, and whom to answer once it is durable.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "records have to be appended and replies delivered"]
pub struct Decision<Record, Reply> {
    /// To be appended in this order, each in its [`Envelope`], all or none.
    pub records: Vec<Record>,
    /// Answers to this call or to callers parked earlier.
    pub replies: Vec<(Token, Reply)>,
}

impl<Record, Reply> Decision<Record, Reply> {
    /// Nothing to write, nobody to answer.
    pub const fn nothing() -> Self {
        Self {
            records: Vec::new(),
            replies: Vec::new(),
        }
    }

    /// An answer that needs no record.
    pub fn reply(token: Token, reply: Reply) -> Self {
        Self {
            records: Vec::new(),
            replies: vec![(token, reply)],
        }
    }
}

impl<Record, Reply> Default for Decision<Record, Reply> {
    fn default() -> Self {
        Self::nothing()
    }
}

/// State with one owner, recovered by applying its log again. Times are milliseconds since the
/// Unix epoch and never run backwards between calls.
pub trait Machine {
    /// What callers ask for.
    type Command;
    /// What is written to the log.
    type Record;
    /// What callers get.
    type Reply;

    /// How a record is to be appended.
    fn envelope(_record: &Self::Record) -> Envelope {
        Envelope::Plain
    }

    /// Decides on applied state. May change volatile state only: timers, waiting callers.
    fn decide(
        &mut self,
        now_ms: i64,
        token: Token,
        command: Self::Command,
    ) -> Decision<Self::Record, Self::Reply>;

    /// The only way durable state changes, live and in recovery. Cannot fail.
    fn apply(&mut self, record: &Self::Record);

    /// The log has been applied to its end; volatile state starts afresh from what was found.
    fn loaded(&mut self, _now_ms: i64) -> Decision<Self::Record, Self::Reply> {
        Decision::nothing()
    }

    /// The caller behind `token` is gone: it must not be answered any more. Unknown tokens are
    /// ignored, since the answer may already be on its way.
    fn cancel(&mut self, _now_ms: i64, _token: Token) -> Decision<Self::Record, Self::Reply> {
        Decision::nothing()
    }

    /// Acts on every deadline that has passed.
    fn tick(&mut self, _now_ms: i64) -> Decision<Self::Record, Self::Reply> {
        Decision::nothing()
    }

    /// When to call `tick` if nothing else happens.
    fn next_deadline(&self) -> Option<i64> {
        None
    }
}
