//! Tidelog's answers to the corpus beside those recorded of Apache Kafka 4.3.1.
//!
//! `TIDELOG_RECORD=kafka` asks a real Kafka and writes its answers down instead;
//! `TIDELOG_COMPAT_BROKER=kafka` compares a real Kafka with its own recording, which shows that the
//! corpus is steady; `TIDELOG_BLESS=1` writes `REPORT.md` anew; `TIDELOG_SCRIPTS=fetch/` runs a part.

use std::collections::BTreeSet;
use std::path::PathBuf;

use tidelog_compat_tests::broker::Broker;
use tidelog_compat_tests::differential::allowed::Allowed;
use tidelog_compat_tests::differential::corpus::{self, Script};
use tidelog_compat_tests::differential::schema::Messages;
use tidelog_compat_tests::differential::transcript::{self, Transcripts};
use tidelog_compat_tests::differential::verdict::Verdict;
use tidelog_compat_tests::differential::{self as differential, folder, report};
use tidelog_compat_tests::workspace;

fn recorded() -> PathBuf {
    folder().join("recorded")
}

/// The scripts chosen, and whether that is all of them.
fn chosen() -> (Vec<Script>, bool) {
    let all = corpus::all();
    match std::env::var("TIDELOG_SCRIPTS") {
        Ok(start) => {
            let some = all
                .into_iter()
                .filter(|script| script.name.starts_with(&start));
            (some.collect(), false)
        }
        Err(_) => (all, true),
    }
}

fn run(messages: &Messages, scripts: &[Script]) -> Transcripts {
    let broker = Broker::start_with(
        differential::COMMON_SETTINGS,
        differential::KAFKA_SETTINGS,
        differential::TIDELOG_SETTINGS,
    )
    .expect("broker");
    differential::run(&broker.address(), messages, scripts).expect("a run")
}

/// Writes down what Kafka answers.
fn record(messages: &Messages, scripts: &[Script], whole: bool) {
    let mut all = run(messages, scripts);
    let stopped: Vec<String> = all
        .iter()
        .filter_map(|(name, transcript)| Some(format!("{name}: {}", transcript.stopped.as_ref()?)))
        .collect();
    if !whole {
        let mut before = transcript::read(&recorded()).expect("recordings");
        before.append(&mut all);
        all = before;
    }
    transcript::write(&recorded(), &all).expect("recordings");
    assert!(stopped.is_empty(), "{}", stopped.join("\n"));
}

#[test]
fn tidelog_answers_as_kafka_did() {
    let messages = Messages::kafka().expect("messages");
    let (scripts, whole) = chosen();
    if std::env::var_os("TIDELOG_RECORD").is_some() {
        return record(&messages, &scripts, whole);
    }
    let text = std::fs::read_to_string(folder().join("allowed.toml")).expect("allowed.toml");
    let allowed = Allowed::parse(&text).expect("allowed.toml");
    let kafka = transcript::read(&recorded()).expect("recordings");
    let ours = run(&messages, &scripts);
    let verdict = Verdict::of(&kafka, &ours, &allowed);

    let mut faults: Vec<String> = verdict.faults.iter().cloned().collect();
    faults.extend(verdict.unknown());
    let is_kafka = std::env::var_os("TIDELOG_COMPAT_BROKER").is_some();
    if whole && !is_kafka {
        let unused = allowed.unused().into_iter();
        faults.extend(unused.map(|rule| format!("nothing needs this in allowed.toml: {rule}")));
        check_report(
            &report::markdown(&messages, &verdict, &allowed),
            &mut faults,
        );
    }
    println!(
        "{} answers compared, {} alike",
        verdict.compared, verdict.same
    );
    assert!(
        faults.is_empty(),
        "{} faults\n{}",
        faults.len(),
        faults.join("\n")
    );
}

fn check_report(text: &str, faults: &mut Vec<String>) {
    let path = workspace().join("compat-tests/REPORT.md");
    if std::env::var_os("TIDELOG_BLESS").is_some() {
        std::fs::write(&path, text).expect("REPORT.md");
    }
    if std::fs::read_to_string(&path).unwrap_or_default() != text {
        faults.push("REPORT.md is not current: run this with TIDELOG_BLESS=1".to_owned());
    }
}

#[test]
fn the_recordings_are_of_this_corpus() {
    let scripts: BTreeSet<_> = corpus::all().iter().map(|script| script.name).collect();
    assert_eq!(
        scripts.len(),
        corpus::all().len(),
        "two scripts have one name"
    );
    let kafka = transcript::read(&recorded()).expect("recordings");
    let recorded: BTreeSet<_> = kafka.keys().map(String::as_str).collect();
    assert_eq!(scripts, recorded);
}

#[test]
fn every_version_kafka_lists_is_asked() {
    let messages = Messages::kafka().expect("messages");
    let kafka = transcript::read(&recorded()).expect("recordings");
    let entries = kafka.values().flat_map(|transcript| &transcript.entries);
    let asked: BTreeSet<_> = entries.map(|e| (e.api.as_str(), e.version)).collect();
    for api in messages.apis() {
        for version in api.versions.clone() {
            let is_asked = asked.contains(&(api.name.as_str(), version));
            assert!(is_asked, "{} v{version}", api.name);
        }
    }
}
