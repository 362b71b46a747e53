//! The trace for a person: each span, whose time it was, and where.

use std::fmt::Write;

use super::super::ran::{Ran, is_own_running};
use super::{Blocker, Cell, Explained, Place, Span};
use crate::report::duration::human;
use crate::report::meaning::legend;
use crate::report::number::{counted, share};
use crate::report::palette;
use crate::report::terminal::{BOLD, Terminal, wrapped};

/// Cells of a span that are shown; the others are one line.
const CELLS_SHOWN_MAX: usize = 5;
/// Smaller ones are not shown but for the largest.
const SHOWN_PER_MILLE_MIN: i64 = 10;
/// Nested deeper than this, spans are shown at this depth: a chain of parents that somebody made up has no end.
const DEPTH_SHOWN_MAX: usize = 16;
/// A place is said to be that of the whole cell from so much of it on.
const WHOLE_PERCENT: i32 = 95;

/// Running time has functions from so much of a span's time on.
const RAN_PERCENT_MIN: i128 = 5;

/// What the rows of a span are.
const VIEWS: [(&str, &str); 3] = [
    ("self", "what the span's own goroutine did, also in spans inside it"),
    ("root", "what it was really waiting for"),
    ("both", "the two are the same"),
];

/// What functions are told of.
const SAMPLES: &str = "CPU samples say what all requests of an operation ran in the same time, not what this one did";

/// The page.
pub(in super::super) fn render(explained: &Explained, terminal: Terminal) -> String {
    let spans = &explained.spans;
    let count = counted(spans.len() as u64, "span");
    let mut page = format!("trace {}   {count}\n", explained.trace_id);
    let start_ns = spans.iter().map(|span| span.start_ns).min().unwrap_or(0);
    for span in spans {
        let indent = "  ".repeat(span.depth.min(DEPTH_SHOWN_MAX));
        page.push('\n');
        page.push_str(&heading(span, start_ns, &indent, terminal));
        for (view, cells) in views(span) {
            page.push_str(&lines(view, cells, span, &indent, terminal));
        }
        // It is a part of the root view.
        if let Some(in_flight) = span.in_flight.filter(|_| !span.root.is_empty()) {
            let _ = writeln!(page, "{indent}  {}", in_flight.shown());
        }
        if let Some(ran) = span.shown_in_all_layers() {
            let (evidence, functions) = (ran.evidence(&span.operation), ran.listed());
            let text = format!("running in all layers, by {evidence}: {functions}");
            let text = wrapped(&text, terminal.width.saturating_sub(indent.len() + 2), 2);
            text.lines()
                .for_each(|line| page.push_str(&format!("{indent}  {line}\n")));
        }
    }
    let key = key(spans);
    if !key.is_empty() {
        page.push('\n');
    }
    for line in key {
        let _ = writeln!(page, "{}", wrapped(&line, terminal.width, 0));
    }
    for note in &explained.notes {
        let _ = writeln!(page, "\n{}", wrapped(note, terminal.width, 0));
    }
    page
}

/// What the words on the page mean, and only those.
fn key(spans: &[Span]) -> Vec<String> {
    let shown: Vec<(&str, &Span, &Cell)> = (spans.iter())
        .flat_map(|span| views(span).into_iter().map(move |(view, cells)| (view, span, cells)))
        .flat_map(|(view, span, cells)| shown_and_rest(cells, span).0.iter().map(move |cell| (view, span, cell)))
        .collect();
    if shown.is_empty() {
        return Vec::new();
    }
    let is_shown = |view: &str| shown.iter().any(|(shown, ..)| *shown == view);
    let views = VIEWS.iter().filter(|(view, _)| is_shown(view));
    let views: Vec<String> = views.map(|(view, meaning)| format!("{view}: {meaning}")).collect();
    let mut lines = vec![
        views.join("; "),
        legend(shown.iter().flat_map(|(_, _, cell)| cell.words())),
    ];
    let is_sampled = shown.iter().any(|(_, span, cell)| shown_ran(cell, span).is_some());
    if is_sampled || spans.iter().any(|span| span.shown_in_all_layers().is_some()) {
        lines.push(SAMPLES.to_owned());
    }
    lines
}

/// The views of a span that are shown: one if they say the same.
fn views(span: &Span) -> Vec<(&'static str, &[Cell])> {
    if are_same(&span.self_cells, &span.root) && !span.root.is_empty() {
        return vec![("both", &span.self_cells)];
    }
    let views = [("self", span.self_cells.as_slice()), ("root", &span.root)];
    views.into_iter().filter(|(_, cells)| !cells.is_empty()).collect()
}

