//! The answer for a person: the verdict, the causes in numbers, requests to look at.

use std::fmt::Write;
use std::path::Path;

use super::super::DEFAULT_DATA;
use super::super::ran::{Ran, is_own_running};
use super::{Explained, Interval, Part};
use crate::report::columns::Columns;
use crate::report::duration::human;
use crate::report::meaning::legend;
use crate::report::number::{counted, grouped, share};
use crate::report::terminal::{BOLD, RED, Terminal, YELLOW, wrapped};

/// A quantile is known well enough with so many requests beyond it.
const REQUESTS_BEYOND_ENOUGH: usize = 10;
/// Causes below this share of what is explained are shown as one line.
const SHOWN_PER_MILLE_MIN: i64 = 5;

/// What was run in less of the time of the requests is not shown.
const RAN_PERCENT_MIN: i128 = 5;

/// Position of the column that is left out without intervals.
const INTERVAL_COLUMN: usize = 2;

/// The page. `data` is the directory of the tables, as the commands that it suggests name it.
pub(in super::super) fn render(explained: &Explained, data: &Path, terminal: Terminal) -> String {
    let mut page = headline(explained);
    let verdict = wrapped(&explained.verdict.sentence, terminal.width, 0);
    for line in verdict.lines() {
        let _ = writeln!(page, "{}", terminal.painted(line, BOLD));
    }
    page.push('\n');
    page.push_str(&wrapped(&bands(explained), terminal.width, 0));
    page.push_str("\n\n");
    page.push_str(&table(explained, terminal));
    page.push_str(&functions(explained, terminal));
    page.push_str(&examples(explained, data));
    let named = explained.causes.iter().filter(|part| is_shown(explained, part));
    let legend = legend(named.flat_map(|part| part.cause.states()));
    let _ = writeln!(page, "\n{}", wrapped(&legend, terminal.width, 0));
    for note in &explained.notes {
        let _ = writeln!(page, "\n{}", wrapped(note, terminal.width, 0));
    }
    page
}

/// Of each cause that is much running time, and of all running time together, the functions that were seen to run.
fn functions(explained: &Explained, terminal: Terminal) -> String {
    let of_ns = i128::from(explained.high().mean_ns);
    let is_much = |ns: &i64| 100 * i128::from(*ns) >= RAN_PERCENT_MIN * of_ns;
    let mut page = String::new();
    for part in explained.causes.iter().filter(|part| is_shown(explained, part)) {
        if let Some(ran) = part.ran.as_ref().filter(|_| part.mean_ns.iter().any(is_much)) {
            page.push_str(&functions_of(ran, &part.cause.shown(), explained, terminal));
        }
    }
    let running = |band: usize| {
        let own = explained.causes.iter().filter(|part| is_own_running(&part.cause));
        own.map(|part| part.mean_ns[band]).sum()
    };
    let is_running_much = [0, 1, 2].map(running).iter().any(is_much);
    if let Some(ran) = explained.ran_in_all_layers.as_ref().filter(|_| is_running_much) {
        page.push_str(&functions_of(ran, "running in all layers", explained, terminal));
    }
    page
}

fn functions_of(ran: &Ran, what: &str, explained: &Explained, terminal: Terminal) -> String {
    let columns = Columns {
        text: 0,
        ends_in_text: true,
    };
    let row = |(name, ns): (String, i64)| vec![share(ns, ran.ns), human(ns), name];
    let rows: Vec<Vec<String>> = ran.told().into_iter().map(row).collect();
    let heading = format!(
        "What {what} was, sampled: {}, slow and fast, divide the {} that those ran:",
        ran.evidence(&explained.operation),
        human(ran.ns)
    );
    format!("\n{}\n{}", wrapped(&heading, terminal.width, 0), columns.render(&rows))
}

/// What the columns are of.
fn bands(explained: &Explained) -> String {
    let high = explained.high();
    let [low, ..] = &explained.bands;
    let enough = REQUESTS_BEYOND_ENOUGH * 100 / (100 - explained.percent);
    let few = match explained.requests < enough {
        true => format!(
            "; a p{} is known well from {} requests on",
            high.percent,
            grouped(enough as u64)
        ),
        false => String::new(),
    };
    let exact = share(high.exact_ns, high.mean_ns);
    format!(
        "Means of the {} near p{} ({} to {}, {exact} of their time known) and the {} near p50 ({} to {}){few}:",
        counted(high.requests as u64, "request"),
        high.percent,
        human(high.from_ns),
        human(high.to_ns),
        grouped(low.requests as u64),
        human(low.from_ns),
        human(low.to_ns)
    )
}

