//! A disk whose power can be cut: an ext4 image mounted through a loop device.
//!
//! The cut is the file system's own shutdown (`EXT4_IOC_SHUTDOWN` without flushing log or data): from
//! that instant nothing more reaches the image, and what was not synced is gone. Mounting again replays
//! the file system's journal, as after a real loss of power. It takes root and loop devices.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

/// Shuts the file system that holds a folder down: EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH.
const SHUT_DOWN: &str = "import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";

/// How long a dead process may keep the file system busy.
const UNMOUNT_WAIT: Duration = Duration::from_secs(10);

/// A mounted disk of its own; dropping it unmounts and deletes it.
#[derive(Debug)]
pub struct Disk {
    home: TempDir,
}

impl Disk {
    /// A fresh disk of so many MiB, of which only what is used takes room.
    ///
    /// # Errors
    /// This process may not mount, or there are no loop devices.
    pub fn new(mib: u64) -> Result<Self> {
        let disk = Self {
            home: tempfile::Builder::new()
                .prefix("tidelog-power-")
                .tempdir()?,
        };
        File::create(disk.image())?.set_len(mib << 20)?;
        run(Command::new("mkfs.ext4").arg("-q").arg(disk.image()))?;
        std::fs::create_dir(disk.path())?;
        disk.mount()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.home.path().join("disk")
    }

    /// Cuts the power. Programs that use the disk see I/O errors from here on.
    pub fn cut(&self) -> Result<()> {
        run(Command::new("python3")
            .args(["-c", SHUT_DOWN])
            .arg(self.path()))
    }

    /// Power is back, with what the disk really holds. No program may use it meanwhile.
    pub fn restore(&self) -> Result<()> {
        let deadline = Instant::now() + UNMOUNT_WAIT;
        while let Err(error) = self.unmount() {
            ensure!(Instant::now() < deadline, error);
            thread::sleep(Duration::from_millis(20));
        }
        self.mount()
    }

    fn image(&self) -> PathBuf {
        self.home.path().join("image")
    }

    fn mount(&self) -> Result<()> {
        run(Command::new("mount")
            .args(["-o", "loop"])
            .args([self.image(), self.path()]))
    }

    fn unmount(&self) -> Result<()> {
        run(Command::new("umount").arg(self.path()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What still uses it is a child of the test that ends with it.
        let lazily = Command::new("umount").arg("-l").arg(self.path()).output();
        drop(lazily);
    }
}

/// Whether this process may mount disks at all; a story that cannot run says why.
pub fn may_mount() -> bool {
    Path::new("/dev/loop-control").exists()
        && Command::new("id")
            .arg("-u")
            .output()
            .is_ok_and(|id| id.stdout == b"0\n")
}

fn run(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("running {command:?}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?}: {}: {said}", output.status);
    }
    Ok(())
}
