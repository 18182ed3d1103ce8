//! A lake in memory whose every I/O step can fail, lie, or be the last one before a crash.
//!
//! Files, pointers and time are driven from one counter of steps, so that a run is the same for
//! the same faults, and a script can name the step at which something happens.

#![allow(dead_code, reason = "each story uses its part of the world")]

pub mod keyed;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{ArrayRef, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use iceberg::io::{
    FileIO, FileIOBuilder, FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage,
    StorageConfig, StorageFactory,
};
use iceberg::spec::{
    MAIN_BRANCH, Operation, Snapshot, SnapshotReference, SnapshotRetention, Summary,
};
use iceberg::{Error, ErrorKind, NamespaceIdent, Result, TableIdent, TableUpdate};
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use serde::{Deserialize, Serialize};
use tidelog_tiering::catalog::{Catalog, Change, MemoryPointers, PointerError, PointerStore};
use tidelog_tiering::maintain::{FileListing, ListedFile};
use tidelog_tiering::union::lake_files;
use tidelog_tiering::{
    CommitRequest, Env, LoadedTable, LogBounds, PassError, PassLimits, ReadRange, RowBatch,
    RowSource, SourceError, Tierer, TopicIdentity, ValueLayout,
};
use tokio::sync::Notify;
use uuid::Uuid;

pub const TOPIC_ID: Uuid = Uuid::from_u128(0xA11CE);
const WAREHOUSE: &str = "mem://lake";

/// What happens to one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The step fails and did nothing.
    FailBefore,
    /// The step was done, and an error is reported.
    FailAfter,
    /// Nobody can tell whether the step was done. A file is not; a pointer's change is still
    /// under way and arrives just before the next one.
    Lie,
    /// The process ends before the step.
    CrashBefore,
    /// The process ends right after the step.
    CrashAfter,
}

pub const FAULTS: [Fault; 5] = [
    Fault::FailBefore,
    Fault::FailAfter,
    Fault::Lie,
    Fault::CrashBefore,
    Fault::CrashAfter,
];

/// Decides what happens at each step.
#[derive(Debug, Default)]
pub struct Fate {
    steps: Mutex<Steps>,
    crashed: Notify,
}

#[derive(Debug, Default)]
struct Steps {
    count: usize,
    scripted: BTreeMap<usize, Fault>,
    /// Chance of a fault and of a yield at every step.
    random: Option<(StdRng, f64)>,
}

impl Fate {
    pub fn count(&self) -> usize {
        self.steps.lock().count
    }

    /// Puts `fault` at the step this many from now.
    pub fn script(&self, steps_ahead: usize, fault: Fault) {
        let mut steps = self.steps.lock();
        let at = steps.count + steps_ahead;
        steps.scripted.insert(at, fault);
    }

    pub fn clear(&self) {
        let mut steps = self.steps.lock();
        steps.scripted.clear();
        steps.random = None;
    }

    pub fn randomize(&self, seed: u64, fault_rate: f64) {
        self.steps.lock().random = Some((StdRng::seed_from_u64(seed), fault_rate));
    }

    /// Runs one step with whatever befalls it; `report` words the fault that did.
    async fn step<T>(&self, work: impl FnOnce() -> T, report: impl FnOnce(Fault) -> T) -> T {
        let (befalls, yields) = self.draw();
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
        match befalls {
            None => work(),
            Some(fault @ (Fault::FailBefore | Fault::Lie)) => report(fault),
            Some(fault @ Fault::FailAfter) => {
                work();
                report(fault)
            }
            Some(Fault::CrashBefore) => self.crash().await,
            Some(Fault::CrashAfter) => {
                work();
                self.crash().await
            }
        }
    }

    fn draw(&self) -> (Option<Fault>, usize) {
        let mut steps = self.steps.lock();
        let at = steps.count;
        steps.count += 1;
        let scripted = steps.scripted.remove(&at);
        match &mut steps.random {
            None => (scripted, 0),
            Some((rng, rate)) => {
                let fault = rng
                    .random_bool(*rate)
                    .then(|| FAULTS[rng.random_range(0..5)]);
                (fault.or(scripted), rng.random_range(0..4))
            }
        }
    }

    async fn crash<T>(&self) -> T {
        self.crashed.notify_one();
        std::future::pending().await
    }
}

/// Files that exist only in memory, create-only like the real ones.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct MemFiles {
    #[serde(skip)]
    inner: Arc<MemInner>,
}

#[derive(Debug, Default)]
struct MemInner {
    files: Mutex<BTreeMap<String, Bytes>>,
    written_ms: Mutex<BTreeMap<String, i64>>,
    clock: Arc<AtomicI64>,
    fate: Arc<Fate>,
}

