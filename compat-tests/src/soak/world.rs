//! The broker, its disk, the proxy and the programs, and how they get along until the verdict.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::json;
use tempfile::TempDir;

use super::chaos::Blow;
use super::now_ms;
use super::program::{FAMILIES, Program};
use super::proxy::{Proxy, Weather};
use crate::broker::Broker;
use crate::foreign::CONFLUENT;
use crate::history::{Anomaly, Event, History, check, since, stalled};
use crate::power::{self, Disk};

/// The first start may install libraries, and JVMs start slowly on a busy machine.
const BEGIN_WAIT: Duration = Duration::from_secs(300);
/// Nobody may be without success for longer once all is well.
const STUCK_MS: u64 = 30_000;
/// Writers end what they have begun.
const STOP_WAIT: Duration = Duration::from_secs(60);
/// Reading and copying what is there takes work, not luck.
const READ_WAIT: Duration = Duration::from_secs(120);
const DISK_MIB: u64 = 8 << 10;
const LOOK: Duration = Duration::from_millis(500);

/// Fields in the order they are dropped: programs before the broker, the broker before its disk.
#[derive(Debug)]
pub struct World {
    programs: Vec<Program>,
    lives: u32,
    broker: Broker,
    proxy: Proxy,
    disk: Option<Disk>,
    home: Option<TempDir>,
    notes: File,
}

impl World {
    /// Everything runs, and every reader and writer has got something done.
    pub fn start(cut_power: bool) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("tidelog-soak-").tempdir()?;
        let disk = cut_power.then(|| Disk::new(DISK_MIB)).transpose()?;
        let proxy = Proxy::start()?;
        let advertised = format!("advertised.listeners=PLAINTEXT://{}", proxy.address());
        let few = [
            "offsets.topic.num.partitions=4",
            "transaction.state.log.num.partitions=4",
        ];
        let both = [
            advertised.as_str(),
            few[0],
            few[1],
            "group.initial.rebalance.delay.ms=0",
        ];
        let folder = disk.as_ref().map(Disk::path);
        let broker = Broker::start_on_with(folder.as_deref(), &both)?;
        proxy.forward_to(&broker.address());

