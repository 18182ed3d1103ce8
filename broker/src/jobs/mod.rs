//! Work off the path of requests: what is made from the log in the background.

pub mod lake;
pub mod rows;
