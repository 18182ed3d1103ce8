//! Views: topics that show the records of another topic, their source.
//!
//! A view has its source's partitions, whatever becomes of their number, and its source is there as long
//! as the view is. Views show tables, never views.

use std::sync::Arc;

use uuid::Uuid;

use super::command::NewTopic;
use super::controller::Cluster;
use super::error::ClusterError;
use super::image::{Image, Topic};
use super::settings::{Overrides, TableMode, ViewFormat, ViewSettings};

impl Cluster {
    /// The topic that a new one is to show; `None` if that is to be no view.
    pub(super) fn source_of_new(
        &self,
        image: &Image,
        new: &NewTopic,
        overrides: &Overrides,
    ) -> Result<Option<Arc<Topic>>, ClusterError> {
        let layers = self.layers(image);
        let Some(view) = ViewSettings::resolve(&layers.with_topic(overrides)) else {
            return Ok(None);
        };
        let refuse = |why: &str| {
            let reason = format!("topic {} {why}", view.of);
            Err(ClusterError::BadView { reason })
        };
        let Some(source) = image.topic(&view.of) else {
            return refuse("does not exist");
        };
        if source.internal || new.internal {
            return refuse("is kept by the broker for itself and has no views");
        }
        if let Some(shown) = image.source_of(source) {
            return refuse(&format!("is a view itself: name {}", shown.name));
        }
        let settings = image.settings(source, self.options.node_id, &self.options.settings);
        if settings.table.mode == TableMode::Disabled {
            return refuse("has no columns to show: set its tidelog.table.mode first");
        }
        if view.format == ViewFormat::DebeziumJson {
            if !settings.table.has_changelog() {
                return refuse(
                    "has no changes to show: debezium-json is for tables with tidelog.table.key=record_key",
                );
            }
            if !settings.table.merge.shows_row_before() {
                return refuse(
                    "keeps no rows before: debezium-json shows them, and is for tables with tidelog.table.image=full",
                );
            }
        }
        Ok(Some(Arc::clone(source)))
    }

    /// As many as its source has, which a request may leave open or has to ask for.
    pub(super) fn partitions_of_view(
        &self,
        new: &NewTopic,
        source: &Topic,
    ) -> Result<i32, ClusterError> {
        let is_open = new.partitions == -1 && new.assignments.is_empty();
        if is_open || self.partitions_of(new)? == source.partitions {
            return Ok(source.partitions);
        }
        let reason = format!(
            "a view has the partitions of the topic it shows: {} has {}; ask for as many, or for -1",
            source.name, source.partitions
        );
        Err(ClusterError::InvalidPartitions { reason })
    }
}

/// Refuses to delete what views show that do not go too.
pub(super) fn check_unseen(
    image: &Image,
    topic: &Topic,
    goes: impl Fn(Uuid) -> bool,
) -> Result<(), ClusterError> {
    let stay = image.views_of(topic.id).filter(|view| !goes(view.id));
    let stay: Vec<&str> = stay.map(|view| view.name.as_str()).collect();
    match stay.is_empty() {
        true => Ok(()),
        false => Err(ClusterError::HasViews {
            name: topic.name.clone(),
            views: stay.join(", "),
        }),
    }
}

/// Why a view is not given partitions.
pub(super) fn view_grows_with(view: &Topic, source: &Topic) -> ClusterError {
    let reason = format!(
        "topic {} is a view and has the partitions of {}: give that topic more",
        view.name, source.name
    );
    ClusterError::InvalidPartitions { reason }
}
