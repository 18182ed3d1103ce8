//! Exactly-once survives a power cut at every step.
//!
//! A transaction over two partitions and a group's offset runs on a disk in memory that keeps only what
//! was synced. The power is cut in the middle of its first step to the disk, then of its second, and so
//! on until the script comes through; every other time the start after the cut is cut as well. Then a
//! broker starts on what is left, and through the wire
//! everything or nothing of the transaction must be there: all of it if its commit was answered, nothing
//! if its abort was, and nothing if its end was never asked for.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use support::Client;
use support::power::SimBroker;
use support::txn::*;
use tidelog_storage::disk::SimDisk;

/// Cuts without an end to the script: something writes without end.
const CUTS_MAX: u64 = 500;
/// What was answered before the power went has this long to reach the client.
const LAST_WORDS: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(20);

/// How far the client of a script came.
#[derive(Clone, Default)]
struct Progress(Arc<AtomicU8>);

// 0: still writing.
const ASKED_TO_END: u8 = 1;
const ENDED: u8 = 2;

impl Progress {
    fn set(&self, to: u8) {
        self.0.store(to, Ordering::SeqCst);
    }

    fn get(&self) -> u8 {
        self.0.load(Ordering::SeqCst)
    }
}

/// The transaction that is cut.
async fn script(mut txn: Transactor, commit: bool, progress: Progress) {
    txn.produce("t", 0, &["a0"]).await;
    txn.produce("t", 1, &["a1"]).await;
    txn.commit_offset("g", ("t", 0), 7).await;
    txn.produce("t", 0, &["a2"]).await;
    progress.set(ASKED_TO_END);
    txn.end(commit).await;
    progress.set(ENDED);
    txn.wait_for(if commit {
        "CompleteCommit"
    } else {
        "CompleteAbort"
    })
    .await;
}

/// A disk with a topic, a committed transaction and a committed offset, and the producer that is to go on.
async fn prepared(disk: &SimDisk, speaks: Speaks) -> (SimBroker, Transactor) {
    let broker = SimBroker::start(disk).await;
    let mut client = broker.client().await;
    client.make_topic("t", 2, &[]).await;
    let mut txn = Transactor::open(client, "txn", speaks).await;
    txn.produce("t", 0, &["before"]).await;
    txn.produce("t", 1, &["before"]).await;
    txn.commit_offset("g", ("t", 0), 1).await;
    txn.finish(true).await;
    (broker, txn)
}

/// Runs the script until it ends or the power is gone; whether it came through.
async fn run(disk: &SimDisk, script: impl Future<Output = ()> + Send + 'static) -> bool {
    let mut script = tokio::spawn(script);
    let dead = async {
        while !disk.is_dead() {
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        tokio::time::sleep(LAST_WORDS).await;
    };
    let outcome = tokio::select! {
        outcome = &mut script => Some(outcome),
        () = dead => None,
        () = tokio::time::sleep(PATIENCE) => panic!("neither an end nor a cut"),
    };
    script.abort();
    match outcome {
        Some(Ok(())) => true,
        // Whatever it was answered without power.
        Some(Err(_)) if disk.is_dead() => false,
        Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
        None => false,
    }
}

/// A start that loses its power too, in opening or while it carries out what it found.
async fn cut_again(disk: &SimDisk, step: u64, speaks: Speaks) {
    disk.cut_power_at(disk.steps() + step);
    let Some(broker) = SimBroker::try_start(disk).await else {
        assert!(disk.is_dead());
        return;
    };
    let client = broker.client().await;
    let take_over = async move {
        Transactor::open(client, "txn", speaks).await;
    };
    run(disk, take_over).await;
    broker.drop_dead(disk).await;
}

/// What is there of the script's transaction: in partition 0, in partition 1, and of the group.
async fn found(client: &mut Client) -> [bool; 3] {
    let mut found = [false; 3];
    for (partition, expected) in [(0, &["a0", "a2"][..]), (1, &["a1"])] {
        let read = read_committed(client, "t", partition).await;
        assert_eq!(
            read.stable_end, read.high_watermark,
            "something is still open"
        );
        let values: Vec<_> = read
            .values
            .iter()
            .map(|(_, value)| value.as_str())
            .collect();
        let (first, rest) = values.split_first().expect("what was committed before");
        assert_eq!(*first, "before");
        assert!(
            rest.is_empty() || rest == expected,
            "half of it: {values:?}"
        );
        found[partition as usize] = !rest.is_empty();
    }
    let (code, offset) = fetch_offset(client, "g", ("t", 0), true).await;
    assert!(code == 0 && [1, 7].contains(&offset), "{code} {offset}");
    found[2] = offset == 7;
    found
}

/// Cuts at every step, one after another.
async fn cut_everywhere(speaks: Speaks, commit: bool) {
    let (mut all, mut nothing, mut cuts) = (0, 0, 0);
    // Cuts that found the outcome answered and its markers still to be written.
    let mut in_markers = 0;
    for step in 1.. {
        assert!(step < CUTS_MAX, "the script does not come through");
        let context = format!("{speaks:?} commit={commit}, cut at step {step}");
        let disk = SimDisk::new();
        let (broker, txn) = prepared(&disk, speaks).await;
        let progress = Progress::default();
        disk.cut_power_at(disk.steps() + step);
        let through = run(&disk, script(txn, commit, progress.clone())).await;
        broker.drop_dead(&disk).await;

        let mut disk = disk.after_power_cut(step);
        if step % 2 == 0 {
            cut_again(&disk, step / 2, speaks).await;
            disk = disk.after_power_cut(step);
        }
        let broker = SimBroker::start(&disk).await;
        // A new client takes over: what was open is aborted, what was decided is carried out.
        let mut txn = Transactor::open(broker.client().await, "txn", speaks).await;
        let mut client = broker.client().await;
        let there = found(&mut client).await;
        assert!(
            there == [true; 3] || there == [false; 3],
            "{context}: {there:?}"
        );
        match (progress.get(), commit) {
            (ENDED, true) => assert!(there[0], "{context}: a committed transaction is lost"),
            (ASKED_TO_END, true) => {}
            _ => assert!(!there[0], "{context}: what was not committed is there"),
        }
        // And the broker is as good as new.
        txn.produce("t", 0, &["next"]).await;
        txn.produce("t", 1, &["next"]).await;
        txn.commit_offset("g", ("t", 0), 9).await;
        txn.finish(true).await;
        for partition in [0, 1] {
            let values = committed_values(&mut client, "t", partition).await;
            assert_eq!(values.last().unwrap(), "next", "{context}");
        }
        let position = fetch_offset(&mut client, "g", ("t", 0), true).await;
        assert_eq!(position, (0, 9), "{context}");
        broker.drop_dead(&disk).await;
        cuts += u64::from(!through);
        in_markers += u64::from(!through && progress.get() == ENDED);
        all += u64::from(there[0]);
        nothing += u64::from(!there[0]);
        if through {
            break;
        }
    }
    assert!(cuts > 5, "{cuts} cuts prove nothing");
    assert!(
        in_markers > 0,
        "no cut came between the answer and the markers"
    );
    assert!(nothing > 0, "every cut came too late");
    assert_eq!(
        all > 0,
        commit,
        "a commit comes through in the end, an abort never"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_of_version_1() {
    cut_everywhere(Speaks::V1, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aborts_of_version_1() {
    cut_everywhere(Speaks::V1, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_of_version_2() {
    cut_everywhere(Speaks::V2, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aborts_of_version_2() {
    cut_everywhere(Speaks::V2, false).await;
}
