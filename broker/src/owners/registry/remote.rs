//! Another server's registry, asked by HTTP for what records were written with.
//!
//! A schema that was found is kept, for an id stands for one schema for ever; that there is none is
//! believed for some seconds, and so is which one is a subject's latest. Answers have a bound in bytes
//! and in time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tidelog_registry::{Format, REFERENCED_BYTES_MAX, REFERENCES_MAX, SCHEMA_BYTES_MAX, SchemaId};
use uuid::Uuid;

use super::{LookupError, WriterSchema};
use crate::clock::Clock;
use crate::settings::{Secret, Settings};

/// For connecting, and for each whole answer.
const CONNECT_WAIT: Duration = Duration::from_secs(3);
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// A schema in JSON, whose characters may be escaped.
const ANSWER_BYTES_MAX: usize = 6 * SCHEMA_BYTES_MAX;

/// How long an answer that may change is believed.
const BELIEVED_MS: i64 = 5_000;

/// What is kept at most; beyond it everything is forgotten and asked for again.
const KEPT_MAX: usize = 10_000;
const KEPT_BYTES_MAX: usize = 64 << 20;

type Answer = Option<Arc<WriterSchema>>;

pub struct Remote {
    client: Client,
    url: Url,
    login: Login,
    clock: Clock,
    kept: Mutex<Kept>,
}

/// What the server is shown.
enum Login {
    Nothing,
    Basic(String, Option<Secret>),
    Token(Secret),
}

#[derive(Default)]
struct Kept {
    by_id: HashMap<i32, (Answer, i64)>,
    ids: HashMap<Uuid, (Option<SchemaId>, i64)>,
    latest: HashMap<String, (Answer, i64)>,
    bytes: usize,
}

/// A schema as `/schemas/ids/…` and `/subjects/…` answer it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SchemaAnswer {
    id: Option<i32>,
    schema: String,
    schema_type: Option<String>,
    #[serde(default)]
    references: Vec<ReferenceAnswer>,
}

#[derive(Deserialize)]
struct ReferenceAnswer {
    name: String,
    subject: String,
    version: i32,
}

/// An id as `/schemas/guids/…/ids` and a registration answer it.
#[derive(Deserialize)]
struct IdAnswer {
    id: i32,
}

impl Remote {
    /// The registry the settings name, if they do.
    pub fn new(settings: &Settings, clock: Clock) -> Option<Self> {
        // The setting was checked when it was read.
        let url = Url::parse(settings.registry_url.as_ref()?.as_str()).ok()?;
        let client = Client::builder()
            .connect_timeout(CONNECT_WAIT)
            .timeout(ANSWER_WAIT)
            // A server elsewhere would be shown the login.
            .redirect(reqwest::redirect::Policy::none());
        let login = match (&settings.registry_token, &settings.registry_user) {
            (Some(token), _) => Login::Token(token.clone()),
            (None, Some(user)) => Login::Basic(user.clone(), settings.registry_password.clone()),
            (None, None) => Login::Nothing,
        };
        Some(Self {
            // Fails only for what is not asked of it: TLS and such.
            client: client.build().unwrap_or_default(),
            url,
            login,
            clock,
            kept: Mutex::default(),
        })
    }

    pub async fn schema(&self, id: SchemaId) -> Result<Answer, LookupError> {
        let now_ms = self.clock.now_ms();
        let kept = self.kept.lock().by_id.get(&id.0).cloned();
        match kept {
            Some((Some(schema), _)) => return Ok(Some(schema)),
            Some((None, at_ms)) if now_ms - at_ms < BELIEVED_MS => return Ok(None),
            _ => {}
        }
        let found: Option<SchemaAnswer> =
            self.ask(&["schemas", "ids", &id.to_string()], None).await?;
        let answer = match found {
            Some(found) => Some(Arc::new(self.completed(id.0, found).await?)),
            None => None,
        };
        self.kept.lock().keep(id.0, &answer, now_ms);
        Ok(answer)
    }

    pub async fn schema_of_guid(&self, guid: Uuid) -> Result<Answer, LookupError> {
        let now_ms = self.clock.now_ms();
        let kept = self.kept.lock().ids.get(&guid).copied();
        let id = match kept {
            Some((id, at_ms)) if id.is_some() || now_ms - at_ms < BELIEVED_MS => id,
            _ => {
                let path = ["schemas", "guids", &guid.to_string(), "ids"];
                let ids: Option<Vec<IdAnswer>> = self.ask(&path, None).await?;
                let first = ids.and_then(|ids| ids.into_iter().next());
                let id = first.map(|answer| SchemaId(answer.id));
                let mut kept = self.kept.lock();
                kept.make_room(0);
                kept.ids.insert(guid, (id, now_ms));
                id
            }
        };
        match id {
            Some(id) => self.schema(id).await,
            None => Ok(None),
        }
    }

    pub async fn latest(&self, subject: &str) -> Result<Answer, LookupError> {
        let now_ms = self.clock.now_ms();
        let kept = self.kept.lock().latest.get(subject).cloned();
        if let Some((answer, at_ms)) = kept
            && now_ms - at_ms < BELIEVED_MS
        {
            return Ok(answer);
        }
        let path = ["subjects", subject, "versions", "latest"];
        let answer = match self.ask(&path, None).await? {
            Some(SchemaAnswer { id: Some(id), .. }) => self.schema(SchemaId(id)).await?,
            Some(_) => return Err(LookupError::Unusable("a version without an id".to_owned())),
            None => None,
        };
        let mut kept = self.kept.lock();
        kept.make_room(subject.len());
        kept.latest
            .insert(subject.to_owned(), (answer.clone(), now_ms));
        Ok(answer)
    }

