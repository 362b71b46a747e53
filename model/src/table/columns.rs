//! The columns of each table, with types and descriptions.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, TimeUnit};

use super::{Table, matrix_columns};
use crate::{SpanId, TraceId};

/// The columns of `table`, in order.
pub(super) fn of(table: Table) -> Vec<Field> {
    match table {
        Table::Spans => spans(),
        Table::Logs => logs(),
        Table::Metrics => metrics(),
        Table::Tasks => tasks(),
        Table::TaskStates => task_states(),
        Table::TaskSpans => task_spans(),
        Table::Stacks => stacks(),
        Table::RuntimeEvents => runtime_events(),
        Table::Attribution => attribution(),
        Table::SpanQuality => span_quality(),
        Table::Operations => matrix_columns::operations(),
        Table::Matrix => matrix_columns::matrix(),
        Table::Interference => matrix_columns::interference(),
        Table::RunningFunctions => matrix_columns::running_functions(),
    }
}

/// The columns of `table` as rows travel.
pub(super) fn of_rows(table: Table) -> Vec<Field> {
    let travels = |field: Field| {
        if !table.dictionary_columns().contains(&field.name().as_str()) {
            return field;
        }
        let data_type = DataType::Dictionary(Box::new(DataType::Int32), Box::new(field.data_type().clone()));
        field.with_data_type(data_type)
    };
    of(table).into_iter().map(travels).collect()
}

/// Attributes that the `spans` table holds a second time, in a typed column of their own: (key, column, type).
pub const PROMOTED_ATTRIBUTES: [(&str, &str, DataType); 12] = [
    ("http.request.method", "attr_http_request_method", DataType::Utf8),
    ("http.route", "attr_http_route", DataType::Utf8),
    (
        "http.response.status_code",
        "attr_http_response_status_code",
        DataType::Int64,
    ),
    ("url.path", "attr_url_path", DataType::Utf8),
    ("db.system.name", "attr_db_system_name", DataType::Utf8),
    ("db.operation.name", "attr_db_operation_name", DataType::Utf8),
    ("db.query.text", "attr_db_query_text", DataType::Utf8),
    ("rpc.service", "attr_rpc_service", DataType::Utf8),
    ("rpc.method", "attr_rpc_method", DataType::Utf8),
    (
        "messaging.destination.name",
        "attr_messaging_destination_name",
        DataType::Utf8,
    ),
    ("error.type", "attr_error_type", DataType::Utf8),
    ("go.goroutine.id", "attr_go_goroutine_id", DataType::Int64),
];

pub(super) fn required(name: &str, data_type: DataType, doc: &str) -> Field {
    field(name, data_type, false, doc)
}

pub(super) fn optional(name: &str, data_type: DataType, doc: &str) -> Field {
    field(name, data_type, true, doc)
}

fn field(name: &str, data_type: DataType, nullable: bool, doc: &str) -> Field {
    Field::new(name, data_type, nullable).with_metadata([("doc".to_owned(), doc.to_owned())].into())
}

fn id_type(len: usize) -> DataType {
    DataType::FixedSizeBinary(i32::try_from(len).expect("ids are 8 or 16 bytes"))
}

fn trace_id() -> Field {
    required("trace_id", id_type(TraceId::LEN), "Trace id")
}

fn span_id() -> Field {
    required("span_id", id_type(SpanId::LEN), "Span id, unique within its trace")
}

pub(super) fn timestamp_us(name: &str, doc: &str) -> Field {
    required(
        name,
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        doc,
    )
}

fn attributes(name: &str, doc: &str) -> Field {
    required(name, attributes_type(), doc)
}

fn attributes_type() -> DataType {
    let entries = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Utf8, true),
    ]);
    DataType::Map(
        Arc::new(Field::new("key_value", DataType::Struct(entries), false)),
        false,
    )
}

