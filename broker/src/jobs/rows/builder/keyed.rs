//! What a builder does for a keyed topic: its table has the changes, and waits for files of them.

use std::sync::Arc;

use tidelog_storage::ids::Offset;
use uuid::Uuid;

use super::{Builder, Built, Format, STEP_BYTES, StepError, run_blocking};
use crate::jobs::rows::changes;
use crate::owners::keyed::{NotReady, Table};

impl Builder {
    /// Whose changes are the rows; `None` where those are the records.
    pub(super) fn table(&self) -> Option<Arc<Table>> {
        let id = self.live.partition.id;
        let topic = Uuid::from_bytes(id.topic.0);
        self.broker.keyed().table(topic, id.index)
    }

    /// Writers do not wait for rows that are not built now.
    pub(super) fn hold_up_nobody(&self) {
        if let Some(table) = self.table()
            && (self.broker.keyed().is_full() || !table.has_room())
        {
            table.give_up_rows();
        }
    }

    /// Whether somebody waits for a file, and there is something to say in it.
    pub(super) fn is_file_wanted(&self) -> bool {
        let is_wanted = self.table().is_some_and(|table| table.are_rows_wanted());
        is_wanted && self.live.end() > self.live.partition.rows_to()
    }

    /// `None` while the table is not open, or has no room to go on.
    pub(super) async fn build_changes(
        &self,
        format: &Arc<Format>,
        base: Offset,
    ) -> Result<Option<Built>, StepError> {
        let Some(table) = self.table() else {
            return Ok(None);
        };
        let _permit = self.broker.rows().permit().await;
        let (index, format) = (self.live.partition.id.index, Arc::clone(format));
        let built = run_blocking(move || -> Result<Built, StepError> {
            let part = table.changelog(base, STEP_BYTES as usize)?;
            let merging = table.merging().map(Arc::as_ref);
            Ok(changes::build(&format, merging, index, base, &part)?)
        });
        match built.await {
            Ok(built) => Ok(Some(built).filter(|built| built.end > base || built.wanted.is_some())),
            Err(StepError::Table(NotReady::Loading)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