/// The cells that have a line of their own, and the others.
fn shown_and_rest<'a>(cells: &'a [Cell], span: &Span) -> (&'a [Cell], &'a [Cell]) {
    let duration_ns = i128::from(span.duration_ns.max(1));
    let is_large = |cell: &&Cell| 1_000 * i128::from(cell.ns) >= i128::from(SHOWN_PER_MILLE_MIN) * duration_ns;
    let large = cells.iter().take_while(is_large).count();
    cells.split_at(large.clamp(1, CELLS_SHOWN_MAX).min(cells.len()))
}

/// What was run in a cell, if that is much of the span.
fn shown_ran<'a>(cell: &'a Cell, span: &Span) -> Option<&'a Ran> {
    cell.ran.as_ref().filter(|_| is_much(cell.ns, span))
}

fn is_much(ns: i64, span: &Span) -> bool {
    100 * i128::from(ns) >= RAN_PERCENT_MIN * i128::from(span.duration_ns)
}

impl Span {
    /// What was run in all layers, if running is much of the span.
    fn shown_in_all_layers(&self) -> Option<&Ran> {
        let of_view = [&self.self_cells, &self.root]
            .into_iter()
            .find(|cells| !cells.is_empty())?;
        let own = of_view.iter().filter(|cell| is_own_running(&cell.cause));
        let running_ns = own.map(|cell| cell.ns).sum();
        self.ran_in_all_layers.as_ref().filter(|_| is_much(running_ns, self))
    }
}

impl Cell {
    /// Words of states in what is told of it.
    fn words(&self) -> impl Iterator<Item = &str> {
        let behind_in = self.cause.culprit.as_ref().map(|_| self.sub_state.as_str());
        self.cause.states().chain(behind_in)
    }
}

/// What the span is, and what is known of its goroutine: on a line of its own if there is no room.
fn heading(span: &Span, trace_start_ns: i64, indent: &str, terminal: Terminal) -> String {
    let failed = if span.status == "error" { "   error" } else { "" };
    let what = format!(
        "   {}   {}   {} at +{}{failed}",
        span.service,
        span.kind,
        human(span.duration_ns),
        human(span.start_ns.saturating_sub(trace_start_ns)),
    );
    let known = known(span);
    let columns = [indent, &span.operation, &what, &known].map(|text| text.chars().count());
    let separator = match columns.iter().sum::<usize>() + 3 <= terminal.width {
        true => "   ".to_owned(),
        false => format!("\n{indent}  "),
    };
    let operation = terminal.painted(&span.operation, BOLD);
    format!("{indent}{operation}{what}{separator}{known}\n")
}

/// Whether the two views of a span say the same.
fn are_same(own: &[Cell], root: &[Cell]) -> bool {
    let same = |(a, b): (&Cell, &Cell)| (&a.cause, &a.sub_state, a.ns) == (&b.cause, &b.sub_state, b.ns);
    own.len() == root.len() && own.iter().zip(root).all(same)
}

/// What is known of a span's goroutine.
fn known(span: &Span) -> String {
    match (&span.binding, span.goroutine) {
        (None, _) => "no attribution stored".to_owned(),
        (Some(binding), Some(goroutine)) => {
            let exact = share(span.exact_ns, span.duration_ns);
            format!("goroutine {goroutine} (by {binding}), {exact} known")
        }
        (Some(reason), None) => format!("not bound to a goroutine: {reason}"),
    }
}

/// A line for each of the largest cells, and one for the rest; together the duration of the span.
fn lines(view: &str, cells: &[Cell], span: &Span, indent: &str, terminal: Terminal) -> String {
    let duration_ns = span.duration_ns;
    let (shown, rest) = shown_and_rest(cells, span);
    let columns = terminal.width / 12;
    let numbers = |label: &str, ns: i64, bar: String| {
        let gap = " ".repeat(columns - bar.chars().count());
        (
            format!("{indent}  {label:<4} {:>7} {:>8}  ", human(ns), share(ns, duration_ns)),
            bar,
            gap,
        )
    };
    let mut page = String::new();
    for (at, cell) in shown.iter().enumerate() {
        let label = if at == 0 { view } else { "" };
        let (numbers, bar, gap) = numbers(label, cell.ns, terminal.bar(cell.ns, duration_ns, columns));
        let bar = terminal.painted(&bar, palette::code(&cell.cause.state));
        let start = numbers.chars().count() + columns + 2;
        let told = told(cell, span, terminal.width.saturating_sub(start));
        let _ = writeln!(
            page,
            "{numbers}{bar}{gap}  {}",
            told.replace('\n', &format!("\n{}", " ".repeat(start)))
        );
    }
    if !rest.is_empty() {
        let ns = rest.iter().map(|cell| cell.ns).sum();
        let (numbers, bar, gap) = numbers("", ns, String::new());
        let _ = writeln!(page, "{numbers}{bar}{gap}  {} more", rest.len());
    }
    page
}

