//! The attribution matrix of an operation as a table: layers down, states across, mean time per request in the cells.

use std::collections::BTreeMap;

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, TableComponent, presets};
use spandrel_model::{State, View};

use super::duration::human;
use super::terminal::{Terminal, wrapped};
use super::{meaning, number};

/// Where the time of the requests of one operation went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationMatrix {
    /// `service.name`.
    pub service: String,
    /// Span name of the requests.
    pub operation: String,
    /// Which question the cells answer.
    pub view: View,
    /// Number of requests.
    pub requests: i64,
    /// Duration of the requests: median, 95th and 99th percentile.
    pub quantiles_ns: [i64; 3],
    /// Total time by (layer, state), over all requests.
    pub cells: BTreeMap<(String, String), i64>,
}

impl OperationMatrix {
    /// Total time of all requests.
    pub fn total_ns(&self) -> i64 {
        self.cells.values().sum()
    }
}

/// A cell below this share of the operation's time is shown as a dot, so that the eye finds what matters.
const VISIBLE_SHARE: f64 = 0.001;
/// Heading of the column that sums up the states without one.
const REST: &str = "rest";

/// Renders one operation. Colors mark the heavy cells.
pub fn render(matrix: &OperationMatrix, terminal: Terminal) -> String {
    let total_ns = matrix.total_ns().max(1);
    let states: Vec<&str> = shown_states(matrix).collect();
    let rest_ns = |layer: &str| -> i64 {
        let hidden =
            |((name, state), _): &(&(String, String), &i64)| name == layer && !states.contains(&state.as_str());
        matrix.cells.iter().filter(hidden).map(|(_, ns)| ns).sum()
    };
    let mut layers: Vec<(&str, i64)> = layer_totals(matrix).into_iter().collect();
    layers.sort_by_key(|(layer, ns)| (-ns, layer.to_string()));
    let all_rest_ns: i64 = layers.iter().map(|(layer, _)| rest_ns(layer)).sum();

    let mut table = Table::new();
    table
        .load_preset(match terminal.unicode {
            true => presets::UTF8_HORIZONTAL_ONLY,
            false => presets::ASCII_HORIZONTAL_ONLY,
        })
        .set_content_arrangement(ContentArrangement::Disabled);
    table
        .remove_style(TableComponent::HorizontalLines)
        .remove_style(TableComponent::MiddleIntersections);
    let rest: &[&str] = if all_rest_ns > 0 { &[REST] } else { &[] };
    table.set_header([&["layer"], states.as_slice(), rest, &["total", "share"]].concat());
    for (layer, layer_ns) in layers {
        let mut row = vec![Cell::new(layer)];
        let shown_ns = states.iter().map(|state| {
            let key = (layer.to_owned(), (*state).to_owned());
            matrix.cells.get(&key).copied().unwrap_or(0)
        });
        row.extend(shown_ns.map(|ns| time_cell(ns, matrix.requests, total_ns, terminal.color)));
        row.extend(rest.iter().map(|_| rest_cell(rest_ns(layer), matrix.requests)));
        row.push(Cell::new(human(layer_ns / matrix.requests.max(1))));
        row.push(Cell::new(percent(layer_ns, total_ns)));
        table.add_row(row);
    }
    let mut footer = vec![Cell::new("share")];
    let totals = states.iter().map(|state| state_total(matrix, state));
    let totals = totals.chain(rest.iter().map(|_| all_rest_ns));
    footer.extend(totals.map(|ns| Cell::new(percent(ns, total_ns))));
    footer.extend([
        Cell::new(human(matrix.total_ns() / matrix.requests.max(1))),
        Cell::new("100 %"),
    ]);
    table.add_row(footer);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{}\n{table}\n", headline(matrix))
}

/// How to read matrices: once below all of them.
pub fn legend<'a>(matrices: impl IntoIterator<Item = &'a OperationMatrix>, width: usize) -> String {
    let states = meaning::legend(matrices.into_iter().flat_map(shown_states));
    let cells = format!(
        "Cells: mean time per request; a dot is less than {} % of the operation's time; {REST}: states without a column.",
        100.0 * VISIBLE_SHARE
    );
    format!("{}\n{}\n", wrapped(&cells, width, 0), wrapped(&states, width, 0))
}

/// The states that have a column, in the order of reports.
fn shown_states(matrix: &OperationMatrix) -> impl Iterator<Item = &'static str> {
    let total_ns = matrix.total_ns().max(1);
    let names = State::ALL.iter().map(|state| state.as_str());
    names.filter(move |state| share(state_total(matrix, state), total_ns) >= VISIBLE_SHARE)
}