    /// Registers a schema, or finds it registered.
    pub async fn register_avro(&self, subject: &str, text: &str) -> Result<SchemaId, LookupError> {
        let url = self.address(&["subjects", subject, "versions"], None);
        let body = serde_json::json!({ "schema": text }).to_string();
        let request = self.client.post(url.clone()).body(body);
        let request = request.header(CONTENT_TYPE, "application/vnd.schemaregistry.v1+json");
        let answer: Option<IdAnswer> = self.answer(&url, request).await?;
        let refused = || LookupError::Unusable(format!("{url} does not take schemas"));
        Ok(SchemaId(answer.ok_or_else(refused)?.id))
    }

    /// The schema with the texts it refers to, depth first.
    async fn completed(&self, id: i32, found: SchemaAnswer) -> Result<WriterSchema, LookupError> {
        let mut references = Vec::new();
        let mut seen = HashSet::new();
        let mut bytes = 0;
        let mut steps: Vec<_> = found
            .references
            .into_iter()
            .rev()
            .map(Step::Enter)
            .collect();
        while let Some(step) = steps.pop() {
            let reference = match step {
                Step::Leave(name, text) => {
                    references.push((name, text));
                    continue;
                }
                Step::Enter(reference) => reference,
            };
            if !seen.insert(reference.name.clone()) {
                continue;
            }
            let answer = self.referred(&reference).await?;
            bytes += answer.schema.len();
            if seen.len() > REFERENCES_MAX || bytes > REFERENCED_BYTES_MAX {
                let reason = format!("schema {id} refers to too much");
                return Err(LookupError::Unusable(reason));
            }
            steps.push(Step::Leave(reference.name, answer.schema));
            steps.extend(answer.references.into_iter().rev().map(Step::Enter));
        }
        let format = match found.schema_type.as_deref() {
            None => Some(Format::Avro),
            Some(name) => Format::named(name),
        };
        Ok(WriterSchema {
            id: SchemaId(id),
            format: format
                .ok_or_else(|| LookupError::Unusable(format!("schema {id} is of a new type")))?,
            text: found.schema,
            references,
        })
    }

    async fn referred(&self, reference: &ReferenceAnswer) -> Result<SchemaAnswer, LookupError> {
        let ReferenceAnswer {
            subject, version, ..
        } = reference;
        let path = ["subjects", subject, "versions", &version.to_string()];
        // What is referred to counts also if it was deleted.
        let answer: Option<SchemaAnswer> = self.ask(&path, Some("deleted=true")).await?;
        answer.ok_or_else(|| {
            LookupError::Unusable(format!("a reference to {subject} {version} leads nowhere"))
        })
    }

    /// GET, with what is in the answer; `None` if there is no such thing.
    async fn ask<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: Option<&str>,
    ) -> Result<Option<T>, LookupError> {
        let url = self.address(path, query);
        let request = self.client.get(url.clone());
        self.answer(&url, request).await
    }

    fn address(&self, path: &[&str], query: Option<&str>) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url.set_query(query);
        url
    }

    /// What is in the answer to a request; `None` if there is no such thing.
    async fn answer<T: DeserializeOwned>(
        &self,
        url: &Url,
        request: RequestBuilder,
    ) -> Result<Option<T>, LookupError> {
        let unavailable = |error: reqwest::Error| {
            // Its own words hold the URL, and with it nothing secret.
            LookupError::Unavailable(error.to_string())
        };
        let mut response = self.login.show(request).send().await.map_err(unavailable)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status @ (StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY) => {
                return Err(LookupError::Unusable(format!("{url} answered {status}")));
            }
            status => return Err(LookupError::Unavailable(format!("{url} answered {status}"))),
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unavailable)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(LookupError::Unusable(format!("{url} answered too much")));
            }
            body.extend_from_slice(&chunk);
        }
        let answer = serde_json::from_slice(&body);
        let unusable = |error| LookupError::Unusable(format!("{url}: {error}"));
        answer.map(Some).map_err(unusable)
    }
}

enum Step {
    Enter(ReferenceAnswer),
    Leave(String, String),
}

impl Login {
    fn show(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Nothing => request,
            Self::Basic(user, password) => {
                request.basic_auth(user, password.as_ref().map(Secret::reveal))
            }
            Self::Token(token) => request.bearer_auth(token.reveal()),
        }
    }
}

impl Kept {
    fn keep(&mut self, id: i32, answer: &Answer, now_ms: i64) {
        let text = |(name, text): &(String, String)| name.len() + text.len();
        let bytes = answer.as_ref().map_or(0, |schema| {
            schema.text.len() + schema.references.iter().map(text).sum::<usize>()
        });
        self.make_room(bytes);
        self.by_id.insert(id, (answer.clone(), now_ms));
    }

    fn make_room(&mut self, bytes: usize) {
        let count = self.by_id.len() + self.ids.len() + self.latest.len();
        if count >= KEPT_MAX || self.bytes + bytes > KEPT_BYTES_MAX {
            *self = Self::default();
        }
        self.bytes += bytes;
    }
}
