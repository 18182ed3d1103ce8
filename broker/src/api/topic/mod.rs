//! APIs that make, change and describe topics and settings.

pub mod alter_configs;
mod alteration;
mod config_resource;
pub(in crate::api) mod controller;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_topics;
pub mod describe_configs;
pub mod dynamic;
pub mod incremental_alter_configs;
pub mod list_config_resources;
mod loggers;
pub mod name;
mod table;

pub use config_resource::BadResource;
pub use controller::NoAnswer;
pub use delete_topics::BadReference;
