//! The tasks that own state. Everything above only asks them.
//!
//! Each is a [`Machine`](tidelog_coordinator::machine::Machine) over one internal partition, run by
//! the one [`driver`], but for [`keyed`], whose log is the keyed topic itself.

pub mod catalog;
pub mod cluster;
pub mod driver;
mod envelope;
pub mod groups;
pub mod keyed;
pub mod markers;
pub mod partitioned;
pub mod registry;
pub mod transactions;
