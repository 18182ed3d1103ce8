//! A keyed topic computed from a script of keys, and readings of its table that share no code with
//! the one under test.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{BinaryArray, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow_schema::{DataType, Field, Schema};
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use iceberg::TableUpdate;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Literal, ManifestListWriter,
    ManifestWriterBuilder, Operation, Snapshot, Struct, Summary,
};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tidelog_tiering::keyed::{KeyedSnapshot, Net};
use tidelog_tiering::maintain::{Maintainer, Policy};
use tidelog_tiering::union::lake_files;
use tidelog_tiering::{
    CommitPort, LoadedTable, LogBounds, OffsetRange, PassError, PassLimits, ReadRange, RowBatch,
    RowSource, SourceError, Tierer, TopicIdentity, union,
};

use super::{TOPIC_ID, World, dead_columns, layout, payload, payload_field};

/// (Kafka partition, offset) of rows.
pub type Rows = BTreeSet<(i32, i64)>;

#[derive(Debug, Clone, Copy)]
struct Change {
    key: u8,
    put: bool,
    prev: Option<i64>,
}

/// The changelog of a keyed topic. An offset without a change is a gap.
#[derive(Debug, Clone)]
pub struct KeyedLog {
    partitions: BTreeMap<i32, Vec<Option<Change>>>,
    live: BTreeMap<(i32, u8), i64>,
    dead_letters: Rows,
    pub batch: i64,
}

impl KeyedLog {
    pub fn new() -> Self {
        Self {
            partitions: BTreeMap::new(),
            live: BTreeMap::new(),
            dead_letters: Rows::new(),
            batch: 7,
        }
    }

    pub fn put(&mut self, partition: i32, key: u8) {
        self.write(partition, key, true);
    }

    /// A record that deletes; a gap if there is no row.
    pub fn delete(&mut self, partition: i32, key: u8) {
        self.write(partition, key, false);
    }

    /// A record that is no row.
    pub fn invalid(&mut self, partition: i32) {
        let changes = self.partitions.entry(partition).or_default();
        self.dead_letters.insert((partition, changes.len() as i64));
        changes.push(None);
    }

    fn write(&mut self, partition: i32, key: u8, put: bool) {
        let changes = self.partitions.entry(partition).or_default();
        let place = (partition, key);
        let prev = match put {
            true => self.live.insert(place, changes.len() as i64),
            false => self.live.remove(&place),
        };
        let is_change = put || prev.is_some();
        changes.push(is_change.then_some(Change { key, put, prev }));
    }

    pub fn bounds(&self) -> BTreeMap<i32, LogBounds> {
        let bounds = |changes: &Vec<_>| LogBounds {
            log_start: 0,
            stable_end: changes.len() as i64,
        };
        self.partitions
            .iter()
            .map(|(p, c)| (*p, bounds(c)))
            .collect()
    }

    /// The table at the end of the log.
    pub fn rows(&self) -> Rows {
        let live = self.live.iter();
        live.map(|((partition, _), offset)| (*partition, *offset))
            .collect()
    }

    pub fn dead_letters(&self) -> Rows {
        self.dead_letters.clone()
    }

    fn net(&self, partition: i32, offsets: OffsetRange) -> Net {
        let mut net = Net::new(offsets.start);
        let mut source = self.clone();
        let mut at = offsets.start;
        while at < offsets.end {
            let read = ReadRange {
                partition,
                from_offset: at,
                to_offset: offsets.end,
                bytes_max: 1,
            };
            let batch = source.next(read).unwrap().unwrap();
            net.take_up(&batch).unwrap();
            at = batch.end_offset;
        }
        net
    }
}

impl RowSource for KeyedLog {
    fn next(&mut self, range: ReadRange) -> Result<Option<RowBatch>, SourceError> {
        let partition = range.partition;
        let end_offset = range.to_offset.min(range.from_offset + self.batch);
        let mut rows: Vec<(i64, i64, &str, Change)> = Vec::new();
        for offset in range.from_offset..end_offset {
            let Some(change) = self.partitions[&partition][offset as usize] else {
                continue;
            };
            match change.prev {
                Some(prev) if change.put => {
                    rows.push((offset, prev, "update_before", change));
                    rows.push((offset, offset, "update_after", change));
                }
                Some(prev) => rows.push((offset, prev, "delete", change)),
                None => rows.push((offset, offset, "insert", change)),
            }
        }
        let dead = self
            .dead_letters
            .range((partition, range.from_offset)..(partition, end_offset));
        let dead = dead.map(|(_, offset)| *offset);
        let of = |row: &(i64, i64, &str, Change)| payload(partition, row.1);
        let columns: Vec<arrow_array::ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
            Arc::new(BinaryArray::from_iter_values(
                rows.iter().map(|row| [row.3.key]),
            )),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2))),
            Arc::new(rows.iter().map(|row| row.3.prev).collect::<Int64Array>()),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(of))),
        ];
        let schema = Schema::new(vec![
            Field::new("_offset", DataType::Int64, false),
            Field::new("_key", DataType::Binary, false),
            Field::new("_change", DataType::Utf8, false),
            Field::new("_prev_offset", DataType::Int64, true),
            payload_field(),
        ]);
        Ok(Some(RowBatch {
            partition,
            first_offset: range.from_offset,
            end_offset,
            rows: RecordBatch::try_new(Arc::new(schema), columns).unwrap(),
            dead_letters: dead_columns(dead.collect()),
        }))
    }
}

