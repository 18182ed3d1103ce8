//! The clients' half of `REPORT.md`: which client asked for which API in which version, and what came of
//! the scenarios in which it did.
//!
//! Each client runs each of its scenarios on a broker that notes its requests; an API's versions are
//! known to work with a client where all scenarios that used them passed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::Result;

use crate::broker::Broker;
use crate::foreign::Client;

/// What came of one scenario of one client.
#[derive(Debug)]
pub struct Run {
    pub client: &'static str,
    pub scenario: &'static str,
    pub passed: bool,
    pub requests: BTreeMap<String, BTreeSet<i16>>,
}

/// Runs scenarios of a client, each on a broker of its own.
pub fn run(client: &Client, scenarios: &[&'static str]) -> Result<Vec<Run>> {
    let runs = scenarios.iter().map(|scenario| {
        let broker = Broker::start_noting()?;
        let verdict = client.run(&broker.address(), scenario, &[])?;
        Ok(Run {
            client: client.name,
            scenario,
            passed: verdict.passed(),
            requests: broker.requests()?,
        })
    });
    runs.collect()
}

/// The tables, as they stand in `REPORT.md`.
pub fn markdown(runs: &[Run]) -> String {
    let mut clients: Vec<&str> = Vec::new();
    let mut scenarios: Vec<&str> = Vec::new();
    for run in runs {
        if !clients.contains(&run.client) {
            clients.push(run.client);
        }
        if !scenarios.contains(&run.scenario) {
            scenarios.push(run.scenario);
        }
    }
    let mut text = String::from(HEAD);
    head(&mut text, "Scenario", &clients);
    for scenario in scenarios {
        let _ = write!(text, "| {scenario} |");
        for client in &clients {
            let run = runs
                .iter()
                .find(|run| run.client == *client && run.scenario == scenario);
            let sign = run.map_or("", |run| if run.passed { "✓" } else { "✗" });
            let _ = write!(text, " {sign} |");
        }
        text.push('\n');
    }
    text.push('\n');
    head(&mut text, "API", &clients);
    let apis: BTreeSet<&String> = runs.iter().flat_map(|run| run.requests.keys()).collect();
    for api in apis {
        let _ = write!(text, "| {api} |");
        for client in &clients {
            let _ = write!(text, " {} |", versions(runs, client, api));
        }
        text.push('\n');
    }
    text
}

fn head(text: &mut String, what: &str, clients: &[&str]) {
    let _ = writeln!(text, "| {what} | {} |", clients.join(" | "));
    let _ = writeln!(text, "|---|{}", "---|".repeat(clients.len()));
}

/// The versions of an API that a client used, `✗` behind those that were only used where it failed.
fn versions(runs: &[Run], client: &str, api: &str) -> String {
    let mut used: BTreeMap<i16, bool> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.client == client) {
        for version in run.requests.get(api).into_iter().flatten() {
            *used.entry(*version).or_default() |= run.passed;
        }
    }
    let used = used.into_iter().map(|(version, works)| match works {
        true => version.to_string(),
        false => format!("{version} ✗"),
    });
    used.collect::<Vec<_>>().join(", ")
}

const HEAD: &str = "\
## Clients

Made by `cargo test -p tidelog-compat-tests --test report_card -- --ignored`, which runs each scenario of each client on
a broker of its own: ✓ it passed, ✗ it failed, blank: the client cannot do that, or has no such scenario. Below, the
versions of each API that a client was seen to use.

";
