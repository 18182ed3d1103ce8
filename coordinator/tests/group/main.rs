//! Stories of consumer groups, told through the public face of the `Groups` machine.
//!
//! - `rules`: one script per rule of the protocol
//! - `offsets`: the same for committed offsets and for looking at groups
//! - `txn_offsets`: the same for offsets within transactions
//! - `records`: the bytes of `__consumer_offsets`
//! - `consumer`: groups of the new protocol (KIP-848)
//! - `random`: many clients at random against what must always hold

#![expect(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod consumer;
mod offsets;
mod random;
mod records;
mod rules;
mod script;
mod show;
mod txn_offsets;
