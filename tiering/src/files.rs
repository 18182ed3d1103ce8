//! Lake files on a local directory, written so that a commit may name them.
//!
//! Promises:
//! 1. Create-only: no path is ever opened for writing twice. Every name this crate makes carries a
//!    fresh uuid, so an existing file is a bug or a foreign writer, never a retry.
//! 2. When `close` or `write` has answered, the bytes, the file's directory entry and the entries
//!    of all directories from the root down are on disk. A power cut after that cannot take them
//!    back. (A directory is synced into its parent when first seen, not only when made: who made
//!    it may have died before syncing.)
//! 3. A writer dropped before `close` removes its file.
//! 4. Nothing outside the root is read, written or deleted.
//!
//! Blocking calls run on tokio's blocking pool: the same storage serves HTTP handlers.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use iceberg::io::{
    FileIO, FileIOBuilder, FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage,
    StorageConfig, StorageFactory,
};
use iceberg::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::maintain::{FileListing, ListedFile};

/// Storage over `file:` paths and absolute paths below a root; see the module for its promises.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LocalFiles {
    root: PathBuf,
    /// Directories known to be on disk.
    #[serde(skip)]
    durable: Arc<Mutex<HashSet<PathBuf>>>,
}

impl LocalFiles {
    /// Storage for everything below `root`, an absolute path; made when first written to.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            durable: Arc::default(),
        }
    }

    /// A [`FileIO`] over this storage.
    pub fn file_io(root: &Path) -> FileIO {
        FileIOBuilder::new(Arc::new(Self::new(root))).build()
    }

    /// Makes `directory`, and has it and all between it and the root on disk.
    fn make_durable(&self, directory: &Path) -> io::Result<()> {
        if self.durable.lock().contains(directory) {
            return Ok(());
        }
        match directory.parent() {
            Some(parent) if directory != self.root => {
                self.make_durable(parent)?;
                match fs::create_dir(directory) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(error);
                    }
                    _ => sync_directory(parent)?,
                }
            }
            _ => create_directories(directory)?,
        }
        self.durable.lock().insert(directory.to_owned());
        Ok(())
    }

    /// Runs `work` off the reactor and words its failure as "cannot `verb` `location`".
    async fn run<T, F>(&self, verb: &'static str, location: &str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Path) -> io::Result<T> + Send + 'static,
    {
        let path = local_path(location)?;
        let inside = path.starts_with(&self.root)
            && !path.components().any(|part| part == Component::ParentDir);
        if !inside {
            let message = format!("{location} is not below {}", self.root.display());
            return Err(Error::new(ErrorKind::DataInvalid, message));
        }
        blocking(verb, location, move || work(&path)).await
    }
}

#[typetag::serde(name = "TidelogLocalFiles")]
impl StorageFactory for LocalFiles {
    fn build(&self, _config: &StorageConfig) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
#[typetag::serde(name = "TidelogLocalFiles")]
impl Storage for LocalFiles {
    async fn exists(&self, path: &str) -> Result<bool> {
        self.run("look for", path, |path| path.try_exists()).await
    }

    async fn metadata(&self, path: &str) -> Result<FileMetadata> {
        let size = self
            .run("stat", path, |path| Ok(fs::metadata(path)?.len()))
            .await?;
        Ok(FileMetadata { size })
    }

    async fn read(&self, path: &str) -> Result<Bytes> {
        self.run("read", path, |path| fs::read(path).map(Bytes::from))
            .await
    }

    async fn reader(&self, path: &str) -> Result<Box<dyn FileRead>> {
        let file = self.run("open", path, |path| File::open(path)).await?;
        Ok(Box::new(Reader {
            file: Arc::new(file),
            path: path.to_owned(),
        }))
    }

    async fn write(&self, path: &str, bytes: Bytes) -> Result<()> {
        let mut writer = self.writer(path).await?;
        writer.write(bytes).await?;
        writer.close().await
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn FileWrite>> {
        let files = self.clone();
        let create = move |path: &Path| {
            if let Some(parent) = path.parent() {
                files.make_durable(parent)?;
            }
            OpenFile::create(path)
        };
        let open = self.run("create", path, create).await?;
        Ok(Box::new(Writer {
            open: Some(open),
            path: path.to_owned(),
        }))
    }

    async fn delete(&self, path: &str) -> Result<()> {
        self.run("delete", path, |path| absent_is_fine(fs::remove_file(path)))
            .await
    }

    async fn delete_prefix(&self, path: &str) -> Result<()> {
        // Forgotten first: a directory made again must be synced again.
        self.durable.lock().clear();
        self.run("delete", path, |path| {
            absent_is_fine(fs::remove_dir_all(path))
        })
        .await
    }

    async fn delete_stream(&self, mut paths: BoxStream<'static, String>) -> Result<()> {
        while let Some(path) = paths.next().await {
            self.delete(&path).await?;
        }
        Ok(())
    }

    fn new_input(&self, path: &str) -> Result<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), path.to_owned()))
    }

    fn new_output(&self, path: &str) -> Result<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), path.to_owned()))
    }
}

#[async_trait]
impl FileListing for LocalFiles {
    async fn list(&self, folder: &str) -> Result<Vec<ListedFile>> {
        let root = folder.trim_end_matches('/').to_owned();
        self.run("list", folder, move |path| {
            let mut found = Vec::new();
            list_into(&mut found, path, &root)?;
            Ok(found)
        })
        .await
    }
}

