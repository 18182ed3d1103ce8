//! Stories of transactions, told through the public face of the `Transactions` machine.
//!
//! - `rules`: one script per rule of the protocol
//! - `table`: what every command comes to in every state
//! - `records`: the bytes of `__transaction_state`
//! - `random`: clients, partitions and a writer of markers that crash at any step, against what must
//!   always hold

#![expect(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod random;
mod records;
mod rules;
mod script;
mod table;
