//! What is logged: by `RUST_LOG` at start, and by levels of single loggers set while the process runs.
//!
//! A logger is a target of the code: a crate, or a module in it (`tidelog::server`). Its level is its own,
//! or that of the longest logger whose name its own begins with, or that of [`ROOT`]. Levels set while the
//! process runs are over those of `RUST_LOG` and end with the process. There is one set of loggers to a
//! process, as there is one log.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::sync::OnceLock;

use parking_lot::Mutex;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

/// The logger above all others.
pub const ROOT: &str = "root";

/// Every logger that exists from the start, beside [`ROOT`]: our crates.
const CRATES: [&str; 11] = [
    "tidelog",
    "tidelog_client",
    "tidelog_coordinator",
    "tidelog_keyed",
    "tidelog_migrate",
    "tidelog_protocol_ext",
    "tidelog_quickstart",
    "tidelog_records",
    "tidelog_storage",
    "tidelog_tiering",
    "tidelog_typed",
];

/// Loggers of modules that may have levels at the same time; clients name them.
const SET_MAX: usize = 1_000;

const DEFAULT: &str = "info";

/// Levels by Kafka's names, least detail first. Nothing is logged as FATAL.
const LEVELS: [(&str, LevelFilter); 6] = [
    ("FATAL", LevelFilter::OFF),
    ("ERROR", LevelFilter::ERROR),
    ("WARN", LevelFilter::WARN),
    ("INFO", LevelFilter::INFO),
    ("DEBUG", LevelFilter::DEBUG),
    ("TRACE", LevelFilter::TRACE),
];

/// How detailed a logger is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level(LevelFilter);

impl Level {
    /// The level that Kafka calls so.
    pub fn named(name: &str) -> Option<Self> {
        let known = LEVELS.iter().find(|(known, _)| *known == name);
        known.map(|(_, level)| Self(*level))
    }

    pub fn name(self) -> &'static str {
        let known = LEVELS.iter().find(|(_, level)| *level == self.0);
        known.map_or("FATAL", |(name, _)| name)
    }
}

/// The levels that can be set, as an error names them.
pub fn level_names() -> String {
    LEVELS.map(|(name, _)| name).join(", ")
}

/// Form of the log on stderr.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

type Filter = reload::Handle<EnvFilter, Registry>;

/// All loggers of the process.
#[derive(Debug)]
pub struct Loggers {
    /// What `RUST_LOG` says.
    base: String,
    set: Mutex<BTreeMap<String, Level>>,
    /// `None` where somebody else owns the log.
    filter: Option<Filter>,
}

static LOGGERS: OnceLock<Loggers> = OnceLock::new();

/// Starts the log of this process.
pub fn start(format: LogFormat) {
    let said = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let said = said.filter(|said| EnvFilter::try_new(said).is_ok());
    let base = said.unwrap_or_else(|| DEFAULT.to_owned());
    let (filter, handle) = reload::Layer::new(EnvFilter::new(&base));
    let filtered = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match format {
        LogFormat::Text => filtered.with(lines).init(),
        LogFormat::Json => filtered.with(lines.json()).init(),
    }
    LOGGERS.get_or_init(|| Loggers::new(base, Some(handle)));
}

/// The loggers of this process.
pub fn loggers() -> &'static Loggers {
    LOGGERS.get_or_init(|| Loggers::new(DEFAULT.to_owned(), None))
}

/// Why levels cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoggerError {
    #[error("there is no logger {0:?}: use {ROOT}, or a crate or module of this program")]
    Unknown(String),
    #[error("{SET_MAX} loggers have levels of their own already: take some away first")]
    TooMany,
}

impl Loggers {
    fn new(base: String, filter: Option<Filter>) -> Self {
        Self {
            base,
            set: Mutex::default(),
            filter,
        }
    }