/// Commands to look at some of the slow requests.
fn examples(explained: &Explained, data: &Path) -> String {
    if explained.examples.is_empty() {
        return String::new();
    }
    let data = match data == Path::new(DEFAULT_DATA) {
        true => String::new(),
        false => format!(" --data {}", data.display()),
    };
    let mut page = "\nTypical of the slow ones:\n".to_owned();
    for example in &explained.examples {
        let _ = writeln!(
            page,
            "  spandrel why {}{data}   ({})",
            example.trace_id,
            human(example.duration_ns)
        );
    }
    page
}

fn headline(explained: &Explained) -> String {
    let [p50, p95, p99] = [0, 1, 2].map(|at| human(explained.bands[at].quantile_ns));
    format!(
        "{}  {}   {}   p50 {p50}   p95 {p95}   p99 {p99}   ({} view)\n",
        explained.service,
        explained.operation,
        counted(explained.requests as u64, "request"),
        explained.view
    )
}

/// Whether a cause has a line of its own.
fn is_shown(explained: &Explained, part: &Part) -> bool {
    let largest = part.gap_ns.abs().max(part.mean_ns[2] / 4);
    1_000 * i128::from(largest) >= i128::from(SHOWN_PER_MILLE_MIN) * i128::from(explained.gap_ns.abs().max(1))
}