/// What a cell is, whose doing it was, where, and what was run; on one line if there is room, else each on lines of its own.
fn told(cell: &Cell, span: &Span, width: usize) -> String {
    let by = |blocker: &Blocker| format!("{}by trace {}", part(blocker.ns, cell.ns), blocker.trace_id);
    let at = |place: &Place| format!("{}at {}", part(place.ns, cell.ns), place.frame.shown());
    let name = cell.cause.shown_with(&cell.sub_state);
    let ran = shown_ran(cell, span).map(|ran| format!("by {}: {}", ran.evidence(&span.operation), ran.listed()));
    let parts: Vec<String> = [Some(name), cell.by.as_ref().map(by), cell.at.as_ref().map(at), ran]
        .into_iter()
        .flatten()
        .collect();
    let line = parts.join("  ");
    if line.chars().count() <= width {
        return line;
    }
    let lines: Vec<String> = parts.iter().map(|part| wrapped(part, width, 0)).collect();
    lines.join("\n")
}

/// How much of a cell it is, if not the whole.
fn part(part_ns: i64, ns: i64) -> String {
    match 100 * i128::from(part_ns) >= i128::from(WHOLE_PERCENT) * i128::from(ns) {
        true => String::new(),
        false => format!("{} ", human(part_ns)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::cause::{Cause, Culprit};
    use super::super::super::ran::{Function, Ran};
    use super::super::super::site::Frame;
    use super::super::in_flight::InFlight;
    use super::*;

    fn cell(layer: &str, state: &str, ns: i64) -> Cell {
        Cell {
            cause: Cause {
                layer: layer.into(),
                state: state.into(),
                relation: "same".into(),
                culprit: None,
            },
            sub_state: String::new(),
            ns,
            at: None,
            by: None,
            ran: None,
        }
    }

    fn explained() -> Explained {
        let mut mutex = cell("service", "mutex", 900_000);
        mutex.at = Some(Place {
            frame: Frame {
                function: "example.com/shop/stock.(*Inventory).Reserve".into(),
                file: "/src/shop/stock/inventory.go".into(),
                line: 41,
            },
            ns: 600_000,
        });
        let mut blocked = cell("service", "blocked_on_other", 900_000);
        blocked.sub_state = "mutex".into();
        blocked.cause.relation = "interference".into();
        blocked.by = Some(Blocker {
            trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".into(),
            ns: 900_000,
        });
        blocked.cause.culprit = Some(Culprit {
            operation: "POST /audit".into(),
            layer: "db".into(),
            state: "network".into(),
        });
        let small = [cell("db", "running", 80_000), cell("handler", "running", 15_000)];
        let query = Function {
            function: "example.com/shop/store.Query".into(),
            function_layer: "db".into(),
            ns: 900_000_000,
            samples: 9,
        };
        let ran = Some(Ran {
            layer: "db".into(),
            ns: 900_000_000,
            samples: 9,
            functions: vec![query],
        });
        let rest = [cell("db", "runnable", 3_000), cell("db", "network", 2_000)];
        let cells = |first: &Cell| [&[first.clone()][..], &small, &rest].concat();
        let mut self_cells = cells(&mutex);
        self_cells[1].ran = ran;
        let span = Span {
            operation: "POST /reservations".into(),
            service: "shop".into(),
            kind: "server".into(),
            duration_ns: 1_000_000,
            exact_ns: 1_000_000,
            binding: Some("user_task".into()),
            goroutine: Some(7),
            self_cells,
            root: cells(&blocked),
            ..Span::default()
        };
        let inner = Span {
            operation: "SELECT".into(),
            start_ns: 1_500,
            duration_ns: 80_000,
            depth: 1,
            binding: Some("not_recorded".into()),
            goroutine: None,
            exact_ns: 0,
            service: "shop".into(),
            kind: "client".into(),
            self_cells: vec![cell("db", "unknown", 80_000)],
            root: vec![cell("db", "unknown", 80_000)],
            in_flight: Some(InFlight {
                min_ns: 12_000,
                max_ns: 12_000,
                request_min_ns: 3_000,
                request_max_ns: 9_000,
            }),
            ..Span::default()
        };
        Explained {
            trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
            notes: Vec::new(),
            spans: vec![span, inner],
        }
    }

    #[test]
    fn each_span_says_whose_its_nanoseconds_are() {
        assert_eq!(
            render(&explained(), Terminal::PLAIN),
            "\
trace 0af7651916cd43dd8448eb211c80319c   2 spans

POST /reservations   shop   server   1.00 ms at +0   goroutine 7 (by user_task), 100.0 % known
  self  900 us   90.0 %  #######   service/mutex
                                   600 us at stock.(*Inventory).Reserve inventory.go:41
       80.0 us    8.0 %  #         db/running
                                   by 9 CPU samples of all POST /reservations: store.Query 900 ms
                                   (100.0 %)
       15.0 us    1.5 %  #         handler/running
       5.00 us    0.5 %            2 more
  root  900 us   90.0 %  #######   service blocked by POST /audit (db/network), in mutex
                                   by trace 4bf92f3577b34da6a3ce929d0e0e4736
       80.0 us    8.0 %  #         db/running
       15.0 us    1.5 %  #         handler/running
       5.00 us    0.5 %            2 more

  SELECT   shop   client   80.0 us at +1.50 us   not bound to a goroutine: not_recorded
    both 80.0 us  100.0 %  ########  db/unknown
    in flight 12.0 us: request 3.00 us to 9.00 us

self: what the span's own goroutine did, also in spans inside it; root: what it was really waiting
for; both: the two are the same
running: on a processor; mutex: waits for a sync.Mutex; network: waits for the network; unknown:
nothing is recorded of the time
CPU samples say what all requests of an operation ran in the same time, not what this one did
"
        );
    }

    #[test]
    fn a_view_that_is_not_on_the_page_is_not_explained() {
        let mut explained = explained();
        explained.spans.iter_mut().for_each(|span| span.self_cells.clear());
        let page = render(&explained, Terminal::PLAIN);
        assert!(
            page.contains("\n  root  900 us") && !page.contains("\n  self"),
            "{page}"
        );
        assert!(
            page.ends_with(
                "\nroot: what it was really waiting for\n\
                 running: on a processor; mutex: waits for a sync.Mutex; network: waits for the network; unknown:\n\
                 nothing is recorded of the time\n"
            ),
            "{page}"
        );
        explained.spans.iter_mut().for_each(|span| span.root.clear());
        let page = render(&explained, Terminal::PLAIN);
        assert!(page.ends_with("not bound to a goroutine: not_recorded\n"), "{page}");
    }

    #[test]
    fn functions_of_unknown_layers_stand_below_the_cells_of_their_request() {
        let mut explained = explained();
        let span = &mut explained.spans[0];
        span.ran_in_all_layers = span.self_cells[1].ran.take();
        let page = render(&explained, Terminal::PLAIN);
        let line =
            "\n  running in all layers, by 9 CPU samples of all POST /reservations: store.Query 900 ms (100.0 %)\n";
        assert!(page.contains(line), "{page}");
        assert!(page.ends_with("not what this one did\n"), "{page}");
    }

    #[test]
    fn a_wide_terminal_has_longer_bars_and_a_narrow_one_no_longer_lines() {
        for width in [80, 100, 160] {
            let page = render(
                &explained(),
                Terminal {
                    width,
                    ..Terminal::PLAIN
                },
            );
            let longest = page.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(longest <= width, "{longest} of {width} columns in\n{page}");
            assert!(page.contains(&"#".repeat(width / 12 * 9 / 10)), "{page}");
        }
    }

    #[test]
    fn colors_change_nothing_but_colors() {
        let colored = Terminal {
            color: true,
            ..Terminal::PLAIN
        };
        let page = render(&explained(), colored);
        assert!(page.contains("\u{1b}[1mPOST /reservations\u{1b}[0m"));
        let mut plain = String::new();
        for (at, part) in page.split("\u{1b}[").enumerate() {
            plain.push_str(if at == 0 { part } else { part.split_once('m').unwrap().1 });
        }
        assert_eq!(plain, render(&explained(), Terminal::PLAIN));
    }
}