        let topics = CONFLUENT.run(&proxy.address(), "soak-topics", &[])?;
        if !topics.passed() {
            bail!("no topics: {topics}");
        }
        let notes = File::create(home.path().join("chaos.jsonl"))?;
        let mut world = Self {
            programs: Vec::new(),
            lives: 0,
            broker,
            proxy,
            disk,
            home: Some(home),
            notes,
        };
        for family in FAMILIES {
            let program = world.begin(family)?;
            world.programs.push(program);
        }
        world.wait_for_everybody(0, BEGIN_WAIT)?;
        Ok(world)
    }

    /// Power can be cut here, and a broker of ours shall survive it.
    pub fn may_cut_power() -> bool {
        let kafka = std::env::var("TIDELOG_COMPAT_BROKER").is_ok_and(|value| value == "kafka");
        power::may_mount() && !kafka
    }

    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    pub fn broker_log(&self) -> String {
        self.broker.log()
    }

    pub fn can_cut_power(&self) -> bool {
        self.disk.is_some()
    }

    /// What everybody says so far.
    pub fn history(&self) -> Result<History> {
        History::load(self.folder())
    }

    fn folder(&self) -> &Path {
        self.home.as_ref().map_or(Path::new(""), TempDir::path)
    }

    /// Leaves the histories where they are.
    pub fn keep(&mut self) -> PathBuf {
        self.home.take().map_or_else(PathBuf::new, TempDir::keep)
    }

    fn begin(&mut self, family: super::program::Family) -> Result<Program> {
        self.lives += 1;
        Program::start(family, self.lives, &self.proxy.address(), self.folder())
    }

    fn note(&mut self, text: &str) -> Result<()> {
        let line = json!({"op": "note", "at": now_ms(), "who": "chaos", "text": text});
        Ok(writeln!(self.notes, "{line}")?)
    }

    /// One stroke, from its beginning to its end.
    pub fn strike(&mut self, blow: Blow, random: &mut StdRng) -> Result<()> {
        self.note(&format!("{blow:?}"))?;
        match blow {
            Blow::Kill(down) => {
                self.refuse();
                self.broker.kill()?;
                self.come_back(down)?;
            }
            Blow::Restart(down) => {
                self.refuse();
                self.broker.terminate()?;
                self.come_back(down)?;
            }
            Blow::PowerCut(down) => {
                self.refuse();
                let disk = self.disk.as_ref().context("no disk to cut off")?;
                disk.cut()?;
                self.broker.kill()?;
                disk.restore()?;
                self.come_back(down)?;
            }
            Blow::Stop(lasts) => {
                self.broker.signal("STOP")?;
                thread::sleep(lasts);
                self.broker.signal("CONT")?;
            }
            Blow::CutAll => self.proxy.cut(|| true),
            Blow::CutSome => self.proxy.cut(|| random.random_bool(0.5)),
            Blow::Tear(frames) => self.proxy.tear(frames),
            Blow::Freeze(lasts) => self.under(lasts, |weather| weather.freeze = true),
            Blow::Slow { by, lasts } => self.under(lasts, |weather| weather.delay = by),
            Blow::Refuse(lasts) => {
                self.proxy.cut(|| true);
                self.under(lasts, |weather| weather.refuse = true);
            }
            Blow::KillClient(which) => self.kill_client(which)?,
        }
        self.note("over")
    }

    /// A broker that is down has nobody listening.
    fn refuse(&self) {
        self.proxy.weather(Weather {
            refuse: true,
            ..Weather::default()
        });
    }

    fn come_back(&mut self, down: Duration) -> Result<()> {
        thread::sleep(down);
        let ready = self.broker.restart()?;
        self.proxy.weather(Weather::default());
        self.note(&format!("ready after {ready:?}"))
    }

    fn under(&self, lasts: Duration, change: impl FnOnce(&mut Weather)) {
        let mut weather = Weather::default();
        change(&mut weather);
        self.proxy.weather(weather);
        thread::sleep(lasts);
        self.proxy.weather(Weather::default());
    }

    fn kill_client(&mut self, which: usize) -> Result<()> {
        let program = self.programs.remove(which);
        let (family, name) = (program.family, program.name.clone());
        program.kill()?;
        let line = json!({"op": "killed", "at": now_ms(), "process": name});
        writeln!(self.notes, "{line}")?;
        let next = self.begin(family)?;
        self.programs.insert(which, next);
        Ok(())
    }

    /// Everybody gets something done once all is well; then the verdict. Empty is good.
    pub fn judge(&mut self) -> Result<Vec<Anomaly>> {
        self.proxy.weather(Weather::default());
        self.proxy.tear(0);
        self.proxy.untrap();
        self.note("calm")?;
        let stuck = self.stuck(now_ms())?;
        if !stuck.is_empty() {
            return Ok(stuck);
        }
        for program in &mut self.programs {
            program.stop()?;
        }
        self.wait_for_stops()?;
        let found = self.wait_until_good()?;
        if !found.is_empty() {
            return Ok(found);
        }
        // Who was there all the time agrees; now with those who read it all anew.
        for family in FAMILIES {
            let program = Program::start_final(family, &self.proxy.address(), self.folder())?;
            self.programs.push(program);
        }
        self.wait_for_everybody(now_ms(), BEGIN_WAIT)?;
        let found = self.wait_until_good()?;
        for program in self.programs.drain(..) {
            let name = program.name.clone();
            if !program.end()? {
                bail!("{name} did not end well");
            }
        }
        Ok(found)
    }

    fn stuck(&self, calm: u64) -> Result<Vec<Anomaly>> {
        loop {
            let history = self.history()?;
            let now = now_ms();
            let stuck = stalled(&history, calm, now, STUCK_MS);
            if !stuck.is_empty() || waiting(&history, calm).is_empty() {
                return Ok(stuck);
            }
            thread::sleep(LOOK);
        }
    }

    /// Readers and writers, or only readers of those that have no writers.
    fn wait_for_everybody(&self, calm: u64, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let history = self.history()?;
            let hellos = history
                .events
                .iter()
                .filter(|event| matches!(event, Event::Hello { .. }));
            let finals = self
                .programs
                .iter()
                .filter(|program| program.name.starts_with("final"));
            let waiting = match finals.count() {
                0 => waiting(&history, calm),
                _ => Vec::new(),
            };
            if waiting.is_empty() && hellos.count() >= self.programs.len() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("after {patience:?} nothing was done by {waiting:?}");
            }
            thread::sleep(LOOK);
        }
    }

    fn wait_for_stops(&self) -> Result<()> {
        let deadline = Instant::now() + STOP_WAIT;
        loop {
            let history = self.history()?;
            let stopped = |program: &&Program| {
                history.events.iter().any(
                    |event| matches!(event, Event::Stopped { process, .. } if *process == program.name),
                )
            };
            let running: Vec<_> = self
                .programs
                .iter()
                .filter(|program| !stopped(program))
                .collect();
            if running.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("after {STOP_WAIT:?} the writers of {running:?} still run");
            }
            thread::sleep(LOOK);
        }
    }

    fn wait_until_good(&self) -> Result<Vec<Anomaly>> {
        let deadline = Instant::now() + READ_WAIT;
        loop {
            let found = check(&self.history()?);
            if found.is_empty() || Instant::now() > deadline {
                return Ok(found);
            }
            thread::sleep(LOOK);
        }
    }

    /// What clients noted, without numbers, and how often: the errors they met.
    pub fn notes(&self) -> Result<BTreeMap<String, usize>> {
        let mut counts = BTreeMap::new();
        for event in &self.history()?.events {
            if let Event::Note { who, text, .. } = event
                && who != "chaos"
            {
                let family = who.split('-').next().unwrap_or_default();
                let role = who.split(['-', '.']).nth(2).unwrap_or_default();
                let words = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':');
                let words: String = words
                    .chars()
                    .filter(|c| !c.is_ascii_digit())
                    .take(110)
                    .collect();
                *counts
                    .entry(format!("{family}-{role}:{words}"))
                    .or_default() += 1;
            }
        }
        Ok(counts)
    }

    /// How much of what was done, for people.
    pub fn summary(&self) -> Result<BTreeMap<&'static str, usize>> {
        let mut counts = BTreeMap::new();
        for event in &self.history()?.events {
            let (what, count) = match event {
                Event::Send { records, .. } => ("sent", records.len()),
                Event::Acked { records, .. } => ("acked", records.len()),
                Event::Poll { records, .. } => ("read", records.len()),
                Event::End { outcome, .. } => match outcome {
                    crate::history::Outcome::Committed => ("transactions committed", 1),
                    crate::history::Outcome::Aborted => ("transactions aborted", 1),
                    crate::history::Outcome::Unknown => ("transactions unknown", 1),
                },
                Event::Killed { .. } => ("programs killed", 1),
                _ => continue,
            };
            *counts.entry(what).or_default() += count;
        }
        Ok(counts)
    }
}

fn waiting(history: &History, calm: u64) -> Vec<String> {
    let first = since(history, calm);
    let (writers, readers) = history.expected();
    let everybody = writers.into_iter().chain(readers);
    let silent = everybody.filter(|who| !first.contains_key(who));
    silent.map(str::to_owned).collect()
}
