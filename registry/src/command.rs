//! What changes the registry, and what the one who asked is told.

use crate::{Config, ConfigUpdate, Found, Mode, Prepared, Record, Refusal, Registry, Version};
use crate::{Scope, VersionRef};

/// A change somebody asks for.
#[derive(Debug, Clone)]
pub enum Command {
    Register(Prepared),
    DeleteVersion {
        subject: String,
        version: VersionRef,
        permanent: bool,
    },
    DeleteSubject {
        subject: String,
        permanent: bool,
    },
    SetConfig {
        scope: Scope,
        update: ConfigUpdate,
    },
    DeleteConfig {
        scope: Scope,
    },
    SetMode {
        scope: Scope,
        /// `None` takes the setting back.
        mode: Option<Mode>,
        /// Import into subjects that have versions.
        force: bool,
    },
    DeleteMode {
        scope: Scope,
    },
}

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Registered(Found),
    VersionDeleted(Version),
    SubjectDeleted(Vec<Version>),
    /// What is set now, or was before it was taken back.
    Config(Config),
    /// What was set before; `None`: nothing.
    Mode(Option<Mode>),
}

/// Records to write, and the answer once they are durable.
pub type Decided = Result<(Vec<Record>, Outcome), Refusal>;

impl Registry {
    /// Decides a command on this image; nothing is parsed here. Who writes the records applies them
    /// before the next decision.
    ///
    /// # Errors
    /// The command is refused and changes nothing.
    pub fn decide(&self, command: Command) -> Decided {
        match command {
            Command::Register(prepared) => self.register(prepared),
            Command::DeleteVersion {
                subject,
                version,
                permanent,
            } => self.delete_version(&subject, version, permanent),
            Command::DeleteSubject { subject, permanent } => {
                self.delete_subject(&subject, permanent)
            }
            Command::SetConfig { scope, update } => self.set_config(&scope, &update),
            Command::DeleteConfig { scope } => self.delete_config(&scope),
            Command::SetMode { scope, mode, force } => self.set_mode(&scope, mode, force),
            Command::DeleteMode { scope } => self.delete_mode(&scope),
        }
    }

    /// # Errors
    /// Nothing may change in this subject.
    pub(crate) fn check_writable(&self, subject: Option<&str>) -> Result<(), Refusal> {
        match self.mode_in_scope(subject).is_read_only() {
            true => Err(Refusal::NotPermitted(format!(
                "Subject {} in context  is in read-only mode",
                subject.unwrap_or("null")
            ))),
            false => Ok(()),
        }
    }
}