fn list_of_structs(name: &str, members: Vec<Field>, doc: &str) -> Field {
    let item = Field::new("element", DataType::Struct(members.into()), false);
    required(name, DataType::List(Arc::new(item)), doc)
}

fn list_of(name: &str, item: DataType, doc: &str) -> Field {
    optional(name, DataType::List(Arc::new(Field::new("element", item, false))), doc)
}

fn service_columns() -> [Field; 2] {
    [
        required(
            "service_name",
            DataType::Utf8,
            "Resource attribute `service.name`; empty if not reported",
        ),
        required(
            "process_id",
            DataType::Utf8,
            "`service.instance.id`, else `host.name:process.pid`; empty if not reported",
        ),
    ]
}

fn spans() -> Vec<Field> {
    let mut fields = vec![
        trace_id(),
        span_id(),
        optional(
            "parent_span_id",
            id_type(SpanId::LEN),
            "Parent span; null for the root of a trace",
        ),
        optional("trace_state", DataType::Utf8, "W3C trace state"),
        required("flags", DataType::Int32, "W3C trace flags and OTLP context flags"),
    ];
    fields.extend(service_columns());
    fields.extend([
        required("scope_name", DataType::Utf8, "Instrumentation scope"),
        optional("scope_version", DataType::Utf8, "Version of the instrumentation scope"),
        required("name", DataType::Utf8, "Span name"),
        required(
            "kind",
            DataType::Utf8,
            "`unspecified`, `internal`, `server`, `client`, `producer`, `consumer`",
        ),
        required("start_ns", DataType::Int64, "Start, nanoseconds since the Unix epoch"),
        timestamp_us("start_time", "Start, truncated to microseconds"),
        required(
            "duration_ns",
            DataType::Int64,
            "Length; 0 for a span that ends before it starts",
        ),
        required("status_code", DataType::Utf8, "`unset`, `ok`, `error`"),
        optional("status_message", DataType::Utf8, "Message of an error status"),
    ]);
    for (key, column, data_type) in PROMOTED_ATTRIBUTES {
        fields.push(optional(
            column,
            data_type,
            &format!("Span attribute `{key}`, if it has this type"),
        ));
    }
    let event = vec![
        Field::new("time_ns", DataType::Int64, false),
        Field::new("name", DataType::Utf8, false),
        Field::new("attributes", attributes_type(), false),
    ];
    let link = vec![
        Field::new("trace_id", id_type(TraceId::LEN), true),
        Field::new("span_id", id_type(SpanId::LEN), true),
        Field::new("trace_state", DataType::Utf8, true),
        Field::new("attributes", attributes_type(), false),
    ];
    fields.extend([
        attributes("attributes", "All span attributes as text, promoted ones included"),
        attributes("resource_attributes", "All resource attributes as text"),
        list_of_structs("events", event, "Span events"),
        list_of_structs("links", link, "Span links"),
        required(
            "dropped_attributes_count",
            DataType::Int64,
            "Attributes that the SDK dropped",
        ),
        required("dropped_events_count", DataType::Int64, "Events that the SDK dropped"),
        required("dropped_links_count", DataType::Int64, "Links that the SDK dropped"),
    ]);
    fields
}

fn logs() -> Vec<Field> {
    let mut fields = vec![
        required("time_ns", DataType::Int64, "Time of the event, else of its observation"),
        timestamp_us("time", "The same, truncated to microseconds"),
        required(
            "observed_time_ns",
            DataType::Int64,
            "Time of observation; 0 if not reported",
        ),
    ];
    fields.extend(service_columns());
    fields.extend([
        required("scope_name", DataType::Utf8, "Instrumentation scope"),
        required(
            "severity_number",
            DataType::Int32,
            "Severity, 1 (trace) to 24 (fatal); 0 if not reported",
        ),
        optional("severity_text", DataType::Utf8, "Severity as the source spells it"),
        optional("event_name", DataType::Utf8, "Name of the event type"),
        optional("body", DataType::Utf8, "Body as text; structured bodies as JSON"),
        optional("trace_id", id_type(TraceId::LEN), "Trace in which it was logged"),
        optional("span_id", id_type(SpanId::LEN), "Span in which it was logged"),
        required("flags", DataType::Int32, "W3C trace flags"),
        attributes("attributes", "Log attributes as text"),
        attributes("resource_attributes", "All resource attributes as text"),
        required(
            "dropped_attributes_count",
            DataType::Int64,
            "Attributes that the SDK dropped",
        ),
    ]);
    fields
}

