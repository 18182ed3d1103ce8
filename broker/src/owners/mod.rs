//! The tasks that own state. Everything above only asks them.
//!
//! Each is a [`Machine`](tidelog_coordinator::machine::Machine) over one internal partition, run by
//! the one [`driver`].

pub mod cluster;
pub mod driver;
pub mod groups;
