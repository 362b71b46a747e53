//! The spans of one trace, what each did and waited for, and where in the code.
//!
//! ```text
//! tables --load--> spans with their cells --order--> parents before children --page--> text
//!    `---states--> states of their goroutines --places----> cells with places ---^
//!           `----> and of those who woke them --culprits--> traces of those that held them up
//!           `---running--> functions that requests like these ran
//!           `--unjoined--> when those without cells will have some
//! ```

mod culprits;
mod in_flight;
mod load;
mod order;
mod page;
mod places;
mod running;
mod states;
mod unjoined;

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use serde::Serialize;
use spandrel_model::View;

use super::Tables;
use super::cause::Cause;
use super::ran::Ran;
use super::site::Frame;

use self::in_flight::InFlight;
pub(super) use self::page::render;

/// Hexadecimal digits of a trace id.
const TRACE_ID_DIGITS: usize = 32;

/// A trace.
#[derive(Debug, Default, Serialize)]
pub(super) struct Explained {
    trace_id: String,
    /// What could not be said.
    notes: Vec<String>,
    /// Parents before children, children by their start.
    spans: Vec<Span>,
}

/// A span of it.
#[derive(Clone, Debug, Default, Serialize)]
struct Span {
    span_id: String,
    parent_span_id: Option<String>,
    service: String,
    process: String,
    operation: String,
    kind: String,
    /// Its own; empty if no attribution of it is stored.
    layer: String,
    start_ns: i64,
    duration_ns: i64,
    status: String,
    /// How many spans of the trace it is in.
    depth: usize,
    /// How it was bound to a goroutine, or why not; `None` if no attribution of it is stored.
    binding: Option<String>,
    goroutine: Option<i64>,
    /// Whether it has no parent in its process.
    is_request: bool,
    /// Time with exact evidence.
    exact_ns: i64,
    /// Of a request for how long other goroutines than its own ran for it.
    other_goroutines_running_ns: i64,
    /// Of a request what all requests of its operation and window ran, by samples that do not tell layers apart.
    ran_in_all_layers: Option<Ran>,
    /// Of a call how long its messages took, if the server's span is known.
    in_flight: Option<InFlight>,
    /// What its own goroutine did. Empty without attribution, or if another view was asked for; so is `root`.
    #[serde(rename = "self")]
    self_cells: Vec<Cell>,
    /// What it really waited for.
    root: Vec<Cell>,
}

#[derive(Clone, Debug, Serialize)]
struct Cell {
    #[serde(flatten)]
    cause: Cause,
    /// Finer than the state. Of time that was waited for another request the state of the span's own goroutine.
    sub_state: String,
    ns: i64,
    /// Where in the code most of it was spent, if that is known; of time that was waited for another request where that one
    /// stood.
    at: Option<Place>,
    /// The other request's trace, if that is known.
    by: Option<Blocker>,
    /// Of running time of a request what all requests of its operation and window ran in its layer, if samples say so.
    ran: Option<Ran>,
}

/// The trace for which most of a cell's time was waited, and how much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Blocker {
    trace_id: String,
    ns: i64,
}

/// A place in the code, and how much of a cell's time was spent there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Place {
    #[serde(flatten)]
    frame: Frame,
    ns: i64,
}

/// Loads a trace, with one of the views or both.
///
/// # Errors
/// The id is none, or no span of the trace is stored.
pub(super) async fn explain(tables: &Tables<'_>, trace_id: &str, view: Option<View>) -> anyhow::Result<Explained> {
    ensure!(
        trace_id.len() == TRACE_ID_DIGITS && trace_id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "`{trace_id}` is no trace id: expected {TRACE_ID_DIGITS} hexadecimal digits; --operation takes the name of an operation"
    );
    let trace_id = trace_id.to_ascii_lowercase();
    let mut explained = Explained {
        spans: order::parents_first(load::spans(tables, &trace_id).await?),
        trace_id,
        notes: Vec::new(),
    };
    places::locate(tables, &mut explained).await?;
    running::add(tables, &mut explained, view).await?;
    explained.notes.extend(unjoined::note(&explained.spans, now_ns()));
    match view {
        Some(View::SelfView) => explained.spans.iter_mut().for_each(|span| span.root.clear()),
        Some(View::Root) => explained.spans.iter_mut().for_each(|span| span.self_cells.clear()),
        None => {}
    }
    Ok(explained)
}

/// Nanoseconds since 1970.
fn now_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}