fn metrics() -> Vec<Field> {
    let mut fields = vec![
        required("time_ns", DataType::Int64, "Time of the data point"),
        timestamp_us("time", "The same, truncated to microseconds"),
        optional(
            "start_ns",
            DataType::Int64,
            "Start of the accumulation; null if not reported",
        ),
    ];
    fields.extend(service_columns());
    fields.extend([
        required("scope_name", DataType::Utf8, "Instrumentation scope"),
        required("metric_name", DataType::Utf8, "Metric name"),
        required(
            "metric_type",
            DataType::Utf8,
            "`gauge`, `sum`, `histogram`, `exponential_histogram`, `summary`",
        ),
        optional("unit", DataType::Utf8, "Unit, UCUM"),
        optional("temporality", DataType::Utf8, "`delta` or `cumulative`"),
        optional("is_monotonic", DataType::Boolean, "For sums"),
        optional(
            "value_double",
            DataType::Float64,
            "Value of a gauge or sum, if it is a float",
        ),
        optional(
            "value_int",
            DataType::Int64,
            "Value of a gauge or sum, if it is an integer",
        ),
        optional("count", DataType::Int64, "Number of observations"),
        optional("sum", DataType::Float64, "Sum of observations"),
        optional("min", DataType::Float64, "Smallest observation"),
        optional("max", DataType::Float64, "Largest observation"),
        list_of(
            "explicit_bounds",
            DataType::Float64,
            "Histogram bucket bounds; quantiles of a summary",
        ),
        list_of(
            "bucket_counts",
            DataType::Int64,
            "Histogram bucket counts; positive buckets of an exponential histogram",
        ),
        list_of(
            "quantile_values",
            DataType::Float64,
            "Values at the quantiles of a summary",
        ),
        optional("scale", DataType::Int32, "Scale of an exponential histogram"),
        optional("zero_count", DataType::Int64, "Zero bucket of an exponential histogram"),
        optional("positive_offset", DataType::Int32, "Index of the first positive bucket"),
        optional("negative_offset", DataType::Int32, "Index of the first negative bucket"),
        list_of(
            "negative_bucket_counts",
            DataType::Int64,
            "Negative buckets of an exponential histogram",
        ),
        attributes("attributes", "Data point attributes as text"),
        attributes("resource_attributes", "All resource attributes as text"),
    ]);
    fields
}

fn tasks() -> Vec<Field> {
    let mut fields = Vec::from(service_columns());
    fields.extend([
        required("recording_start_ns", DataType::Int64, "Start of the recording"),
        required("recording_end_ns", DataType::Int64, "End of the recording"),
        required("task_id", DataType::Int64, "Goroutine id"),
        required(
            "entry_function",
            DataType::Utf8,
            "Function it was started with; empty if not recorded",
        ),
        optional("creator_task_id", DataType::Int64, "Goroutine that started it"),
        optional("birth_ns", DataType::Int64, "Creation; null if before the recording"),
        optional("death_ns", DataType::Int64, "End; null if after the recording"),
        required("is_system", DataType::Boolean, "Whether it belongs to the runtime"),
        optional(
            "clock_error_ns",
            DataType::Int64,
            "How far all times of the recording may be off, where it held no wall clock (Go before 1.25) and was placed \
             in time by spans; null if it held it",
        ),
    ]);
    fields
}

