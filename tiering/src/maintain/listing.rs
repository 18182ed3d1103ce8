//! What is in a folder: the one thing about files that Iceberg's storage does not say.

use async_trait::async_trait;

/// A file that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Spelled as the folder was in the question.
    pub location: String,
    /// When it was last written, milliseconds since 1970-01-01 UTC.
    pub modified_ms: i64,
}

/// Lists files.
#[async_trait]
pub trait FileListing: Send + Sync {
    /// All files below `folder`, at any depth; none if it does not exist.
    async fn list(&self, folder: &str) -> iceberg::Result<Vec<ListedFile>>;
}
