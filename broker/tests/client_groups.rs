//! Groups that read columns: members made of the Rust client against a broker in this process, and what
//! raw requests say of the group meanwhile.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use clap::Parser as _;
use support::data::batch;
use support::group::{self, QUICK};
use support::{Client as Raw, PATIENCE, TestBroker};
use tidelog_client::{
    Client, Config, Error, ErrorCode, Event, GroupOptions, GroupReader, GroupRows, Start,
    TopicPartition,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const SCHEMA: &str = r#"{"fields":[{"name":"n","type":"long"},{"name":"city","type":"string"}]}"#;
const TABLE: [(&str, &str); 2] = [
    ("tidelog.table.mode", "inline"),
    ("tidelog.table.schema", SCHEMA),
];
/// Members that do not say that they leave are missed soon.
const SHORT: &[&str] = &[
    "group.consumer.session.timeout.ms=1500",
    "group.consumer.heartbeat.interval.ms=100",
    "offsets.topic.num.partitions=3",
];

async fn broker(set: &[&str]) -> (TestBroker, Raw) {
    let broker = TestBroker::start(&[QUICK, SHORT, set].concat()).await;
    let raw = broker.client().await;
    (broker, raw)
}

async fn tables(broker: &TestBroker) -> Client {
    Client::connect(&broker.address().to_string())
        .await
        .unwrap()
}

/// `count` rows in each of some partitions; every third of Bonn.
async fn produce(raw: &mut Raw, topic: &str, partitions: i32, count: i64) {
    for index in 0..partitions {
        let row = |n| {
            format!(
                r#"{{"n":{n},"city":"{}"}}"#,
                if n % 3 == 0 { "Bonn" } else { "Ulm" }
            )
        };
        let rows: Vec<_> = (0..count).map(row).collect();
        let rows: Vec<_> = rows.iter().map(String::as_str).collect();
        for some in rows.chunks(7) {
            let produced = raw.produce(topic, index, batch(some)).await;
            assert_eq!(produced.error_code, 0);
        }
    }
}

fn by_hand() -> GroupOptions {
    GroupOptions {
        auto_commit: None,
        ..GroupOptions::default()
    }
}

fn offsets(rows: &GroupRows) -> Vec<i64> {
    let column = rows.rows.batch.column_by_name("_offset").unwrap();
    column.as_primitive::<Int64Type>().values().to_vec()
}

/// The next event, which is not long in coming.
async fn next(reader: &mut GroupReader) -> Event {
    timeout(PATIENCE, reader.next()).await.unwrap().unwrap()
}

/// How often each row was dealt with.
type Ledger = Arc<Mutex<BTreeMap<(String, i32, i64), u32>>>;

/// Deals with rows, and commits each time, until it is told to stop.
fn work(
    mut reader: GroupReader,
    ledger: &Ledger,
    stop: watch::Receiver<bool>,
) -> JoinHandle<GroupReader> {
    let (ledger, mut stop) = (Arc::clone(ledger), stop);
    tokio::spawn(async move {
        loop {
            let event = tokio::select! {
                event = reader.next() => event,
                _ = stop.wait_for(|stops| *stops) => return reader,
            };
            let Ok(Event::Rows(rows)) = event else {
                // Errors while the broker is away pass.
                sleep(Duration::from_millis(10)).await;
                continue;
            };
            // What stands in the ledger is committed.
            reader.commit().await.unwrap();
            let topic = rows.topic.to_string();
            for offset in offsets(&rows) {
                let key = (topic.clone(), rows.rows.partition, offset);
                *ledger.lock().unwrap().entry(key).or_default() += 1;
            }
        }
    })
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < 2 * PATIENCE, "never: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// How many partitions each member of the group has, by what the broker says.
async fn shares(raw: &mut Raw, name: &str) -> Vec<usize> {
    use kafka_protocol::messages::ConsumerGroupDescribeRequest;
    let request =
        ConsumerGroupDescribeRequest::default().with_group_ids(vec![group::group_id(name)]);
    let described = raw.call(1, &request).await.groups.remove(0);
    let count = |member: &kafka_protocol::messages::consumer_group_describe_response::Member| {
        let topics = member.assignment.topic_partitions.iter();
        topics.map(|topic| topic.partitions.len()).sum()
    };
    let mut counts: Vec<_> = described.members.iter().map(count).collect();
    counts.sort_unstable();
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_counts_once_while_members_come_and_die_and_the_broker_restarts() {
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let (broker, mut raw) = broker(&[&format!("listeners=127.0.0.1:{port}")]).await;
    raw.make_topic("orders", 6, &TABLE).await;
    produce(&mut raw, "orders", 6, 100).await;

    let ledger = Ledger::default();
    let (stop, stops) = watch::channel(false);
    let subscribe = async |client: &Client| {
        let orders = client.table("orders").await.unwrap().scan();
        let orders = orders.columns(["_offset", "n"]).filter("city = 'Bonn'");
        client
            .subscribe("billing", [orders], by_hand())
            .await
            .unwrap()
    };
    let client = tables(&broker).await;
    let first = work(subscribe(&client).await, &ledger, stops.clone());
    // The second lives in a runtime of its own, so that it can die without a word.
    let doomed = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (address, its_ledger) = (broker.address().to_string(), Arc::clone(&ledger));
    let (_never, runs) = watch::channel(false);
    doomed.spawn(async move {
        let client = Client::connect(&address).await.unwrap();
        let orders = client.table("orders").await.unwrap().scan();
        let orders = orders.columns(["_offset", "n"]).filter("city = 'Bonn'");
        let reader = client
            .subscribe("billing", [orders], by_hand())
            .await
            .unwrap();
        work(reader, &its_ledger, runs).await.unwrap()
    });
    until("both have three", async || {
        shares(&mut raw, "billing").await == [3, 3]
    })
    .await;
    produce(&mut raw, "orders", 6, 60).await;

    let broker = broker.restart().await;
    let mut raw = broker.client().await;
    produce(&mut raw, "orders", 6, 50).await;
    let seen = || ledger.lock().unwrap().len();
    // 34 of the first 100, 20 of 60, 17 of 50.
    until("both read on", async || seen() == 6 * (34 + 20 + 17)).await;
    assert_eq!(shares(&mut raw, "billing").await, [3, 3]);

    doomed.shutdown_background();
    produce(&mut raw, "orders", 6, 60).await;
    until("the first has all", async || {
        shares(&mut raw, "billing").await == [6]
    })
    .await;
    until("it reads on", async || seen() == 6 * (34 + 20 + 17 + 20)).await;
    assert!(ledger.lock().unwrap().values().all(|times| *times == 1));

    // A filter that matches nothing more moves on, too, and whoever comes next starts at the end.
    stop.send(true).unwrap();
    let mut reader = first.await.unwrap();
    let ends = |reader: &GroupReader| reader.positions().values().all(|at| *at == 270);
    until("the end", async || {
        let nothing = reader.poll(Duration::from_millis(50)).await.unwrap();
        assert_eq!(nothing, None);
        ends(&reader)
    })
    .await;
    reader.commit().await.unwrap();
    for index in 0..6 {
        assert_eq!(
            group::fetch(&mut raw, "billing", "orders", index).await.0,
            270
        );
    }
    let id = reader.member_id().to_owned();
    reader.close().await.unwrap();
    assert_eq!(shares(&mut raw, "billing").await, [0; 0], "{id} has left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_revoked_can_be_committed_before_the_next_event_is_asked_for() {
    let (broker, mut raw) = broker(&[]).await;
    raw.make_topic("orders", 2, &TABLE).await;
    produce(&mut raw, "orders", 2, 9).await;
    let client = tables(&broker).await;
    let scan = async || client.table("orders").await.unwrap().scan();
    let mut one = client
        .subscribe("g", [scan().await], by_hand())
        .await
        .unwrap();
    let all = [0, 1].map(|index| TopicPartition::new("orders", index));
    assert_eq!(next(&mut one).await, Event::Assigned(all.to_vec()));
    let mut read = BTreeMap::new();
    while read.values().sum::<usize>() < 18 {
        let Event::Rows(rows) = next(&mut one).await else {
            panic!("rows are there");
        };
        *read.entry(rows.rows.partition).or_default() += rows.rows.batch.num_rows();
    }
    let mut two = client
        .subscribe("g", [scan().await], by_hand())
        .await
        .unwrap();
    let Event::Revoked(gone) = next(&mut one).await else {
        panic!("the other wants one");
    };
    assert_eq!((gone.len(), one.assignment().len()), (1, 1));
    assert_eq!(one.positions()[&gone[0]], 9, "until the next event");
    // The other does not get it before that, however long it takes.
    assert!(
        two.poll(Duration::from_millis(400))
            .await
            .unwrap()
            .is_none()
    );
    one.commit().await.unwrap();
    let wait = async {
        // The answer to this may be long in coming: there is nothing to read.
        one.poll(Duration::from_secs(1)).await.unwrap();
    };
    let (event, ()) = tokio::join!(next(&mut two), wait);
    assert_eq!(event, Event::Assigned(gone.clone()));
    assert_eq!(two.positions()[&gone[0]], 9, "nothing comes twice");
    assert!(!one.positions().contains_key(&gone[0]));

    // A member that goes gives its own back at once.
    drop(one);
    let Event::Assigned(more) = next(&mut two).await else {
        panic!("the other has left");
    };
    assert_eq!(more.len(), 1);
    assert_ne!(more, gone);
    two.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_works_for_too_long_has_lost_its_partitions() {
    let (broker, mut raw) = broker(&[]).await;
    raw.make_topic("orders", 2, &TABLE).await;
    produce(&mut raw, "orders", 2, 5).await;
    let client = tables(&broker).await;
    let scan = client.table("orders").await.unwrap().scan();
    let impatient = GroupOptions {
        max_poll_interval: Duration::from_millis(600),
        ..by_hand()
    };
    let mut slow = client
        .subscribe("g", [scan.clone()], impatient)
        .await
        .unwrap();
    assert!(matches!(next(&mut slow).await, Event::Assigned(_)));
    let rows = next(&mut slow).await;
    assert!(matches!(rows, Event::Rows(_)));
    until("it is out", async || shares(&mut raw, "g").await.is_empty()).await;
    let late = slow.commit().await.unwrap_err();
    assert_eq!(late.error_code(), Some(ErrorCode::FencedMemberEpoch));

    let mut other = client.subscribe("g", [scan], by_hand()).await.unwrap();
    assert!(matches!(next(&mut other).await, Event::Assigned(all) if all.len() == 2));
    assert!(matches!(next(&mut slow).await, Event::Lost(all) if all.len() == 2));
    assert!(slow.positions().is_empty());
    // It is back, and gets its share once the other has given it up.
    let both = async {
        let mut gave = false;
        while !gave {
            gave = matches!(next(&mut other).await, Event::Revoked(_));
        }
        other.poll(Duration::from_millis(200)).await.unwrap();
    };
    let (event, ()) = tokio::join!(next(&mut slow), both);
    assert!(matches!(event, Event::Assigned(mine) if mine.len() == 1));
    // Nothing was committed: the rows come again.
    assert!(matches!(next(&mut slow).await, Event::Rows(rows) if rows.rows.first_offset == 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_tables_each_with_its_own_columns_and_start_are_committed_by_themselves() {
    let (broker, mut raw) = broker(&[]).await;
    raw.make_topic("orders", 1, &TABLE).await;
    raw.make_topic("plain", 1, &[]).await;
    produce(&mut raw, "orders", 1, 30).await;
    raw.produce("plain", 0, batch(&["old"])).await;
    for use_extensions in [true, false] {
        let config = Config {
            use_extensions,
            ..Config::default()
        };
        let address = broker.address().to_string();
        let client = Client::connect_with(&address, config).await.unwrap();
        let orders = client
            .table("orders")
            .await
            .unwrap()
            .decode_json(SCHEMA)
            .unwrap();
        assert_eq!(orders.is_columnar(), use_extensions);
        let orders = orders.scan().columns(["n"]).filter("n >= 28");
        let plain = client.table("plain").await.unwrap().scan();
        let plain = plain.columns(["value"]).from(Start::Latest);
        let often = GroupOptions {
            auto_commit: Some(Duration::from_millis(100)),
            ..GroupOptions::default()
        };
        let group = format!("by-{use_extensions}");
        let mut reader = client
            .subscribe(&group, [orders, plain], often)
            .await
            .unwrap();
        let names = |schema: &arrow_schema::Schema| -> Vec<String> {
            schema
                .fields()
                .iter()
                .map(|field| field.name().clone())
                .collect()
        };
        assert_eq!(names(reader.schema("orders").unwrap()), ["n"]);
        assert_eq!(names(reader.schema("plain").unwrap()), ["value"]);
        assert!(matches!(next(&mut reader).await, Event::Assigned(all) if all.len() == 2));
        let rows = timeout(PATIENCE, reader.rows()).await.unwrap().unwrap();
        assert_eq!((&*rows.topic, rows.rows.batch.num_rows()), ("orders", 2));
        raw.produce("plain", 0, batch(&["new"])).await;
        let rows = timeout(PATIENCE, reader.rows()).await.unwrap().unwrap();
        assert_eq!((&*rows.topic, rows.rows.batch.num_rows()), ("plain", 1));
        let ends = [("orders", 30), ("plain", rows.rows.next_offset)];
        until("it was committed", async || {
            reader.poll(Duration::from_millis(50)).await.unwrap();
            let mut is_so = true;
            for (topic, end) in ends {
                is_so &= group::fetch(&mut raw, &group, topic, 0).await.0 == end;
            }
            is_so
        })
        .await;
        // Offsets of one's own, and what is kept when one goes.
        let orders = TopicPartition::new("orders", 0);
        reader
            .commit_offsets([(orders.clone(), 29)].into())
            .await
            .unwrap();
        assert_eq!(group::fetch(&mut raw, &group, "orders", 0).await.0, 29);
        reader.close().await.unwrap();
        assert_eq!(group::fetch(&mut raw, &group, "orders", 0).await.0, 30);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_static_member_may_be_away_for_a_moment() {
    let (broker, mut raw) = broker(&[]).await;
    raw.make_topic("orders", 4, &TABLE).await;
    let client = tables(&broker).await;
    let scan = client.table("orders").await.unwrap().scan();
    let named = GroupOptions {
        instance_id: Some("reader-1".to_owned()),
        ..by_hand()
    };
    let mut reader = client
        .subscribe("g", [scan.clone()], named.clone())
        .await
        .unwrap();
    assert!(matches!(next(&mut reader).await, Event::Assigned(all) if all.len() == 4));
    reader.close().await.unwrap();
    // Its partitions wait for it.
    assert_eq!(shares(&mut raw, "g").await, [4]);
    let mut reader = client.subscribe("g", [scan], named).await.unwrap();
    assert!(matches!(next(&mut reader).await, Event::Assigned(all) if all.len() == 4));
}

/// The program's arguments.
#[derive(clap::Parser)]
struct Args {
    #[command(subcommand)]
    command: tidelog_console::Command,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_reads_as_a_member_and_commits_what_it_printed() {
    let (broker, mut raw) = broker(&[]).await;
    raw.make_topic("orders", 2, &TABLE).await;
    produce(&mut raw, "orders", 2, 20).await;
    let dir = tempfile::tempdir().unwrap();
    let address = broker.address().to_string();
    let consume = async |name: &str, more: &[&str]| -> Vec<String> {
        let file = dir.path().join(name);
        let fixed = [
            "tidelog",
            "consume",
            "orders",
            "--group",
            "g",
            "--bootstrap",
            &address,
        ];
        let to = ["--columns", "n", "--to-file", file.to_str().unwrap()];
        let args = Args::parse_from(fixed.iter().chain(&to).chain(more));
        tidelog_console::run(args.command).await.unwrap();
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    };
    let mut seen = consume("first", &["--json", "--max", "5"]).await;
    assert_eq!(seen.len(), 5);
    seen.extend(consume("second", &["--json", "--max", "14"]).await);
    seen.extend(consume("third", &["--json"]).await);
    let mut expected: Vec<_> = (0..20).map(|n| format!(r#"{{"n":{n}}}"#)).collect();
    expected.extend(expected.clone());
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
    for index in 0..2 {
        assert_eq!(group::fetch(&mut raw, "g", "orders", index).await.0, 20);
    }
    produce(&mut raw, "orders", 2, 4).await;
    consume("whole", &["--output", "parquet", "--where", "n = 1"]).await;
    for index in 0..2 {
        assert_eq!(group::fetch(&mut raw, "g", "orders", index).await.0, 24);
    }
    assert!(consume("nothing", &["--json"]).await.is_empty());
}

#[tokio::test]
async fn what_cannot_be_subscribed_to_is_refused() {
    let (broker, mut raw) = broker(&[]).await;
    raw.make_topic("orders", 1, &TABLE).await;
    let client = tables(&broker).await;
    let scan = client.table("orders").await.unwrap().scan();
    let refused = [
        (vec![], "there is nothing to read"),
        (
            vec![scan.clone(), scan.clone()],
            "topic orders is there twice",
        ),
        (
            vec![scan.clone().partitions([0])],
            "table orders: its partitions are shared out by the group",
        ),
        (
            vec![scan.clone().until_end()],
            "table orders: a group reads without an end",
        ),
    ];
    for (scans, reason) in refused {
        let error = client.subscribe("g", scans, by_hand()).await.unwrap_err();
        assert_eq!(error.to_string(), format!("group g: {reason}"));
    }
    let error = client
        .subscribe("", [scan.clone()], by_hand())
        .await
        .unwrap_err();
    assert!(error.error_code().is_some(), "{error}");
    let unknown = client
        .subscribe("g", [scan.columns(["nothing"])], by_hand())
        .await;
    assert!(matches!(unknown, Err(Error::UnknownColumn { .. })));
    assert!(shares(&mut raw, "g").await.is_empty(), "nobody joined");
}