fn task_states() -> Vec<Field> {
    let mut fields = Vec::from(service_columns());
    fields.extend([
        required("task_id", DataType::Int64, "Goroutine id"),
        required("start_ns", DataType::Int64, "Start"),
        timestamp_us("start_time", "Start, truncated to microseconds"),
        required("duration_ns", DataType::Int64, "Length, greater than 0"),
        required("state", DataType::Utf8, "State"),
        required("sub_state", DataType::Utf8, "Finer kind; empty if there is none"),
        required(
            "reason",
            DataType::Utf8,
            "The runtime's own reason string; empty if it gave none",
        ),
        optional(
            "stack_id",
            DataType::Int64,
            "Stack at which the state was entered, see `stacks`",
        ),
        required(
            "waker",
            DataType::Utf8,
            "`task`, `external` (network poller, timer), `none`",
        ),
        optional("waker_task_id", DataType::Int64, "Goroutine that ended the wait"),
    ]);
    fields
}

fn task_spans() -> Vec<Field> {
    let mut fields = Vec::from(service_columns());
    fields.extend([
        required("task_id", DataType::Int64, "Goroutine id"),
        trace_id(),
        span_id(),
        required("start_ns", DataType::Int64, "Start of the span on the task"),
        timestamp_us("start_time", "Start, truncated to microseconds"),
        required("duration_ns", DataType::Int64, "Time of the span on the task"),
        required(
            "binding",
            DataType::Utf8,
            "Evidence: `logged_id`, `task_attribute`, `user_task`, `after_the_fact`",
        ),
    ]);
    fields
}

fn stacks() -> Vec<Field> {
    let frame = vec![
        Field::new("function", DataType::Utf8, false),
        Field::new("file", DataType::Utf8, false),
        Field::new("line", DataType::Int32, false),
    ];
    vec![
        required(
            "stack_id",
            DataType::Int64,
            "Hash of the frames: the same stack has the same id everywhere",
        ),
        required(
            "recording_start_ns",
            DataType::Int64,
            "Start of the recording in which it was seen",
        ),
        list_of_structs("frames", frame, "Frames, innermost first"),
    ]
}

fn runtime_events() -> Vec<Field> {
    let mut fields = Vec::from(service_columns());
    fields.extend([
        required("start_ns", DataType::Int64, "Start"),
        timestamp_us("start_time", "Start, truncated to microseconds"),
        required(
            "duration_ns",
            DataType::Int64,
            "Length, as far as the recording shows it; 0 for an instant",
        ),
        required(
            "kind",
            DataType::Utf8,
            "`gc`, `stw`, `user_task`, `user_region`, `user_log`, `cpu_sample`, `metric`",
        ),
        required(
            "detail",
            DataType::Utf8,
            "The runtime's or the program's own name of it; of a log message the category; empty for a CPU sample",
        ),
        optional("task_id", DataType::Int64, "Goroutine on which it began"),
        optional("text", DataType::Utf8, "Log message"),
        optional("value", DataType::Int64, "Value of a metric"),
        optional(
            "user_task_id",
            DataType::Int64,
            "`runtime/trace` task that it is or belongs to",
        ),
        optional(
            "parent_user_task_id",
            DataType::Int64,
            "`runtime/trace` task in which that task began",
        ),
        optional("stack_id", DataType::Int64, "Stack at which it began, see `stacks`"),
    ]);
    fields
}

