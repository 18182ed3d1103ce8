//! Process settings: what they are called, where they come from and what is wrong with them.
//!
//! Sources in rising order: the defaults of the table, a `.properties` file, command line flags,
//! `--set key=value`. An unknown name or a value of the wrong form stops the start with an error
//! that says where it was written and what would be accepted; nothing is silently ignored. Names of Apache
//! Kafka that are not used here are a warning each, and so are those of its plug-ins in a file.

mod decimal;
pub mod docs;
mod foreign;
mod kafka_names;
mod properties;
mod remote;
mod table;
#[cfg(test)]
mod tests;
mod value;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use decimal::Ratio;
pub use foreign::fixed_names;
pub use properties::{Entry, parse as parse_properties};
pub use remote::{HttpUrl, Secret};
pub use table::{Row, Settings, TABLE, Update};
pub use value::{
    Address, CleanupPolicy, Compression, Endpoint, FlushMode, GroupMigration, Kind, Limits,
    ReplicationPolicy, TableMode, TimestampType, Value,
};

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody wrote it: the table's own value.
    Default,
    File {
        path: Arc<Path>,
        /// Counted from 1.
        line: usize,
    },
    /// A command line flag, such as `--listen`.
    Flag(&'static str),
    /// `--set key=value`.
    Set,
    /// Changed through the admin APIs while the broker ran.
    Dynamic,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File { path, line } => write!(f, "{}:{line}", path.display()),
            Source::Flag(flag) => f.write_str(flag),
            Source::Set => f.write_str("--set"),
            Source::Dynamic => f.write_str("dynamic"),
        }
    }
}

/// Kafka's setting that promises access control: passed over, it would leave a broker open that its
/// administrator thinks closed.
const AUTHORIZER: &str = "authorizer.class.name";

/// What is wrong with the settings. Each message says where and what to write instead.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("{origin}: unknown setting `{name}`{}", suggestion(.nearest))]
    UnknownName {
        name: String,
        origin: Source,
        /// Known names much like it, the nearest first.
        nearest: Vec<&'static str>,
    },
    #[error("{origin}: `{name}` cannot be `{value}`: expected {accepted}")]
    BadValue {
        name: &'static str,
        value: String,
        origin: Source,
        accepted: String,
    },
    #[error("`{name}` cannot change while the broker runs")]
    ReadOnly { name: &'static str },
    #[error("`{low}` must not be larger than `{high}`")]
    Order {
        low: &'static str,
        high: &'static str,
    },
    #[error("`listeners` names no address to listen on")]
    NoListener,
    #[error("`advertised.listeners` names `{name}`, which is not in `listeners`")]
    UnknownListener { name: String },
    #[error("`advertised.listeners` cannot be `{address}`: clients need a host name to connect to")]
    WildcardAdvertised { address: Address },
    #[error("`--set {text}`: expected KEY=VALUE")]
    NotAnAssignment { text: String },
    #[error(
        "{origin}: `{AUTHORIZER}` cannot be obeyed: there is no authorizer, and everybody may do \
         everything; leave it out if that is meant"
    )]
    NoAuthorizer { origin: Source },
    #[error("cannot read the settings file {}: {error}", .path.display())]
    UnreadableFile {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("{}: {error}", .path.display())]
    Syntax {
        path: PathBuf,
        error: properties::BadEscape,
    },
}

fn suggestion(nearest: &[&'static str]) -> String {
    match nearest {
        [] => String::new(),
        names => format!("; did you mean `{}`?", names.join("` or `")),
    }
}

/// A setting that is accepted and has no effect, to be told to the administrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inert {
    pub name: String,
    pub origin: Source,
    pub reason: &'static str,
}

/// Collects values source by source; see the module for their order.
#[derive(Debug, Default)]
pub struct Loader {
    settings: Settings,
    inert: Vec<Inert>,
}

impl Loader {
    /// Takes every entry of a `.properties` file.
    ///
    /// # Errors
    /// The file cannot be read or holds a setting that is wrong.
    pub fn file(&mut self, path: &Path) -> Result<(), SettingsError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| SettingsError::UnreadableFile {
                path: path.to_owned(),
                error,
            })?;
        self.text(&text, path)
    }

    /// As [`Loader::file`], with the text at hand; `path` only names it in errors.
    ///
    /// # Errors
    /// The text holds a setting that is wrong.
    pub fn text(&mut self, text: &str, path: &Path) -> Result<(), SettingsError> {
        let entries = properties::parse(text).map_err(|error| SettingsError::Syntax {
            path: path.to_owned(),
            error,
        })?;
        let path: Arc<Path> = path.into();
        entries.into_iter().try_for_each(|entry| {
            let origin = Source::File {
                path: Arc::clone(&path),
                line: entry.line,
            };
            self.assign(&entry.key, &entry.value, origin)
        })
    }

    /// Takes the value of a command line flag for the setting `name`.
    ///
    /// # Errors
    /// The value does not have the setting's form.
    pub fn flag(
        &mut self,
        flag: &'static str,
        name: &str,
        value: &str,
    ) -> Result<(), SettingsError> {
        self.assign(name, value, Source::Flag(flag))
    }

    /// Takes one `key=value` as given to `--set`.
    ///
    /// # Errors
    /// The text is not an assignment, the name is unknown or the value is wrong.
    pub fn set(&mut self, text: &str) -> Result<(), SettingsError> {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| SettingsError::NotAnAssignment {
                text: text.to_owned(),
            })?;
        self.assign(name.trim(), value.trim(), Source::Set)
    }

    /// Checks what no single row can and hands over the settings.
    ///
    /// # Errors
    /// Two settings contradict each other.
    pub fn finish(self) -> Result<(Settings, Vec<Inert>), SettingsError> {
        self.settings.check_together()?;
        Ok((self.settings, self.inert))
    }

    fn assign(&mut self, name: &str, value: &str, origin: Source) -> Result<(), SettingsError> {
        if name == AUTHORIZER && !value.is_empty() {
            return Err(SettingsError::NoAuthorizer { origin });
        }
        let assigned = self.settings.assign(name, value, origin);
        let Err(SettingsError::UnknownName {
            name,
            origin,
            nearest,
        }) = assigned
        else {
            return assigned;
        };
        match foreign::reason(&name, &origin, !nearest.is_empty()) {
            Some(reason) => {
                self.inert.push(Inert {
                    name,
                    origin,
                    reason,
                });
                Ok(())
            }
            None => Err(SettingsError::UnknownName {
                name,
                origin,
                nearest,
            }),
        }
    }
}

