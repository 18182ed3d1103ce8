//! Stories of classic consumer groups, told through the public face of the `Groups` machine.
//!
//! - `rules`: one script per rule of the protocol
//! - `offsets`: the same for committed offsets and for looking at groups
//! - `records`: the bytes of `__consumer_offsets`
//! - `random`: many clients at random against what must always hold

#![expect(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod offsets;
mod random;
mod records;
mod rules;
mod script;
mod show;