fn headline(matrix: &OperationMatrix) -> String {
    let [p50, p95, p99] = matrix.quantiles_ns.map(human);
    format!(
        "{}  {}   {}   p50 {p50}   p95 {p95}   p99 {p99}   (mean per request, {} view)",
        matrix.service,
        matrix.operation,
        number::counted(matrix.requests.unsigned_abs(), "request"),
        matrix.view.as_str()
    )
}

fn time_cell(ns: i64, requests: i64, total_ns: i64, color: bool) -> Cell {
    if share(ns, total_ns) < VISIBLE_SHARE {
        return Cell::new(if ns == 0 { "" } else { "." });
    }
    let cell = Cell::new(human(ns / requests.max(1)));
    match share(ns, total_ns) {
        _ if !color => cell,
        heavy if heavy >= 0.30 => cell.fg(Color::Red).add_attribute(Attribute::Bold),
        warm if warm >= 0.10 => cell.fg(Color::Yellow),
        _ => cell,
    }
}

/// A sum of small times is shown however small it is.
fn rest_cell(ns: i64, requests: i64) -> Cell {
    Cell::new(if ns == 0 {
        String::new()
    } else {
        human(ns / requests.max(1))
    })
}

fn layer_totals(matrix: &OperationMatrix) -> BTreeMap<&str, i64> {
    let mut totals = BTreeMap::new();
    for ((layer, _), ns) in &matrix.cells {
        *totals.entry(layer.as_str()).or_insert(0) += ns;
    }
    totals
}

fn state_total(matrix: &OperationMatrix, state: &str) -> i64 {
    matrix
        .cells
        .iter()
        .filter(|((_, name), _)| name == state)
        .map(|(_, ns)| ns)
        .sum()
}

fn share(ns: i64, total_ns: i64) -> f64 {
    ns as f64 / total_ns as f64
}

fn percent(ns: i64, total_ns: i64) -> String {
    number::share(ns, total_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(cells: &[(&str, &str, i64)]) -> OperationMatrix {
        OperationMatrix {
            service: "shop".into(),
            operation: "GET /report".into(),
            view: View::Root,
            requests: 2,
            quantiles_ns: [1_000_000, 2_000_000, 3_000_000],
            cells: cells
                .iter()
                .map(|(layer, state, ns)| ((layer.to_string(), state.to_string()), *ns))
                .collect(),
        }
    }

    #[test]
    fn shows_mean_time_per_request_and_shares_that_sum_to_all() {
        let shown = render(
            &matrix(&[("db", "network", 3_000_000), ("handler", "running", 1_000_000)]),
            Terminal::PLAIN,
        );
        for part in [
            "shop  GET /report",
            "2 requests",
            "root view",
            "1.50 ms",
            "500 us",
            "75.0 %",
            "25.0 %",
            "100 %",
        ] {
            assert!(shown.contains(part), "{part} missing in\n{shown}");
        }
    }

    #[test]
    fn rules_are_drawn_in_ascii_where_nothing_else_is_known_to_show() {
        let cells = matrix(&[("db", "network", 3_000_000)]);
        assert!(render(&cells, Terminal::PLAIN).is_ascii());
        let unicode = Terminal {
            unicode: true,
            ..Terminal::PLAIN
        };
        assert!(render(&cells, unicode).contains('\u{2500}'));
    }

    #[test]
    fn leaves_out_states_without_time() {
        let shown = render(&matrix(&[("db", "network", 1_000)]), Terminal::PLAIN);
        assert!(!shown.contains("mutex") && !shown.contains(REST), "{shown}");
    }

    #[test]
    fn states_without_a_column_are_summed_up_in_the_last() {
        let cells = [
            ("db", "network", 10_000_000),
            ("db", "mutex", 4_000),
            ("db", "sleep", 4_000),
            ("handler", "cond", 2_000),
        ];
        let shown = render(&matrix(&cells), Terminal::PLAIN);
        let row = |layer: &str| -> Vec<String> {
            let line = shown.lines().find(|line| line.trim_start().starts_with(layer)).unwrap();
            line.split_whitespace().map(str::to_owned).collect()
        };
        assert_eq!(row("layer"), ["layer", "network", "rest", "total", "share"], "{shown}");
        assert_eq!(
            row("db"),
            ["db", "5.00", "ms", "4.00", "us", "5.00", "ms", "100.0", "%"],
            "{shown}"
        );
        assert_eq!(
            row("share"),
            ["share", "99.9", "%", "0.1", "%", "5.00", "ms", "100", "%"],
            "{shown}"
        );
    }

    #[test]
    fn the_legend_explains_the_dot_and_every_state_with_a_column() {
        let legend = legend(&[matrix(&[("db", "network", 1_000_000), ("db", "mutex", 1)])], 100);
        let expected = "\
Cells: mean time per request; a dot is less than 0.1 % of the operation's time; rest: states without
a column.
network: waits for the network
";
        assert_eq!(legend, expected);
    }
}
