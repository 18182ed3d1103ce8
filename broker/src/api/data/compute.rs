//! Work that would hold up a reactor thread: checksums, compression, walks over many records.

use std::sync::LazyLock;

use tokio::sync::Semaphore;

/// As many at once as there are processors; more would only take turns. Processors belong to the
/// process, not to a broker in it.
static PROCESSORS: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)));

/// Runs `work` on a thread that may be busy, with a bound on how many are.
pub async fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    // The semaphore is never closed.
    let permit = PROCESSORS.acquire().await.ok();
    let done = tokio::task::spawn_blocking(move || {
        // Travels with the work: a caller that goes away does not stop it.
        let _permit = permit;
        work()
    });
    match done.await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
