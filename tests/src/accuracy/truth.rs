//! What the service measured, as it writes it: a JSON object per request and line. The service's `vector.go` says what each
//! field means.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::cells::View;

/// One request.
#[derive(Clone, Debug, Deserialize)]
pub struct Truth {
    /// Hexadecimal trace id.
    pub trace_id: String,
    /// Hexadecimal span id of the server span.
    pub span_id: String,
    /// Name of the server span.
    pub operation: String,
    /// What was done, in order.
    pub steps: Vec<Step>,
    /// How long threads of the service waited for a processor of the machine meanwhile.
    pub kernel_delay_ns: i64,
}

/// One injected step.
#[derive(Clone, Debug, Deserialize)]
pub struct Step {
    /// What the request's goroutine did or waited at.
    pub cause: String,
    /// Who kept it waiting.
    #[serde(rename = "where")]
    pub place: String,
    /// Time in its layer that no clock watched.
    pub unwatched_ns: i64,
    /// What the views must show.
    pub parts: Vec<Part>,
}

impl Step {
    /// What a table calls it.
    pub fn label(&self) -> String {
        match self.place.as_str() {
            "own" => self.cause.clone(),
            place => format!("{}, {place}", self.cause),
        }
    }
}

/// Time that a view must show in certain cells.
#[derive(Clone, Debug, Deserialize)]
pub struct Part {
    /// The view.
    pub view: View,
    /// Layer of the cells.
    pub layer: String,
    /// Relation of the cells.
    pub relation: String,
    /// States that name the cause, as `state` or `state/sub_state`.
    pub states: Vec<String>,
    /// States that the clocks cannot tell from it.
    #[serde(default)]
    pub plus: Vec<String>,
    /// Measured time.
    pub ns: i64,
    /// Time that `states` alone must show.
    #[serde(default)]
    pub least_ns: i64,
    /// Time of the wait in which no clock watched whoever was waited for.
    #[serde(default)]
    pub unwatched_ns: i64,
    /// Operation of the request that kept this one waiting, if another one did.
    pub culprit_operation: Option<String>,
    /// Whether the clocks bound the time badly.
    #[serde(default)]
    pub approximate: bool,
}

/// Reads the file of a run.
///
/// # Panics
/// It cannot be read, or a line is no truth.
pub(crate) fn read(path: &Path) -> Vec<Truth> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let truth = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
    text.lines().map(truth).collect()
}
