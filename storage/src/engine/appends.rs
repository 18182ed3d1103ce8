//! Appends that wait for the appender.

use std::collections::VecDeque;

use super::Shared;
use crate::appender::AppendError;
use crate::request::Request;
use crate::store::Options;

/// Bounded by the memory of request frames, which each append holds on to.
#[derive(Default)]
pub(super) struct AppendQueue {
    waiting: VecDeque<Request>,
    bytes: usize,
    sync_under_way: bool,
    /// The WAL's budget is used up; wait for the janitor.
    out_of_space: bool,
    /// There is no incarnation to append to.
    pub failed: Option<AppendError>,
    pub closing: bool,
}

impl AppendQueue {
    pub fn refusal(&self) -> Option<AppendError> {
        if self.closing {
            return Some(AppendError::Storage("the broker is shutting down".into()));
        }
        self.failed.clone()
    }

    pub fn push(&mut self, requests: impl Iterator<Item = Request>) {
        for request in requests {
            self.bytes += request.append.batch.len();
            self.waiting.push_back(request);
        }
    }

    pub fn take_all(&mut self) -> VecDeque<Request> {
        self.bytes = 0;
        std::mem::take(&mut self.waiting)
    }

    fn is_ready(&self, options: &Options) -> bool {
        !self.waiting.is_empty()
            && !self.out_of_space
            && (!self.sync_under_way || self.bytes >= options.slot_bytes_while_syncing)
    }

    /// The next group: at least one batch, at most a slot's worth.
    fn take_group(&mut self, bytes_max: usize) -> Vec<Request> {
        let mut group = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.waiting.front() {
            if !group.is_empty() && bytes + next.append.batch.len() > bytes_max {
                break;
            }
            bytes += next.append.batch.len();
            group.extend(self.waiting.pop_front());
        }
        self.bytes -= bytes;
        group
    }

    fn put_back(&mut self, group: Vec<Request>) {
        for request in group.into_iter().rev() {
            self.bytes += request.append.batch.len();
            self.waiting.push_front(request);
        }
    }
}

impl Shared {
    /// The next group to write; `None` once closing and empty, or failed.
    pub(super) fn next_group(&self) -> Option<Vec<Request>> {
        let options = &self.store.options;
        let mut queue = self.appends.lock();
        loop {
            if queue.failed.is_some() || (queue.closing && queue.waiting.is_empty()) {
                return None;
            }
            if queue.is_ready(options) {
                return Some(queue.take_group(options.slot_bytes_max));
            }
            self.append_news.wait(&mut queue);
        }
    }

    /// The WAL's budget is used up: keeps a group until the janitor has done something about it.
    pub(super) fn wait_for_space(&self, group: Vec<Request>) {
        let mut queue = self.appends.lock();
        queue.put_back(group);
        queue.out_of_space = true;
        drop(queue);
        self.want(|chores| chores.flush_wanted = true);
    }

    pub(super) fn space_may_be_there(&self) {
        self.appends.lock().out_of_space = false;
        self.append_news.notify_one();
    }

    /// The WAL cannot be relieved: whoever waits for that gets an answer instead, and may try again.
    pub(super) fn no_space(&self, error: &AppendError) {
        let mut queue = self.appends.lock();
        if !std::mem::take(&mut queue.out_of_space) {
            return;
        }
        let waiting = queue.take_all();
        drop(queue);
        refuse(waiting, error);
        self.append_news.notify_one();
    }

    pub(super) fn set_syncing(&self, under_way: bool) {
        self.appends.lock().sync_under_way = under_way;
        if !under_way {
            self.append_news.notify_one();
        }
    }
}

pub(super) fn refuse(requests: impl IntoIterator<Item = Request>, error: &AppendError) {
    for request in requests {
        request.fail(error);
    }
}
