//! APIs about who may do what. There is no authorizer: every answer says so, as Kafka's do then.
//!
//! Kafka closes the connection on a kind of resource, pattern, operation or permission that it does not
//! know, before it looks for an authorizer.

pub mod create_acls;
pub mod delete_acls;
pub mod describe_acls;
pub mod describe_user_scram_credentials;

/// The numbers of a rule, or of a filter for rules.
struct Kinds {
    resource: i8,
    pattern: i8,
    operation: i8,
    permission: i8,
}

impl Kinds {
    /// Whether all are kinds Kafka 4.3 knows, those of filters included.
    fn are_known(&self) -> bool {
        (1..=7).contains(&self.resource)
            && (1..=4).contains(&self.pattern)
            && (1..=15).contains(&self.operation)
            && (1..=3).contains(&self.permission)
    }
}

/// Why there are no access rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this broker has no authorizer: everybody may do everything")]
pub struct NoAuthorizer;