/// The rows that a log's table has at its end, as a source to refill from.
pub struct TableRows(pub KeyedLog);

impl RowSource for TableRows {
    fn next(&mut self, range: ReadRange) -> Result<Option<RowBatch>, SourceError> {
        let partition = range.partition;
        let end_offset = range.to_offset.min(range.from_offset + self.0.batch);
        let rows = self.0.live.iter();
        let mut rows: Vec<(i64, u8)> = rows
            .filter(|((p, _), _)| *p == partition)
            .map(|((_, key), offset)| (*offset, *key))
            .filter(|(offset, _)| (range.from_offset..end_offset).contains(offset))
            .collect();
        rows.sort_unstable();
        let offsets = rows.iter().map(|row| row.0);
        let payloads = offsets.clone().map(|offset| payload(partition, offset));
        let schema = Schema::new(vec![
            Field::new("_offset", DataType::Int64, false),
            Field::new("_key", DataType::Binary, false),
            payload_field(),
        ]);
        let columns: Vec<arrow_array::ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(offsets.clone())),
            Arc::new(BinaryArray::from_iter_values(
                rows.iter().map(|row| [row.1]),
            )),
            Arc::new(Int64Array::from_iter_values(payloads)),
        ];
        Ok(Some(RowBatch {
            partition,
            first_offset: range.from_offset,
            end_offset,
            rows: RecordBatch::try_new(Arc::new(schema), columns).unwrap(),
            dead_letters: None,
        }))
    }
}

/// Makes something of little.
pub fn eager() -> Policy {
    let mut policy = Policy::default();
    policy.compaction.inputs_min = 3;
    policy.compaction.small_max = 2;
    policy.compaction.delete_files_max = 3;
    policy.merging.small_max = 3;
    policy.cleaning.grace_ms = 0;
    policy.cleaning.orphan_grace_ms = 3_600_000;
    policy.thinning.keep_all_ms = 1_000;
    policy
}

impl World {
    pub async fn open_keyed(&self, epoch: i64) -> Result<Tierer, PassError> {
        self.open_keyed_over(Arc::clone(&self.catalog) as _, epoch)
            .await
    }

    pub async fn open_keyed_over(
        &self,
        port: Arc<dyn CommitPort>,
        epoch: i64,
    ) -> Result<Tierer, PassError> {
        let identity = TopicIdentity {
            topic_id: TOPIC_ID,
            epoch,
        };
        let limits = PassLimits {
            bytes_max: 1 << 20,
            attempts_max: 4,
        };
        let (env, table) = (Arc::clone(&self.env), self.table.clone());
        let tierer = Tierer::open_keyed(port, env, table, identity, &layout(), limits).await?;
        Ok(tierer.with_dead_letters(self.dead_table.clone()))
    }

    /// One pass over all there is. Returns the rows put and replaced.
    pub async fn tier(&self, log: &KeyedLog) -> Result<(u64, u64), PassError> {
        let tierer = self.open_keyed(0).await?;
        let mut source = log.clone();
        let report = tierer.pass(&mut source, &log.bounds()).await?;
        Ok((report.rows, report.replaced))
    }

    pub fn maintainer(&self, policy: Policy, now_ms: i64) -> Maintainer {
        let identity = TopicIdentity {
            topic_id: TOPIC_ID,
            epoch: 0,
        };
        Maintainer::new(
            Arc::clone(&self.catalog) as _,
            Some(Arc::new(self.files.clone())),
            Arc::clone(&self.env),
            self.table.clone(),
            identity,
            policy,
            now_ms,
        )
    }

    /// Runs all maintenance there is to do. Stops at the first error.
    pub async fn maintain(&self) -> Result<(), tidelog_tiering::maintain::MaintainError> {
        let now_ms = self.advance(1);
        let mut maintainer = self.maintainer(eager(), now_ms);
        while let Some(step) = maintainer.next_step(now_ms) {
            maintainer.run(step, now_ms, &BTreeSet::new()).await?;
        }
        Ok(())
    }

