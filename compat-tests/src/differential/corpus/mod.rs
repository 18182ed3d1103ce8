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
mod group_admin;
mod idempotence;
mod list_offsets;
mod metadata;
mod offsets;
mod produce;
mod security;
mod static_members;
mod topics;
mod transaction_admin;
mod transaction_errors;
mod transaction_offsets;
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

/// All scripts; their names are unique.
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
        group_admin::SCRIPTS,
        idempotence::SCRIPTS,
        list_offsets::SCRIPTS,
        metadata::SCRIPTS,
        offsets::SCRIPTS,
        produce::SCRIPTS,
        security::SCRIPTS,
        static_members::SCRIPTS,
        topics::SCRIPTS,
        transaction_admin::SCRIPTS,
        transaction_errors::SCRIPTS,
        transaction_offsets::SCRIPTS,
        transactions::SCRIPTS,
        wire::SCRIPTS,
    ]
    .concat()
}
