//! What the store says of spans that were joined: their rows of `span_quality` and `attribution`, read back to what
//! they were made of, as far as windows need it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::num::NonZeroI64;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::error::ArrowError;
use spandrel_attribution::{InFlight, SpanAttribution, window_start};
use spandrel_model::{
    Binding, BindingKind, Cell, Culprit, Evidence, Interval, Layer, ProcessIdentity, Relation, State, Table, TaskId,
    UnixNanos, UnknownReason, View,
};
use spandrel_pipeline::{StoredRows, WantedRows};

use super::RecallError;
use super::columns::{KEY_COLUMNS, Keys, Shared, StoredKey, booleans, integers, optional, text, word};
use crate::attribution::emitted::RowsDigest;

const VIEWS: [View; 2] = [View::SelfView, View::Root];
const RELATIONS: [Relation; 5] = [
    Relation::Same,
    Relation::Helper,
    Relation::Interference,
    Relation::Runtime,
    Relation::Remote,
];
const EVIDENCES: [Evidence; 4] = [Evidence::Exact, Evidence::Sampled, Evidence::Inferred, Evidence::None];
pub(super) const BINDING_KINDS: [BindingKind; 4] = [
    BindingKind::LoggedId,
    BindingKind::TaskAttribute,
    BindingKind::UserTask,
    BindingKind::AfterTheFact,
];
const IN_FLIGHT_COLUMNS: [&str; 4] = [
    "in_flight_min_ns",
    "in_flight_max_ns",
    "request_min_ns",
    "request_max_ns",
];
/// So many times as many spans as may be held are looked at.
const SPANS_PER_HELD: usize = 4;

/// Rows of `span_quality`, by span.
#[derive(Debug, Default)]
pub(super) struct Quality {
    spans: BTreeMap<StoredKey, StoredSpan>,
    request_count: usize,
    /// Whether there were too many, so that requests are missing.
    pub(super) is_cut: bool,
}

/// What is known of a span that was joined.
#[derive(Debug)]
pub(super) struct StoredSpan {
    pub(super) is_request: bool,
    pub(super) recorded_ns: i64,
    /// Of its rows here and in `attribution`.
    pub(super) digest: RowsDigest,
    /// Of a request all that its row says.
    request: Option<Box<SpanAttribution>>,
}

impl Quality {
    /// What is known of a span; a request is then known to be of this process. The tables name it by a part of its
    /// identity only.
    pub(super) fn find(&mut self, key: &StoredKey, process: &Arc<ProcessIdentity>) -> Option<&StoredSpan> {
        let stored = self.spans.get_mut(key)?;
        if let Some(request) = &mut stored.request {
            request.process = process.clone();
        }
        Some(stored)
    }
}

/// Rows of `attribution`.
#[derive(Debug, Default)]
pub(super) struct Cells {
    of_requests: HashMap<StoredKey, Vec<Cell>>,
    /// Spans without a row of `span_quality`: a crash came between the commits of the two tables.
    without_quality: HashSet<StoredKey>,
}

impl Cells {
    /// Whether a span has rows here and none in `span_quality`.
    pub(super) fn contains(&self, key: &StoredKey) -> bool {
        self.without_quality.contains(key)
    }
}

