//! The connector's work without its timers: things arrive at given instants, and rows end in tables in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use spandrel_model::{CpuProfile, Span, Table, TaskRecording, UnixNanos};
use spandrel_pipeline::{StoredRows, TableRows};

use super::super::AttributionConfig;
use super::super::cpu_profiles::{CpuProfileLimits, DecodedCpuProfile};
use super::super::emitted::{Changes, Emitted};
use super::super::held_spans::Restored;
use super::super::held_spans::{Added, Lateness, Released};
use super::super::join::run_join;
use super::super::matrix_rows::window_rows;
use super::super::pending::Pending;
use super::super::recording_rows::recording_rows;
use super::super::recordings::Settled;
use super::super::restart::Recalled;
use super::super::slots::Round;
use super::super::windows::Windows;
use super::disk::{Disk, Stands};
use super::join_of;
use super::memory_store::MemoryStore;

/// How often rounds take place.
const TICK: Duration = Duration::from_millis(500);

/// How often rows are committed.
const FLUSH_SECONDS: u64 = 5;

/// A row as text, by column.
pub(super) type Row = BTreeMap<String, String>;

/// A connector in slow motion.
pub(super) struct Stream {
    pub(super) config: AttributionConfig,
    start: Instant,
    now: Instant,
    pub(super) pending: Pending,
    windows: Windows,
    /// Rows as a crash would leave them.
    pub(super) store: MemoryStore,
    /// Profiles as a crash would leave them, if they are kept.
    disk: Option<Disk>,
    /// When an earlier run last stored rows.
    stored_until: Option<UnixNanos>,
    runs: i32,
    tables: BTreeMap<Table, Vec<Row>>,
    /// Counts rows that were sent, per table, those that replace others among them.
    pub(super) sent: BTreeMap<Table, usize>,
    /// Recordings that came after a join, and too late.
    pub(super) late_recordings: Vec<Lateness>,
    /// Requests that came too late for their window.
    pub(super) too_late_requests: u64,
    pub(super) released: Vec<Released>,
    /// CPU profiles that went for want of room.
    pub(super) evicted: u64,
}

impl Stream {
    pub(super) fn new(config: AttributionConfig) -> Self {
        let start = Instant::now();
        Self {
            windows: Windows::new(config.window_rules(0)),
            config,
            start,
            now: start,
            pending: Pending::default(),
            store: MemoryStore::default(),
            disk: None,
            stored_until: None,
            runs: 1,
            tables: BTreeMap::new(),
            sent: BTreeMap::new(),
            late_recordings: Vec::new(),
            too_late_requests: 0,
            released: Vec::new(),
            evicted: 0,
        }
    }

    /// One that keeps profiles on disk.
    pub(super) fn with_disk(config: AttributionConfig) -> Self {
        Self {
            disk: Some(Disk::new()),
            ..Self::new(config)
        }
    }

    pub(super) fn spans(&mut self, spans: Vec<Span>) -> Added {
        self.store.add_spans(&spans);
        let room = self.pending.make_room(spans.len(), self.config.span_limit);
        self.released.push(room.expect("there is room"));
        self.pending.add_spans(spans, self.now)
    }

    pub(super) fn recording(&mut self, recording: TaskRecording) {
        let disk = self.disk.as_mut();
        let stored = disk.map(|disk| disk.store(Stands::Recording(recording.clone())));
        self.pending.add_recording(recording, stored, self.now);
    }

    pub(super) fn cpu_profile(&mut self, profile: CpuProfile) {
        let limits = CpuProfileLimits::of(&self.config);
        let disk = self.disk.as_mut();
        let stored = disk.map(|disk| disk.store(Stands::CpuProfile(profile.clone())));
        let decoded = DecodedCpuProfile::new(profile, limits).expect("it is not too large");
        let (lateness, evicted) = (self.pending).add_cpu_profile(decoded, stored, limits, self.now);
        self.late_recordings.push(lateness);
        self.evicted += evicted.recordings;
    }

    /// Lets time pass, up to `at` since the start. Returns whether rows were committed.
    pub(super) fn advance(&mut self, at: Duration) -> bool {
        let mut is_committed = false;
        while self.now + TICK <= self.start + at {
            self.now += TICK;
            self.round(false);
            if (self.now - self.start).as_secs().is_multiple_of(FLUSH_SECONDS) {
                self.store.commit(Table::ALL.len(), self.now - self.start);
                is_committed = true;
            }
        }
        is_committed
    }

    /// Starts anew with what the store and the disk hold: the rest is lost.
    pub(super) fn restart(&mut self) -> Restored {
        self.runs += 1;
        let rows = self.store.committed(self.now - self.start);
        let recalled = Recalled::read(&rows, &self.config).expect("the rows are ours");
        self.stored_until = Some(rows.last_commit());
        self.pending = Pending::default();
        self.take_up_recordings();
        self.windows = Windows::new(self.config.window_rules(self.runs * 1_000));
        self.windows.restore(&recalled.requests, &recalled.sent, self.now);
        self.tables = rows.into_text();
        self.pending.restore(recalled.spans, self.now)
    }

    fn take_up_recordings(&mut self) {
        let profiles = self.disk.as_mut().map(Disk::reopen).unwrap_or_default();
        for (stored, profile, decision) in profiles {
            match profile {
                Stands::Recording(recording) => {
                    (self.pending).take_up_recording(recording, stored, decision, self.now);
                }
                Stands::CpuProfile(profile) => {
                    let limits = CpuProfileLimits::of(&self.config);
                    let decoded = DecodedCpuProfile::new(profile, limits).expect("it is not too large");
                    (self.pending).add_cpu_profile(decoded, Some(stored), limits, self.now);
                }
            }
        }
    }

