//! The write-ahead log, shared by all partitions: one chain of slots through all incarnations.
//!
//! ```text
//! appends ─▶ SlotBuilder ─▶ WalWriter ─▶ WalPool's files ─▶ WalSyncer ─▶ acknowledged
//!                                             ▲ recycled, oldest first
//!                              scan (after a stop) ─▶ replay
//! ```

mod pool;
mod scan;
mod slot;
mod writer;

pub use pool::{TakeError, WalFile, WalOptions, WalPool};
pub use scan::{Chain, Found, SlotRead, scan};
pub use slot::{EntryKind, FooterEntry, Placed, SlotBuilder, SlotError, read_footer_of, slot_len};
pub use writer::{ChainEnd, SlotPlace, WalSyncer, WalWriter};
