//! Clients: they begin, write to and end transactions, give up waiting, and replace each other.

use rand::Rng;
use tidelog_coordinator::machine::Token;
use tidelog_coordinator::producer::{Outcome, Producer};
use tidelog_coordinator::txn::{
    AddPartitions, EPOCH_LAST, EndTxn, InitProducerId, TopicPartition, TransactionVersion,
    TxnCommand, TxnError, TxnReply,
};

use super::log::Serial;
use super::partition::Entry;
use super::{Caller, PARTITIONS, TIMEOUT_MS, World};

/// What a client believes, and which answer it waits for.
pub(super) struct Client {
    pub(super) id: String,
    pub(super) version: TransactionVersion,
    pub(super) producer: Option<Producer>,
    pub(super) waits: Option<(Token, Asked)>,
    /// The transaction it wrote to and has not heard the end of.
    pub(super) wrote: Option<Serial>,
}

#[derive(Clone, Debug)]
pub(super) enum Asked {
    Init,
    /// With the markers of this producer seen by the partition before.
    Add {
        partition: i32,
        markers: usize,
    },
    End {
        outcome: Outcome,
    },
}

impl World {
    pub(super) fn act(&mut self, who: usize) {
        let client = &self.clients[who];
        if client.waits.is_some() {
            // A client may lose its connection, and with it the answer.
            if self.rng.random_bool(0.02) {
                self.clients[who].waits = None;
            }
            return;
        }
        match (client.producer, self.rng.random_range(0..10)) {
            (None, _) | (_, 0) => self.init(who),
            (Some(producer), 1..=3) => self.end(who, producer),
            (Some(producer), _) => self.write(who, producer),
        }
    }

    pub(super) fn ask(&mut self, who: usize, asked: Asked, command: TxnCommand) {
        self.clients[who].waits = Some((Token(self.next_token), asked));
        self.call(Caller::Client(who), command);
    }

    pub(super) fn init(&mut self, who: usize) {
        let client = &self.clients[who];
        let expected = client.producer.filter(|_| self.rng.random_bool(0.5));
        let init = InitProducerId {
            transactional_id: client.id.clone(),
            timeout_ms: TIMEOUT_MS,
            expected,
        };
        self.ask(who, Asked::Init, TxnCommand::InitProducerId(init));
    }

    pub(super) fn end(&mut self, who: usize, producer: Producer) {
        let outcome = [Outcome::Commit, Outcome::Abort][self.rng.random_range(0..2)];
        let client = &self.clients[who];
        let end = EndTxn {
            transactional_id: client.id.clone(),
            producer,
            outcome,
            version: client.version,
        };
        self.ask(who, Asked::End { outcome }, TxnCommand::EndTxn(end));
    }

    /// Adds the partition, as a client or the broker on its behalf does before every write.
    pub(super) fn write(&mut self, who: usize, producer: Producer) {
        let partition = self.rng.random_range(0..PARTITIONS);
        let log = &self.partitions[partition as usize];
        if log.deleted {
            return;
        }
        let markers = log.markers(producer.id);
        let client = &self.clients[who];
        let add = AddPartitions {
            transactional_id: client.id.clone(),
            producer,
            partitions: vec![TopicPartition::new("t", partition)],
            version: client.version,
        };
        let asked = Asked::Add { partition, markers };
        self.ask(who, asked, TxnCommand::AddPartitions(add));
    }

    pub(super) fn deliver(&mut self, token: Token, reply: TxnReply) {
        match self.callers.remove(&token) {
            Some(Caller::Client(who)) => {
                // Unless it has given up waiting.
                let waits = &mut self.clients[who].waits;
                if let Some((_, asked)) = waits.take_if(|(waited, _)| *waited == token) {
                    self.hear(who, asked, reply);
                }
            }
            Some(Caller::Writer) if self.writer.asked == Some(token) => {
                if let TxnReply::TakeWork(work) = reply {
                    self.take_work(work);
                }
            }
            // The writer has started over since.
            Some(Caller::Writer) => {}
            Some(Caller::Nobody) | None => {}
        }
    }

    pub(super) fn hear(&mut self, who: usize, asked: Asked, reply: TxnReply) {
        match (asked, reply) {
            (_, TxnReply::InitProducerId(Err(TxnError::NoProducerIds)))
            | (_, TxnReply::EndTxn(Err(TxnError::NoProducerIds))) => self.grant(),
            (Asked::Init, TxnReply::InitProducerId(Ok(producer))) => {
                self.was_given(who, producer);
                self.clients[who].wrote = None;
            }
            (Asked::Add { partition, markers }, TxnReply::AddPartitions(Ok(()))) => {
                self.append_data(who, partition, markers);
            }
            (Asked::End { outcome }, TxnReply::EndTxn(Ok(producer))) => {
                self.was_ended(who, outcome, producer);
            }
            (_, TxnReply::InitProducerId(Err(error)))
            | (_, TxnReply::AddPartitions(Err(error)))
            | (_, TxnReply::EndTxn(Err(error))) => {
                if error != TxnError::Concurrent && self.rng.random_bool(0.5) {
                    self.clients[who].producer = None;
                    self.clients[who].wrote = None;
                }
            }
            (asked, reply) => panic!("seed {}: {reply:?} to {asked:?}", self.seed),
        }
    }

    pub(super) fn grant(&mut self) {
        let (first, count) = (self.next_producer_id, 2);
        self.next_producer_id += i64::from(count);
        self.call(
            Caller::Nobody,
            TxnCommand::GrantProducerIds { first, count },
        );
    }

    pub(super) fn was_given(&mut self, who: usize, producer: Producer) {
        let owner = *self.given.entry(producer).or_insert(who);
        assert_eq!(
            owner, who,
            "seed {}: {producer:?} was given before",
            self.seed
        );
        assert!(
            producer.epoch <= EPOCH_LAST,
            "seed {}: {producer:?}",
            self.seed
        );
        self.clients[who].producer = Some(producer);
    }

    pub(super) fn was_ended(&mut self, who: usize, outcome: Outcome, producer: Producer) {
        // In version 2 the new producer goes to the client that held the old one.
        self.was_given(who, producer);
        if let Some(serial) = self.clients[who].wrote.take() {
            self.told.push((serial, outcome));
        }
    }

    /// The partition takes the record unless it has seen a newer epoch, or a marker since it was
    /// asked (the guard of KIP-890).
    pub(super) fn append_data(&mut self, who: usize, partition: i32, markers: usize) {
        let client = &mut self.clients[who];
        let producer = client.producer.unwrap();
        let of = self.progress.serial(&client.id);
        // If it missed the end of the one before, it will not hear of it any more.
        client.wrote.take_if(|wrote| *wrote != of);
        let log = &mut self.partitions[partition as usize];
        let refused = log.deleted
            || log.epoch(producer.id) > producer.epoch
            || log.markers(producer.id) != markers;
        if refused {
            return;
        }
        client.wrote = Some(of.clone());
        log.entries.push(Entry::Data { producer, of });
    }
}
