//! Fetch sessions (KIP-227): a client names its partitions once, then only what changed; it is told
//! only of partitions that changed.
//!
//! ```text
//! epoch −1        no session; one that is named ends         all partitions in, all out
//! epoch 0         a new session, if there is room            all partitions in, all out
//! epoch 1, 2, …   the session's next round                   changes in, changes out
//! ```
//! - A round is opened with [`FetchSessions::open`] and, once its answers are known, closed with
//!   [`FetchSessions::close`], which says which of them are sent.
//! - A partition whose records were sent goes to the end, so that the first ones do not take the
//!   whole of every answer.
//! - The cache is bounded in sessions and in partitions. When it is full a new session takes the
//!   place of one that is idle, or of a smaller one that has had its time; else it is refused
//!   (id 0) and the client goes on without.
//!
//! Time and fresh ids are arguments.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use tidelog_coordinator::cluster::Topic;
use tidelog_protocol_ext::fetch_response::FetchPartition;

use super::target::TopicKey;

/// How long a session is safe from others: Kafka's fixed two minutes.
const SAFE_MS: i64 = 120_000;

/// Partitions remembered in all sessions together, some hundred bytes each.
const PARTITIONS_MAX: usize = 500_000;

/// Epoch of a request that wants no session, or no longer.
const FINAL_EPOCH: i32 = -1;
/// Epoch of a request that begins a session.
const INITIAL_EPOCH: i32 = 0;
/// Id of no session.
pub const NO_SESSION: i32 = 0;

/// One partition a client reads, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub topic: TopicKey,
    pub index: i32,
    pub fetch_offset: i64,
    pub max_bytes: u64,
    /// Leader epoch the client knows; negative for none.
    pub leader_epoch: i32,
    /// Leader epoch of the record before `fetch_offset`; negative for none.
    pub last_fetched_epoch: i32,
    /// The topic as this session found it before.
    pub seen: Option<Arc<Topic>>,
}

/// What a request says of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    pub session_id: i32,
    pub epoch: i32,
    /// Topics are named by id.
    pub by_ids: bool,
}

/// Why a session cannot go on. The client begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    #[error("there is no such fetch session")]
    Unknown,
    #[error("the fetch session is at another epoch")]
    Epoch,
    #[error("the fetch session changed between topic names and topic ids")]
    KeyKind,
}

/// One exchange: what is to be read, and how its answers are sent.
#[derive(Debug)]
pub struct Round {
    /// In the order in which partitions have their turn.
    pub wanted: Vec<Wanted>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Sessionless,
    New { by_ids: bool },
    Next { session_id: i32, epoch: i32 },
}

/// What became of a round's partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub topic: TopicKey,
    pub response: FetchPartition,
    /// The topic that was found.
    pub seen: Option<Arc<Topic>>,
}

/// Whom a session remembers by.
type Key = (TopicKey, i32);

/// All sessions of a broker.
#[derive(Debug)]
pub struct FetchSessions {
    sessions_max: usize,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    sessions: HashMap<i32, Session>,
    /// In all sessions together.
    partitions: usize,
}

#[derive(Debug)]
struct Session {
    /// Of the next request.
    epoch: i32,
    by_ids: bool,
    created_ms: i64,
    used_ms: i64,
    partitions: HashMap<Key, Cached>,
    /// Turn of each partition.
    order: BTreeMap<u64, Key>,
    next_turn: u64,
}

#[derive(Debug)]
struct Cached {
    turn: u64,
    wanted: Wanted,
    told: Told,
}

/// What the client was last told of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    /// −1 after an error, so that its end is told too.
    high_watermark: i64,
    last_stable_offset: i64,
    log_start_offset: i64,
}

impl Told {
    const NOTHING: Self = Self {
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
    };

    fn by(response: &FetchPartition) -> Self {
        if response.error_code.is_error() {
            return Self::NOTHING;
        }
        Self {
            high_watermark: response.high_watermark,
            last_stable_offset: response.last_stable_offset,
            log_start_offset: response.log_start_offset,
        }
    }
}

