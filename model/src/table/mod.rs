//! The tables that Spandrel writes: the contract with analysts, also shown in `docs/tables.md`.
//!
//! Conventions: `snake_case`; the unit stands last in a name; ids are fixed-size binary; times are `i64` nanoseconds
//! since the Unix epoch beside one microsecond timestamp for engines without nanoseconds. A change is additive.

use std::sync::{Arc, LazyLock};

use arrow_schema::{Schema, SchemaRef};

mod columns;
mod matrix_columns;

pub use columns::PROMOTED_ATTRIBUTES;

/// Columns that exist in the directory names of every table and not in its files: UTC date and hour of
/// [`Table::time_column`], as `dt=2026-11-21/hr=09`.
pub const PARTITION_COLUMNS: [&str; 2] = ["dt", "hr"];

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// One row per span.
    Spans,
    /// One row per log record.
    Logs,
    /// One row per metric data point.
    Metrics,
    /// One row per runtime task and recording.
    Tasks,
    /// One row per state of a task.
    TaskStates,
    /// One row per span bound to a task.
    TaskSpans,
    /// One row per distinct call stack and recording.
    Stacks,
    /// One row per garbage collection phase, stop-the-world pause, annotation of the program, sample or number.
    RuntimeEvents,
    /// One row per span, view, layer and state with time in it.
    Attribution,
    /// One row per span: how well its time is known.
    SpanQuality,
    /// One row per window, service and operation.
    Operations,
    /// One row per window, service, operation, view, layer and state.
    Matrix,
    /// One row per window, operation that waited, operation waited for, and what either did.
    Interference,
    /// One row per window, service, operation, layer and function that was seen running.
    RunningFunctions,
}

impl Table {
    /// Every table, in the order of dependence: what others refer to comes first.
    pub const ALL: [Self; 14] = [
        Self::Stacks,
        Self::Tasks,
        Self::TaskStates,
        Self::RuntimeEvents,
        Self::Logs,
        Self::Metrics,
        Self::Spans,
        Self::TaskSpans,
        Self::Attribution,
        Self::SpanQuality,
        Self::Operations,
        Self::Matrix,
        Self::Interference,
        Self::RunningFunctions,
    ];