impl MemFiles {
    pub fn paths(&self) -> BTreeSet<String> {
        self.inner.files.lock().keys().cloned().collect()
    }

    pub fn bytes(&self, path: &str) -> Bytes {
        self.inner
            .files
            .lock()
            .get(path)
            .cloned()
            .unwrap_or_else(|| panic!("{path} is gone"))
    }

    async fn run<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.inner
            .fate
            .step(work, |_| Err(broken("scripted".to_owned())))
            .await
    }
}

fn broken(message: String) -> Error {
    Error::new(ErrorKind::Unexpected, message)
}

#[typetag::serde]
impl StorageFactory for MemFiles {
    fn build(&self, _config: &StorageConfig) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
#[typetag::serde]
impl Storage for MemFiles {
    async fn exists(&self, path: &str) -> Result<bool> {
        Ok(self.inner.files.lock().contains_key(path))
    }

    async fn metadata(&self, path: &str) -> Result<FileMetadata> {
        Ok(FileMetadata {
            size: self.read(path).await?.len() as u64,
        })
    }

    async fn read(&self, path: &str) -> Result<Bytes> {
        let missing = || broken(format!("{path} does not exist"));
        self.run(|| {
            self.inner
                .files
                .lock()
                .get(path)
                .cloned()
                .ok_or_else(missing)
        })
        .await
    }

    async fn reader(&self, path: &str) -> Result<Box<dyn FileRead>> {
        Ok(Box::new(MemReader(self.read(path).await?)))
    }

    async fn write(&self, path: &str, bytes: Bytes) -> Result<()> {
        let inner = &self.inner;
        self.run(|| {
            let now_ms = inner.clock.load(Ordering::Relaxed);
            inner.written_ms.lock().insert(path.to_owned(), now_ms);
            match inner.files.lock().insert(path.to_owned(), bytes) {
                None => Ok(()),
                Some(_) => panic!("{path} was written twice"),
            }
        })
        .await
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn FileWrite>> {
        Ok(Box::new(MemWriter {
            files: self.clone(),
            path: path.to_owned(),
            bytes: Vec::new(),
        }))
    }

    async fn delete(&self, path: &str) -> Result<()> {
        self.run(|| {
            self.inner.files.lock().remove(path);
            Ok(())
        })
        .await
    }

    async fn delete_prefix(&self, _path: &str) -> Result<()> {
        panic!("nothing deletes directories")
    }

    async fn delete_stream(&self, _paths: BoxStream<'static, String>) -> Result<()> {
        panic!("nothing deletes in bulk")
    }

    fn new_input(&self, path: &str) -> Result<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), path.to_owned()))
    }

    fn new_output(&self, path: &str) -> Result<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), path.to_owned()))
    }
}

#[async_trait]
impl FileListing for MemFiles {
    async fn list(&self, folder: &str) -> Result<Vec<ListedFile>> {
        self.run(|| {
            let written_ms = self.inner.written_ms.lock();
            let paths = self.paths();
            let below = paths.iter().filter(|path| path.starts_with(folder));
            Ok(below
                .map(|path| ListedFile {
                    location: path.clone(),
                    modified_ms: written_ms[path],
                })
                .collect())
        })
        .await
    }
}

struct MemReader(Bytes);

#[async_trait]
impl FileRead for MemReader {
    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        Ok(self.0.slice(range.start as usize..range.end as usize))
    }
}

struct MemWriter {
    files: MemFiles,
    path: String,
    bytes: Vec<u8>,
}

#[async_trait]
impl FileWrite for MemWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        let bytes = std::mem::take(&mut self.bytes);
        self.files.write(&self.path, bytes.into()).await
    }
}

/// Pointers under the same fate.
struct FatefulPointers {
    inner: MemoryPointers,
    late: Mutex<Vec<Vec<Change>>>,
    fate: Arc<Fate>,
}

#[async_trait]
impl PointerStore for FatefulPointers {
    async fn get(&self, key: &str) -> std::result::Result<Option<String>, PointerError> {
        let down = Err(PointerError::Unavailable("scripted".to_owned()));
        let value = self.inner.get(key).await;
        self.fate.step(|| value, |_| down).await
    }

    async fn list(&self, prefix: &str) -> std::result::Result<Vec<(String, String)>, PointerError> {
        self.inner.list(prefix).await
    }

