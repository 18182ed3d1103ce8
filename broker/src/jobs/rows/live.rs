//! The rows of one partition that are built and not yet in a file.
//!
//! ```text
//! rows files …      │ blocks …                  │ not built yet
//!              rows_to (manifest)              end                stable end
//! ```
//! Its builder alone writes; readers take the blocks, which are shared and never change. A block is
//! let go only once a rows file that holds its rows is published, so whoever looks here first and at
//! the files afterwards misses nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tidelog_storage::Partition;
use tidelog_storage::ids::Offset;
use tidelog_storage::rows::EncodedBlock;
use tokio::time::Instant;

use super::build::is_small;
use super::format::Format;
use crate::server::ledger::Charge;

/// Most blocks one look hands out.
const BLOCKS_MAX: usize = 256;

/// A block and the memory it is charged for; without a charge where the budget was spent.
pub struct LiveBlock {
    pub block: EncodedBlock,
    pub format: Arc<Format>,
    pub charge: Option<Charge>,
}

/// See the module.
pub struct LiveRows {
    pub partition: Arc<Partition>,
    state: Mutex<State>,
}

struct State {
    blocks: VecDeque<LiveBlock>,
    end: Offset,
    bytes: usize,
    /// When the oldest block was built.
    since: Option<Instant>,
    /// When the oldest record that is no row yet was first seen, or before, in ms since 1970.
    behind_since_ms: Option<i64>,
    /// Nobody builds on right now.
    is_stalled: bool,
}

/// What readers see at one moment.
pub struct LiveView {
    /// Those that answer for the offset asked for and later ones, without a gap.
    pub blocks: Vec<EncodedBlock>,
    /// How each of them was made.
    pub formats: Vec<Arc<Format>>,
    /// Next offset after those answered for.
    pub end: Offset,
}

/// Neighbours of one format.
pub struct Alike {
    pub format: Arc<Format>,
    pub blocks: Vec<EncodedBlock>,
    /// Next offset after those answered for by them.
    pub end: Offset,
}

/// How far rows are behind.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lag {
    pub records: i64,
    pub ms: i64,
}

impl LiveRows {
    /// Goes on where the partition's rows files end.
    pub fn new(partition: Arc<Partition>) -> Self {
        let state = State {
            end: partition.rows_to(),
            blocks: VecDeque::new(),
            bytes: 0,
            since: None,
            behind_since_ms: None,
            is_stalled: false,
        };
        Self {
            partition,
            state: Mutex::new(state),
        }
    }

    /// Next offset after those that rows or files answer for.
    pub fn end(&self) -> Offset {
        self.state.lock().end
    }

    /// Whether whoever waits at the end would wait in vain.
    pub fn is_stalled(&self) -> bool {
        self.state.lock().is_stalled
    }

    pub fn set_stalled(&self, is_stalled: bool) {
        let was = std::mem::replace(&mut self.state.lock().is_stalled, is_stalled);
        if is_stalled && !was {
            self.partition.announce();
        }
    }

    /// Bytes of the blocks in memory, and when the oldest was built.
    pub fn held(&self) -> (usize, Option<Instant>) {
        let state = self.state.lock();
        (state.bytes, state.since)
    }

    /// The blocks from `offset` on, some of them. Look here before looking at the files.
    pub fn view(&self, offset: Offset) -> LiveView {
        let state = self.state.lock();
        let first = state
            .blocks
            .partition_point(|live| live.block.layout().end_offset() <= offset);
        let rest = state.blocks.range(first..).take(BLOCKS_MAX);
        let (blocks, formats): (Vec<_>, Vec<_>) = rest
            .map(|live| (live.block.clone(), Arc::clone(&live.format)))
            .unzip();
        let end = match blocks.last() {
            Some(last) if first + blocks.len() < state.blocks.len() => last.layout().end_offset(),
            _ => state.end,
        };
        LiveView {
            blocks,
            formats,
            end,
        }
    }

    /// Adds what was built; everything below `end` is answered for now.
    pub fn push(&self, blocks: Vec<LiveBlock>, end: Offset) {
        let mut state = self.state.lock();
        if !blocks.is_empty() {
            state.since.get_or_insert_with(Instant::now);
        }
        state.bytes += bytes_of(&blocks);
        state.blocks.extend(blocks);
        state.end = end;
        drop(state);
        self.partition.announce();
    }

    /// The small blocks at the end, as far as they are of one format.
    pub fn small_tail(&self) -> Option<Alike> {
        let state = self.state.lock();
        let format = Arc::clone(&state.blocks.back()?.format);
        let newest_first = state.blocks.iter().rev();
        let mut blocks: Vec<_> = newest_first
            .take_while(|live| Arc::ptr_eq(&live.format, &format) && is_small(&live.block))
            .map(|live| live.block.clone())
            .collect();
        blocks.reverse();
        let end = state.end;
        Some(Alike {
            format,
            blocks,
            end,
        })
    }

    /// Every block.
    pub fn blocks(&self) -> Vec<EncodedBlock> {
        let state = self.state.lock();
        state.blocks.iter().map(|live| live.block.clone()).collect()
    }

    /// The oldest blocks, as far as they are of one format; `None` without blocks.
    pub fn oldest(&self) -> Option<Alike> {
        let state = self.state.lock();
        let format = Arc::clone(&state.blocks.front()?.format);
        let blocks: Vec<_> = state
            .blocks
            .iter()
            .take_while(|live| Arc::ptr_eq(&live.format, &format))
            .map(|live| live.block.clone())
            .collect();
        let end = match blocks.last() {
            Some(last) if blocks.len() < state.blocks.len() => last.layout().end_offset(),
            _ => state.end,
        };
        Some(Alike {
            format,
            blocks,
            end,
        })
    }

    /// Puts `merged` in the place of the newest `count` blocks, which hold the same rows.
    pub fn replace_newest(&self, count: usize, merged: Vec<LiveBlock>) {
        let mut state = self.state.lock();
        let kept = state.blocks.len().saturating_sub(count);
        let replaced: Vec<_> = state.blocks.drain(kept..).collect();
        state.bytes = state.bytes - bytes_of(&replaced) + bytes_of(&merged);
        state.blocks.extend(merged);
    }

    /// Lets go of what a published rows file holds.
    pub fn drop_below(&self, rows_to: Offset) {
        let mut state = self.state.lock();
        while let Some(gone) = state
            .blocks
            .pop_front_if(|live| live.block.layout().end_offset() <= rows_to)
        {
            state.bytes -= gone.block.size_bytes();
        }
        state.since = (!state.blocks.is_empty()).then(Instant::now);
    }

    /// Notes since when rows have been behind: `None` if they are not.
    pub fn set_behind(&self, since_ms: Option<i64>) {
        self.state.lock().behind_since_ms = since_ms;
    }

    /// As [`LiveRows::set_behind`], unless that is known already.
    pub fn note_behind(&self, since_ms: i64) {
        self.state.lock().behind_since_ms.get_or_insert(since_ms);
    }

    /// As of `now_ms`.
    pub fn lag(&self, now_ms: i64) -> Lag {
        let marks = self.partition.marks();
        let state = self.state.lock();
        let records = marks.stable_end - state.end.max(marks.log_start);
        Lag {
            records: records.max(0),
            ms: match state.behind_since_ms {
                Some(since_ms) if records > 0 => (now_ms - since_ms).max(0),
                _ => 0,
            },
        }
    }
}

fn bytes_of(blocks: &[LiveBlock]) -> usize {
    blocks.iter().map(|live| live.block.size_bytes()).sum()
}
