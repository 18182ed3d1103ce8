//! A member of a consumer group: what it says to its coordinator, and when (KIP-848).
//!
//! ```text
//!            join                    Told
//! Outside ─────────▶ Beat(epoch 0) ────────▶ Inside { epoch } ──▶ Beat every interval, at once when
//!    ▲                                         │  │               what the reader owns has changed
//!    │ fenced: everything is lost              │  │
//!    └─────────────────────────────────────────┘  └─▶ Leaving ──▶ Idle (nobody reads) or Ended
//! ```
//!
//! Pure: [`Membership::decide`] says what to do, [`Membership::hear`] takes what came of it, and
//! [`Membership::heed`] what the reader is at. The clock is an argument.
//!
//! Invariants:
//! - What the coordinator is told to be owned is what the reader has *and* what it may take at any moment,
//!   because it is to have it: so nothing is given on that is about to be read.
//! - What was owned before the member was lost counts for nothing after it: a *tenure* is the time
//!   between two such losses, and the reader names the one it means.
//! - After an answer that did not come, or a refusal that passes, everything is told again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tidelog_protocol_ext::ErrorCode;
use uuid::Uuid;

use crate::config::Config;

/// Partitions, each of a topic by id.
pub(super) type Partitions = BTreeSet<(Uuid, i32)>;

/// Of a member that joins.
const JOIN_EPOCH: i32 = 0;
/// Of a member that leaves.
const LEAVE_EPOCH: i32 = -1;
/// Of a static member that leaves and means to come back: its partitions wait for it.
const AWAY_EPOCH: i32 = -2;
/// However soon a coordinator wants to hear from a member.
const INTERVAL_MIN: Duration = Duration::from_millis(10);
/// A look at the clock now and then, where nothing is due.
const LONG: Duration = Duration::from_secs(3600);

/// What the reader is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reader {
    /// The tenure that `owned` is of.
    pub(super) tenure: u64,
    pub(super) owned: Partitions,
    /// When it last asked for rows.
    pub(super) polled: Instant,
}

/// What is known of the membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) tenure: u64,
    /// 0 while it is no member.
    pub(super) epoch: i32,
    /// What the member is to own.
    pub(super) target: Partitions,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Nothing before this moment, unless the reader is at something new.
    Wait(Instant),
    /// To be said to the coordinator; what comes of it is to be [heard](Membership::hear).
    Say(Beat),
    /// The member is none any more.
    End,
}

/// One heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Beat {
    pub(super) epoch: i32,
    /// Whether to say again what is subscribed to.
    pub(super) is_full: bool,
    /// What is owned or about to be, if that has to be said.
    pub(super) owned: Option<Partitions>,
}

/// What came of a heartbeat.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Told {
        epoch: i32,
        interval: Duration,
        /// Only when it changed, or everything was said.
        assigned: Option<Partitions>,
    },
    Refused(Option<ErrorCode>),
    /// No answer came, or none that can be read.
    Nothing {
        /// Whether another attempt may do better.
        is_transient: bool,
    },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Membership {
    is_static: bool,
    max_poll_interval: Duration,
    config: Config,
    phase: Phase,
    tenure: u64,
    target: Partitions,
    owned: Partitions,
    polled: Instant,
    /// What the coordinator knows to be owned.
    said: Option<Partitions>,
    /// Whether an assignment came since: it may take back what never got here, so that what is owned has
    /// to be said once more even where nothing changed.
    owes: bool,
    /// Whether the coordinator may not know what was said.
    is_unsure: bool,
    /// Attempts in a row that came to nothing.
    failures: u32,
    next_at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Outside,
    Inside {
        epoch: i32,
    },
    /// It has yet to say so; for good, unless somebody asks for rows after this moment.
    Leaving {
        unless_after: Option<Instant>,
    },
    /// Nobody asks for rows; it joins again when somebody does.
    Idle {
        since: Instant,
    },
    Ended,
}

impl Membership {
    pub(super) fn new(
        config: Config,
        is_static: bool,
        max_poll_interval: Duration,
        now: Instant,
    ) -> Self {
        Self {
            is_static,
            max_poll_interval,
            config,
            phase: Phase::Outside,
            tenure: 1,
            target: Partitions::new(),
            owned: Partitions::new(),
            polled: now,
            said: None,
            owes: false,
            is_unsure: false,
            failures: 0,
            next_at: now,
        }
    }

    pub(super) fn standing(&self) -> Standing {
        Standing {
            tenure: self.tenure,
            epoch: match self.phase {
                Phase::Inside { epoch } => epoch,
                _ => 0,
            },
            target: self.target.clone(),
        }
    }

