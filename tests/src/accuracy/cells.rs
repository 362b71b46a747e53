//! What Spandrel says of each request: the rows of `attribution` of its server span.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::sql::{Row, Tables, integer, text};

/// A view of a span.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// What the request's goroutine did.
    #[serde(rename = "self")]
    Itself,
    /// What it was really waiting for.
    Root,
}

impl View {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Itself, Self::Root];

    /// As in the column `view`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Itself => "self",
            Self::Root => "root",
        }
    }
}

/// A cell of a request.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Layer.
    pub layer: String,
    /// Relation.
    pub relation: String,
    /// State; for another request's goroutine the state of that one.
    pub state: String,
    /// Finer kind; empty if there is none, and of another request's goroutine.
    pub sub_state: String,
    /// Operation of the other request, if there is one.
    pub culprit_operation: Option<String>,
    /// Time.
    pub ns: i64,
}

impl Cell {
    /// Whether a state as a truth names it, `state` or `state/sub_state`, is this one's.
    pub fn is(&self, state: &str) -> bool {
        match state.split_once('/') {
            Some((state, sub_state)) => self.state == state && self.sub_state == sub_state,
            None => self.state == state,
        }
    }
}

/// Cells by trace id and view.
pub(crate) type Cells = BTreeMap<(String, View), Vec<Cell>>;

/// The cells of all requests.
pub(crate) fn read(tables: &Tables) -> Cells {
    let mut cells = Cells::new();
    for view in View::ALL {
        // Only the server span has no parent in the process.
        let rows = tables.rows(&format!(
            "SELECT trace_id, layer, relation, state, sub_state, culprit_state, culprit_operation, ns \
             FROM attribution WHERE is_request AND view = '{}'",
            view.name()
        ));
        for row in &rows {
            let key = (text(row, "trace_id").to_owned(), view);
            cells.entry(key).or_default().push(cell(row));
        }
    }
    cells
}

fn cell(row: &Row) -> Cell {
    let optional = |column: &str| row.get(column).and_then(|value| value.as_str()).map(str::to_owned);
    let own = |column: &str| text(row, column).to_owned();
    let (state, sub_state) = match optional("culprit_state") {
        Some(state) => (state, String::new()),
        None => (own("state"), own("sub_state")),
    };
    Cell {
        layer: own("layer"),
        relation: own("relation"),
        state,
        sub_state,
        culprit_operation: optional("culprit_operation"),
        ns: integer(row, "ns"),
    }
}
