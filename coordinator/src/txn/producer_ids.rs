//! Producer ids in store. They are granted in blocks, which the cluster's log has made ours for
//! ever; what is left in store at a restart is lost, so no id is given out twice.

use std::collections::VecDeque;
use std::ops::Range;

use super::error::TxnError;

#[derive(Debug, Default)]
pub(super) struct ProducerIds {
    blocks: VecDeque<Range<i64>>,
    /// None below is given out.
    floor: i64,
}

impl ProducerIds {
    pub(super) fn grant(&mut self, first: i64, count: u32) {
        let block = first.max(self.floor)..first.saturating_add(i64::from(count));
        if first >= 0 && !block.is_empty() {
            self.blocks.push_back(block);
        }
    }

    /// Gives up all ids below `floor`, also of blocks granted later.
    pub(super) fn skip(&mut self, floor: i64) {
        self.floor = self.floor.max(floor);
        self.blocks.retain_mut(|block| {
            block.start = block.start.max(floor);
            !block.is_empty()
        });
    }

    pub(super) fn take(&mut self) -> Result<i64, TxnError> {
        let block = self.blocks.front_mut().ok_or(TxnError::NoProducerIds)?;
        let id = block.start;
        block.start += 1;
        if block.is_empty() {
            self.blocks.pop_front();
        }
        Ok(id)
    }
}