    /// Takes what the reader is at.
    pub(super) fn heed(&mut self, reader: &Reader) {
        match reader.tenure == self.tenure {
            true => self.owned.clone_from(&reader.owned),
            // It has yet to hear that what it had is lost.
            false => self.owned.clear(),
        }
        self.polled = self.polled.max(reader.polled);
        if let Phase::Idle { since } = self.phase
            && self.polled > since
        {
            self.phase = Phase::Outside;
        }
    }

    /// The reader goes away for good.
    pub(super) fn leave(&mut self) {
        self.phase = match self.phase {
            Phase::Idle { .. } | Phase::Ended => Phase::Ended,
            _ => Phase::Leaving { unless_after: None },
        };
    }

    pub(super) fn decide(&mut self, now: Instant) -> Act {
        if self.is_forgotten(now) {
            self.lose();
            self.phase = Phase::Leaving {
                unless_after: Some(now),
            };
        }
        match self.phase {
            Phase::Outside if now >= self.next_at => Act::Say(Beat {
                epoch: JOIN_EPOCH,
                is_full: true,
                owned: Some(Partitions::new()),
            }),
            Phase::Inside { epoch } if now >= self.next_at || self.has_news() => {
                let (is_full, claim) = (self.is_unsure, self.claim());
                let is_new = self.owes || self.said.as_ref() != Some(&claim);
                Act::Say(Beat {
                    epoch,
                    is_full,
                    owned: (is_full || is_new).then_some(claim),
                })
            }
            Phase::Outside | Phase::Inside { .. } => Act::Wait(self.next_at),
            Phase::Leaving { .. } => Act::Say(Beat {
                epoch: if self.is_static {
                    AWAY_EPOCH
                } else {
                    LEAVE_EPOCH
                },
                is_full: false,
                owned: None,
            }),
            Phase::Idle { .. } => Act::Wait(now + LONG),
            Phase::Ended => Act::End,
        }
    }

    /// Takes what came of what was said last.
    pub(super) fn hear(&mut self, now: Instant, said: Beat, heard: Heard) {
        if let Phase::Leaving { unless_after } = self.phase {
            // Whatever came of it: a member that is not heard of is taken out in a while.
            self.phase = match unless_after.filter(|_| !heard.is_final()) {
                None => Phase::Ended,
                Some(since) => Phase::Idle { since },
            };
            self.next_at = now;
            return;
        }
        match heard {
            Heard::Told {
                epoch,
                interval,
                assigned,
            } => {
                self.phase = Phase::Inside { epoch };
                self.failures = 0;
                self.is_unsure = false;
                self.said = said.owned.or_else(|| self.said.take());
                self.owes = assigned.is_some();
                if let Some(assigned) = assigned {
                    self.target = assigned;
                }
                self.next_at = now + interval.clamp(INTERVAL_MIN, LONG);
            }
            heard if heard.is_final() => {
                self.lose();
                self.phase = Phase::Ended;
            }
            Heard::Refused(Some(ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId)) => {
                self.lose();
                self.phase = Phase::Outside;
                self.next_at = now;
                if said.epoch == JOIN_EPOCH {
                    self.fail(now);
                }
            }
            _ => self.fail(now),
        }
    }

    /// What the reader has or may take at any moment.
    fn claim(&self) -> Partitions {
        &self.owned | &self.target
    }

    /// Whether there is something to say before its time, to a coordinator that answers.
    fn has_news(&self) -> bool {
        self.failures == 0 && self.said.as_ref() != Some(&self.claim())
    }

    /// Whether nobody has asked for rows for too long.
    fn is_forgotten(&self, now: Instant) -> bool {
        let is_in = matches!(self.phase, Phase::Outside | Phase::Inside { .. });
        is_in && now.saturating_duration_since(self.polled) >= self.max_poll_interval
    }

    fn fail(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.is_unsure = true;
        self.next_at = now + self.config.backoff_after(self.failures);
    }

    /// Nothing of what was owned is any more.
    fn lose(&mut self) {
        self.tenure += 1;
        self.target.clear();
        self.owned.clear();
        self.said = None;
        self.owes = false;
        self.is_unsure = false;
    }
}

impl Heard {
    /// Whether there is no use in going on.
    pub(super) fn is_final(&self) -> bool {
        use ErrorCode::{FencedMemberEpoch, UnknownMemberId};
        match self {
            Self::Told { .. } => false,
            Self::Refused(Some(FencedMemberEpoch | UnknownMemberId)) => false,
            Self::Refused(code) => !code.is_some_and(ErrorCode::is_retriable),
            Self::Nothing { is_transient } => !is_transient,
        }
    }
}

#[cfg(test)]
mod tests;
