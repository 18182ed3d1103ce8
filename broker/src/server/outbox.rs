//! The replies one connection owes, in the order of its requests.
//!
//! The reading half puts outcomes in, the writing half takes them out; both run in one task. The
//! rules that keep order and memory bounded stand in [`Outbox::admit`]: it is asked before a
//! request is handled, so a client that does not read its replies is no longer read itself.

use std::collections::VecDeque;

use futures::FutureExt;
use parking_lot::Mutex;
use tidelog_protocol_ext::Rope;
use tokio::sync::Notify;

use crate::api::context::{Outcome, Reply};

/// Replies owed at the same time. Producers keep 5 requests in flight by default, the busiest
/// clients a few dozen.
const OWED_MAX: usize = 64;

/// Finished replies that wait to be written. Small ones share a write; a large one is alone.
const UNWRITTEN_MAX_BYTES: usize = 64 * 1024;

/// Pieces gathered for one write, below the 1024 the system takes at once.
const BATCH_MAX_PIECES: usize = 512;

#[derive(Default)]
pub struct Outbox {
    state: Mutex<State>,
    /// Something was put in, or nothing more will be.
    filled: Notify,
    /// Something was written.
    emptied: Notify,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Outcome>,
    owed: usize,
    /// Of those owed, the ones still being made.
    unfinished: usize,
    unwritten_bytes: usize,
    finished: bool,
}

/// Replies that go into one write.
#[derive(Default)]
pub struct Batch {
    /// Pieces of whole frames, in order.
    pub pieces: VecDeque<bytes::Bytes>,
    /// The connection closes after these.
    pub close: bool,
    replies: usize,
    bytes: usize,
    later: usize,
}

impl Outbox {
    /// Waits until the next request may be handled. One that is `pipelined` (Produce) may run
    /// while replies are still being made; any other waits until those before it are finished, so
    /// that it sees their effects.
    pub async fn admit(&self, pipelined: bool) {
        loop {
            let emptied = self.emptied.notified();
            if self.state.lock().admits(pipelined) {
                return;
            }
            emptied.await;
        }
    }

    /// Adds the outcome of the request that was admitted.
    pub fn push(&self, outcome: Outcome) {
        self.state.lock().push(outcome);
        self.filled.notify_one();
    }

    /// Nothing will be added any more.
    pub fn finish(&self) {
        self.state.lock().finished = true;
        self.filled.notify_one();
    }

    /// Waits for the oldest reply, then adds those that are ready behind it; `None` when everything
    /// was handed out and nothing will come. `held` keeps an outcome that was not ready yet.
    pub async fn next_batch(&self, held: &mut Option<Outcome>) -> Option<Batch> {
        let first = match held.take() {
            Some(outcome) => outcome,
            None => self.pop_wait().await?,
        };
        let mut batch = Batch::default();
        match first {
            Outcome::Now(reply) => batch.add(reply, false),
            Outcome::Later(reply) => batch.add(reply.await, true),
        }
        while batch.has_room() {
            let Some(next) = self.state.lock().queue.pop_front() else {
                break;
            };
            match next {
                Outcome::Now(reply) => batch.add(reply, false),
                Outcome::Later(mut reply) => match (&mut reply).now_or_never() {
                    Some(ready) => batch.add(ready, true),
                    None => {
                        *held = Some(Outcome::Later(reply));
                        break;
                    }
                },
            }
        }
        Some(batch)
    }

    /// Settles what a written batch was owed for.
    pub fn written(&self, batch: &Batch) {
        self.state.lock().settle(batch);
        self.emptied.notify_one();
    }

    async fn pop_wait(&self) -> Option<Outcome> {
        loop {
            let filled = self.filled.notified();
            {
                let mut state = self.state.lock();
                if let Some(outcome) = state.queue.pop_front() {
                    return Some(outcome);
                }
                if state.finished {
                    return None;
                }
            }
            filled.await;
        }
    }
}

impl State {
    fn admits(&self, pipelined: bool) -> bool {
        let room = self.owed < OWED_MAX && self.unwritten_bytes < UNWRITTEN_MAX_BYTES;
        room && (pipelined || self.unfinished == 0)
    }

