//! The story, a file for each step, in this order. A step takes the stage and what steps before it
//! found, and answers what the receipt holds of it.

pub(crate) mod set_up;
// The log.
pub(crate) mod consume;
pub(crate) mod produce;
// The same records as columns and by key.
pub(crate) mod columns;
pub(crate) mod keys;
// The same records in the lake.
pub(crate) mod lake;
pub(crate) mod union;
