//! Why the registry does not do what it is asked, with the codes and words of Confluent's.

use thiserror::Error;

use crate::{SchemaId, Version, VersionRef};

/// A request that is not carried out. The text is what clients are told.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error("{0}")]
    BadRequest(String),
    #[error("{0} must not be null")]
    NoBody(&'static str),
    #[error("Subject '{0}' not found.")]
    SubjectNotFound(String),
    #[error("Version {0} not found.")]
    VersionNotFound(VersionRef),
    #[error("Schema {0} not found")]
    IdNotFound(SchemaId),
    #[error("Schema {0} not found")]
    GuidNotFound(String),
    #[error("Schema not found")]
    SchemaNotFound,
    #[error("Subject '{0}' was soft deleted.Set permanent=true to delete permanently")]
    SubjectSoftDeleted(String),
    #[error("Subject '{0}' was not deleted first before being permanently deleted")]
    SubjectNotSoftDeleted(String),
    #[error(
        "Subject '{subject}' Version {version} was soft deleted.Set permanent=true to delete permanently"
    )]
    VersionSoftDeleted {
        subject: String,
        version: VersionRef,
    },
    #[error(
        "Subject '{subject}' Version {version} was not deleted first before being permanently deleted"
    )]
    VersionNotSoftDeleted { subject: String, version: Version },
    #[error("Subject '{0}' does not have subject-level compatibility configured")]
    NoConfig(String),
    #[error("Subject '{0}' does not have subject-level mode configured")]
    NoMode(String),
    /// With the reasons, the newest version's first.
    #[error(
        "Schema being registered is incompatible with an earlier schema for subject \"{subject}\", \
         details: [{}]", .reasons.join(", ")
    )]
    Incompatible {
        subject: String,
        reasons: Vec<String>,
    },
    #[error("{0}")]
    InvalidSchema(String),
    #[error(
        "The specified version '{0}' is not a valid version id. Allowed values are between \
         [1, 2^31-1] and the string \"latest\""
    )]
    InvalidVersion(String),
    #[error(
        "Invalid compatibility level. Valid values are none, backward, forward, full, \
         backward_transitive, forward_transitive, and full_transitive"
    )]
    InvalidLevel,
    #[error("Invalid mode. Valid values are READWRITE, READONLY, READONLY_OVERRIDE and IMPORT.")]
    InvalidMode,
    #[error("{0}")]
    NotPermitted(String),
    #[error(
        "One or more references exist to the schema \
         {{magic=1,keytype=SCHEMA,subject={subject},version={version}}}."
    )]
    ReferenceExists { subject: String, version: Version },
    #[error("Schema already registered with id {known} instead of input id {asked}")]
    IdDoesNotMatch { known: SchemaId, asked: SchemaId },
    #[error("The specified subject '{0}' is not a valid.")]
    InvalidSubject(String),
    #[error("The specified subject '{0}' is not a valid. There is only the default context.")]
    OtherContext(String),
    #[error("{0}")]
    TooLarge(String),
    /// What the command rested on has changed: prepare it anew.
    #[error("The registry changed at the same time; try again")]
    Raced,
    /// The log cannot be written now, or nothing is known of the change.
    #[error("Error in the backend data store: {0}")]
    Unavailable(String),
}

impl Refusal {
    /// The `error_code` of the answer; its first three digits are the HTTP status.
    pub const fn code(&self) -> u16 {
        match self {
            Self::BadRequest(_) => 400,
            Self::SubjectNotFound(_) => 40401,
            Self::VersionNotFound(_) => 40402,
            Self::IdNotFound(_) | Self::GuidNotFound(_) | Self::SchemaNotFound => 40403,
            Self::SubjectSoftDeleted(_) => 40404,
            Self::SubjectNotSoftDeleted(_) => 40405,
            Self::VersionSoftDeleted { .. } => 40406,
            Self::VersionNotSoftDeleted { .. } => 40407,
            Self::NoConfig(_) => 40408,
            Self::NoMode(_) => 40409,
            Self::Incompatible { .. } => 409,
            Self::NoBody(_) => 422,
            Self::InvalidSchema(_) => 42201,
            Self::InvalidVersion(_) => 42202,
            Self::InvalidLevel => 42203,
            Self::InvalidMode => 42204,
            Self::NotPermitted(_) => 42205,
            Self::ReferenceExists { .. } => 42206,
            Self::IdDoesNotMatch { .. } => 42207,
            Self::InvalidSubject(_) | Self::OtherContext(_) => 42208,
            Self::TooLarge(_) => 42209,
            Self::Raced | Self::Unavailable(_) => 50001,
        }
    }

    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        match self.code() {
            code @ ..1000 => code,
            code => code / 100,
        }
    }
}

impl From<crate::compat::Invalid> for Refusal {
    fn from(invalid: crate::compat::Invalid) -> Self {
        Self::InvalidSchema(invalid.to_string())
    }
}
