//! Every request of the ONE list in every version, right by its shape and then damaged, through a socket.
//!
//! Whatever comes, the broker answers or closes the connection: no handler panics, no small request
//! makes it allocate much, and afterwards all memory is given back and the next client is served.
//! The same bytes in every run; `TIDELOG_FUZZ_SECONDS=60` goes on with further seeds for a minute.

mod support;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::BufMut;
use support::data::batch;
use support::fuzz::{Dice, body, body_of, seeds};
use support::{PATIENCE, TestBroker};
use tidelog::api::{APIS, Api};
use tidelog_protocol_ext::ext::alter_table::AlterTableRequest;
use tidelog_protocol_ext::ext::columnar_fetch::ColumnarFetchRequest;
use tidelog_protocol_ext::ext::columnar_produce::ColumnarProduceRequest;
use tidelog_protocol_ext::ext::describe_table::DescribeTableRequest;
use tidelog_protocol_ext::ext::import_records::ImportRecordsRequest;
use tidelog_protocol_ext::ext::lookup::LookupRequest;
use tidelog_protocol_ext::ext::scan::ScanRequest;
use tidelog_protocol_ext::ext::tier_status::TierStatusRequest;
use tidelog_protocol_ext::ext::union_read_offsets::UnionReadOffsetsRequest;
use tidelog_protocol_ext::ext::{Request, Wire};
use tidelog_protocol_ext::shape::{Field, Kind};
use tidelog_protocol_ext::shapes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a request may take that waits for something that never comes, before its client leaves.
const WAIT: Duration = Duration::from_millis(20);
/// Requests are a few hundred bytes; all of them together may not make the process grow by this.
const GROWTH_MAX_BYTES: usize = 512 << 20;
/// An answer to a small request.
const ANSWER_MAX_BYTES: usize = 8 << 20;

/// Messages of panics anywhere in this process.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn watch_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS
            .lock()
            .expect("nobody panics holding it")
            .push(info.to_string());
        before(info);
    }));
}

fn fields_of<R: Request>() -> (i16, &'static [Field]) {
    match <R as Wire>::KIND {
        Kind::Struct(fields) => (R::KEY, fields),
        other => panic!("a message is a struct, not {other:?}"),
    }
}

/// The requests that are ours, by key.
fn ours() -> BTreeMap<i16, &'static [Field]> {
    BTreeMap::from([
        fields_of::<ColumnarFetchRequest>(),
        fields_of::<ColumnarProduceRequest>(),
        fields_of::<LookupRequest>(),
        fields_of::<UnionReadOffsetsRequest>(),
        fields_of::<DescribeTableRequest>(),
        fields_of::<AlterTableRequest>(),
        fields_of::<ScanRequest>(),
        fields_of::<TierStatusRequest>(),
        fields_of::<ImportRecordsRequest>(),
    ])
}

/// First version of an API whose header is flexible.
fn flexible_from(key: i16) -> i16 {
    shapes::find(key).map_or(0, |shape| shape.flexible)
}

fn framed(api: &Api, version: i16, body: &[u8]) -> Vec<u8> {
    let mut head = Vec::new();
    head.put_i16(api.key);
    head.put_i16(version);
    head.put_i32(77);
    head.put_i16(4);
    head.extend(b"fuzz");
    if version >= flexible_from(api.key) {
        head.put_u8(0);
    }
    let mut frame = Vec::new();
    frame.put_i32(i32::try_from(head.len() + body.len()).expect("small"));
    frame.extend(head);
    frame.extend(body);
    frame
}

/// One body for each way of going wrong.
fn bodies(dice: &mut Dice, right: &[u8]) -> Vec<Vec<u8>> {
    let mut damaged = right.to_vec();
    dice.damage(&mut damaged);
    let cut = right[..dice.below(right.len() + 1)].to_vec();
    let size = dice.below(64);
    let random = dice.bytes(size);
    // A count that nothing backs, behind something that is right.
    let mut counted = right[..dice.below(right.len() + 1)].to_vec();
    counted.extend([0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x07]);
    vec![right.to_vec(), damaged, cut, random, counted]
}