    fn push(&mut self, outcome: Outcome) {
        self.owed += 1;
        match &outcome {
            Outcome::Later(_) => self.unfinished += 1,
            Outcome::Now(Reply::Send(frame)) => self.unwritten_bytes += frame.len(),
            Outcome::Now(Reply::Silent | Reply::Close) => {}
        }
        self.queue.push_back(outcome);
    }

    fn settle(&mut self, batch: &Batch) {
        self.owed -= batch.replies;
        self.unfinished -= batch.later;
        self.unwritten_bytes -= batch.bytes;
        if self.owed == 0 {
            // An idle connection keeps no buffer.
            self.queue = VecDeque::new();
        }
    }
}

impl Batch {
    /// Adds one reply; `later` replies were never counted as unwritten bytes.
    fn add(&mut self, reply: Reply, later: bool) {
        self.replies += 1;
        self.later += usize::from(later);
        match reply {
            Reply::Send(frame) => {
                self.bytes += if later { 0 } else { frame.len() };
                self.append(&frame);
            }
            Reply::Silent => {}
            Reply::Close => self.close = true,
        }
    }

    fn append(&mut self, frame: &Rope) {
        self.pieces.extend(frame.pieces().iter().cloned());
    }

    fn has_room(&self) -> bool {
        !self.close && self.pieces.len() < BATCH_MAX_PIECES
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::sync::oneshot;

    use super::*;

    fn send(text: &'static str) -> Reply {
        Reply::Send(Rope::from(Bytes::from_static(text.as_bytes())))
    }

    fn text(batch: &Batch) -> Vec<u8> {
        batch.pieces.iter().flatten().copied().collect()
    }

    #[tokio::test]
    async fn replies_leave_in_order_and_ready_ones_together() {
        let outbox = Outbox::default();
        let (finish_b, b) = oneshot::channel();
        outbox.push(send("a").into());
        outbox.push(Outcome::later(async { b.await.unwrap_or(Reply::Close) }));
        outbox.push(Reply::Silent.into());
        outbox.push(send("c").into());

        let mut held = None;
        let first = outbox.next_batch(&mut held).await.unwrap();
        assert_eq!(text(&first), b"a");
        outbox.written(&first);
        finish_b.send(send("b")).unwrap();
        let rest = outbox.next_batch(&mut held).await.unwrap();
        assert_eq!(text(&rest), b"bc");
    }

    #[tokio::test]
    async fn a_reply_in_the_making_admits_only_pipelined_requests() {
        let outbox = Outbox::default();
        let (finish, made) = oneshot::channel();
        outbox.push(Outcome::later(async { made.await.unwrap_or(Reply::Close) }));
        outbox.admit(true).now_or_never().expect("Produce goes on");
        assert!(outbox.admit(false).now_or_never().is_none(), "others wait");

        finish.send(send("x")).unwrap();
        let batch = outbox.next_batch(&mut None).await.unwrap();
        outbox.written(&batch);
        outbox
            .admit(false)
            .now_or_never()
            .expect("nothing is being made");
    }

    #[tokio::test]
    async fn the_queue_and_its_bytes_are_bounded() {
        let outbox = Outbox::default();
        for _ in 0..OWED_MAX {
            outbox.admit(true).now_or_never().expect("below the bound");
            outbox.push(Outcome::later(std::future::pending()));
        }
        assert!(outbox.admit(true).now_or_never().is_none());

        let outbox = Outbox::default();
        outbox.push(Reply::Send(Rope::from(Bytes::from(vec![0; UNWRITTEN_MAX_BYTES]))).into());
        assert!(outbox.admit(true).now_or_never().is_none());
        let batch = outbox.next_batch(&mut None).await.unwrap();
        outbox.written(&batch);
        outbox.admit(false).now_or_never().expect("written");
    }

    #[tokio::test]
    async fn a_finished_outbox_hands_out_the_rest_and_ends() {
        let outbox = Outbox::default();
        outbox.push(send("a").into());
        outbox.push(Reply::Close.into());
        outbox.push(send("never").into());
        outbox.finish();
        let batch = outbox.next_batch(&mut None).await.unwrap();
        assert_eq!(text(&batch), b"a");
        assert!(batch.close);
        assert!(
            Outbox::default()
                .next_batch(&mut None)
                .now_or_never()
                .is_none()
        );
    }
}
