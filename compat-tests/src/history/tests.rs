//! Histories made by hand, one bad for each anomaly. A line is a millisecond:
//!
//! ```text
//! hello PROCESS WRITER… | READER…          send WRITER TXN TOPIC PARTITION:SEQ…
//! acked WRITER SEQ@OFFSET…                  ending WRITER TXN commit|abort
//! end WRITER TXN committed|aborted|unknown  poll READER committed|uncommitted TOPIC PARTITION@OFFSET=VALUE…
//! killed PROCESS                            (a VALUE's words are joined by commas)
//! ```

use super::{Anomaly, Event, History, check, stalled};

fn event(at: u64, line: &str) -> Event {
    let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
    let number = |text: &str| text.parse().expect("a number");
    let pairs = |words: &[String], by: char| -> Vec<(u64, u64)> {
        let halves = words
            .iter()
            .map(|word| word.split_once(by).expect("a pair"));
        halves.map(|(a, b)| (number(a), number(b))).collect()
    };
    let json = |text: &str| serde_json::from_value(serde_json::json!(text)).expect("a name");
    match words[0].as_str() {
        "hello" => {
            let bar = words.iter().position(|word| word == "|").expect("|");
            Event::Hello {
                at,
                process: words[1].clone(),
                writers: words[2..bar].to_vec(),
                readers: words[bar + 1..].to_vec(),
            }
        }
        "send" => Event::Send {
            at,
            writer: words[1].clone(),
            txn: number(&words[2]),
            topic: words[3].clone(),
            records: pairs(&words[4..], ':')
                .into_iter()
                .map(|(partition, seq)| (u32::try_from(partition).expect("small"), seq))
                .collect(),
        },
        "acked" => Event::Acked {
            at,
            writer: words[1].clone(),
            records: pairs(&words[2..], '@')
                .into_iter()
                .map(|(seq, offset)| (seq, i64::try_from(offset).expect("small")))
                .collect(),
        },
        "ending" => Event::Ending {
            at,
            writer: words[1].clone(),
            txn: number(&words[2]),
            commit: words[3] == "commit",
        },
        "end" => Event::End {
            at,
            writer: words[1].clone(),
            txn: number(&words[2]),
            outcome: serde_json::from_value(serde_json::json!(words[3])).expect("an outcome"),
        },
        "poll" => Event::Poll {
            at,
            reader: words[1].clone(),
            isolation: serde_json::from_value(serde_json::json!(words[2])).expect("a level"),
            topic: words[3].clone(),
            records: words[4..]
                .iter()
                .map(|word| {
                    let (place, value) = word.split_once('=').expect("a value");
                    let (partition, offset) = place.split_once('@').expect("a place");
                    let partition = partition.parse().expect("a number");
                    (partition, number(offset), value.replace(',', " "))
                })
                .collect(),
        },
        "killed" => Event::Killed {
            at,
            process: json(&words[1]),
        },
        other => panic!("{other}?"),
    }
}

fn history(script: &str) -> History {
    let lines = script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let events = lines.zip(1..).map(|(line, at)| event(at, line));
    History {
        events: events.collect(),
    }
}

#[track_caller]
fn expect(script: &str, anomalies: &[&str]) {
    let found = check(&history(script));
    let mut said: Vec<_> = found.iter().map(Anomaly::to_string).collect();
    said.sort();
    let wanted: Vec<_> = anomalies.iter().map(|&text| text.to_owned()).collect();
    assert_eq!(said, wanted);
}

/// One committed, one aborted, one unknown transaction, plain records, and copies.
const GOOD: &str = "
    hello p t i c | rc ru
    send t 1 events 0:1 1:2
    ending t 1 commit
    end t 1 committed
    send t 2 events 0:3
    ending t 2 abort
    end t 2 aborted
    send i 0 events 0:1 0:2
    acked i 1@4
    send t 3 events 1:4
    ending t 3 commit
    end t 3 unknown
    send c 1 copies 0:1 1:2
    ending c 1 commit
    end c 1 committed
    send c 2 copies 0:3
    ending c 2 commit
    end c 2 committed
    poll rc committed events 0@0=t,1,1 0@4=i,0,1 1@0=t,1,2
    poll ru uncommitted events 0@0=t,1,1 0@2=t,2,3 0@4=i,0,1 1@0=t,1,2
    poll rc committed copies 0@0=c,1,1,0 1@0=c,1,2,0 0@2=c,2,3,4
    poll ru uncommitted copies 0@0=c,1,1,0 1@0=c,1,2,0 0@2=c,2,3,4
";

#[test]
fn a_good_history_is_good() {
    expect(GOOD, &[]);
}

