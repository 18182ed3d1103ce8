//! Stories of groups of the new protocol (KIP-848).
//!
//! - `rules`: one script per rule of the protocol
//! - `migration`: classic consumers in such groups, and groups that change their kind
//! - `assignors`: what every assignor promises, and each of them
//! - `records`: the bytes of their records
//! - `churn`: clients of all kinds at random, against what must always hold

mod assignors;
mod churn;
mod migration;
mod records;
mod rules;
mod stage;
