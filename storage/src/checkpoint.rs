//! What storage knows of key checkpoints: where they lie, what the manifest keeps of them, and how
//! much of the log they make expendable. Who writes and reads them is the room `keyed`.

use std::io;

use minicbor::{Decode, Encode};

use crate::directory::CHECKPOINTS;
use crate::disk::Disk;
use crate::ids::{Offset, PartitionId};
use crate::manifest::codec;
use crate::segment::FileId;

/// Where checkpoint files live.
pub const DIRECTORY: &str = CHECKPOINTS.name();

/// Checkpoints kept of a partition: the newest, and one to fall back on.
pub const KEPT: usize = 2;

/// One checkpoint file. Field numbers are for ever; new fields are optional.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct CheckpointMeta {
    #[n(0)]
    pub file: FileId,
    #[n(1)]
    pub format_version: u16,
    /// A reader that knows less must refuse the file.
    #[n(2)]
    pub min_reader: u16,
    #[cbor(n(3), with = "codec::partition")]
    pub partition: PartitionId,
    /// The rows are the fold of the log below this offset.
    #[n(4)]
    pub reflects: Offset,
    #[n(5)]
    pub rows: u64,
    /// Length of the file in bytes.
    #[n(6)]
    pub file_len: u64,
    /// crc32c of the whole file.
    #[n(7)]
    pub file_crc: u32,
}

/// The log from this offset on must stay: retention, compaction and DeleteRecords stop here. With
/// fewer than two checkpoints it is 0, because the log from its start is then the one to fall back
/// on.
pub fn retention_floor(checkpoints: &[CheckpointMeta]) -> Offset {
    let mut ends: Vec<_> = checkpoints.iter().map(|c| c.reflects).collect();
    ends.sort_unstable_by(|a, b| b.cmp(a));
    ends.get(KEPT - 1).copied().unwrap_or(0)
}

/// Path of the complete file.
pub fn path(file: FileId) -> String {
    CHECKPOINTS.path(file)
}

/// Removes a complete file; fine if it is gone. Only for files that no manifest names any more.
pub fn remove(disk: &dyn Disk, file: FileId) -> io::Result<()> {
    CHECKPOINTS.remove(disk, file)
}
