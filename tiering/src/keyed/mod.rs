//! Keyed tables in the lake: the newest row of each key, and nothing else.
//!
//! ```text
//! changes ── run ──┬─ net      what a run of changes leaves of itself and of the lake     pure
//!                  ├─ data file, one per Kafka partition
//!                  └─ erasure ── places ──┬─ live     the files of the snapshot
//!                        │                └─ offsets  which row of a file has an offset
//!                        └─ delete_file   one per Kafka partition
//! scan    lake rows of a snapshot without the deleted, merged with the net of the log's tail
//! ```
//!
//! No key is ever compared. Every change names the offset of the row it replaces
//! (`_prev_offset`), offsets are never used twice, and so an offset *is* a row: a run of changes is
//! two sets of offsets ([`Net`]), a delete is an offset looked up in the files that may have it,
//! and a union read leaves out of the lake what the tail replaces.
//!
//! Invariants, for every snapshot of a tier commit:
//! - A key has one live row at most, that of its newest change below the partition's lake end. A row that
//!   came and went within a run was never in the lake.
//! - Deletes are by position, in the same commit as the rows that replace, and every file they name
//!   is live in the snapshot that the commit's requirements assert. Their sequence number, the
//!   commit's, is above that of all those files; the commit's own rows need none.
//! - Files hold the rows of one Kafka partition, ours in the order of offsets. So the position of a
//!   row is the rank of its offset. Files that others rewrote in another order are followed too.
//! - What others add, overwrite or delete suspends ([`crate::Suspension::ForeignRows`]): it is not
//!   known which keys it meant. What they rewrite without changing rows is followed.

mod change;
mod delete_file;
mod erasure;
mod live;
mod net;
mod offsets;
mod places;
mod run;
mod scan;

pub use change::{BadChange, Change, ChangeKind, changes};
pub(crate) use delete_file::DeleteFileWriter;
pub(crate) use erasure::Erasure;
pub use live::LiveError;
pub(crate) use live::{DataEntry, DeleteEntry, Live, Manifests, dead_rows};
pub use net::Net;
pub(crate) use offsets::OffsetColumn;
pub(crate) use places::Places;
pub(crate) use run::Run;
pub(crate) use scan::kept;
pub use scan::{KeyedSnapshot, LakeScan, ScanError};