/// The causes, what each has to do with the gap, and how long it takes near each quantile. Small ones are one line.
fn table(explained: &Explained, terminal: Terminal) -> String {
    let (shown, rest): (Vec<&Part>, Vec<&Part>) = explained.causes.iter().partition(|part| is_shown(explained, part));
    let has_intervals = explained.causes.iter().any(|part| part.interval.is_some());
    let mut rows = vec![
        ["gap", "share", "95 % interval", "p50", "p95", "p99", "cause"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let line = |gap_ns: i64, interval: Option<Interval>, means: [i64; 3], name: String| {
        let interval = interval.map(|Interval { from_ns, to_ns }| format!("{} .. {}", human(from_ns), human(to_ns)));
        let mut row = vec![
            signed(gap_ns),
            gap_share(gap_ns, explained.gap_ns),
            interval.unwrap_or_default(),
        ];
        row.extend(means.map(human));
        row.push(name);
        row
    };
    for part in &shown {
        rows.push(line(part.gap_ns, part.interval, part.mean_ns, part.cause.shown()));
    }
    if !rest.is_empty() {
        let sum = |of: &dyn Fn(&Part) -> i64| rest.iter().map(|part| of(part)).sum::<i64>();
        let means = [0, 1, 2].map(|at| sum(&|part| part.mean_ns[at]));
        rows.push(line(
            sum(&|part| part.gap_ns),
            None,
            means,
            counted(rest.len() as u64, "small one"),
        ));
    }
    rows.push(line(
        explained.gap_ns,
        None,
        [0, 1, 2].map(|at| explained.bands[at].mean_ns),
        "in all".to_owned(),
    ));
    let columns = Columns {
        text: 0,
        ends_in_text: true,
    };
    if !has_intervals {
        rows.iter_mut().for_each(|row| {
            row.remove(INTERVAL_COLUMN);
        });
    }
    let page = columns.render(&rows);
    let paint = |(at, line): (usize, &str)| match at.checked_sub(1).and_then(|at| shown.get(at)) {
        Some(part) => painted(line, part.gap_ns, explained.gap_ns, terminal),
        None => line.to_owned(),
    };
    page.lines().enumerate().map(paint).collect::<Vec<_>>().join("\n") + "\n"
}

fn signed(gap_ns: i64) -> String {
    let sign = if gap_ns > 0 { "+" } else { "" };
    format!("{sign}{}", human(gap_ns))
}

fn gap_share(gap_ns: i64, of_ns: i64) -> String {
    match gap_ns < 0 {
        true => format!("-{}", share(gap_ns.saturating_neg(), of_ns)),
        false => share(gap_ns, of_ns),
    }
}

/// The causes that explain most in red, those that explain some in yellow.
fn painted(line: &str, gap_ns: i64, of_ns: i64, terminal: Terminal) -> String {
    match 100 * i128::from(gap_ns) / i128::from(of_ns.max(1)) {
        30.. => terminal.painted(line, RED),
        10..30 => terminal.painted(line, YELLOW),
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use spandrel_attribution::{Band, GapInterval};

    use super::super::super::cause::Cause;
    use super::super::load::{Request, Sums};
    use super::super::verdict::Verdict;
    use super::super::{PERCENTS, Question, compare};
    use super::*;

    fn cause(layer: &str, state: &str) -> Cause {
        Cause {
            layer: layer.into(),
            state: state.into(),
            relation: "same".into(),
            culprit: None,
        }
    }

    /// Two hundred requests, 1 to 200 us; what is above 150 us is spent in the database.
    fn explained() -> Explained {
        let durations: Vec<i64> = (1..=200).map(|us| us * 1_000).collect();
        let bands: Vec<Band> = PERCENTS.iter().map(|p| Band::around(*p, &durations).unwrap()).collect();
        let request = |ns: &i64| {
            let network_ns = (ns - 150_000).max(0);
            let times = [
                (cause("db", "network"), network_ns),
                (cause("handler", "running"), ns - network_ns),
            ];
            Request {
                trace_id: format!("{ns:032x}"),
                duration_ns: *ns,
                of_cause: times.into_iter().filter(|(_, ns)| *ns > 0).collect(),
            }
        };
        let requests = |band: &Band| -> Vec<Request> {
            let inside = durations.iter().filter(|ns| (band.from_ns..=band.to_ns).contains(*ns));
            inside.map(request).collect()
        };
        let sums = |band: &Band| {
            let mut of_cause = BTreeMap::new();
            for (cause, ns) in requests(band).into_iter().flat_map(|request| request.of_cause) {
                *of_cause.entry(cause).or_default() += i128::from(ns);
            }
            Sums {
                of_cause,
                exact_ns: band.sum_ns,
            }
        };
        let question = Question {
            operation: "GET /report",
            service: None,
            percent: 99,
            view: None,
        };
        let sums: Vec<Sums> = bands.iter().map(sums).collect();
        let mut explained = compare(&question, &bands, &sums, [&requests(&bands[0]), &requests(&bands[2])]);
        explained.service = "shop".into();
        explained.view = "root";
        explained.requests = durations.len();
        explained.verdict = Verdict::of(&explained);
        explained
    }

    #[test]
    fn the_parts_sum_to_the_gap_and_the_means_to_the_mean() {
        let explained = explained();
        let gaps: i64 = explained.causes.iter().map(|part| part.gap_ns).sum();
        assert_eq!(gaps, explained.gap_ns);
        for at in 0..3 {
            let means: i64 = explained.causes.iter().map(|part| part.mean_ns[at]).sum();
            assert_eq!(means, explained.bands[at].mean_ns);
        }
        assert!(explained.gap_ns > 0);
    }

    #[test]
    fn an_interval_lies_around_its_gap() {
        for part in explained().causes {
            let interval = part.interval.unwrap();
            assert!((interval.from_ns..=interval.to_ns).contains(&part.gap_ns), "{part:?}");
        }
    }

    #[test]
    fn an_interval_that_holds_0_still_does_when_it_is_that_of_all_requests() {
        let drawn = GapInterval { from_ns: 0, to_ns: 90 };
        for (gap_ns, expected) in [(30, (0, 90)), (95, (0, 95)), (-1, (-1, 90))] {
            let interval = Interval::holding(gap_ns, drawn);
            assert_eq!((interval.from_ns, interval.to_ns), expected);
        }
    }

    #[test]
    fn the_page_begins_with_the_verdict_and_ends_with_requests_to_look_at() {
        let page = render(&explained(), Path::new("./joined"), Terminal::PLAIN);
        assert_eq!(
            page,
            "\
shop  GET /report   200 requests   p50 100 us   p95 190 us   p99 198 us   (root view)
Requests near p99 take 94.0 us longer than those near p50: 50.0 us (53.2 %) handler/running, 44.0 us
(46.8 %) db/network.

Means of the 13 requests near p99 (188 us to 200 us, 100.0 % of their time known) and the 21 near
p50 (90.0 us to 110 us); a p99 is known well from 1,000 requests on:

       gap    share       95 % interval     p50      p95      p99  cause
  +50.0 us   53.2 %  47.4 us .. 52.5 us  100 us   150 us   150 us  handler/running
  +44.0 us   46.8 %  41.8 us .. 46.0 us       0  40.0 us  44.0 us  db/network
  +94.0 us  100.0 %                      100 us   190 us   194 us  in all

Typical of the slow ones:
  spandrel why 0000000000000000000000000002f5d0 --data ./joined   (194 us)
  spandrel why 0000000000000000000000000002f1e8 --data ./joined   (193 us)
  spandrel why 0000000000000000000000000002f9b8 --data ./joined   (195 us)

running: on a processor; network: waits for the network
"
        );
    }
}
