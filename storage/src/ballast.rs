//! A file that is given up when the disk is full, so that deletes and manifests can still be
//! written and retention can make room.

use std::io;
use std::sync::Arc;

use crate::disk::Disk;

const PATH: &str = "ballast";

/// Keeps or gives up the ballast file.
pub struct Ballast {
    disk: Arc<dyn Disk>,
    bytes: u64,
    held: Option<bool>,
}

impl Ballast {
    pub fn new(disk: Arc<dyn Disk>, bytes: u64) -> Self {
        Self {
            disk,
            bytes,
            held: None,
        }
    }

    /// Gives the ballast up where little is free, takes it back where plenty is.
    pub fn adjust(&mut self) -> io::Result<()> {
        if self.bytes == 0 {
            return Ok(());
        }
        let free = self.disk.free_bytes()?;
        let held = match self.held {
            Some(held) => held,
            None => self.disk.open(PATH).is_ok(),
        };
        self.held = Some(held);
        if held && free < self.bytes / 4 {
            self.disk.remove(PATH)?;
            self.held = Some(false);
            tracing::warn!(
                free_bytes = free,
                "the disk is full: gave up the ballast file"
            );
        } else if !held && free > 4 * self.bytes {
            self.disk.create_zeroed(PATH, self.bytes)?;
            self.held = Some(true);
        }
        Ok(())
    }
}