#[test]
fn an_unknown_transaction_may_be_there_or_not() {
    let there = GOOD
        .replace("1@0=t,1,2", "1@0=t,1,2 1@2=t,3,4")
        .replace("send c 2 copies 0:3", "send c 2 copies 0:3 1:4")
        .replace("0@2=c,2,3,4", "0@2=c,2,3,4 1@2=c,2,4,2");
    expect(&there, &[]);
}

/// A story with the one topic nobody copies.
#[track_caller]
fn other(script: &str, anomalies: &[&str]) {
    expect(&script.replace("TOPIC", "other"), anomalies);
}

#[test]
fn lost_when_acknowledged() {
    other(
        "send i 0 TOPIC 0:1 0:2
         acked i 1@0 2@1
         poll r committed TOPIC 0@1=i,0,2",
        &["lost: i#1 was acknowledged (or its transaction committed), and nobody can read it"],
    );
}

#[test]
fn lost_when_committed() {
    other(
        "send t 1 TOPIC 0:1 1:2
         ending t 1 commit
         end t 1 committed
         poll r committed TOPIC 0@0=t,1,1",
        &["lost: t#2 was acknowledged (or its transaction committed), and nobody can read it"],
    );
}

#[test]
fn committed_for_some_only() {
    // Who reads everything finds it, who reads what is committed does not.
    other(
        "send t 1 TOPIC 0:1
         ending t 1 commit
         end t 1 committed
         poll u uncommitted TOPIC 0@0=t,1,1
         poll r committed TOPIC",
        &["lost: t#1 was acknowledged (or its transaction committed), and nobody can read it"],
    );
}

#[test]
fn not_acknowledged_is_not_owed() {
    other(
        "send i 0 TOPIC 0:1 0:2
         acked i 2@0
         poll r committed TOPIC 0@0=i,0,2",
        &[],
    );
}

#[test]
fn duplicate() {
    other(
        "send i 0 TOPIC 0:1
         poll r committed TOPIC 0@0=i,0,1 0@1=i,0,1",
        &["duplicate: i#1 is at other/0@0 and at other/0@1"],
    );
}

#[test]
fn duplicate_in_another_partition() {
    other(
        "send i 0 TOPIC 0:1
         poll r committed TOPIC 0@0=i,0,1 1@0=i,0,1",
        &[
            "duplicate: i#1 is at other/0@0 and at other/1@0",
            "misplaced [inconsistent offsets]: i#1 should be at other/0@0 and is at other/1@0",
        ],
    );
}

#[test]
fn aborted_read() {
    other(
        "send t 1 TOPIC 0:1
         ending t 1 abort
         end t 1 aborted
         poll r committed TOPIC 0@0=t,1,1",
        &["aborted read [G1a]: r read t#1 at other/0@0; its transaction was aborted"],
    );
}

#[test]
fn aborted_read_although_the_answer_was_lost() {
    other(
        "send t 1 TOPIC 0:1
         ending t 1 abort
         end t 1 unknown
         poll r committed TOPIC 0@0=t,1,1",
        &["aborted read [G1a]: r read t#1 at other/0@0; its transaction was aborted"],
    );
}

#[test]
fn who_reads_everything_may_see_what_is_aborted() {
    other(
        "send t 1 TOPIC 0:1
         ending t 1 abort
         end t 1 aborted
         poll r uncommitted TOPIC 0@0=t,1,1",
        &[],
    );
}

#[test]
fn early_read() {
    other(
        "send t 1 TOPIC 0:1
         poll r committed TOPIC 0@0=t,1,1
         ending t 1 commit
         end t 1 committed",
        &["early read: r read t#1 at other/0@0 1 ms before its commit was asked for"],
    );
}

#[test]
fn unasked_commit() {
    other(
        "send t 1 TOPIC 0:1
         poll r committed TOPIC 0@0=t,1,1",
        &["r read t#1 at other/0@0; nobody ever asked to commit its transaction"],
    );
}

#[test]
fn torn_transaction() {
    other(
        "send t 1 TOPIC 0:1 1:2 1:3
         ending t 1 commit
         end t 1 unknown
         poll r committed TOPIC 0@0=t,1,1 1@0=t,1,2",
        &["torn transaction: 2 of 3 records of t/1 are committed"],
    );
}

#[test]
fn reordered() {
    other(
        "send i 0 TOPIC 0:1 0:2
         poll r committed TOPIC 0@0=i,0,2 0@1=i,0,1",
        &["reordered [nonmonotonic send]: i#1 was sent before i#2 and is behind it, at other/0@1"],
    );
}

#[test]
fn misplaced() {
    other(
        "send i 0 TOPIC 0:1
         acked i 1@7
         poll r committed TOPIC 0@8=i,0,1",
        &["misplaced [inconsistent offsets]: i#1 should be at other/0@7 and is at other/0@8"],
    );
}

