//! What writers say: who sent what in which transaction, and what became of it.

use std::collections::HashMap;

use super::{Event, History, Outcome};

/// A record by its writer and the writer's count.
pub(super) type Id<'a> = (&'a str, u64);
/// A transaction by its writer and the writer's count of them, from 1.
pub(super) type TxnId<'a> = (&'a str, u64);

/// What a value says, `WRITER TXN SEQ [SOURCE-OFFSET]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value<'a> {
    pub(super) id: Id<'a>,
    pub(super) txn: u64,
    pub(super) source: Option<u64>,
}

impl<'a> Value<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let mut words = text.split(' ');
        let writer = words.next()?;
        let txn = words.next()?.parse().ok()?;
        let seq = words.next()?.parse().ok()?;
        let source = words.next().map(str::parse).transpose().ok()?;
        Some(Self {
            id: (writer, seq),
            txn,
            source,
        })
    }

    /// The transaction it was sent in, unless outside of any.
    pub(super) fn transaction(&self) -> Option<TxnId<'a>> {
        (self.txn > 0).then_some((self.id.0, self.txn))
    }
}

#[derive(Debug)]
pub(super) struct Sent<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: u32,
    pub(super) txn: u64,
}

#[derive(Debug, Default)]
pub(super) struct Transaction<'a> {
    pub(super) records: Vec<Id<'a>>,
    /// When its end was asked for, and whether as a commit.
    pub(super) ending: Option<(u64, bool)>,
    pub(super) outcome: Option<Outcome>,
}

impl Transaction<'_> {
    /// It may not be seen: the library said so, or nobody asked for anything else.
    pub(super) fn is_aborted(&self) -> bool {
        self.outcome == Some(Outcome::Aborted) || self.ending.is_some_and(|(_, commit)| !commit)
    }

    pub(super) fn is_committed(&self) -> bool {
        self.outcome == Some(Outcome::Committed)
    }
}

#[derive(Debug, Default)]
pub(super) struct Written<'a> {
    pub(super) sent: HashMap<Id<'a>, Sent<'a>>,
    /// Where the broker said a record is; `None` if the library did not tell.
    pub(super) acked: HashMap<Id<'a>, Option<u64>>,
    pub(super) transactions: HashMap<TxnId<'a>, Transaction<'a>>,
}

impl<'a> Written<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        let mut written = Self::default();
        for event in &history.events {
            written.add(event);
        }
        written
    }

    fn add(&mut self, event: &'a Event) {
        match event {
            Event::Send {
                writer,
                txn,
                topic,
                records,
                ..
            } => {
                for &(partition, seq) in records {
                    let sent = Sent {
                        topic,
                        partition,
                        txn: *txn,
                    };
                    self.sent.insert((writer, seq), sent);
                }
                if *txn > 0 {
                    let ids = records.iter().map(|&(_, seq)| (writer.as_str(), seq));
                    self.transaction(writer, *txn).records.extend(ids);
                }
            }
            Event::Acked {
                writer, records, ..
            } => {
                let answers = records.iter().map(|&(seq, offset)| {
                    let id = (writer.as_str(), seq);
                    (id, u64::try_from(offset).ok())
                });
                self.acked.extend(answers);
            }
            Event::Ending {
                at,
                writer,
                txn,
                commit,
            } => {
                // The first counts: what was once asked for may happen.
                let ending = &mut self.transaction(writer, *txn).ending;
                ending.get_or_insert((*at, *commit));
            }
            Event::End {
                writer,
                txn,
                outcome,
                ..
            } => self.transaction(writer, *txn).outcome = Some(*outcome),
            _ => {}
        }
    }

    fn transaction(&mut self, writer: &'a str, txn: u64) -> &mut Transaction<'a> {
        self.transactions.entry((writer, txn)).or_default()
    }

    /// Whether a reader of what is committed must find it.
    pub(super) fn is_owed(&self, id: Id<'a>, sent: &Sent<'a>) -> bool {
        if sent.txn == 0 {
            return self.acked.contains_key(&id);
        }
        let transaction = self.transactions.get(&(id.0, sent.txn));
        transaction.is_some_and(Transaction::is_committed)
    }
}

pub(super) fn name(id: Id<'_>) -> String {
    format!("{}#{}", id.0, id.1)
}