pub(super) fn read_quality(rows: &dyn StoredRows, wanted: &WantedRows, limit: usize) -> Result<Quality, RecallError> {
    let (mut quality, mut shared) = (Quality::default(), Shared::default());
    let mut columns: Vec<&str> = KEY_COLUMNS.to_vec();
    columns.extend(["operation", "is_request", "start_ns", "duration_ns", "layer", "binding"]);
    columns.extend(["task_id", "recorded_ns", "exact_ns", "inferred_ns", "unknown_ns"]);
    columns.extend(["truncated_ns", "boundaries", "clock_error_ns", "detached_ns"]);
    columns.extend(["offset_lo_ns", "offset_hi_ns"]);
    columns.extend(IN_FLIGHT_COLUMNS);
    rows.read(Table::SpanQuality, &columns, wanted, &mut |_, batch| {
        add_quality(batch, &mut quality, &mut shared)?;
        quality.is_cut = quality.request_count > limit || quality.spans.len() > limit.saturating_mul(SPANS_PER_HELD);
        Ok(match quality.is_cut {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    })?;
    Ok(quality)
}

fn add_quality(batch: &RecordBatch, quality: &mut Quality, shared: &mut Shared) -> Result<(), ArrowError> {
    let keys = Keys::of(batch)?;
    for row in 0..batch.num_rows() {
        let key = keys.key(row, shared)?;
        let span = attribution(batch, row, &key, shared)?;
        quality.request_count += usize::from(span.is_request);
        let stored = StoredSpan {
            is_request: span.is_request,
            recorded_ns: span.recorded_ns,
            digest: RowsDigest::of_quality(&span),
            request: span.is_request.then(|| Box::new(span)),
        };
        quality.spans.insert(key, stored);
    }
    Ok(())
}

/// A span without its cells and tasks, and without what it and its helpers ran, which no row of it says. Its process is
/// known as far as the tables name it.
fn attribution(
    batch: &RecordBatch,
    row: usize,
    key: &StoredKey,
    shared: &mut Shared,
) -> Result<SpanAttribution, ArrowError> {
    let value = |name: &str| Ok::<_, ArrowError>(integers(batch, name)?.value(row));
    let optional = |name: &str| Ok::<_, ArrowError>(optional(integers(batch, name)?, row));
    let start = UnixNanos(value("start_ns")?);
    let interval = Interval::new(start, start.plus(value("duration_ns")?));
    let interval = interval.ok_or_else(|| ArrowError::SchemaError("a stored duration is negative".to_owned()))?;
    let (service_name, process_id) = &*key.process;
    Ok(SpanAttribution {
        trace_id: key.span.trace_id,
        span_id: key.span.span_id,
        process: Arc::new(ProcessIdentity {
            service_name: service_name.clone(),
            service_instance_id: Some(process_id.clone()).filter(|id| !id.is_empty()),
            ..ProcessIdentity::default()
        }),
        operation: shared.word(text(batch, "operation")?.value(row)),
        interval,
        is_request: booleans(batch, "is_request")?.value(row),
        layer: Layer::new(text(batch, "layer")?.value(row)),
        binding: binding(text(batch, "binding")?.value(row), optional("task_id")?)?,
        functions: Vec::new(),
        helper_running_ns: 0,
        cells: Vec::new(),
        recorded_ns: value("recorded_ns")?,
        exact_ns: value("exact_ns")?,
        inferred_ns: value("inferred_ns")?,
        unknown_ns: value("unknown_ns")?,
        truncated_ns: value("truncated_ns")?,
        clock_error_ns: optional("clock_error_ns")?,
        boundaries: optional("boundaries")?,
        detached_ns: value("detached_ns")?,
        offset_lo_ns: optional("offset_lo_ns")?,
        offset_hi_ns: optional("offset_hi_ns")?,
        in_flight: in_flight(batch, row)?,
        on_task: None,
        handed_over: Vec::new(),
    })
}

fn in_flight(batch: &RecordBatch, row: usize) -> Result<Option<InFlight>, ArrowError> {
    let mut values = [None; IN_FLIGHT_COLUMNS.len()];
    for (value, name) in values.iter_mut().zip(IN_FLIGHT_COLUMNS) {
        *value = optional(integers(batch, name)?, row);
    }
    let [Some(min_ns), Some(max_ns), Some(request_min_ns), Some(request_max_ns)] = values else {
        return Ok(None);
    };
    Ok(Some(InFlight {
        min_ns,
        max_ns,
        request_min_ns,
        request_max_ns,
    }))
}

fn binding(evidence: &str, task_id: Option<i64>) -> Result<Binding, ArrowError> {
    match task_id.and_then(|id| u64::try_from(id).ok()) {
        Some(id) => Ok(Binding::Bound {
            task: TaskId(id),
            kind: word(&BINDING_KINDS, BindingKind::as_str, evidence)?,
        }),
        None => word(&UnknownReason::ALL, UnknownReason::as_str, evidence).map(Binding::Unbound),
    }
}

/// The cells of the requests in `quality`, and which spans have cells and are not in it. Completes the digests.
pub(super) fn read_cells(
    rows: &dyn StoredRows,
    wanted: &WantedRows,
    quality: &mut Quality,
) -> Result<Cells, RecallError> {
    let (mut cells, mut shared) = (Cells::default(), Shared::default());
    let mut columns: Vec<&str> = KEY_COLUMNS.to_vec();
    columns.extend(["is_request", "view", "layer", "state", "sub_state", "relation"]);
    columns.extend(["culprit_operation", "culprit_layer", "culprit_state", "evidence", "ns"]);
    rows.read(Table::Attribution, &columns, wanted, &mut |_, batch| {
        let (keys, is_request) = (Keys::of(batch)?, booleans(batch, "is_request")?);
        for row in 0..batch.num_rows() {
            let key = keys.key(row, &mut shared)?;
            let Some(span) = quality.spans.get_mut(&key) else {
                cells.without_quality.insert(key);
                continue;
            };
            let cell = cell(batch, row, &mut shared)?;
            span.digest.add_cell(&cell);
            if is_request.value(row) && !quality.is_cut {
                cells.of_requests.entry(key).or_default().push(cell);
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(cells)
}

fn cell(batch: &RecordBatch, row: usize, shared: &mut Shared) -> Result<Cell, ArrowError> {
    let value = |name: &str| Ok::<_, ArrowError>(text(batch, name)?.value(row));
    let operations = text(batch, "culprit_operation")?;
    let culprit = match operations.is_valid(row) {
        true => Some(Arc::new(Culprit {
            operation: shared.word(operations.value(row)),
            layer: Layer::new(value("culprit_layer")?),
            state: state(value("culprit_state")?)?,
        })),
        false => None,
    };
    Ok(Cell {
        view: word(&VIEWS, View::as_str, value("view")?)?,
        layer: Layer::new(value("layer")?),
        state: state(value("state")?)?,
        sub_state: shared.word(value("sub_state")?),
        relation: word(&RELATIONS, Relation::as_str, value("relation")?)?,
        culprit,
        evidence: word(&EVIDENCES, Evidence::as_str, value("evidence")?)?,
        ns: integers(batch, "ns")?.value(row),
    })
}

fn state(text: &str) -> Result<State, ArrowError> {
    State::from_column(text).ok_or_else(|| ArrowError::SchemaError(format!("stored rows have the state `{text}`")))
}

/// The requests of the windows that begin at these times. Windows with a request that lacks cells are left out.
pub(super) fn of_windows(
    quality: Quality,
    mut cells: Cells,
    windows: &BTreeSet<UnixNanos>,
    window_ns: NonZeroI64,
) -> Vec<SpanAttribution> {
    if quality.is_cut {
        return Vec::new();
    }
    let (mut requests, mut broken) = (Vec::new(), HashSet::new());
    let window = |request: &SpanAttribution| window_start(request.interval.start(), window_ns);
    for (key, stored) in quality.spans {
        let Some(mut request) = stored.request.filter(|request| windows.contains(&window(request))) else {
            continue;
        };
        request.cells = cells.of_requests.remove(&key).unwrap_or_default();
        if !has_all_cells(&request) {
            broken.insert(window(&request));
        }
        requests.push(*request);
    }
    requests.retain(|request| !broken.contains(&window(request)));
    requests
}

fn has_all_cells(request: &SpanAttribution) -> bool {
    VIEWS.into_iter().all(|view| {
        let cells = request.cells.iter().filter(|cell| cell.view == view);
        let sum_ns: i128 = cells.map(|cell| i128::from(cell.ns)).sum();
        sum_ns == i128::from(request.interval.duration_ns())
    })
}
