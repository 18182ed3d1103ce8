//! How much freed memory the process keeps.
//!
//! Blocks of rows are megabytes that live for milliseconds. glibc gives their pages back when they are
//! freed, and the kernel zeroes them anew for the next block: a third of the time of decoding JSON, half
//! of that of Avro (docs/formats/typed-json.md has figures). So each arena keeps some.

/// Freed bytes at the end of an arena that are kept.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT_BYTES: libc::c_int = 16 << 20;

/// Allocations from here on are mapped and unmapped one by one: frames and segments being written.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_BYTES: libc::c_int = 2 << 20;

/// Call it before there is a second thread. Other allocators than glibc's have their own ways.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(
        unsafe_code,
        reason = "there is no safe way to reach the allocator's limits"
    )]
    // SAFETY: mallopt takes two integers and changes the allocator's limits under its own lock.
    // Limits it does not take are left as they are, which costs time and nothing else.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES);
    }
}
