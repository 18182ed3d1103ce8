//! What the world does when a step of the disk fails with the power on: it begins a new incarnation,
//! as the engine would, and its producers send again what was not acknowledged, as clients would.

use std::ops::RangeInclusive;

use tidelog_storage::disk::Fault;
use tidelog_storage::ids::PartitionId;
use tidelog_storage::{AppendError, GroupOutcome, Reopened, Request};

use super::{PowerCut, World, partition_id};

/// Attempts at anything that may fail because of an injected fault.
const ATTEMPTS_MAX: usize = 8;

impl World {
    /// Makes steps fail, counted from now, and takes failures as they come from here on.
    pub fn fail_steps(&mut self, steps: RangeInclusive<u64>, fault: Fault) {
        let now = self.disk.steps();
        let steps = now + steps.start()..=now.saturating_add(*steps.end());
        self.disk.fail_steps(steps, fault);
        self.may_fail = true;
    }

    /// The disk is well again: everything must work from here on, and soon does.
    pub fn heal(&mut self) -> Result<(), PowerCut> {
        self.disk.heal();
        // A tick mends the manifest log.
        self.tick()?;
        self.may_fail = false;
        self.tick()
    }

    /// Ends this incarnation and begins the next; what was not acknowledged is sent again.
    pub(super) fn fail_over(&mut self, error: &AppendError) -> Result<(), PowerCut> {
        if self.disk.is_dead() || !self.may_fail {
            return Err(PowerCut);
        }
        for written in std::mem::take(&mut self.waiting) {
            written.fail(error);
        }
        self.take_failures();
        for _ in 0..ATTEMPTS_MAX {
            self.reopen()?;
            self.drop_what_was_cut();
            if self.send_again()? {
                return Ok(());
            }
        }
        panic!("the disk fails for ever");
    }

    /// Every append was answered, and so: none of them is known to be durable.
    fn take_failures(&mut self) {
        let answers: Vec<_> = self.answers.0.lock().drain().collect();
        for (tag, outcome) in answers {
            let (id, at) = self.tags.remove(&tag).expect("asked for");
            match outcome {
                Ok(_) => self.model.get_mut(&id).expect("sent to it").sent[at].acked = true,
                Err(AppendError::Storage(_)) => {}
                Err(other) => panic!("{id}: {other}"),
            }
        }
        assert!(self.tags.is_empty(), "nobody waits for ever");
    }

    fn reopen(&mut self) -> Result<(), PowerCut> {
        let before = self.leader_epochs();
        for _ in 0..ATTEMPTS_MAX {
            match self.parts().janitor.reopen() {
                Ok(reopened) => {
                    let Reopened {
                        appender, syncer, ..
                    } = reopened;
                    (self.parts().appender, self.parts().syncer) = (appender, syncer);
                    let raised = self.leader_epochs();
                    assert!(before.iter().zip(&raised).all(|(old, new)| old < new));
                    return Ok(());
                }
                Err(_) if self.disk.is_dead() => return Err(PowerCut),
                Err(_) => assert_eq!(self.leader_epochs(), before, "nothing to lead yet"),
            }
        }
        panic!("the disk fails for ever");
    }

    fn leader_epochs(&self) -> Vec<i32> {
        let ids = (0..super::PARTITIONS).map(partition_id);
        ids.map(|id| self.partition(id).marks().leader_epoch)
            .collect()
    }

    /// What is still there is durable; what is not is not acknowledged.
    fn drop_what_was_cut(&mut self) {
        for index in 0..super::PARTITIONS {
            let id = partition_id(index);
            let partition = self.partition(id);
            let end = partition.marks().high_watermark;
            let epoch = partition.marks().leader_epoch;
            assert_eq!(partition.epoch_end(epoch), Some((epoch, end)), "{id}");
            assert_eq!(
                partition.epoch_end(epoch - 1).map(|(_, e)| e),
                Some(end),
                "{id}"
            );
            for sent in &mut self.model.entry(id).or_default().sent {
                let is_there = sent.next_offset <= end;
                assert!(is_there || !sent.acked, "{id}: acknowledged and cut off");
                sent.acked = is_there;
            }
        }
    }

    /// Sends again what is not acknowledged, and waits; false if the incarnation failed meanwhile.
    /// In the order of before, so that offsets are those of before.
    fn send_again(&mut self) -> Result<bool, PowerCut> {
        let mut group = Vec::new();
        for index in 0..super::PARTITIONS {
            let id = partition_id(index);
            for at in 0..self.model.entry(id).or_default().sent.len() {
                group.extend(self.again(id, at));
            }
        }
        match self.parts().appender.append(group) {
            Ok(GroupOutcome::Written(written)) => self.waiting.push(written),
            Ok(GroupOutcome::Settled) if self.tags.is_empty() => return Ok(true),
            // Refused, or no room: they were never sent.
            Ok(_) => {
                self.give_up();
                return Ok(true);
            }
            Err(_) if self.disk.is_dead() => return Err(PowerCut),
            Err(_) => {
                self.take_failures();
                return Ok(false);
            }
        }
        match self.parts().syncer.sync() {
            Ok(_) => {
                self.settle();
                Ok(true)
            }
            Err(_) if self.disk.is_dead() => Err(PowerCut),
            Err(error) => {
                let error = AppendError::Storage(error.to_string());
                let waiting = std::mem::take(&mut self.waiting);
                waiting.into_iter().for_each(|written| written.fail(&error));
                self.take_failures();
                Ok(false)
            }
        }
    }

    fn again(&mut self, id: PartitionId, at: usize) -> Option<Request> {
        let sent = self.model[&id].sent[at].clone();
        if sent.acked {
            return None;
        }
        let tag = self.next_tag;
        self.next_tag += 1;
        self.tags.insert(tag, (id, at));
        Some(Request {
            append: self.make_append(id, sent.original, tag),
            origin: sent.origin,
        })
    }

    /// A kill and a start, while steps may fail; nothing is sent again.
    pub fn restart_among_faults(&mut self) -> Result<(), PowerCut> {
        self.restart(false)?;
        self.give_up();
        Ok(())
    }

    /// Forgets what came to nothing.
    fn give_up(&mut self) {
        self.answers.0.lock().clear();
        self.tags.clear();
        for index in 0..super::PARTITIONS {
            let id = partition_id(index);
            let end = self.partition(id).marks().high_watermark;
            let model = self.model.entry(id).or_default();
            let lost = model.sent.iter().find(|s| s.acked && s.next_offset > end);
            assert!(
                lost.is_none(),
                "{id}: acknowledged, and the log ends at {end}"
            );
            model.forget_from(end);
        }
    }
}
