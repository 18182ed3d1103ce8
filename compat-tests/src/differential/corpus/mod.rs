//! The scripts, by family.
//!
//! A script's name is `family/what`; its steps say what is asked. To add one, write a function and its
//! row in the family's list, then record Kafka's answers.

mod admin;
mod api_versions;
mod bodies;
mod classic_groups;
mod configs;
mod consumer_groups;
mod defaults;
mod fetch;
mod fetch_sessions;
mod idempotence;
mod list_offsets;
mod metadata;
mod offsets;
mod produce;
mod security;
mod topics;
mod transactions;
mod wire;

use super::talk::{Outcome, Talk};

/// One script.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    pub name: &'static str,
    pub body: fn(&mut Talk) -> Outcome,
}

const fn script(name: &'static str, body: fn(&mut Talk) -> Outcome) -> Script {
    Script { name, body }
}

/// APIs that would end the broker, the cluster or its log in, and so are never asked.
pub const NEVER_ASKED: &[&str] = &[];

pub fn all() -> Vec<Script> {
    [
        admin::SCRIPTS,
        api_versions::SCRIPTS,
        classic_groups::SCRIPTS,
        configs::SCRIPTS,
        consumer_groups::SCRIPTS,
        defaults::SCRIPTS,
        fetch::SCRIPTS,
        fetch_sessions::SCRIPTS,
        idempotence::SCRIPTS,
        list_offsets::SCRIPTS,
        metadata::SCRIPTS,
        offsets::SCRIPTS,
        produce::SCRIPTS,
        security::SCRIPTS,
        topics::SCRIPTS,
        transactions::SCRIPTS,
        wire::SCRIPTS,
    ]
    .concat()
}
