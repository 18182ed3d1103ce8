//! Produce at full speed: each connection keeps `in-flight` requests under way.

use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};
use clap::Args;
use kafka_protocol::messages::{InitProducerIdRequest, ProduceRequest};
use serde_json::Value;

use crate::connection::{Connection, decode, set_correlation_id};
use crate::payload::{PRODUCE_VERSION, Prepared, Producer};
use crate::stats::{self, Stats, Window};
use crate::{Target, topic};

const INIT_PRODUCER_ID_VERSION: i16 = 4;
/// More batches in flight would leave the broker's window of known sequences (KIP-98).
const IDEMPOTENT_IN_FLIGHT_MAX: usize = 5;

#[derive(Debug, Clone, Args)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// Bytes of a record's value
    #[arg(long, default_value_t = 1024)]
    record_size: usize,
    /// Bytes of a batch; a request carries one
    #[arg(long, default_value_t = 65_536)]
    batch_bytes: usize,
    /// Each takes its share of the partitions in turn
    #[arg(long, default_value_t = 2)]
    connections: i32,
    /// Requests under way on each connection
    #[arg(long, default_value_t = 16)]
    in_flight: usize,
    /// -1 (all) or 1
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    acks: i16,
    /// Send producer ids and sequence numbers; at most 5 requests in flight
    #[arg(long)]
    idempotent: bool,
}

pub fn run(options: &Options) -> Result<Value> {
    let target = &options.target;
    ensure!(
        options.acks != 0,
        "acks=0 is not answered, there is nothing to measure"
    );
    topic::ensure(
        &mut Connection::open(&target.bootstrap)?,
        &target.topic,
        target.partitions,
    )?;
    let loads = (0..options.connections)
        .map(|n| Load::new(options, n))
        .collect::<Result<Vec<_>>>()?;

    let window = Window::of(target);
    let threads: Vec<_> = loads
        .into_iter()
        .map(|load| thread::spawn(move || load.run(window)))
        .collect();
    let usage = stats::watch(target.broker_pid, window)?;
    let counted = threads.into_iter().map(join).collect::<Result<Vec<_>>>()?;
    Ok(stats::report(
        "produce",
        target,
        &Stats::merge(counted)?,
        usage,
    ))
}

pub fn join<T>(thread: thread::JoinHandle<Result<T>>) -> Result<T> {
    thread
        .join()
        .map_err(|_| anyhow!("a load thread panicked"))?
}

/// One connection with its requests, encoded.
struct Load {
    connection: Connection,
    requests: Vec<Prepared>,
    idempotent: bool,
    in_flight: usize,
}

impl Load {
    fn new(options: &Options, number: i32) -> Result<Self> {
        let target = &options.target;
        let mut connection = Connection::open(&target.bootstrap)?;
        let producer = options
            .idempotent
            .then(|| producer_id(&mut connection))
            .transpose()?;
        let requests = share(target.partitions, options.connections, number)
            .map(|partition| {
                let place = (target.topic.as_str(), partition);
                Prepared::fill(
                    place,
                    options.acks,
                    options.record_size,
                    options.batch_bytes,
                    producer,
                )
            })
            .collect::<Result<Vec<_>>>()?;
        let cap = if options.idempotent {
            IDEMPOTENT_IN_FLIGHT_MAX
        } else {
            usize::MAX
        };
        let in_flight = options.in_flight.clamp(1, cap);
        Ok(Self {
            connection,
            requests,
            idempotent: options.idempotent,
            in_flight,
        })
    }

    fn run(mut self, window: Window) -> Result<Stats> {
        let mut stats = Stats::new()?;
        let mut waiting = VecDeque::with_capacity(self.in_flight);
        for id in 0.. {
            if waiting.len() == self.in_flight {
                self.take_answer(&mut waiting, window, &mut stats)?;
            }
            if window.over() {
                break;
            }
            let which = id % self.requests.len();
            let request = &mut self.requests[which];
            if self.idempotent {
                request.advance_sequence();
            }
            let id = id as i32;
            set_correlation_id(&mut request.frame, id);
            waiting.push_back((id, which, Instant::now()));
            self.connection.send(&request.frame)?;
        }
        while !waiting.is_empty() {
            self.take_answer(&mut waiting, window, &mut stats)?;
        }
        Ok(stats)
    }

    fn take_answer(
        &mut self,
        waiting: &mut VecDeque<(i32, usize, Instant)>,
        window: Window,
        stats: &mut Stats,
    ) -> Result<()> {
        let (id, frame) = self.connection.receive()?;
        let now = Instant::now();
        let Some((expected, which, sent)) = waiting.pop_front() else {
            return Ok(());
        };
        ensure!(id == expected, "answer {id} to request {expected}");
        expect_success(frame)?;
        if window.holds(now) {
            let request = &self.requests[which];
            stats.count(request.records as u64, request.batch_bytes);
            stats.took(now - sent, 1)?;
        }
        Ok(())
    }
}

/// Fails if any partition of a Produce answer was refused.
pub fn expect_success(frame: bytes::Bytes) -> Result<()> {
    let answer = decode::<ProduceRequest>(PRODUCE_VERSION, frame)?;
    for partition in answer
        .responses
        .iter()
        .flat_map(|topic| &topic.partition_responses)
    {
        ensure!(
            partition.error_code == 0,
            "partition {} refused a batch: error code {} {:?}",
            partition.index,
            partition.error_code,
            partition.error_message
        );
    }
    Ok(())
}

/// The partitions of connection `number`; with fewer partitions than connections some are shared.
pub fn share(partitions: i32, connections: i32, number: i32) -> impl Iterator<Item = i32> {
    (number % partitions..partitions).step_by(connections.max(1) as usize)
}

fn producer_id(connection: &mut Connection) -> Result<Producer> {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(60_000)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    loop {
        let answer = connection.call(INIT_PRODUCER_ID_VERSION, &request)?;
        match answer.error_code {
            0 => {
                return Ok(Producer {
                    id: answer.producer_id.0,
                    epoch: answer.producer_epoch,
                });
            }
            // A broker that just started may still load its coordinator.
            code if topic::is_retriable(code) => thread::sleep(Duration::from_millis(100)),
            code => bail!("no producer id: error code {code}"),
        }
    }
}