/// One setting with its value, as administrators see it.
#[derive(Debug, Clone)]
pub struct Described<'a> {
    pub row: &'static Row,
    /// `None` when the value is secret.
    pub value: Option<String>,
    pub source: &'a Source,
}

impl Settings {
    /// Every setting in the order of the table.
    pub fn describe(&self) -> impl Iterator<Item = Described<'_>> {
        TABLE
            .iter()
            .zip(&self.sources)
            .map(|(row, source)| Described {
                row,
                value: (!row.sensitive()).then(|| (row.render)(self)),
                source,
            })
    }

    /// The settings the broker was started with, under changes made while it runs. A change that
    /// is taken back is simply no longer given, so the value from start comes through again.
    ///
    /// # Errors
    /// A name is unknown, a setting is fixed at start, or a value is wrong.
    pub fn with_changes<'a>(
        &self,
        changes: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, SettingsError> {
        let mut changed = self.clone();
        for (name, value) in changes {
            let row = &TABLE[position(name, &Source::Dynamic)?];
            if row.update == Update::ReadOnly {
                return Err(SettingsError::ReadOnly { name: row.name });
            }
            changed.assign(name, value, Source::Dynamic)?;
        }
        changed.check_together()?;
        Ok(changed)
    }

    fn assign(&mut self, name: &str, value: &str, origin: Source) -> Result<(), SettingsError> {
        let position = position(name, &origin)?;
        let row = &TABLE[position];
        if !(row.assign)(self, value) {
            let accepted = row.accepted();
            return Err(SettingsError::BadValue {
                name: row.name,
                value: value.to_owned(),
                origin,
                accepted,
            });
        }
        self.sources[position] = origin;
        Ok(())
    }

    fn check_together(&self) -> Result<(), SettingsError> {
        let ordered = [
            (
                self.group_min_session_timeout_ms <= self.group_max_session_timeout_ms,
                "group.min.session.timeout.ms",
                "group.max.session.timeout.ms",
            ),
            (
                self.group_consumer_min_session_timeout_ms
                    <= self.group_consumer_max_session_timeout_ms,
                "group.consumer.min.session.timeout.ms",
                "group.consumer.max.session.timeout.ms",
            ),
            (
                self.group_consumer_min_heartbeat_interval_ms
                    <= self.group_consumer_max_heartbeat_interval_ms,
                "group.consumer.min.heartbeat.interval.ms",
                "group.consumer.max.heartbeat.interval.ms",
            ),
            (
                i64::from(self.socket_request_max_bytes) <= self.memory_budget_bytes,
                "socket.request.max.bytes",
                "tidelog.memory.budget.bytes",
            ),
        ];
        if let Some((_, low, high)) = ordered.into_iter().find(|(holds, ..)| !holds) {
            return Err(SettingsError::Order { low, high });
        }
        if self.listeners.is_empty() {
            return Err(SettingsError::NoListener);
        }
        self.advertised_listeners.iter().try_for_each(|advertised| {
            if !self
                .listeners
                .iter()
                .any(|listener| listener.name == advertised.name)
            {
                return Err(SettingsError::UnknownListener {
                    name: advertised.name.clone(),
                });
            }
            if advertised.address.is_wildcard() {
                let address = advertised.address.clone();
                return Err(SettingsError::WildcardAdvertised { address });
            }
            Ok(())
        })
    }
}

/// Place of the setting called `name` in the table.
fn position(name: &str, origin: &Source) -> Result<usize, SettingsError> {
    let found = TABLE
        .iter()
        .position(|row| row.name == name || row.aliases.contains(&name));
    found.ok_or_else(|| SettingsError::UnknownName {
        name: name.to_owned(),
        origin: origin.clone(),
        nearest: nearest(name),
    })
}

/// The known names most like `name`, if any are alike enough to be what was meant: the nearest, and those
/// that are hardly less near.
fn nearest(name: &str) -> Vec<&'static str> {
    const ALIKE_MIN: f64 = 0.6;
    const HARDLY_LESS: f64 = 0.05;
    const NAMES_MAX: usize = 3;
    let alike = |row: &Row| strsim::normalized_damerau_levenshtein(row.name, name);
    let mut near: Vec<(f64, &str)> = TABLE.iter().map(|row| (alike(row), row.name)).collect();
    near.retain(|(alike, _)| *alike >= ALIKE_MIN);
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    let least = near.first().map_or(1.0, |(best, _)| best - HARDLY_LESS);
    let near = near.into_iter().filter(|(alike, _)| *alike >= least);
    near.map(|(_, name)| name).take(NAMES_MAX).collect()
}
