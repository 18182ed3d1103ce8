//! A script's talk with a broker: it asks, and every answer goes into the transcript.
//!
//! The names a script makes begin with its own, so that scripts are independent and may run at the
//! same time. What the broker does not list is not asked: a single request then ends the script with
//! [`Stop::NotServed`], and a sweep over versions goes on with the next.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};

use super::codec::{decode_response, encode_request};
use super::line::{Heard, Line, Sent, open_frame};
use super::normal::Normaliser;
use super::schema::{Api, Messages, Versions};
use super::transcript::{CLOSED, Entry, NOT_SERVED, SILENCE, Transcript};

/// A broker that has not answered by then is silent.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long to ask again while a change makes its way through the broker.
const SETTLE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// Codes that only ask for patience: a coordinator loads or moves, or a transaction still ends.
const RETRIED: [i64; 4] = [14, 15, 16, 51];

/// Why a script ended early.
#[derive(Debug)]
pub enum Stop {
    NotServed { api: String, version: i16 },
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

pub type Outcome<T = ()> = Result<T, Stop>;

/// What a script talks to.
#[derive(Debug)]
pub struct Partner<'a> {
    pub address: &'a str,
    pub messages: &'a Messages,
    /// The versions the broker lists, by key.
    pub listed: BTreeMap<i16, Versions>,
    /// When the run began, in milliseconds.
    pub began: i64,
}

impl Partner<'_> {
    fn serves(&self, api: &Api, version: i16) -> bool {
        let listed = self.listed.get(&api.key);
        listed.is_some_and(|versions| versions.contains(&version))
    }
}

/// A topic made for a script.
#[derive(Debug, Clone)]
pub struct Topic {
    pub name: String,
    pub id: String,
}

/// The hold of one script on the broker.
#[derive(Debug)]
pub struct Talk<'a> {
    script: &'a str,
    partner: &'a Partner<'a>,
    line: Line,
    normaliser: Normaliser,
    transcript: Transcript,
    only_own: bool,
}

/// Runs one script.
pub fn run(script: &str, partner: &Partner, body: fn(&mut Talk) -> Outcome) -> Transcript {
    let line = match Line::open(partner.address) {
        Ok(line) => line,
        Err(error) => {
            return Transcript {
                stopped: Some(format!("{error:#}")),
                ..Transcript::default()
            };
        }
    };
    let mut talk = Talk {
        script,
        partner,
        line,
        normaliser: Normaliser::new(partner.began),
        transcript: Transcript::default(),
        only_own: false,
    };
    if let Err(stop) = body(&mut talk) {
        talk.transcript.stopped = Some(match stop {
            Stop::NotServed { api, version } => format!("{NOT_SERVED}: {api} v{version}"),
            Stop::Failed(error) => format!("{error:#}"),
        });
    }
    talk.transcript
}

/// Names and settings.
impl Talk<'_> {
    /// A name of this script's own, for topics, groups and transactions.
    pub fn name(&self, suffix: &str) -> String {
        format!("{}{suffix}", own_prefix(self.script))
    }

    /// From now on leaves out of lists what other scripts or the broker itself made.
    pub fn only_own(&mut self) {
        self.only_own = true;
    }

    /// The versions to sweep over.
    pub fn versions(&self, api: &str) -> Outcome<Versions> {
        Ok(self.partner.messages.by_name(api)?.versions.clone())
    }

    /// The names of all APIs.
    pub fn apis(&self) -> Vec<String> {
        let apis = self.partner.messages.apis().iter();
        apis.map(|api| api.name.clone()).collect()
    }

    /// A further connection; it sends by [`Talk::send_on`].
    pub fn line(&self) -> Outcome<Line> {
        Ok(Line::open(self.partner.address)?)
    }

    pub fn sleep(&self, time: Duration) {
        thread::sleep(time);
    }
}

