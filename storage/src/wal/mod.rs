//! The write-ahead log: one per process start, shared by all partitions.
//!
//! ```text
//! appends ─▶ SlotBuilder ─▶ WalWriter ─▶ WalPool's files ─▶ WalSyncer ─▶ acknowledged
//!                                             ▲ recycled, oldest first
//!                              scan (after a stop) ─▶ replay
//! ```

mod buffer;
mod pool;
mod scan;
mod slot;
mod writer;

pub use pool::{TakeError, WalFile, WalOptions, WalPool};
pub use scan::{Chain, Found, SlotRead, scan};
pub use slot::{EntryKind, FooterEntry, SlotBuilder, slot_len};
pub use writer::{Resume, SlotPlace, WalSyncer, WalWriter};
