//! `compat-tests/REPORT.md`: API × version × result, and clients.

use std::fmt::Write as _;

use super::allowed::Allowed;
use super::schema::Messages;
use super::verdict::{Mark, Verdict};

/// The document that is committed; a test compares.
pub fn markdown(messages: &Messages, verdict: &Verdict, allowed: &Allowed) -> String {
    let mut text = String::from(HEAD);
    let (compared, same) = (verdict.compared, verdict.same);
    let apart = compared - same;
    let _ = writeln!(
        text,
        "{compared} answers compared: {same} alike, {apart} with differences listed below.\n"
    );
    let newest = messages
        .apis()
        .iter()
        .map(|api| *api.versions.end())
        .max()
        .unwrap_or(0);
    text.push_str("| Key | API |");
    for version in 0..=newest {
        let _ = write!(text, " {version} |");
    }
    let _ = writeln!(text, "\n|---|---|{}", "---|".repeat(newest as usize + 1));
    for api in messages.apis() {
        let _ = write!(text, "| {} | {} |", api.key, api.name);
        for version in 0..=newest {
            let mark = verdict.marks.get(&(api.name.clone(), version));
            let sign = match mark {
                _ if !api.versions.contains(&version) => "",
                None => "?",
                Some(Mark::Same) => "=",
                Some(Mark::Wanted) => "≈",
                Some(Mark::NotServed) => "–",
                Some(Mark::Defect | Mark::Unknown) => "✗",
            };
            let _ = write!(text, " {sign} |");
        }
        text.push('\n');
    }
    text.push_str("\n## Wanted differences (≈)\n\n| Scripts | Where | Reason |\n|---|---|---|\n");
    rows(&mut text, allowed.wanted());
    text.push_str("\n## Known defects (✗)\n\n| Scripts | Where | What |\n|---|---|---|\n");
    rows(&mut text, allowed.defects());
    text.push('\n');
    text.push_str(CLIENTS);
    text
}

/// What clients did, made by `tests/report_card.rs`.
const CLIENTS: &str = include_str!("../../clients.md");

fn rows(text: &mut String, rules: impl Iterator<Item = [String; 3]>) {
    for [scripts, place, reason] in rules {
        let place = if place.is_empty() {
            "the whole answer"
        } else {
            &place
        };
        let _ = writeln!(text, "| `{scripts}` | `{place}` | {reason} |");
    }
}

const HEAD: &str = "\
# Tidelog beside Apache Kafka 4.3.1

Made by `cargo test -p tidelog-compat-tests --test differential` from recorded answers of Kafka and a run
of Tidelog; see [differential](differential/README.md). A column is a version of an API:
= every answer is the same, ≈ there are wanted differences, ✗ there are known defects, – not served yet,
? never asked.

";