    /// Name in SQL and directory in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spans => "spans",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
            Self::Tasks => "tasks",
            Self::TaskStates => "task_states",
            Self::TaskSpans => "task_spans",
            Self::Stacks => "stacks",
            Self::RuntimeEvents => "runtime_events",
            Self::Attribution => "attribution",
            Self::SpanQuality => "span_quality",
            Self::Operations => "operations",
            Self::Matrix => "matrix",
            Self::Interference => "interference",
            Self::RunningFunctions => "running_functions",
        }
    }

    /// The inverse of [`Self::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    /// The `i64` nanosecond column that decides the partition of a row.
    pub const fn time_column(self) -> &'static str {
        match self {
            Self::Logs | Self::Metrics => "time_ns",
            Self::Stacks | Self::Tasks => "recording_start_ns",
            Self::Operations | Self::Matrix | Self::Interference | Self::RunningFunctions => "window_start_ns",
            _ => "start_ns",
        }
    }

    /// Columns by which the rows of a file are sorted.
    pub const fn sort_columns(self) -> &'static [&'static str] {
        match self {
            Self::Spans => &["trace_id", "start_ns"],
            Self::Logs => &["service_name", "time_ns"],
            Self::Metrics => &["service_name", "metric_name", "time_ns"],
            Self::Tasks => &["process_id", "task_id"],
            Self::TaskStates => &["process_id", "task_id", "start_ns"],
            Self::TaskSpans => &["process_id", "task_id", "start_ns"],
            Self::Stacks => &["stack_id"],
            Self::RuntimeEvents => &["process_id", "start_ns"],
            Self::Attribution => &["service_name", "operation", "view", "trace_id", "span_id"],
            Self::SpanQuality => &["service_name", "operation", "trace_id", "span_id"],
            Self::Operations => &["window_start_ns", "service_name", "operation"],
            Self::Matrix => &["window_start_ns", "service_name", "operation", "view", "layer", "state"],
            Self::Interference => &["window_start_ns", "service_name", "operation", "culprit_operation"],
            Self::RunningFunctions => &["window_start_ns", "service_name", "operation", "layer", "function"],
        }
    }

    /// What a row is, for documentation.
    pub const fn doc(self) -> &'static str {
        match self {
            Self::Spans => "One row per span, as reported over OTLP.",
            Self::Logs => "One row per log record, as reported over OTLP.",
            Self::Metrics => "One row per data point of a metric, as reported over OTLP.",
            Self::Tasks => "One row per runtime task (goroutine) and recording in which it was seen.",
            Self::TaskStates => {
                "One row per recording and interval in which a runtime task was in one state. Where recordings overlap, \
                 as snapshots of a flight recorder do, a time has several rows: the one that starts first counts."
            }
            Self::TaskSpans => "One row per span and runtime task that it was on, with the evidence.",
            Self::Stacks => "One row per distinct call stack and recording.",
            Self::RuntimeEvents => {
                "One row per recording and thing that a runtime recorded beside task states: garbage collection mark phases, \
                 stop-the-world pauses, the program's own tasks, regions and log messages, CPU samples, heap sizes."
            }
            Self::Attribution => {
                "One row per span, view, layer, state, sub-state and evidence. `ns` over the rows of one span and \
                 view is the duration of the span, to the nanosecond."
            }
            Self::SpanQuality => "One row per span: how it was bound and how much of its time is known.",
            Self::Operations => {
                "One row per window, service and operation: the durations of the requests (the spans without a parent in \
                 their process) that began in the window."
            }
            Self::Interference => {
                "One row per window, service, operation, layer and state in which requests waited for requests of other \
                 traces, and operation, layer and state of those: the time of `blocked_on_other` in the root view, by who \
                 waited and who was waited for. `ns` adds up."
            }
            Self::RunningFunctions => {
                "One row per window, service, operation, layer and function that the CPU profiler saw requests run. The \
                 rows of a layer divide its exact running time in the self view as its samples are divided, and sum to it. \
                 There are rows where execution traces hold CPU samples, and where CPU profiles have labels that name spans."
            }
            Self::Matrix => {
                "One row per window, service, operation, view, layer and state, over the requests (the spans without a \
                 parent in their process) that began in the window. Requests with nothing in a cell count as zero."
            }
        }
    }

    /// Columns with types, as stored; each field carries its description in the metadata key `doc`.
    pub fn schema(self) -> SchemaRef {
        static SCHEMAS: LazyLock<Vec<SchemaRef>> = LazyLock::new(|| {
            let schema = |table: &Table| Arc::new(Schema::new(columns::of(*table)));
            Table::ALL.iter().map(schema).collect()
        });
        SCHEMAS[self.position()].clone()
    }

    /// Columns with types, as rows travel to the store: those of [`Self::schema`] with the strings of
    /// [`Self::dictionary_columns`] as dictionaries. A recording has millions of states and a few dozen words for them.
    pub fn row_schema(self) -> SchemaRef {
        static SCHEMAS: LazyLock<Vec<SchemaRef>> = LazyLock::new(|| {
            let schema = |table: &Table| Arc::new(Schema::new(columns::of_rows(*table)));
            Table::ALL.iter().map(schema).collect()
        });
        SCHEMAS[self.position()].clone()
    }

    /// String columns that are dictionaries with 32-bit keys until they are stored.
    pub const fn dictionary_columns(self) -> &'static [&'static str] {
        match self {
            Self::Tasks => &["service_name", "process_id", "entry_function"],
            Self::TaskStates => &["service_name", "process_id", "state", "sub_state", "reason", "waker"],
            Self::RuntimeEvents => &["service_name", "process_id", "kind", "detail"],
            _ => &[],
        }
    }

    fn position(self) -> usize {
        let position = Self::ALL.iter().position(|table| *table == self);
        position.expect("ALL holds every table")
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::{DataType, TimeUnit};

    use super::*;

    #[test]
    fn time_and_sort_columns_exist() {
        for table in Table::ALL {
            let schema = table.schema();
            let time = schema.field_with_name(table.time_column()).unwrap();
            assert_eq!(
                (time.data_type(), time.is_nullable()),
                (&DataType::Int64, false),
                "{}",
                table.name()
            );
            for column in table.sort_columns() {
                assert!(schema.field_with_name(column).is_ok(), "{}.{column}", table.name());
            }
        }
    }

    #[test]
    fn every_column_is_described_and_named_with_its_unit() {
        for table in Table::ALL {
            for field in table.schema().fields() {
                let place = format!("{}.{}", table.name(), field.name());
                assert!(
                    field.metadata().get("doc").is_some_and(|doc| !doc.is_empty()),
                    "{place}"
                );
                assert_eq!(field.name(), &field.name().to_lowercase(), "{place}");
                assert!(!PARTITION_COLUMNS.contains(&field.name().as_str()), "{place}");
            }
        }
    }

    #[test]
    fn no_unsigned_or_nanosecond_columns_which_delta_lacks() {
        for table in Table::ALL {
            for field in table.schema().flattened_fields() {
                let unfit = field.data_type().is_unsigned_integer()
                    || matches!(field.data_type(), DataType::Timestamp(TimeUnit::Nanosecond, _));
                assert!(!unfit, "{}.{}", table.name(), field.name());
            }
        }
    }
}
