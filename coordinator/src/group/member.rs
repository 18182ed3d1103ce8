//! A member of a group: who it is, what it supports, and whether a caller waits in its name.

use bytes::Bytes;

use super::command::{DescribedMember, JoinGroup, JoinedMember};
use super::record::MemberMetadata;
use crate::machine::Token;

/// One member. `session_deadline_ms` counts only while nobody waits in the member's name: a parked
/// JoinGroup or SyncGroup is a sign of life (except for [`Member::is_new`], see there).
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    /// Name and metadata, most preferred first.
    pub(super) protocols: Vec<(String, Bytes)>,
    pub(super) assignment: Bytes,
    pub(super) awaiting_join: Option<Token>,
    pub(super) awaiting_sync: Option<Token>,
    /// Has not seen the end of a join phase: its deadline holds even while it is parked.
    pub(super) is_new: bool,
    pub(super) session_deadline_ms: i64,
}

impl Member {
    /// A member that joins for the first time under `id`.
    pub(super) fn joining(id: String, join: &JoinGroup) -> Self {
        Self {
            id,
            instance_id: join.instance_id.clone(),
            client_id: join.client_id.clone(),
            client_host: join.client_host.clone(),
            rebalance_timeout_ms: join.rebalance_timeout_ms.max(0),
            session_timeout_ms: join.session_timeout_ms,
            protocols: kept(&join.protocols),
            assignment: Bytes::new(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: true,
            session_deadline_ms: i64::MAX,
        }
    }

    /// A member found in the log, with a fresh session.
    pub(super) fn recovered(stored: &MemberMetadata, protocol: &str, now_ms: i64) -> Self {
        let mut member = Self {
            id: stored.member_id.clone(),
            instance_id: stored.instance_id.clone(),
            client_id: stored.client_id.clone(),
            client_host: stored.client_host.clone(),
            rebalance_timeout_ms: stored.rebalance_timeout_ms.max(0),
            session_timeout_ms: stored.session_timeout_ms,
            protocols: vec![(protocol.to_owned(), stored.subscription.clone())],
            assignment: stored.assignment.clone(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
            session_deadline_ms: i64::MAX,
        };
        member.renew_session(now_ms);
        member
    }

    /// The member has shown that it lives.
    pub(super) fn renew_session(&mut self, now_ms: i64) {
        self.session_deadline_ms = now_ms.saturating_add(i64::from(self.session_timeout_ms));
    }

    /// When the session ends if nothing is heard; never while a caller is parked.
    pub(super) fn expires_at(&self) -> Option<i64> {
        let parked = self.awaiting_join.is_some() || self.awaiting_sync.is_some();
        (self.is_new || !parked).then_some(self.session_deadline_ms)
    }

    pub(super) const fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }

    /// What the member sent for `protocol`; empty if it does not support it.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let known = self.protocols.iter().find(|(name, _)| name == protocol);
        known
            .map(|(_, metadata)| metadata.clone())
            .unwrap_or_default()
    }

    pub(super) fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    pub(super) fn to_joined(&self, protocol: &str) -> JoinedMember {
        JoinedMember {
            member_id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            metadata: self.metadata(protocol),
        }
    }

    pub(super) fn to_stored(&self, protocol: &str) -> MemberMetadata {
        MemberMetadata {
            member_id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
            subscription: self.metadata(protocol),
            assignment: self.assignment.clone(),
        }
    }

    /// `protocol` is `None` while the group has not settled on one: no metadata is shown then.
    pub(super) fn to_described(&self, protocol: Option<&str>) -> DescribedMember {
        DescribedMember {
            member_id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            metadata: protocol
                .map(|protocol| self.metadata(protocol))
                .unwrap_or_default(),
            assignment: self.assignment.clone(),
        }
    }
}

/// A copy to keep: the metadata a request brings is a slice that would pin its whole frame.
pub(super) fn kept(protocols: &[(String, Bytes)]) -> Vec<(String, Bytes)> {
    let copy =
        |(name, metadata): &(String, Bytes)| (name.clone(), Bytes::copy_from_slice(metadata));
    protocols.iter().map(copy).collect()
}
