//! Stories of keyed tables: one module each, on the ground that `world` and `engines` lay.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod an_index_is_lost_after_retention;
mod engines;
mod readers_and_writers_at_once;
mod the_table_equals_the_fold;
mod what_is_not_stable_is_not_seen;
mod world;
