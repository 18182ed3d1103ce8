//! APIs on the records of partitions: write, read, find, remove.
//!
//! ```text
//!   produce ─▶ write ─▶ admission (pure; off the reactor when heavy) ─▶ log.append ─▶ reply once it is held
//!   fetch   ─▶ fetch_session (which partitions) ─▶ plans ─▶ waiter (until there is enough)
//! ```
//! Every answer is per partition: what is wrong with one never fails another.

pub mod admission;
pub(crate) mod compute;
pub mod delete_records;
pub mod fetch;
pub mod fetch_session;
pub mod keyed;
pub mod list_offsets;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod screen;
pub mod target;
pub mod transactional;
pub mod write;
