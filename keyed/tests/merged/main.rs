//! Stories of tables with merge engines: seeded lives against a plain map.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

#[path = "../table/engines.rs"]
mod engines;
mod follower;
mod format;
mod model;
mod rules;
mod the_table_equals_the_model;
mod what_a_follower_sees;
mod world;