    async fn compare_and_set(&self, changes: Vec<Change>) -> std::result::Result<(), PointerError> {
        let arriving = std::mem::take(&mut *self.late.lock());
        for late in arriving {
            drop(self.inner.compare_and_set(late).await);
        }
        let on_its_way = changes.clone();
        let change = || futures::executor::block_on(self.inner.compare_and_set(changes));
        let report = |fault| {
            if fault == Fault::Lie {
                self.late.lock().push(on_its_way);
            }
            let reason = "scripted".to_owned();
            Err(match fault {
                Fault::FailBefore => PointerError::Unavailable(reason),
                _ => PointerError::Unknown(reason),
            })
        };
        self.fate.step(change, report).await
    }
}

/// Ids from a seed, a clock that ticks when looked at.
#[derive(Debug)]
struct SeededEnv {
    rng: Mutex<StdRng>,
    now_ms: Arc<AtomicI64>,
}

impl Env for SeededEnv {
    fn now_ms(&self) -> i64 {
        self.now_ms.fetch_add(1, Ordering::Relaxed)
    }

    fn uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        self.rng.lock().fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}

/// One topic's rows, computed: every seventh offset is a gap, every eleventh may be a dead letter, the
/// rest carry a known payload.
#[derive(Debug, Clone, Default)]
pub struct TopicLog {
    pub bounds: BTreeMap<i32, LogBounds>,
    /// Rows in one batch.
    pub batch: i64,
    /// Whether every eleventh offset is a dead letter; else it is a row.
    pub has_dead_letters: bool,
}

impl TopicLog {
    pub fn new(ends: &[i64]) -> Self {
        let bounds = |end: &i64| LogBounds {
            log_start: 0,
            stable_end: *end,
        };
        Self {
            bounds: (0..).zip(ends.iter().map(bounds)).collect(),
            batch: 16,
            has_dead_letters: false,
        }
    }

    pub fn with_dead_letters(ends: &[i64]) -> Self {
        Self {
            has_dead_letters: true,
            ..Self::new(ends)
        }
    }

    pub fn rows(&self) -> BTreeSet<(i32, i64)> {
        self.offsets(|offset| has_row(offset) && !self.is_dead(offset))
    }

    pub fn dead_letters(&self) -> BTreeSet<(i32, i64)> {
        self.offsets(|offset| self.is_dead(offset))
    }

    fn offsets(&self, is_wanted: impl Fn(i64) -> bool) -> BTreeSet<(i32, i64)> {
        let places = self.bounds.iter().flat_map(|(partition, bounds)| {
            (bounds.log_start..bounds.stable_end).map(|offset| (*partition, offset))
        });
        places.filter(|(_, offset)| is_wanted(*offset)).collect()
    }

    fn is_dead(&self, offset: i64) -> bool {
        self.has_dead_letters && has_row(offset) && offset % 11 == 5
    }

    fn dead_batch(&self, offsets: Range<i64>) -> Option<RecordBatch> {
        dead_columns(offsets.filter(|offset| self.is_dead(*offset)).collect())
    }

    pub fn append(&mut self, partition: i32, count: i64) {
        let bounds = self.bounds.entry(partition);
        bounds
            .or_insert(LogBounds {
                log_start: 0,
                stable_end: 0,
            })
            .stable_end += count;
    }
}

fn has_row(offset: i64) -> bool {
    offset % 7 != 3
}

pub fn payload(partition: i32, offset: i64) -> i64 {
    i64::from(partition) << 40 | offset
}

impl RowSource for TopicLog {
    fn next(&mut self, range: ReadRange) -> std::result::Result<Option<RowBatch>, SourceError> {
        let end_offset = range.to_offset.min(range.from_offset + self.batch);
        let offsets: Vec<i64> = (range.from_offset..end_offset)
            .filter(|offset| has_row(*offset) && !self.is_dead(*offset))
            .collect();
        let rows = row_columns(range.partition, offsets);
        let (partition, first_offset) = (range.partition, range.from_offset);
        Ok(Some(RowBatch {
            partition,
            first_offset,
            end_offset,
            rows,
            dead_letters: self.dead_batch(first_offset..end_offset),
        }))
    }
}

/// The dead letters at these offsets, as a source gives them.
pub fn dead_columns(dead: Vec<i64>) -> Option<RecordBatch> {
    if dead.is_empty() {
        return None;
    }
    let schema = Schema::new(vec![
        Field::new("_offset", DataType::Int64, false),
        Field::new("value", DataType::Binary, true),
        Field::new("error", DataType::Utf8, false),
        Field::new("schema_id", DataType::Int32, true),
    ]);
    let values = dead.iter().map(|offset| Some(offset.to_be_bytes()));
    let errors = dead
        .iter()
        .map(|offset| Some(format!("offset {offset} is dead")));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(dead.clone())),
        Arc::new(values.collect::<BinaryArray>()),
        Arc::new(errors.collect::<StringArray>()),
        Arc::new(Int32Array::from(vec![None; dead.len()])),
    ];
    Some(RecordBatch::try_new(Arc::new(schema), columns).unwrap())
}