fn attribution() -> Vec<Field> {
    let mut fields = vec![trace_id(), span_id()];
    fields.extend(service_columns());
    fields.extend([
        required("operation", DataType::Utf8, "Span name"),
        required(
            "is_request",
            DataType::Boolean,
            "Whether the span has no parent in its process",
        ),
        required("start_ns", DataType::Int64, "Start of the span"),
        timestamp_us("start_time", "Start of the span, truncated to microseconds"),
        required(
            "view",
            DataType::Utf8,
            "`self` (what the span's task did) or `root` (what it was really waiting for)",
        ),
        required(
            "layer",
            DataType::Utf8,
            "Layer of the innermost span on the task at that time; in the root view, on the task that was waited for",
        ),
        required(
            "state",
            DataType::Utf8,
            "State of the task at that time; in the root view, of the task that was waited for",
        ),
        required(
            "sub_state",
            DataType::Utf8,
            "Finer kind; for `unknown`, the reason; for `blocked_on_other`, the state of the span's own task",
        ),
        required(
            "relation",
            DataType::Utf8,
            "`same`, `helper`, `interference`, `runtime`, `remote`",
        ),
        optional(
            "culprit_operation",
            DataType::Utf8,
            "For `blocked_on_other`: operation of the other request",
        ),
        optional(
            "culprit_layer",
            DataType::Utf8,
            "For `blocked_on_other`: layer in the other request",
        ),
        optional(
            "culprit_state",
            DataType::Utf8,
            "For `blocked_on_other`: state of the other request's task",
        ),
        required("evidence", DataType::Utf8, "`exact`, `sampled`, `inferred`, `none`"),
        required("ns", DataType::Int64, "Nanoseconds, greater than 0"),
    ]);
    fields
}

fn span_quality() -> Vec<Field> {
    let mut fields = vec![trace_id(), span_id()];
    fields.extend(service_columns());
    fields.extend([
        required("operation", DataType::Utf8, "Span name"),
        required(
            "is_request",
            DataType::Boolean,
            "Whether the span has no parent in its process",
        ),
        required("start_ns", DataType::Int64, "Start of the span"),
        timestamp_us("start_time", "Start of the span, truncated to microseconds"),
        required("duration_ns", DataType::Int64, "Length of the span"),
        required("layer", DataType::Utf8, "Layer of the span itself"),
        required(
            "binding",
            DataType::Utf8,
            "Evidence as in `task_spans`, else the reason why it is unbound",
        ),
        optional("task_id", DataType::Int64, "Goroutine, if bound"),
        required(
            "recorded_ns",
            DataType::Int64,
            "Time of the span that recordings of its process cover",
        ),
        required("exact_ns", DataType::Int64, "Time with exact evidence in the self view"),
        required(
            "inferred_ns",
            DataType::Int64,
            "Time in the root view that is inferred from the spans alone",
        ),
        required("unknown_ns", DataType::Int64, "Time without evidence in the self view"),
        required(
            "truncated_ns",
            DataType::Int64,
            "Time in the root view at the end of chains of goroutines too long to follow; part of its `unknown` time",
        ),
        optional(
            "boundaries",
            DataType::Int64,
            "Distinct starts and ends of spans of its goroutine within it, its own included; null if unbound. If the clock \
             of the spans is off by e against that of the recordings, at most `2 * e * (boundaries - 1)` of the self view \
             lie in wrong cells",
        ),
        optional(
            "clock_error_ns",
            DataType::Int64,
            "How far the recordings of the span may be off, where they held no wall clock (Go before 1.25) and were \
             placed in time by spans; null if they held it",
        ),
        required(
            "detached_ns",
            DataType::Int64,
            "Time of server spans that the span called and cannot have waited for",
        ),
        optional(
            "offset_lo_ns",
            DataType::Int64,
            "Least by which the clocks of the servers that the span called may be ahead of its own; null if it waited for \
             none that is known",
        ),
        optional("offset_hi_ns", DataType::Int64, "The greatest"),
        optional(
            "in_flight_min_ns",
            DataType::Int64,
            "Least time that request and response of the span's call may have taken, wherever between `offset_lo_ns` and \
             `offset_hi_ns` the clock of the server was; null unless it waited for exactly one server that is known",
        ),
        optional("in_flight_max_ns", DataType::Int64, "The greatest; often the same"),
        optional(
            "request_min_ns",
            DataType::Int64,
            "Least part of it that may have been the request. The response is the rest of what is in flight",
        ),
        optional("request_max_ns", DataType::Int64, "The greatest; at most `in_flight_max_ns`"),
    ]);
    fields
}