    /// The rows of a snapshot by the letter of the specification: those of its data files, but for
    /// positions in delete files that are not older. Panics on a row that is there twice, a key that
    /// is, and a file of several Kafka partitions.
    pub async fn keyed_rows_of(&self, table: &LoadedTable, snapshot_id: i64) -> Rows {
        let files = lake_files(&self.io(), &table.metadata, snapshot_id)
            .await
            .unwrap();
        let dead = self.dead(&files);
        let (mut rows, mut keys) = (Rows::new(), HashSet::new());
        for file in files
            .iter()
            .filter(|file| file.content == DataContentType::Data)
        {
            let mut position = 0;
            let mut partitions = BTreeSet::new();
            for batch in self.batches(&file.location) {
                for row in 0..batch.num_rows() {
                    let (place, key) = identify(&batch, row);
                    partitions.insert(place.0);
                    let deletes = dead.get(&(file.location.clone(), position));
                    position += 1;
                    if deletes.is_some_and(|age| *age >= file.sequence_number) {
                        continue;
                    }
                    assert!(rows.insert(place), "{place:?} is in the lake twice");
                    assert!(
                        keys.insert((place.0, key)),
                        "a key of {place:?} is there twice"
                    );
                }
            }
            assert_eq!(partitions.len(), 1, "{}", file.location);
        }
        rows
    }

    fn dead(&self, files: &[union::LakeFile]) -> HashMap<(String, i64), i64> {
        let mut dead = HashMap::new();
        for file in files
            .iter()
            .filter(|file| file.content != DataContentType::Data)
        {
            assert_eq!(file.content, DataContentType::PositionDeletes);
            for batch in self.batches(&file.location) {
                let paths = batch.column(0).as_string::<i32>().iter().flatten();
                let positions = batch.column(1).as_primitive::<Int64Type>().values();
                for (path, position) in paths.zip(positions) {
                    let age = dead.entry((path.to_owned(), *position)).or_insert(0);
                    *age = file.sequence_number.max(*age);
                }
            }
        }
        dead
    }

    pub async fn keyed_rows(&self) -> Rows {
        let table = self.load().await;
        match table.metadata.current_snapshot_id() {
            Some(current) => self.keyed_rows_of(&table, current).await,
            None => Rows::new(),
        }
    }

    /// Data and delete files that a snapshot has.
    pub async fn named_files(&self) -> BTreeSet<String> {
        let table = self.load().await;
        let mut named = BTreeSet::new();
        for snapshot in table.metadata.snapshots() {
            let id = snapshot.snapshot_id();
            let files = lake_files(&self.io(), &table.metadata, id).await.unwrap();
            named.extend(files.into_iter().map(|file| file.location));
        }
        named
    }

