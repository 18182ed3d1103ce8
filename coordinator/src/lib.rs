mod alarms;
pub mod cluster;
pub mod group;
pub mod machine;
pub mod producer;
pub mod txn;
mod wire;
