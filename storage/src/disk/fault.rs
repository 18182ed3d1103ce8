//! How steps of a simulated disk end.

use std::io;

/// What a step that fails, with the power on, leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing was done. What a sync was to cover may reach the disk yet, or not.
    Undone,
    /// It was done all the same.
    Done,
    /// As `Undone`, and what a sync was to cover never reaches the disk, by later syncs neither,
    /// although readers see it until the power goes: a page cache that gave up.
    Lost,
}

/// How a step ends whose effect takes place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Well,
    PowerGoes,
    Fails(Fault),
}

impl End {
    pub fn finish(self) -> io::Result<()> {
        match self {
            Self::Well => Ok(()),
            Self::PowerGoes => Err(power_is_off()),
            Self::Fails(_) => Err(fault_injected()),
        }
    }
}

pub(super) fn power_is_off() -> io::Error {
    io::Error::other("the power is off")
}

pub(super) fn fault_injected() -> io::Error {
    io::Error::other("failed (injected)")
}
