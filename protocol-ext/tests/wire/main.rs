//! Bodies of requests and responses, right and wrong, through everything that reads them.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are tests, which the lint cannot see"
)]

mod ext_messages;
mod generator;
mod hostile_requests;
