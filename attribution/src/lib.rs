//! Attribution of span time to what the runtime's tasks were doing.
//!
//! Input: the [spans](spandrel_model::Span) of one process and the [recordings](spandrel_model::TaskRecording) of its
//! tasks (goroutines). Output: for every span, [cells](spandrel_model::Cell) of (layer, state) that sum to the span's
//! duration, to the nanosecond, in two views: what the span's own task did, and what it was really waiting for. Time
//! without evidence is a cell of its own, with the reason; it is never spread over the others. The same function serves the streaming connector and the offline command.
//!
//! ```text
//! recordings --timeline--> one line of time -+
//!                                            +-bind--> span <-> task --owner--> task x time -> span
//! spans --------spans----> tree of spans ----+                                      |
//!   `----------layers----> span -> layer -----------------------------------self_view, root--> cells --matrix--> rows
//! ```
//!
//! Several processes at once ([`attribute_together`]): after each is analyzed, `remote` puts what servers did in the place of
//! their clients' network waits, and `inferred` says what the spans alone tell of those without a task.
//!
//! One module per step, in this order: [`Timeline`] merges the recordings; `bind` finds the task of each span, or says
//! why not, and in which stretches it went on to others; `owner` says for which span a task was at work at an instant;
//! [`LayerRules`] name the layer of a span, [`StackLayers`] that of the library in which a task stands; `self_view` and
//! `root` give out the time; [`Matrix`] sums up requests. [`attribute`] runs them, [`Analysis`] keeps what they found;
//! [`choose_process`] finds the process of a recording beforehand. `docs/attribution.md` has the definitions with a worked
//! example.
//!
//! Costs O(n log n) in spans, user tasks and state intervals, and as much for each step of the chains of tasks that wait
//! for each other, of which at most [`Rules::chain_limit`] are followed; a span costs no more cells than it has. Not here:
//! files, sockets, clocks, threads, wire formats, Arrow, configuration syntax.
//!
//! # Example
//!
//! A handler asks a database: it runs for 2 us, waits for the network for 7 us and runs for 1 us more.
//!
//! ```
//! use std::sync::Arc;
//!
//! use spandrel_attribution::{ProcessSpans, Rules, attribute};
//! use spandrel_model::*;
//!
//! let at = |start, end| Interval::new(UnixNanos(start), UnixNanos(end)).unwrap();
//! let process = Arc::new(ProcessIdentity { service_name: "shop".into(), ..Default::default() });
//! let span = |id, parent: Option<u8>, kind, name: &str, interval, attributes: &[(&str, AttributeValue)]| Span {
//!     trace_id: TraceId::new([1; 16]),
//!     span_id: SpanId::new([id; 8]),
//!     parent_span_id: parent.map(|id| SpanId::new([id; 8])),
//!     parent_is_remote: None,
//!     process: process.clone(),
//!     name: name.into(),
//!     kind,
//!     scope_name: "".into(),
//!     interval,
//!     attributes: attributes.iter().map(|(key, value)| (key.to_string(), value.clone())).collect(),
//! };
//! let goroutine = ("go.goroutine.id", AttributeValue::Int(7));
//! let system = ("db.system.name", AttributeValue::String("postgresql".into()));
//! let handler = span(1, None, SpanKind::Server, "GET /item", at(0, 10_000), &[goroutine.clone()]);
//! let query = span(2, Some(1), SpanKind::Client, "SELECT", at(1_500, 9_500), &[goroutine, system]);
//!
//! let state = |state, interval| TaskState {
//!     task: TaskId(7),
//!     interval,
//!     state,
//!     sub_state: Names::EMPTY,
//!     reason: Names::EMPTY,
//!     stack: None,
//!     waker: Waker::None,
//! };
//! let recording = TaskRecording {
//!     process: process.clone(),
//!     source: "trace.out".into(),
//!     window: at(0, 20_000),
//!     clock: RecordingClock::Recorded,
//!     names: Names::new(),
//!     tasks: vec![Task {
//!         id: TaskId(7),
//!         entry_function: Names::EMPTY,
//!         creator: None,
//!         birth: None,
//!         death: None,
//!         kind: TaskKind::Application,
//!     }],
//!     states: vec![
//!         state(State::Running, at(0, 2_000)),
//!         state(State::Network, at(2_000, 9_000)),
//!         state(State::Running, at(9_000, 20_000)),
//!     ],
//!     user_tasks: vec![],
//!     user_logs: vec![],
//!     stacks: vec![],
//!     runtime_events: vec![],
//!     warnings: vec![],
//! };
//!
//! let spans = ProcessSpans { process, spans: vec![&handler, &query], context: vec![] };
//! let result = attribute(&spans, &[&recording], &Rules::default());
//! let cells: Vec<String> = result.spans[0]
//!     .cells
//!     .iter()
//!     .filter(|cell| cell.view == View::SelfView)
//!     .map(|cell| format!("{}/{} {}", cell.layer, cell.state, cell.ns))
//!     .collect();
//! assert_eq!(cells, ["db/running 1000", "db/network 7000", "handler/running 2000"]);
//! ```

#![forbid(unsafe_code)]

mod analysis;
mod attributed;
mod bind;
mod bootstrap;
mod clock_offset;
mod conservation;
mod glob;
mod helper_time;
mod inferred;
mod labeled_samples;
mod layer_finder;
mod layering;
mod layers;
mod ledger;
mod matrix;
mod owner;
mod process_choice;
mod remote;
mod root;
mod rounding;
mod rules;
mod samples;
mod self_view;
mod sketch;
mod slices;
mod spans;
mod stack_layers;
mod stretches;
mod sweep;
mod tail;
mod timeline;

pub use analysis::{Analysis, Step, attribute};
pub use attributed::{Attributed, SpanAttribution, TaskSpan, binding_word};
pub use bind::BindWindows;
pub use bootstrap::{BOOTSTRAP_REQUESTS_MAX, BOOTSTRAP_REQUESTS_MIN, GapInterval, gap_intervals};
pub use clock_offset::{NoOffset, estimate_offset};
pub use conservation::ConservationError;
pub use glob::Glob;
pub use layers::{Condition, LayerRule, LayerRules, LayerSource};
pub use matrix::{
    Coverage, Distribution, InterferenceRow, Matrix, MatrixRow, MatrixTables, OperationRow, Quantile, RequestGroup,
    RunningFunctionRow, Tail, window_start,
};
pub use process_choice::{Anchor, ChoiceReason, NotAnchored, ProcessChoice, choose_anchor, choose_process};
pub use remote::{CallCounts, InFlight, ProcessInput, analyze_together, attribute_together};
pub use root::{RootPiece, WalkCounts};
pub use rules::Rules;
pub use samples::{SampledBy, SampledFunction};
pub use self_view::Piece;
pub use sketch::{Sketch, SketchError};
pub use spans::{ProcessSpans, SpanKey};
pub use stack_layers::{InvalidStackLayerRule, StackLayerFault, StackLayerRule, StackLayers};
pub use stretches::Stretch;
pub use tail::Band;
pub use timeline::{TaskLine, Timeline};