/// The rows at these offsets, as a source gives them.
pub fn row_columns(partition: i32, offsets: Vec<i64>) -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("_offset", DataType::Int64, false),
        Field::new("_timestamp", DataType::Int64, false),
        payload_field(),
    ]);
    let payloads = offsets.iter().map(|offset| payload(partition, *offset));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(offsets.clone())),
        Arc::new(
            offsets
                .iter()
                .map(|offset| 1000 + offset)
                .collect::<Int64Array>(),
        ),
        Arc::new(payloads.collect::<Int64Array>()),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

fn payload_field() -> Field {
    Field::new("payload", DataType::Int64, true)
        .with_metadata([("PARQUET:field_id".to_owned(), "1".to_owned())].into())
}

pub fn layout() -> ValueLayout {
    ValueLayout::Typed(Arc::new(Schema::new(vec![payload_field()])))
}

/// Catalog, files and clock of one test.
pub struct World {
    pub fate: Arc<Fate>,
    pub files: MemFiles,
    pub catalog: Arc<Catalog>,
    pub env: Arc<dyn Env>,
    pub clock: Arc<AtomicI64>,
    pub table: TableIdent,
    /// Of dead letters, once there is one.
    pub dead_table: TableIdent,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let fate = Arc::new(Fate::default());
        let clock = Arc::new(AtomicI64::new(1_767_225_600_000));
        let files = MemFiles {
            inner: Arc::new(MemInner {
                files: Mutex::default(),
                written_ms: Mutex::default(),
                clock: Arc::clone(&clock),
                fate: Arc::clone(&fate),
            }),
        };
        let env: Arc<dyn Env> = Arc::new(SeededEnv {
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            now_ms: Arc::clone(&clock),
        });
        let pointers = FatefulPointers {
            inner: MemoryPointers::default(),
            late: Mutex::default(),
            fate: Arc::clone(&fate),
        };
        let io = FileIOBuilder::new(Arc::new(files.clone())).build();
        let catalog = Arc::new(Catalog::new(
            Arc::new(pointers),
            io,
            WAREHOUSE,
            Arc::clone(&env),
        ));
        let namespace = NamespaceIdent::new("tidelog".to_owned());
        let table = TableIdent::new(namespace.clone(), "orders".to_owned());
        let dead_table = TableIdent::new(namespace, "orders__dlq".to_owned());
        Self {
            fate,
            files,
            catalog,
            env,
            clock,
            table,
            dead_table,
        }
    }

    /// Lets time go by, and says what time it is then.
    pub fn advance(&self, ms: i64) -> i64 {
        self.clock.fetch_add(ms, Ordering::Relaxed) + ms
    }

    pub fn io(&self) -> FileIO {
        FileIOBuilder::new(Arc::new(self.files.clone())).build()
    }

    pub async fn open(&self, epoch: i64) -> std::result::Result<Tierer, PassError> {
        let limits = PassLimits {
            bytes_max: 1 << 20,
            attempts_max: 4,
        };
        self.open_with(epoch, TOPIC_ID, &layout(), limits).await
    }

    pub async fn open_with(
        &self,
        epoch: i64,
        topic_id: Uuid,
        layout: &ValueLayout,
        limits: PassLimits,
    ) -> std::result::Result<Tierer, PassError> {
        let identity = TopicIdentity { topic_id, epoch };
        let port = Arc::clone(&self.catalog) as _;
        let env = Arc::clone(&self.env);
        let tierer = Tierer::open(port, env, self.table.clone(), identity, layout, limits).await?;
        Ok(tierer.with_dead_letters(self.dead_table.clone()))
    }

    /// Runs `future` until it ends or the world crashes under it (`None`).
    pub async fn until_crash<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.fate.crashed.notified() => None,
            done = future => Some(done),
        }
    }

    pub async fn load(&self) -> LoadedTable {
        self.catalog.load_table(&self.table).await.unwrap()
    }

    pub async fn update(&self, updates: Vec<TableUpdate>) -> LoadedTable {
        let request = CommitRequest {
            requirements: Vec::new(),
            updates,
        };
        self.catalog
            .commit_table(&self.table, request)
            .await
            .unwrap()
    }

    /// Takes the branch to another snapshot, as any engine may.
    pub async fn set_main(&self, snapshot_id: i64) {
        let retention = SnapshotRetention::branch(None, None, None);
        let reference = SnapshotReference::new(snapshot_id, retention);
        let ref_name = MAIN_BRANCH.to_owned();
        self.update(vec![TableUpdate::SetSnapshotRef {
            ref_name,
            reference,
        }])
        .await;
    }

    /// A snapshot by somebody else on top of the current one. Gives its id.
    pub async fn foreign_commit(&self) -> i64 {
        let table = self.load().await;
        let current = table.metadata.current_snapshot().unwrap();
        let snapshot_id = (self.env.uuid().as_u128() >> 66) as i64;
        let summary = Summary {
            operation: Operation::Append,
            additional_properties: Default::default(),
        };
        let snapshot = Snapshot::builder()
            .with_snapshot_id(snapshot_id)
            .with_parent_snapshot_id(Some(current.snapshot_id()))
            .with_sequence_number(table.metadata.next_sequence_number())
            .with_timestamp_ms(table.metadata.last_updated_ms() + 1)
            .with_manifest_list(current.manifest_list())
            .with_summary(summary)
            .with_schema_id(table.metadata.current_schema_id())
            .build();
        self.update(vec![TableUpdate::AddSnapshot { snapshot }])
            .await;
        self.set_main(snapshot_id).await;
        snapshot_id
    }

    /// Every row of the current snapshot. Panics on a row that is there twice, on a payload that
    /// is not its row's, and on a file that is not sorted.
    pub async fn rows(&self) -> BTreeSet<(i32, i64)> {
        let table = self.load().await;
        match table.metadata.current_snapshot_id() {
            Some(current) => self.rows_of(&table, current).await,
            None => BTreeSet::new(),
        }
    }

    /// Every row of a snapshot, likewise.
    pub async fn rows_of(&self, table: &LoadedTable, snapshot_id: i64) -> BTreeSet<(i32, i64)> {
        let mut rows = BTreeSet::new();
        for file in lake_files(&self.io(), &table.metadata, snapshot_id)
            .await
            .unwrap()
        {
            let keys = self.file_rows(&file.location);
            assert!(keys.is_sorted(), "{} is not sorted", file.location);
            assert_eq!(keys.len() as u64, file.rows);
            for key in keys {
                assert!(rows.insert(key), "{key:?} is in the lake twice");
            }
        }
        rows
    }

    /// Every dead letter of the current snapshot. Panics on one that is there twice or is not its
    /// record's; none if there is no table yet.
    pub async fn dead_letters(&self) -> BTreeSet<(i32, i64)> {
        let Ok(table) = self.catalog.load_table(&self.dead_table).await else {
            return BTreeSet::new();
        };
        let Some(current) = table.metadata.current_snapshot_id() else {
            return BTreeSet::new();
        };
        let files = lake_files(&self.io(), &table.metadata, current).await;
        let mut dead = BTreeSet::new();
        for file in files.unwrap() {
            let bytes = self.files.bytes(&file.location);
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
            for batch in reader.build().unwrap() {
                let batch = batch.unwrap();
                let column = |name| batch.column_by_name(name).unwrap();
                let partitions = column("_kafka_partition").as_primitive::<Int32Type>();
                let offsets = column("_offset").as_primitive::<Int64Type>();
                let values = column("value").as_binary::<i64>();
                let errors = column("error").as_string::<i32>();
                for row in 0..batch.num_rows() {
                    let offset = offsets.value(row);
                    assert_eq!(values.value(row), offset.to_be_bytes());
                    assert_eq!(errors.value(row), format!("offset {offset} is dead"));
                    let key = (partitions.value(row), offset);
                    assert!(dead.insert(key), "{key:?} is there twice");
                }
            }
        }
        dead
    }

    fn file_rows(&self, location: &str) -> Vec<(i32, i64)> {
        let bytes = self.files.bytes(location);
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
            .unwrap()
            .build()
            .unwrap();
        let mut keys = Vec::new();
        for batch in reader {
            let batch = batch.unwrap();
            let column = |name| batch.column_by_name(name).unwrap();
            let partitions = column("_kafka_partition").as_primitive::<Int32Type>();
            let offsets = column("_offset").as_primitive::<Int64Type>();
            let payloads = column("payload").as_primitive::<Int64Type>();
            for row in 0..batch.num_rows() {
                let key = (partitions.value(row), offsets.value(row));
                assert_eq!(payloads.value(row), payload(key.0, key.1));
                keys.push(key);
            }
        }
        keys
    }
}
