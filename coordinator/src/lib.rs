pub mod cluster;
pub mod group;
pub mod machine;