impl FetchSessions {
    /// A cache of at most `sessions_max` sessions.
    pub fn new(sessions_max: usize) -> Self {
        Self {
            sessions_max,
            cache: Mutex::default(),
        }
    }

    /// Begins a round with what a request names, adds and forgets.
    ///
    /// # Errors
    /// The request goes on with a session that cannot go on.
    pub fn open(
        &self,
        asked: Asked,
        wanted: Vec<Wanted>,
        forgotten: &[(TopicKey, i32)],
        now_ms: i64,
    ) -> Result<Round, SessionError> {
        let mut cache = self.cache.lock();
        let kind = match asked.epoch {
            FINAL_EPOCH => Kind::Sessionless,
            INITIAL_EPOCH => Kind::New {
                by_ids: asked.by_ids,
            },
            _ => return cache.go_on(asked, wanted, forgotten, now_ms),
        };
        // A full request ends the session it names.
        cache.remove(asked.session_id);
        Ok(Round { wanted, kind })
    }

    /// Ends a round: removes from `answers` what need not be sent and says under which session id
    /// the rest goes. `fresh_id` makes ids for new sessions.
    ///
    /// # Errors
    /// The session moved on meanwhile, by another connection.
    pub fn close(
        &self,
        round: Round,
        answers: &mut Vec<Answer>,
        now_ms: i64,
        fresh_id: impl FnMut() -> i32,
    ) -> Result<i32, SessionError> {
        let Round { wanted, kind } = round;
        match kind {
            Kind::Sessionless => Ok(NO_SESSION),
            Kind::New { by_ids } => {
                let mut cache = self.cache.lock();
                if !cache.make_room(self.sessions_max, wanted.len(), now_ms) {
                    return Ok(NO_SESSION);
                }
                let id = cache.unused_id(fresh_id);
                let session = Session::new(by_ids, wanted, answers, now_ms);
                cache.partitions += session.partitions.len();
                cache.sessions.insert(id, session);
                Ok(id)
            }
            Kind::Next { session_id, epoch } => {
                let mut cache = self.cache.lock();
                let session = cache.sessions.get_mut(&session_id);
                let session = session.ok_or(SessionError::Unknown)?;
                if session.epoch != epoch {
                    return Err(SessionError::Epoch);
                }
                answers.retain(|answer| session.tell(answer));
                Ok(session_id)
            }
        }
    }

