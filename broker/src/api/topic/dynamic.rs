//! Broker settings that were changed while a broker ran: from the cluster image to the process.

use std::sync::Arc;

use tracing::warn;

use crate::broker::Broker;
use crate::settings::TABLE;

/// Puts the changes of the image in force, those for this broker over those for all. Called at
/// start and after each change. Settings that only topics read are found in the image directly.
pub fn apply(broker: &Broker) {
    loop {
        let view = broker.cluster().view();
        let layers = [None, Some(broker.node_id())];
        let set = layers.iter().filter_map(|id| view.image.broker_config(*id));
        let changes: Vec<(&str, &str)> = set
            .flatten()
            .map(|(name, value)| (name.as_str(), value.trim()))
            .filter(|(name, value)| is_sound(broker, name, value))
            .collect();
        if let Err(error) = broker.change_settings(changes) {
            warn!(%error, "changed settings are not used");
        }
        // Two changes at once may come here in the wrong order: whoever ends last has the newest.
        if Arc::ptr_eq(&view, &broker.cluster().view()) {
            return;
        }
    }
}

/// Whether the process has this setting and takes this value. Topics may take more forms of one.
fn is_sound(broker: &Broker, name: &str, value: &str) -> bool {
    if !TABLE.iter().any(|row| row.name == name) {
        return false;
    }
    let taken = broker.settings().with_changes([(name, value)]);
    if let Err(error) = &taken {
        warn!(%error, "a changed setting is not used");
    }
    taken.is_ok()
}