    /// Recordings of which the disk has the profiles.
    pub(super) fn kept_profiles(&mut self) -> usize {
        self.pending = Pending::default();
        self.disk.as_mut().map_or(0, |disk| disk.reopen().len())
    }

    /// CPU profiles that are kept.
    pub(super) fn kept_cpu_profiles(&self) -> usize {
        self.disk.as_ref().map_or(0, Disk::cpu_profile_count)
    }

    /// Bytes of profiles that are kept.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.disk.as_ref().map_or(0, Disk::used_bytes)
    }

    /// Stops the connector.
    pub(super) fn finish(&mut self) {
        self.finish_until(Table::ALL.len());
    }

    /// Stops it, and crashes when so many tables have been committed.
    pub(super) fn finish_until(&mut self, tables: usize) {
        self.round(true);
        self.store.commit(tables, self.now - self.start);
    }

    fn round(&mut self, is_last: bool) {
        let round = self.config.round(self.now, is_last);
        for mut choosing in self.pending.choosings(&round) {
            for (process, spans) in &mut choosing.candidates {
                *spans = self.pending.spans_of(process, Some(choosing.window));
            }
            let answer = choosing.answer(&self.config.rules, &self.config.state_rules).ok();
            let lateness = self.pending.assign(choosing, answer, self.now, self.now);
            self.late_recordings.push(lateness);
        }
        self.send_recordings(&round);
        let mut changes = Changes::default();
        for place in self.pending.due(&round) {
            let mut join = join_of(&mut self.pending, place, &round);
            let limit_bytes = self.config.recording_limit_bytes;
            let opened = join.open_recordings(&self.config.state_rules, limit_bytes);
            assert_eq!(opened.left_out, 0);
            let result = run_join(&join, &opened, &join.profiles(), &self.config.rules);
            assert_eq!(result.violations, []);
            let spans = result.spans.into_iter().map(|span| {
                let emitted = Emitted::of(&span);
                (span, emitted)
            });
            self.pending.compare(&join.place, spans.collect(), &mut changes);
            self.pending.end_join(&join, &round, Duration::ZERO);
        }
        self.too_late_requests += changes.count(&mut self.windows, self.now);
        while self.pending.forget(&round, 100) {}
        while self.pending.forget_some(100, self.config.span_limit).is_some() {}
        for rows in changes.into_rows().unwrap() {
            self.store(&rows);
        }
        let due = match is_last {
            true => self.windows.take_all(),
            false => {
                let open = self.pending.open_times();
                self.windows.take_due(self.now, UnixNanos(i64::MAX), &open)
            }
        };
        for window in due {
            for rows in window_rows(&window).unwrap() {
                self.store(&rows);
            }
        }
    }

    fn send_recordings(&mut self, round: &Round) {
        let settled = self.pending.take_settled(round);
        for unwritten in self.pending.unwritten_decisions() {
            unwritten.stored.write_decision(&unwritten.decision).unwrap();
            self.pending.decision_is_written(&unwritten);
        }
        for Settled {
            source,
            process,
            is_again,
            ..
        } in settled
        {
            let recording = source.open(&self.config.state_rules).unwrap();
            assert_eq!(recording.process, process, "the simulated senders know their process");
            let stored_until = match is_again {
                true => Some(UnixNanos(i64::MAX)),
                false => self.stored_until,
            };
            for rows in recording_rows(&recording, stored_until).unwrap() {
                self.store(&rows);
            }
        }
    }

    fn store(&mut self, rows: &TableRows) {
        self.store.add(rows.clone());
        let stored = self.tables.entry(rows.table).or_default();
        if let Some(keys) = &rows.replaces {
            let time = keys.column_by_name(rows.table.time_column());
            assert!(time.is_some(), "keys name the partition");
            let keys: BTreeSet<Row> = text(keys).into_iter().collect();
            let names: Vec<String> = keys.first().unwrap().keys().cloned().collect();
            let key_of = |row: &Row| -> Row { names.iter().map(|name| (name.clone(), row[name].clone())).collect() };
            let known: BTreeSet<Row> = stored.iter().map(key_of).collect();
            // An operation that nobody disturbed has no rows of interference, and one that nobody sampled none of functions.
            let may_miss = matches!(rows.table, Table::Interference | Table::RunningFunctions);
            assert!(
                may_miss || self.runs > 1 || keys.is_subset(&known),
                "only what was sent is replaced"
            );
            stored.retain(|row| !keys.contains(&key_of(row)));
        }
        stored.extend(text(&rows.rows));
        *self.sent.entry(rows.table).or_default() += rows.rows.num_rows();
    }

    /// The rows of a table that are valid now, sorted.
    pub(super) fn table(&self, table: Table) -> Vec<Row> {
        let mut rows = self.tables.get(&table).cloned().unwrap_or_default();
        rows.sort();
        rows
    }

    /// One column of a table, in the order of its rows.
    pub(super) fn column(&self, table: Table, name: &str) -> Vec<String> {
        self.table(table).iter().map(|row| row[name].clone()).collect()
    }
}

/// The rows of a batch.
pub(super) fn text(batch: &RecordBatch) -> Vec<Row> {
    let options = FormatOptions::default();
    let schema = batch.schema();
    let columns: Vec<(&String, ArrayFormatter<'_>)> = (schema.fields().iter().zip(batch.columns()))
        .map(|(field, column)| (field.name(), ArrayFormatter::try_new(column, &options).unwrap()))
        .collect();
    let row = |index: usize| -> Row {
        let values = columns
            .iter()
            .map(|(name, column)| ((*name).clone(), column.value(index).to_string()));
        values.collect()
    };
    (0..batch.num_rows()).map(row).collect()
}
