//! Brokers that hang up, fall silent, move away or answer rubbish: a reader gets each row once, or
//! an error that says who failed and how.
#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

mod fake;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use fake::rows::{StoredRun, order_schema, orders};
use fake::{Fake, Log, Trick, World};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tidelog_client::{Client, Config, Error, ErrorCode, Table};

const COLUMNAR_FETCH: i16 = 16_000;
const METADATA: i16 = 3;
const RUNS: i64 = 20;

fn world() -> World {
    let runs = (0..RUNS).map(|run| StoredRun::of(1, orders(run * 10..run * 10 + 10)));
    let log = Log {
        end: RUNS * 10,
        runs: runs.collect(),
        ..Log::default()
    };
    World {
        is_columnar: true,
        schemas: vec![(1, order_schema())],
        current_schema_id: 1,
        partitions: BTreeMap::from([(0, log)]),
        ..World::default()
    }
}

fn config() -> Config {
    Config {
        backoff: Duration::from_millis(1),
        backoff_max: Duration::from_millis(10),
        request_timeout: Duration::from_secs(1),
        retry_for: Duration::from_secs(20),
        ..Config::default()
    }
}

async fn open(fake: &Fake, config: Config) -> Table {
    let client = Client::connect_with(&fake.address(), config).await.unwrap();
    client.table(fake::TOPIC).await.unwrap()
}

async fn offsets(table: &Table) -> Result<Vec<i64>, Error> {
    use arrow_array::cast::AsArray;
    let scan = table.scan().columns(["_offset"]).until_end();
    let mut stream = scan.max_wait(Duration::ZERO).open().await?;
    let mut seen = Vec::new();
    while let Some(rows) = stream.next().await? {
        let offsets = rows
            .batch
            .column(0)
            .as_primitive::<arrow_array::types::Int64Type>();
        seen.extend(offsets.values());
    }
    Ok(seen)
}

#[tokio::test]
async fn lost_connections_lose_and_repeat_no_row() {
    let fake = Fake::start(world()).await;
    let table = open(&fake, config()).await;
    for _ in 0..5 {
        fake.trick(COLUMNAR_FETCH, Trick::Hang);
    }
    fake.trick(COLUMNAR_FETCH, Trick::Silence);
    fake.trick(METADATA, Trick::Hang);
    fake.trick(COLUMNAR_FETCH, Trick::Code(ErrorCode::KafkaStorageError));
    let seen = offsets(&table).await.unwrap();
    assert_eq!(seen, (0..RUNS * 10).collect::<Vec<_>>());
    assert_eq!(fake.world.lock().unwrap().connections, 8);
}

#[tokio::test]
async fn a_wait_given_up_loses_no_row() {
    let fake = Fake::start(world()).await;
    let table = open(&fake, config()).await;
    let scan = table.scan().columns(["_offset"]).until_end();
    let mut stream = scan.max_wait(Duration::ZERO).open().await.unwrap();
    let mut next = 0;
    loop {
        for _ in 0..3 {
            // Given up before or after it ended: what came stays to be taken, and does not count.
            let _ = tokio::time::timeout(Duration::from_micros(50), stream.ready()).await;
            assert_eq!(stream.positions(), BTreeMap::from([(0, next)]));
        }
        let Some(rows) = stream.pop() else {
            match stream.ready().await.unwrap() {
                true => continue,
                false => break,
            }
        };
        assert_eq!(rows.first_offset, next);
        next = rows.next_offset;
    }
    assert_eq!(next, RUNS * 10);
    assert!(stream.pop().is_none());
}

#[tokio::test]
async fn a_leader_that_moved_is_followed() {
    let (first, second) = (Fake::start(world()).await, Fake::start(world()).await);
    let table = open(&first, config()).await;
    let port = second.port;
    first.trick(
        COLUMNAR_FETCH,
        Trick::Then(Box::new(move |world| world.leader = Some(port))),
    );
    first.trick(COLUMNAR_FETCH, Trick::Code(ErrorCode::NotLeaderOrFollower));
    let seen = offsets(&table).await.unwrap();
    assert_eq!(seen, (0..RUNS * 10).collect::<Vec<_>>());
    assert_eq!(first.asked(COLUMNAR_FETCH), 2);
    assert!(second.asked(COLUMNAR_FETCH) >= 19);
}

#[tokio::test]
async fn silence_ends_in_an_error_that_names_it() {
    let fake = Fake::start(world()).await;
    let patience = Config {
        request_timeout: Duration::from_millis(500),
        retry_for: Duration::from_millis(600),
        ..config()
    };
    let table = open(&fake, patience).await;
    for _ in 0..50 {
        fake.trick(COLUMNAR_FETCH, Trick::Silence);
    }
    let error = offsets(&table).await.unwrap_err();
    let Error::TimedOut { api, address, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((*api, address), ("ColumnarFetch", &fake.address()));
}

#[tokio::test]
async fn nobody_there_is_said_at_once() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let address = port.unwrap().to_string();
    let error = Client::connect_with(&address, config()).await.unwrap_err();
    let said = error.to_string();
    let expected = format!("cannot connect to {address}: ");
    assert!(said.starts_with(&expected), "{said}");
}

/// Every answer a client reads, cut short or changed at random: an error or rows, never a panic.
#[tokio::test]
async fn rubbish_is_an_error() {
    let hurried = Config {
        retry_for: Duration::ZERO,
        ..config()
    };
    for seed in 0..60 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let fake = Fake::start(world()).await;
        let table = open(&fake, hurried.clone()).await;
        let len = rng.random_range(0..200);
        let mut body: Vec<u8> = (0..len).map(|_| rng.random()).collect();
        if rng.random_bool(0.5) {
            // Counts and lengths that promise much.
            body.iter_mut().step_by(3).for_each(|byte| *byte = 0xff);
        }
        let key = [COLUMNAR_FETCH, METADATA, 2][seed as usize % 3];
        fake.trick(key, Trick::Garbage(Bytes::from(body)));
        if key == COLUMNAR_FETCH {
            let _ = offsets(&table).await;
        } else {
            let error = offsets(&table).await.unwrap_err();
            assert!(
                matches!(error, Error::Wire { .. } | Error::Broker(_)),
                "{error}"
            );
        }
    }
}