/// Requests that go into the transcript.
impl Talk<'_> {
    /// Asks once; answers what was heard, with the ids the broker chose.
    pub fn ask(&mut self, step: &str, api: &str, version: i16, body: Value) -> Outcome<Value> {
        let api = self.served(api, version)?;
        let answer = self.exchange(api, version, &body)?;
        self.record(step, &api.name, version, &answer)?;
        Ok(answer)
    }

    /// Asks in every version of the API.
    pub fn sweep(&mut self, step: &str, api: &str, body: impl Fn(i16) -> Value) -> Outcome {
        let versions = self.versions(api)?;
        self.sweep_in(versions, step, api, body)
    }

    /// Asks in some versions of the API.
    pub fn sweep_in(
        &mut self,
        versions: Versions,
        step: &str,
        api: &str,
        body: impl Fn(i16) -> Value,
    ) -> Outcome {
        for version in versions {
            match self.ask(step, api, version, body(version)) {
                Err(Stop::NotServed { .. }) => {
                    self.record(step, api, version, &NOT_SERVED.into())?;
                }
                asked => drop(asked?),
            }
        }
        Ok(())
    }

    /// Asks until the answer fits or does not change any more; the last one is the one recorded.
    pub fn until(
        &mut self,
        step: &str,
        api: &str,
        version: i16,
        body: Value,
        fits: impl Fn(&Value) -> bool,
    ) -> Outcome<Value> {
        let api = self.served(api, version)?;
        let deadline = Instant::now() + SETTLE;
        let mut answer = self.exchange(api, version, &body)?;
        while !fits(&answer) && Instant::now() < deadline {
            thread::sleep(PAUSE);
            answer = self.exchange(api, version, &body)?;
        }
        self.record(step, &api.name, version, &answer)?;
        Ok(answer)
    }

    /// Asks, and records beside the answer whether it took at least `wait`.
    pub fn timed(
        &mut self,
        step: &str,
        api: &str,
        version: i16,
        body: Value,
        wait: Duration,
    ) -> Outcome<Value> {
        let api = self.served(api, version)?;
        let asked = Instant::now();
        let answer = self.exchange(api, version, &body)?;
        let pace = match asked.elapsed() < wait {
            true => "at once",
            false => "waited",
        };
        let both = json!({"answered": pace, "answer": answer});
        self.record(step, &api.name, version, &both)?;
        Ok(answer)
    }

    /// Sends bytes as they are and records what follows, for up to `patience`. `api` and `version`
    /// say how an answer is to be read, if one is expected at all.
    pub fn raw(
        &mut self,
        step: &str,
        bytes: &[u8],
        expect: Option<(&str, i16)>,
        patience: Duration,
    ) -> Outcome {
        let mut line = self.line()?;
        line.send_raw(bytes)?;
        let (name, version) = expect.unwrap_or(("none", 0));
        let answer = match (line.hear(patience)?, expect) {
            (Heard::Closed, _) => CLOSED.into(),
            (Heard::Silence, _) => SILENCE.into(),
            (Heard::Frame(frame), Some(_)) => {
                let api = self.partner.messages.by_name(name)?;
                let header = 4 + usize::from(api.is_flexible(version) && name != "ApiVersions");
                let body = frame.get(header..).context("a frame without a header")?;
                read(api, version, body)
            }
            (Heard::Frame(frame), None) => json!({"bytes": frame.len()}),
        };
        self.record(step, name, version, &answer)
    }

    /// Sends on another connection; [`Talk::receive`] records the answer.
    pub fn send_on(&self, line: &mut Line, api: &str, version: i16, body: Value) -> Outcome<Sent> {
        let api = self.served(api, version)?;
        let body = encode_request(api, version, &body)?;
        Ok(line.send(api, version, &body)?)
    }

    /// Records the answer to a request sent before.
    pub fn receive(
        &mut self,
        step: &str,
        line: &mut Line,
        sent: Sent,
        (api, version): (&str, i16),
    ) -> Outcome<Value> {
        let api = self.partner.messages.by_name(api)?;
        let answer = hear(line, api, version, sent)?;
        self.record(step, &api.name, version, &answer)?;
        Ok(answer)
    }

    /// Records whether nothing comes on a connection for a while.
    pub fn expect_silence(&mut self, step: &str, line: &mut Line, wait: Duration) -> Outcome {
        let heard = match line.hear(wait)? {
            Heard::Silence => SILENCE,
            Heard::Closed => CLOSED,
            Heard::Frame(_) => "an answer",
        };
        self.record(step, "none", 0, &heard.into())
    }

    /// Records a fact that the script found out by itself.
    pub fn note(&mut self, step: &str, fact: Value) -> Outcome {
        self.record(step, "none", 0, &fact)
    }
}

/// Requests that prepare the ground and are not recorded.
impl Talk<'_> {
    pub fn quiet(&mut self, api: &str, version: i16, body: Value) -> Outcome<Value> {
        let api = self.served(api, version)?;
        self.exchange(api, version, &body)
    }

    /// Asks until the answer fits; an error if it never does.
    pub fn settle(
        &mut self,
        api: &str,
        version: i16,
        body: Value,
        fits: impl Fn(&Value) -> bool,
    ) -> Outcome<Value> {
        let deadline = Instant::now() + SETTLE;
        loop {
            let answer = self.quiet(api, version, body.clone())?;
            if fits(&answer) {
                return Ok(answer);
            }
            if Instant::now() > deadline {
                return Err(anyhow!("{api} does not settle: {answer}").into());
            }
            thread::sleep(PAUSE);
        }
    }

    pub fn topic(&mut self, suffix: &str, partitions: i32) -> Outcome<Topic> {
        self.topic_with(suffix, partitions, &[])
    }

    /// Makes a topic and waits until all its partitions answer.
    pub fn topic_with(
        &mut self,
        suffix: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Outcome<Topic> {
        let name = self.name(suffix);
        let configs = configs.iter();
        let configs: Vec<_> = configs
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect();
        let topic = json!({"name": name, "num_partitions": partitions, "replication_factor": 1,
            "configs": configs});
        let made = self.quiet(
            "CreateTopics",
            5,
            json!({"topics": [topic], "timeout_ms": 10_000}),
        )?;
        ensure_zero(&made["topics"][0]["error_code"], &made)?;
        self.leaders_answer(&name, partitions)?;
        let asked = json!({"topics": [{"name": name}]});
        let metadata = self.quiet("Metadata", 12, asked)?;
        let id = metadata["topics"][0]["topic_id"].as_str();
        let id = id.context("a topic without an id")?.to_owned();
        self.normaliser.name("topic", &id, suffix);
        Ok(Topic { name, id })
    }

    /// Waits until every leader takes requests: Kafka's refuse for a moment after a topic was made.
    pub fn leaders_answer(&mut self, name: &str, partitions: i32) -> Outcome {
        let partition = |index| json!({"partition_index": index, "timestamp": -1});
        let indexes: Vec<_> = (0..partitions).map(partition).collect();
        let body = json!({"replica_id": -1, "topics": [{"name": name, "partitions": indexes}]});
        self.settle("ListOffsets", 5, body, |answer| {
            let partitions = answer["topics"][0]["partitions"].as_array();
            partitions.is_some_and(|all| all.iter().all(|each| each["error_code"] == 0))
        })?;
        Ok(())
    }
}

