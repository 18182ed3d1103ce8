//! The Tidelog broker.
//!
//! ```text
//!   main → cli → start → server → api → owners of state → storage
//! ```
//! Arrows go one way. [`settings`] is the table of process settings, [`api`] the list of APIs,
//! [`metrics`] the table of metrics; documents and checks are made from these three.

pub mod allocator;
pub mod api;
pub mod broker;
pub mod cli;
pub mod clock;
pub mod features;
pub mod http;
pub mod identity;
pub mod jobs;
pub mod log;
pub mod logging;
pub mod metrics;
pub mod owners;
pub mod server;
pub mod settings;
pub mod shutdown;
pub mod start;
pub mod views;
pub mod waiter;