    /// Every logger with the level in force, by name.
    pub fn levels(&self) -> Vec<(String, Level)> {
        let set = self.set.lock();
        let names = std::iter::once(ROOT).chain(CRATES);
        let mut names: Vec<&str> = names.chain(set.keys().map(String::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        let level = |name: &str| (name.to_owned(), self.level(name, &set));
        names.into_iter().map(level).collect()
    }

    /// Gives loggers levels, or takes their own away again. All of it or nothing, and with `only_check`
    /// nothing.
    ///
    /// # Errors
    /// One of them does not exist, or too many would have levels.
    pub fn change(
        &self,
        changes: &[(String, Option<Level>)],
        only_check: bool,
    ) -> Result<(), LoggerError> {
        if let Some((unknown, _)) = changes.iter().find(|(name, _)| !is_logger(name)) {
            return Err(LoggerError::Unknown(unknown.clone()));
        }
        let mut set = self.set.lock();
        let mut changed = set.clone();
        for (name, level) in changes {
            match level {
                Some(level) => changed.insert(name.clone(), *level),
                None => changed.remove(name),
            };
        }
        if changed.len() > SET_MAX {
            return Err(LoggerError::TooMany);
        }
        if !only_check {
            *set = changed;
            if let Some(filter) = &self.filter {
                // Fails if the log has ended: then nobody sees the difference.
                let _ = filter.reload(EnvFilter::new(self.directives(&set)));
            }
        }
        Ok(())
    }

    /// The base and what was set, which counts where both say something of one target.
    fn directives(&self, set: &BTreeMap<String, Level>) -> String {
        let set = set.iter().map(|(name, level)| match name.as_str() {
            ROOT => level.0.to_string(),
            target => format!("{target}={}", level.0),
        });
        let all: Vec<String> = std::iter::once(self.base.clone()).chain(set).collect();
        all.join(",")
    }

    fn level(&self, name: &str, set: &BTreeMap<String, Level>) -> Level {
        let directives = self.directives(set);
        let known = directives.split(',').filter_map(|directive| {
            let (target, level) = directive.split_once('=').unwrap_or(("", directive));
            // Others speak of spans and fields; they are no loggers.
            let level: LevelFilter = level.trim().parse().ok()?;
            let target = target.trim();
            name.starts_with(target).then_some((target.len(), level))
        });
        // The last of the longest.
        let nearest = known.max_by_key(|(length, _)| *length);
        Level(nearest.map_or(LevelFilter::ERROR, |(_, level)| level))
    }
}

/// Root, one of our crates, or what may be a module in one.
fn is_logger(name: &str) -> bool {
    const NAME_BYTES_MAX: usize = 255;
    let is_of = |a_crate: &&str| match name.strip_prefix(*a_crate) {
        Some("") => true,
        Some(module) => module.starts_with("::"),
        None => false,
    };
    let is_path = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_:".contains(&byte));
    name == ROOT || (name.len() <= NAME_BYTES_MAX && is_path && CRATES.iter().any(is_of))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(loggers: &Loggers, name: &str) -> &'static str {
        loggers.level(name, &loggers.set.lock()).name()
    }

    fn set(loggers: &Loggers, name: &str, level: Option<&str>) {
        let level = level.map(|level| Level::named(level).unwrap());
        loggers.change(&[(name.to_owned(), level)], false).unwrap();
    }

    #[test]
    fn the_longest_name_decides_and_what_was_set_last() {
        let base = "warn,tidelog=debug,[span{field=1}]=trace".to_owned();
        let loggers = Loggers::new(base, None);
        assert_eq!(level(&loggers, ROOT), "WARN");
        assert_eq!(level(&loggers, "tidelog::server"), "DEBUG");
        set(&loggers, "tidelog::server", Some("TRACE"));
        set(&loggers, "tidelog", Some("FATAL"));
        set(&loggers, ROOT, Some("ERROR"));
        assert_eq!(level(&loggers, "tidelog::server"), "TRACE");
        assert_eq!(level(&loggers, "tidelog::api"), "FATAL");
        assert_eq!(level(&loggers, ROOT), "ERROR");
        assert!(EnvFilter::try_new(loggers.directives(&loggers.set.lock())).is_ok());
        set(&loggers, "tidelog", None);
        assert_eq!(level(&loggers, "tidelog::api"), "DEBUG");
        let names: Vec<_> = loggers.levels().into_iter().map(|(name, _)| name).collect();
        assert!(names.contains(&"tidelog::server".to_owned()) && names.is_sorted());
    }

    #[test]
    fn what_is_set_is_logged_from_then_on() {
        let lines = Lines::default();
        let (filter, handle) = reload::Layer::new(EnvFilter::new("info"));
        let subscriber = tracing_subscriber::registry()
            .with(filter)
            .with(tracing_subscriber::fmt::layer().with_writer(lines.clone()));
        let loggers = Loggers::new("info".to_owned(), Some(handle));
        let say = |line: &str| tracing::debug!(target: "tidelog::said", "{line}");
        tracing::subscriber::with_default(subscriber, || {
            say("one");
            set(&loggers, "tidelog::said", Some("DEBUG"));
            say("two");
            set(&loggers, "tidelog::said", None);
            say("three");
        });
        let lines = String::from_utf8(lines.0.lock().clone()).unwrap();
        assert!(lines.contains("two"), "{lines}");
        assert!(
            !lines.contains("one") && !lines.contains("three"),
            "{lines}"
        );
    }

    /// Collects what is logged.
    #[derive(Clone, Default)]
    struct Lines(std::sync::Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl tracing_subscriber::fmt::MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn names_that_are_no_loggers() {
        for good in [ROOT, "tidelog", "tidelog_storage::janitor"] {
            assert!(is_logger(good), "{good}");
        }
        for bad in ["", "kafka", "tidelogs", "tidelog::a=trace,b", "tidelog::A"] {
            assert!(!is_logger(bad), "{bad}");
        }
        let loggers = Loggers::new(DEFAULT.to_owned(), None);
        let many: Vec<_> = (0..=SET_MAX)
            .map(|n| (format!("tidelog::m{n}"), Level::named("INFO")))
            .collect();
        assert_eq!(loggers.change(&many, false), Err(LoggerError::TooMany));
        loggers.change(&many[1..], true).unwrap();
        assert_eq!(loggers.set.lock().len(), 0, "checked only");
    }
}
