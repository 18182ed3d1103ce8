//! The recording of Kafka beside a run of Tidelog: what agrees, what differs, what is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::allowed::{Allowed, Place, Ruling};
use super::compare::{Difference, compare, shown};
use super::transcript::{Entry, NOT_SERVED, Transcript, Transcripts};

/// How the answers of one version of one API compare, over all scripts; the worst counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    Same,
    Wanted,
    NotServed,
    Defect,
    Unknown,
}

/// A difference that is not wanted.
#[derive(Debug)]
pub struct Finding {
    pub script: String,
    pub step: String,
    pub api: String,
    pub version: i16,
    pub difference: Difference,
    /// Whether it is among the known defects.
    pub known: bool,
}

/// Without API and version, in front of which they stand.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { path, kafka, ours } = &self.difference;
        let (kafka, ours) = (shown(kafka), shown(ours));
        let (script, step) = (&self.script, &self.step);
        write!(f, "{script} / {step} / {path}: Kafka {kafka}, ours {ours}")
    }
}

#[derive(Debug, Default)]
pub struct Verdict {
    /// By API and version.
    pub marks: BTreeMap<(String, i16), Mark>,
    pub findings: Vec<Finding>,
    /// Requests compared, and those of them answered alike.
    pub compared: usize,
    pub same: usize,
    /// What is wrong with the run or the recording themselves.
    pub faults: BTreeSet<String>,
}

impl Verdict {
    pub fn of(kafka: &Transcripts, ours: &Transcripts, allowed: &Allowed) -> Self {
        let mut verdict = Self::default();
        for (script, ours) in ours {
            if let Some(kafka) = kafka.get(script) {
                verdict.script(script, kafka, ours, allowed);
            } else {
                verdict.faults.insert(format!("{script} is not recorded"));
            }
        }
        verdict
    }

    /// The findings that no list knows, as lines; versions that differ alike share one.
    pub fn unknown(&self) -> Vec<String> {
        let mut lines: Vec<(&Finding, String, i16)> = Vec::new();
        for finding in self.findings.iter().filter(|finding| !finding.known) {
            let text = finding.to_string();
            let mut said = lines.iter_mut();
            match said.find(|(first, said, _)| first.step == finding.step && *said == text) {
                Some((_, _, last)) => *last = finding.version,
                None => lines.push((finding, text, finding.version)),
            }
        }
        let line = |(finding, text, last): (&Finding, String, i16)| match finding.version == last {
            true => format!("{} v{last}: {text}", finding.api),
            false => format!("{} v{}-{last}: {text}", finding.api, finding.version),
        };
        lines.into_iter().map(line).collect()
    }

    fn script(&mut self, script: &str, kafka: &Transcript, ours: &Transcript, allowed: &Allowed) {
        let missing = ours.stopped.as_deref().unwrap_or("the step did not happen");
        let lacks = missing.starts_with(NOT_SERVED);
        if let Some(stop) = ours.stopped.as_deref().filter(|_| lacks) {
            self.lack_of(stop, allowed);
        } else if let Some(stop) = &ours.stopped {
            self.faults.insert(format!("{script} stopped: {stop}"));
        }
        for entry in &kafka.entries {
            match ours.find(&entry.step, &entry.api, entry.version) {
                Some(said) if said.answer == NOT_SERVED => {
                    if !allowed.may_lack(&entry.api, entry.version) {
                        let (api, version) = (&entry.api, entry.version);
                        self.faults
                            .insert(format!("{NOT_SERVED}: {api} v{version}"));
                    }
                    self.mark(entry, Mark::NotServed);
                }
                Some(said) => self.entry(script, entry, &said.answer, allowed),
                None if lacks && !allowed.may_lack(&entry.api, entry.version) => {}
                None if lacks => self.mark(entry, Mark::NotServed),
                None => self.entry(script, entry, &missing.into(), allowed),
            }
        }
        for entry in &ours.entries {
            let recorded = kafka.find(&entry.step, &entry.api, entry.version);
            if recorded.is_none() && ours.stopped.is_none() {
                let (step, version) = (&entry.step, entry.version);
                self.faults
                    .insert(format!("{script}: {step} v{version} is not recorded"));
            }
        }
    }

    /// A script that ended at an API that is not there: it must be one that is known to be missing.
    fn lack_of(&mut self, stop: &str, allowed: &Allowed) {
        let lack = stop
            .strip_prefix(NOT_SERVED)
            .and_then(|rest| rest.strip_prefix(": "));
        let lack = lack.and_then(|rest| rest.split_once(" v"));
        let known = lack.is_some_and(|(api, version)| {
            version
                .parse()
                .is_ok_and(|version| allowed.may_lack(api, version))
        });
        if !known {
            self.faults.insert(stop.to_owned());
        }
    }

    fn entry(&mut self, script: &str, kafka: &Entry, ours: &Value, allowed: &Allowed) {
        let mut worst = Mark::Same;
        for difference in compare(&kafka.answer, ours) {
            let place = Place {
                script,
                step: &kafka.step,
                api: &kafka.api,
                version: kafka.version,
            };
            let ruling = allowed.judge(place, &difference);
            worst = worst.max(match ruling {
                Ruling::Wanted => Mark::Wanted,
                Ruling::Defect => Mark::Defect,
                Ruling::Unknown => Mark::Unknown,
            });
            if ruling != Ruling::Wanted {
                self.findings.push(Finding {
                    script: script.to_owned(),
                    step: kafka.step.clone(),
                    api: kafka.api.clone(),
                    version: kafka.version,
                    difference,
                    known: ruling == Ruling::Defect,
                });
            }
        }
        self.compared += 1;
        self.same += usize::from(worst == Mark::Same);
        self.mark(kafka, worst);
    }

    fn mark(&mut self, entry: &Entry, mark: Mark) {
        let key = (entry.api.clone(), entry.version);
        let worst = self.marks.entry(key).or_insert(Mark::Same);
        *worst = (*worst).max(mark);
    }
}