/// What came back: the sizes of whole answers.
async fn exchange(broker: &TestBroker, frame: &[u8]) -> usize {
    let mut socket = TcpStream::connect(broker.address())
        .await
        .expect("it listens");
    // The broker may close before it has read everything.
    let _ = socket.write_all(frame).await;
    let answer = async {
        let size = socket.read_i32().await.ok()?;
        let size = usize::try_from(size).expect("a size");
        assert!(size <= ANSWER_MAX_BYTES, "an answer of {size} bytes");
        let mut answer = vec![0; size];
        socket.read_exact(&mut answer).await.ok()?;
        assert_eq!(answer[..4], 77i32.to_be_bytes());
        Some(())
    };
    usize::from(matches!(
        tokio::time::timeout(WAIT, answer).await,
        Ok(Some(()))
    ))
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("it is there");
    let kib = line.split_whitespace().nth(1).expect("a number");
    kib.parse::<usize>().expect("a number") * 1024
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_asked_is_answered_or_closed() {
    watch_panics();
    let set = [
        "offsets.topic.num.partitions=2",
        "transaction.state.log.num.partitions=2",
    ];
    let broker = TestBroker::start(&set).await;
    let mut client = broker.client().await;
    client.make_topic("t", 2, &[]).await;
    client
        .make_topic("typed", 1, &[("tidelog.table.mode", "key_value")])
        .await;
    let keyed = [
        ("tidelog.table.mode", "key_value"),
        ("tidelog.table.key", "record_key"),
    ];
    client.make_topic("keyed", 1, &keyed).await;
    for topic in ["t", "typed", "keyed"] {
        assert_eq!(
            client
                .produce(topic, 0, batch(&["a", "b"]))
                .await
                .error_code,
            0
        );
    }
    let ours = ours();
    let before = resident_bytes();
    let (mut sent, mut answered) = (0usize, 0);
    for seed in seeds(1) {
        for api in APIS {
            let mut dice = Dice::new(seed << 16 | api.key.unsigned_abs() as u64);
            for version in api.min..=api.max {
                let right = match shapes::find(api.key) {
                    Some(shape) => body_of(&mut dice, shape, version),
                    None => body(&mut dice, ours[&api.key], version, true),
                };
                for bytes in bodies(&mut dice, &right) {
                    let got = exchange(&broker, &framed(api, version, &bytes)).await;
                    (sent, answered) = (sent + 1, answered + got);
                    let panics = PANICS.lock().expect("nobody panics holding it");
                    assert!(
                        panics.is_empty(),
                        "{} v{version}, seed {seed}, {bytes:02x?}: {panics:?}",
                        api.name
                    );
                }
            }
        }
    }
    assert!(
        answered * 8 > sent,
        "{answered} answers to {sent} requests prove little"
    );
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_MAX_BYTES, "{grown} bytes more");

    // And the broker is as good as before.
    let written = broker
        .client()
        .await
        .produce("survivor", 0, batch(&["v"]))
        .await;
    assert!([0, 3].contains(&written.error_code), "{written:?}");
    drop(client);
    until("all connections closed", || {
        broker.running().broker.metrics().connections.get() == 0
    })
    .await;
    // Rows that are in no file yet stay.
    until("all other memory given back", || {
        let broker = &broker.running().broker;
        broker.ledger().used_bytes() == broker.rows().held_bytes()
    })
    .await;
    // What the requests wrote can be read back.
    let broker = broker.restart().await;
    let mut client = broker.client().await;
    client.make_topic("after", 1, &[]).await;
    assert_eq!(
        client.produce("after", 0, batch(&["v"])).await.error_code,
        0
    );
    let panics = PANICS.lock().expect("nobody panics holding it");
    assert!(panics.is_empty(), "{panics:?}");
}
