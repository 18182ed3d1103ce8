//! Stories of tables with merge engines: seeded lives against a plain map.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod a_follower_and_a_flusher_at_once;
#[path = "../table/engines.rs"]
mod engines;
mod follower;
mod format;
mod log;
mod model;
mod rules;
mod the_table_equals_the_model;
mod what_a_follower_sees;
mod world;
