//! The native part of the Python package `tidelog`: `tidelog-client` behind Python objects.
//!
//! ```text
//! connect ─► Client ─► Table ─► Reader ─► Batch      rows of the log, or of lake and log
//!                        └────► Found ──► Rows       rows of keys
//! ```
//!
//! What a user sees is written in Python, in `tidelog/`; nothing here is public by itself.
//!
//! - Whatever asks a broker is a [`Pending`](pending::Pending), to be waited for by a thread or
//!   awaited by an event loop. Neither holds the interpreter meanwhile, and Ctrl-C ends a wait.
//! - Arrow data crosses by the PyCapsule interface, without being copied.
//! - Failures become the exceptions of `tidelog.errors`.

mod arguments;
mod arrow;
mod batch;
mod client;
mod error;
mod lookup;
mod pending;
mod reader;
mod runtime;
mod table;
mod values;

use pyo3::pymodule;

#[pymodule]
#[pyo3(name = "_native")]
mod native {
    #[pymodule_export]
    use crate::batch::{Batch, Rows, Schema};
    #[pymodule_export]
    use crate::client::{Client, connect};
    #[pymodule_export]
    use crate::error::error_codes;
    #[pymodule_export]
    use crate::lookup::Found;
    #[pymodule_export]
    use crate::pending::Pending;
    #[pymodule_export]
    use crate::reader::Reader;
    #[pymodule_export]
    use crate::table::Table;
}