#[test]
fn invented() {
    other(
        "send t 1 TOPIC 0:1
         poll r uncommitted TOPIC 0@0=t,2,1 0@1=x,0,1 0@2=rubbish",
        &[
            "invented: \"rubbish\" at other/0@2 was never sent",
            "invented: \"t 2 1\" at other/0@0 was never sent",
            "invented: \"x 0 1\" at other/0@1 was never sent",
        ],
    );
}

#[test]
fn changed() {
    other(
        "send i 0 TOPIC 0:1 0:2
         poll r committed TOPIC 0@0=i,0,1
         poll s uncommitted TOPIC 0@0=i,0,2",
        &["changed: other/0@0 is \"i 0 1\" for r and \"i 0 2\" for s"],
    );
}

#[test]
fn went_back() {
    other(
        "send i 0 TOPIC 0:1 0:2
         poll r committed TOPIC 0@0=i,0,1 0@1=i,0,2
         poll r committed TOPIC 0@1=i,0,2",
        &["went back [nonmonotonic poll]: r was given other/0@1 after offset 1"],
    );
}

#[test]
fn skipped() {
    other(
        "send i 0 TOPIC 0:1 0:2 0:3
         poll r committed TOPIC 0@0=i,0,1 0@1=i,0,2 0@2=i,0,3
         poll s committed TOPIC 0@0=i,0,1 0@2=i,0,3",
        &["skipped [poll skip]: s read on to offset 2 without other/0@1"],
    );
}

#[test]
fn skipped_by_who_began_behind_the_start() {
    other(
        "send i 0 TOPIC 0:1 0:2
         poll r committed TOPIC 0@0=i,0,1 0@1=i,0,2
         poll s committed TOPIC 0@1=i,0,2",
        &["skipped [poll skip]: s read on to offset 1 without other/0@0"],
    );
}

#[test]
fn unseen_by_those_who_live() {
    let script = "hello p i | r s
         send i 0 TOPIC 0:1 1:2
         poll r committed TOPIC 0@0=i,0,1 1@0=i,0,2
         poll s committed TOPIC 0@0=i,0,1";
    let unseen = "unseen: s did not get to other/1@0, the last it can read; it is at None";
    other(script, &[unseen]);
    other(&format!("{script}\n killed p"), &[]);
}

#[test]
fn copied_twice() {
    let bad = GOOD
        .replace("send c 2 copies 0:3", "send c 2 copies 0:3 0:4")
        .replace("0@2=c,2,3,4", "0@2=c,2,3,4 0@3=c,2,4,4");
    let twice = "copied twice: events/0@4 is at copies/0@2 and at copies/0@3";
    expect(&bad, &[twice]);
}

#[test]
fn not_copied() {
    let bad = GOOD
        .replace("send c 2 copies 0:3", "send c 2 copies")
        .replace("0@2=c,2,3,4", "");
    expect(&bad, &["not copied: events/0@4"]);
}

#[test]
fn copied_what_was_not_committed() {
    let bad = GOOD
        .replace("send c 2 copies 0:3", "send c 2 copies 0:3 0:4")
        .replace("0@2=c,2,3,4", "0@2=c,2,3,4 0@3=c,2,4,2");
    let copied = "copied what was not committed: events/0@2, to copies/0@3";
    expect(&bad, &[copied]);
}

#[test]
fn copied_out_of_order() {
    let bad = GOOD
        .replace("0@0=c,1,1,0", "0@0=c,1,1,4")
        .replace("0@2=c,2,3,4", "0@2=c,2,3,0");
    let order =
        "copied out of order: copies/0@2 is events/0@0, which is before what was copied before it";
    expect(&bad, &[order]);
}

#[test]
fn stuck() {
    let script = history(
        "hello p t i | r
         hello q u | v
         killed q
         send t 1 events 0:1
         end t 1 committed
         acked i.2 1@0
         poll r committed events 0@0=t,1,1",
    );
    assert_eq!(stalled(&script, 4, 1000, 5), []);
    // The plain writer's last success is of before the calm, and u and v were killed.
    let said = stalled(&script, 7, 1000, 500);
    let who: Vec<_> = said.iter().map(Anomaly::to_string).collect();
    let expected = ["i", "t"].map(|who| format!("stuck: {who} got nothing done in 993 ms"));
    assert!(
        who.len() == 2 && expected.iter().all(|line| who.contains(line)),
        "{who:?}"
    );
}

#[test]
fn a_torn_last_line_is_left_out() {
    let folder = tempfile::tempdir().expect("folder");
    let whole = r#"{"op":"killed","at":1,"process":"p"}"#;
    let text = format!("{whole}\n{}", &whole[..20]);
    std::fs::write(folder.path().join("p.jsonl"), text).expect("written");
    let loaded = History::load(folder.path()).expect("loaded");
    let killed = Event::Killed {
        at: 1,
        process: "p".to_owned(),
    };
    assert_eq!(loaded.events, [killed]);
}