    fn batches(&self, location: &str) -> Vec<RecordBatch> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(self.files.bytes(location)).unwrap();
        reader.build().unwrap().map(Result::unwrap).collect()
    }

    /// What a union read finds: the lake as our own planner reads it, merged with the log's tail.
    pub async fn union_rows(&self, log: &KeyedLog) -> Rows {
        let tierer = self.open_keyed(0).await.unwrap();
        let tidelog_tiering::TierState::Active(mark) = tierer.state().await.unwrap() else {
            panic!("suspended");
        };
        let plan = union::plan(&mark, &log.bounds()).unwrap();
        let table = self.load().await;
        let lake = match plan.snapshot_id {
            Some(id) => Some(
                KeyedSnapshot::open(&self.io(), &table.metadata, id)
                    .await
                    .unwrap(),
            ),
            None => None,
        };
        let mut rows = Rows::new();
        for (&partition, part) in &plan.partitions {
            let net = log.net(partition, part.log);
            rows.extend(net.live().iter().map(|offset| (partition, offset as i64)));
            let Some(lake) = &lake else { continue };
            let mut scan = lake.scan(partition, None, net).await.unwrap();
            while let Some(batch) = scan.next().await.unwrap() {
                for row in 0..batch.num_rows() {
                    let (place, _) = identify(&batch, row);
                    assert!(rows.insert(place), "{place:?} is read twice");
                }
            }
        }
        rows
    }

    /// Another engine rewrites the whole table, deletes applied, rows in another order.
    pub async fn foreign_rewrite(&self) {
        let table = self.load().await;
        let current = table.metadata.current_snapshot_id().unwrap();
        let io = self.io();
        let files = lake_files(&io, &table.metadata, current).await.unwrap();
        let mut rewritten = Vec::new();
        for (file, bytes) in self.rewrite(table.metadata.location(), &files) {
            let output = io.new_output(file.file_path()).unwrap();
            output.write(bytes.into()).await.unwrap();
            rewritten.push(file);
        }
        self.foreign_replace(table, rewritten).await;
    }

    /// The live rows of these files in new ones, one per Kafka partition.
    fn rewrite(&self, table: &str, files: &[union::LakeFile]) -> Vec<(DataFile, Vec<u8>)> {
        let dead = self.dead(files);
        let mut live: BTreeMap<i32, Vec<RecordBatch>> = BTreeMap::new();
        for file in files
            .iter()
            .filter(|file| file.content == DataContentType::Data)
        {
            let batches = self.batches(&file.location);
            let all = concat_batches(batches[0].schema_ref(), &batches).unwrap();
            let rows = (0..all.num_rows() as u64).rev();
            let is_live = |row: &u64| !dead.contains_key(&(file.location.clone(), *row as i64));
            let rows: UInt64Array = rows.filter(is_live).map(Some).collect();
            if !rows.is_empty() {
                let (partition, _) = identify(&all, 0).0;
                let rows = take_record_batch(&all, &rows).unwrap();
                live.entry(partition).or_default().push(rows);
            }
        }
        let live = live.into_iter();
        live.map(|(partition, batches)| self.foreign_file(table, partition, batches))
            .collect()
    }

    fn foreign_file(
        &self,
        table: &str,
        partition: i32,
        batches: Vec<RecordBatch>,
    ) -> (DataFile, Vec<u8>) {
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batches[0].schema(), None).unwrap();
        batches
            .iter()
            .for_each(|batch| writer.write(batch).unwrap());
        writer.close().unwrap();
        let location = format!("{table}/data/{}-foreign.parquet", self.env.uuid());
        let file = DataFileBuilder::default()
            .content(DataContentType::Data)
            .file_path(location)
            .file_format(DataFileFormat::Parquet)
            .partition(Struct::from_iter([Some(Literal::int(partition))]))
            .record_count(batches.iter().map(|batch| batch.num_rows() as u64).sum())
            .file_size_in_bytes(bytes.len() as u64)
            .build()
            .unwrap();
        (file, bytes)
    }

    /// A snapshot of exactly these files.
    async fn foreign_replace(&self, table: LoadedTable, files: Vec<DataFile>) {
        let metadata = &table.metadata;
        let io = self.io();
        let id = (self.env.uuid().as_u128() >> 66) as i64;
        let location = format!("{}/metadata/foreign-{id}", metadata.location());
        let builder = ManifestWriterBuilder::new(
            io.new_output(format!("{location}-m0.avro")).unwrap(),
            Some(id),
            metadata.current_schema().clone(),
            metadata.default_partition_spec().as_ref().clone(),
        );
        let mut manifest = builder.build_v2_data();
        for file in files {
            manifest.add_file(file, -1).unwrap();
        }
        let manifest = manifest.write_manifest_file().await.unwrap();
        let sequence_number = metadata.next_sequence_number();
        let parent = metadata.current_snapshot_id();
        let list = format!("{location}.avro");
        let output = io.new_output(&list).unwrap().writer().await.unwrap();
        let mut lists = ManifestListWriter::v2(output, id, parent, sequence_number);
        lists.add_manifests([manifest].into_iter()).unwrap();
        lists.close().await.unwrap();
        let snapshot = Snapshot::builder()
            .with_snapshot_id(id)
            .with_parent_snapshot_id(parent)
            .with_sequence_number(sequence_number)
            .with_timestamp_ms(metadata.last_updated_ms() + 1)
            .with_manifest_list(list)
            .with_summary(Summary {
                operation: Operation::Replace,
                additional_properties: HashMap::new(),
            })
            .with_schema_id(metadata.current_schema_id())
            .build();
        self.update(vec![TableUpdate::AddSnapshot { snapshot }])
            .await;
        self.set_main(id).await;
    }
}

/// Place and key of a row, whose payload must be that of its place.
fn identify(batch: &RecordBatch, row: usize) -> ((i32, i64), Vec<u8>) {
    let column = |name| batch.column_by_name(name).unwrap();
    let partition = column("_kafka_partition")
        .as_primitive::<Int32Type>()
        .value(row);
    let offset = column("_offset").as_primitive::<Int64Type>().value(row);
    let payloads = column("payload").as_primitive::<Int64Type>();
    assert_eq!(payloads.value(row), payload(partition, offset));
    let keys = column("_kafka").as_struct().column_by_name("key").unwrap();
    let key = arrow_cast::cast(keys, &DataType::Binary).unwrap();
    (
        (partition, offset),
        key.as_binary::<i32>().value(row).to_vec(),
    )
}