    /// Sessions remembered now.
    pub fn len(&self) -> usize {
        self.cache.lock().sessions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Cache {
    fn go_on(
        &mut self,
        asked: Asked,
        wanted: Vec<Wanted>,
        forgotten: &[Key],
        now_ms: i64,
    ) -> Result<Round, SessionError> {
        let session = self.sessions.get_mut(&asked.session_id);
        let session = session.ok_or(SessionError::Unknown)?;
        if session.epoch != asked.epoch {
            return Err(SessionError::Epoch);
        }
        if session.by_ids != asked.by_ids {
            return Err(SessionError::KeyKind);
        }
        let before = session.partitions.len();
        for wanted in wanted {
            session.want(wanted);
        }
        for key in forgotten {
            session.forget(key);
        }
        session.used_ms = now_ms;
        session.epoch = next_epoch(asked.epoch);
        let epoch = session.epoch;
        let wanted: Vec<_> = session.in_turn().cloned().collect();
        self.partitions = self.partitions - before + wanted.len();
        if wanted.is_empty() {
            self.remove(asked.session_id);
            let kind = Kind::Sessionless;
            return Ok(Round { wanted, kind });
        }
        if self.partitions > PARTITIONS_MAX {
            self.remove(asked.session_id);
            return Err(SessionError::Unknown);
        }
        let session_id = asked.session_id;
        let kind = Kind::Next { session_id, epoch };
        Ok(Round { wanted, kind })
    }

    fn remove(&mut self, id: i32) {
        if let Some(session) = self.sessions.remove(&id) {
            self.partitions -= session.partitions.len();
        }
    }

    /// Whether a session of `partitions` partitions may be added, if need be in another's place.
    fn make_room(&mut self, sessions_max: usize, partitions: usize, now_ms: i64) -> bool {
        if self.partitions + partitions > PARTITIONS_MAX {
            return false;
        }
        if self.sessions.len() < sessions_max {
            return true;
        }
        let idle = self
            .sessions
            .iter()
            .min_by_key(|(_, session)| session.used_ms);
        let idle = idle.filter(|(_, session)| now_ms - session.used_ms > SAFE_MS);
        let smaller = || {
            let aged =
                |s: &Session| now_ms - s.created_ms > SAFE_MS && s.partitions.len() < partitions;
            let aged = self.sessions.iter().filter(|(_, session)| aged(session));
            aged.min_by_key(|(_, session)| session.partitions.len())
        };
        let evicted = idle.or_else(smaller).map(|(id, _)| *id);
        if let Some(id) = evicted {
            self.remove(id);
        }
        evicted.is_some()
    }

    /// A positive id that no session has.
    fn unused_id(&self, mut fresh_id: impl FnMut() -> i32) -> i32 {
        loop {
            let id = fresh_id() & i32::MAX;
            if id != NO_SESSION && !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }
}

impl Session {
    /// A session after its first, full round.
    fn new(by_ids: bool, wanted: Vec<Wanted>, answers: &[Answer], now_ms: i64) -> Self {
        let mut session = Self {
            epoch: next_epoch(INITIAL_EPOCH),
            by_ids,
            created_ms: now_ms,
            used_ms: now_ms,
            partitions: HashMap::with_capacity(wanted.len()),
            order: BTreeMap::new(),
            next_turn: 0,
        };
        for wanted in wanted {
            session.want(wanted);
        }
        for answer in answers {
            session.tell(answer);
        }
        session
    }

    fn in_turn(&self) -> impl Iterator<Item = &Wanted> {
        let keys = self.order.values();
        keys.filter_map(|key| self.partitions.get(key).map(|cached| &cached.wanted))
    }

    /// Adds a partition at the end, or changes what is read of it where it stands.
    fn want(&mut self, wanted: Wanted) {
        let key = (wanted.topic.clone(), wanted.index);
        if let Some(cached) = self.partitions.get_mut(&key) {
            let seen = cached.wanted.seen.take();
            cached.wanted = Wanted { seen, ..wanted };
            return;
        }
        let turn = self.next_turn;
        self.next_turn += 1;
        self.order.insert(turn, key.clone());
        let told = Told::NOTHING;
        let cached = Cached { turn, wanted, told };
        self.partitions.insert(key, cached);
    }

    fn forget(&mut self, key: &Key) {
        if let Some(cached) = self.partitions.remove(key) {
            self.order.remove(&cached.turn);
        }
    }

    /// Whether an answer says anything the client does not know. Notes what it will know.
    fn tell(&mut self, answer: &Answer) -> bool {
        let response = &answer.response;
        let key = (answer.topic.clone(), response.partition);
        let Some(cached) = self.partitions.get_mut(&key) else {
            return true;
        };
        let told = Told::by(response);
        let news = told != cached.told
            || !response.records.is_empty()
            || response.error_code.is_error()
            || response.diverging_epoch.is_some();
        cached.told = told;
        if answer.seen.is_some() {
            cached.wanted.seen.clone_from(&answer.seen);
        }
        if !response.records.is_empty() {
            self.order.remove(&cached.turn);
            cached.turn = self.next_turn;
            self.next_turn += 1;
            self.order.insert(cached.turn, key);
        }
        news
    }
}

/// Epochs count from 1 and wrap past the end, since 0 and −1 have meanings of their own.
fn next_epoch(epoch: i32) -> i32 {
    match epoch {
        i32::MAX => 1,
        epoch => epoch + 1,
    }
}

#[cfg(test)]
mod tests;