/// Adds the files below `path`, whose location is `location`. Links are not followed; what goes
/// away meanwhile is left out.
fn list_into(found: &mut Vec<ListedFile>, path: &Path, location: &str) -> io::Result<()> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        // Names of ours are plain; another's that is no text cannot be in any table.
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let location = format!("{location}/{name}");
        let metadata = match entry.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata?,
        };
        if metadata.is_dir() {
            list_into(found, &entry.path(), &location)?;
        } else if metadata.is_file() {
            let since = metadata.modified()?.duration_since(UNIX_EPOCH);
            let ms = since.map_or(0, |since| since.as_millis());
            found.push(ListedFile {
                location,
                modified_ms: i64::try_from(ms).unwrap_or(i64::MAX),
            });
        }
    }
    Ok(())
}

/// The local path behind `file:///a`, `file:/a` or `/a`. Relative paths and other schemes are
/// refused: they would be resolved against whatever directory the process happens to run in.
pub fn local_path(location: &str) -> Result<PathBuf> {
    let path = match location.strip_prefix("file:") {
        Some(rest) => rest.strip_prefix("//").unwrap_or(rest),
        None => location,
    };
    if !path.starts_with('/') {
        return Err(Error::new(
            ErrorKind::DataInvalid,
            format!("{location} is not an absolute local path"),
        ));
    }
    Ok(PathBuf::from(path))
}

/// A file being written, removed again unless it was completed.
#[derive(Debug)]
struct OpenFile {
    file: File,
    path: PathBuf,
    completed: bool,
}

impl OpenFile {
    fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            completed: false,
        })
    }

    fn complete(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        if let Some(parent) = self.path.parent() {
            sync_directory(parent)?;
        }
        self.completed = true;
        Ok(())
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if !self.completed {
            // Best effort: nothing names the file, so a remnant costs space and no more.
            drop(fs::remove_file(&self.path));
        }
    }
}

struct Writer {
    open: Option<OpenFile>,
    path: String,
}

#[async_trait]
impl FileWrite for Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let mut open = self.take()?;
        let open = blocking("write", &self.path, move || {
            open.file.write_all(&bytes)?;
            Ok(open)
        })
        .await?;
        self.open = Some(open);
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        let open = self.take()?;
        blocking("sync", &self.path, move || open.complete()).await
    }
}

impl Writer {
    fn take(&mut self) -> Result<OpenFile> {
        self.open.take().ok_or_else(|| {
            let message = format!("{} was closed or failed before", self.path);
            Error::new(ErrorKind::PreconditionFailed, message)
        })
    }
}

#[derive(Debug)]
struct Reader {
    file: Arc<File>,
    path: String,
}

#[async_trait]
impl FileRead for Reader {
    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let file = Arc::clone(&self.file);
        blocking("read", &self.path, move || {
            let length =
                usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
            let mut buffer = vec![0; length];
            file.read_exact_at(&mut buffer, range.start)?;
            Ok(Bytes::from(buffer))
        })
        .await
    }
}

async fn blocking<T, F>(verb: &'static str, location: &str, work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> io::Result<T> + Send + 'static,
{
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|panic| Err(io::Error::other(panic)))
        .map_err(|error| {
            let message = format!("cannot {verb} {location}: {error}");
            Error::new(ErrorKind::Unexpected, message).with_source(error)
        })
}

/// Makes `directory` and its missing ancestors, each durable in its parent.
pub(crate) fn create_directories(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        create_directories(parent)?;
        match fs::create_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => sync_directory(parent)?,
        }
    }
    Ok(())
}

pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_are_created_once_and_read_back_by_range() {
        let directory = tempfile::tempdir().unwrap();
        let location = format!("file://{}/a/b/c.bin", directory.path().display());
        let files = LocalFiles::new(directory.path());
        files
            .write(&location, Bytes::from_static(b"0123456789"))
            .await
            .unwrap();
        assert!(files.write(&location, Bytes::new()).await.is_err());
        let folder = format!("file://{}/a", directory.path().display());
        let listed = files.list(&folder).await.unwrap();
        assert_eq!(listed.len(), 1);
        assert!(listed[0].location == location && listed[0].modified_ms > 0);
        assert!(
            files
                .list(&format!("{folder}/none"))
                .await
                .unwrap()
                .is_empty()
        );
        let reader = files.reader(&location).await.unwrap();
        assert_eq!(reader.read(3..6).await.unwrap(), Bytes::from_static(b"345"));
        assert!(reader.read(8..11).await.is_err());
        for outside in [
            "/etc/hostname".to_owned(),
            format!("{location}/../../../../x"),
        ] {
            assert!(files.read(&outside).await.is_err(), "{outside}");
        }
    }

    #[tokio::test]
    async fn an_unfinished_file_disappears() {
        let directory = tempfile::tempdir().unwrap();
        let location = format!("{}/half.bin", directory.path().display());
        let files = LocalFiles::new(directory.path());
        let mut writer = files.writer(&location).await.unwrap();
        writer.write(Bytes::from_static(b"half")).await.unwrap();
        drop(writer);
        assert!(!files.exists(&location).await.unwrap());
    }

    #[test]
    fn only_absolute_local_paths_are_taken() {
        for (location, path) in [
            ("file:///a/b", Some("/a/b")),
            ("file:/a", Some("/a")),
            ("/a", Some("/a")),
            ("a", None),
            ("s3://a/b", None),
            ("file://a", None),
        ] {
            assert_eq!(
                local_path(location).ok(),
                path.map(PathBuf::from),
                "{location}"
            );
        }
    }
}