impl<'a> Talk<'a> {
    fn served(&self, api: &str, version: i16) -> Outcome<&'a Api> {
        let api = self.partner.messages.by_name(api)?;
        match self.partner.serves(api, version) {
            true => Ok(api),
            false => Err(Stop::NotServed {
                api: api.name.clone(),
                version,
            }),
        }
    }

    /// Sends and hears; asks again while all the broker wants is patience.
    fn exchange(&mut self, api: &Api, version: i16, body: &Value) -> Outcome<Value> {
        let body = encode_request(api, version, body)?;
        let deadline = Instant::now() + SETTLE;
        loop {
            let sent = self.line.send(api, version, &body)?;
            let answer = hear(&mut self.line, api, version, sent)?;
            if answer == CLOSED || answer == SILENCE {
                self.line.reopen()?;
            }
            if !asks_for_patience(&answer) || Instant::now() > deadline {
                return Ok(answer);
            }
            thread::sleep(PAUSE);
        }
    }

    fn record(&mut self, step: &str, api: &str, version: i16, answer: &Value) -> Outcome {
        if self.transcript.find(step, api, version).is_some() {
            return Err(anyhow!("two steps are called {step:?}, {api} v{version}").into());
        }
        let own = own_prefix(self.script);
        let answer = match self.only_own {
            true => without_others(answer, &own),
            false => answer.clone(),
        };
        self.transcript.entries.push(Entry {
            step: step.to_owned(),
            api: api.to_owned(),
            version,
            answer: self.normaliser.normalise(&answer, now_ms()),
        });
        Ok(())
    }
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    time.map_or(0, |time| time.as_millis() as i64)
}

/// An error if a code is not 0.
pub fn ensure_zero(code: &Value, answer: &Value) -> Outcome {
    match *code == 0 {
        true => Ok(()),
        false => Err(anyhow!("not prepared: {answer}").into()),
    }
}

fn own_prefix(script: &str) -> String {
    format!("{PREFIX}{}.", script.replace('/', "-"))
}

/// All names that scripts make begin with this.
const PREFIX: &str = "diff.";

fn hear(line: &mut Line, api: &Api, version: i16, sent: Sent) -> Outcome<Value> {
    Ok(match line.hear(PATIENCE)? {
        Heard::Closed => CLOSED.into(),
        Heard::Silence => SILENCE.into(),
        Heard::Frame(frame) => match open_frame(api, version, sent, &frame) {
            Ok(body) => read(api, version, body),
            Err(error) => json!({ "unreadable": format!("{error:#}") }),
        },
    })
}

fn read(api: &Api, version: i16, body: &[u8]) -> Value {
    match decode_response(api, version, body) {
        Ok(tree) => tree,
        Err(error) => json!({ "unreadable": format!("{error:#}") }),
    }
}

fn asks_for_patience(tree: &Value) -> bool {
    match tree {
        Value::Array(elements) => elements.iter().any(asks_for_patience),
        Value::Object(object) => object.iter().any(|(name, value)| match value.as_i64() {
            Some(code) => name == "error_code" && RETRIED.contains(&code),
            None => asks_for_patience(value),
        }),
        _ => false,
    }
}

/// Leaves out elements that are named after what other scripts, or the broker itself, made.
fn without_others(tree: &Value, own: &str) -> Value {
    let is_others = |value: &Value| {
        let fields = [
            "name",
            "topic",
            "topic_name",
            "group_id",
            "transactional_id",
            "resource_name",
        ];
        let mut names = fields
            .iter()
            .filter_map(|field| value.get(*field)?.as_str());
        names.any(|name| {
            name.starts_with("__") || (name.starts_with(PREFIX) && !name.starts_with(own))
        })
    };
    match tree {
        Value::Array(elements) => {
            let own_elements = elements.iter().filter(|value| !is_others(value));
            own_elements
                .map(|value| without_others(value, own))
                .collect()
        }
        Value::Object(object) => {
            let fields = object.iter();
            let fields = fields.map(|(name, value)| (name.clone(), without_others(value, own)));
            Value::Object(fields.collect())
        }
        value => value.clone(),
    }
}
