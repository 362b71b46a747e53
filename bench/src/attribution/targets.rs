//! What the join is to achieve, and whether it did.

use anyhow::{Context, Result};

use super::measurement::Part;
use super::runner::Series;
use crate::spread::Times;

/// The parts up to the cells of the self view, and up to those of both.
pub(crate) const SELF: [Part; 6] = [
    Part::Tree,
    Part::Timeline,
    Part::Binding,
    Part::Owners,
    Part::Layers,
    Part::SelfView,
];
pub(crate) const BOTH: [Part; 6] = [
    Part::Tree,
    Part::Timeline,
    Part::Binding,
    Part::Owners,
    Part::Layers,
    Part::BothViews,
];

/// Intervals a second, self view, on the load `service`.
const SELF_MIN: f64 = 1e6;
/// Intervals a second, both views, on the load `handoffs`.
const BOTH_MIN: f64 = 3e5;
/// How much more of anything twice the input may take.
const GROWTH_MAX: f64 = 2.2;

/// A line for each target.
///
/// # Errors
/// A load that a target is about was not measured.
pub(crate) fn verdicts(all: &[Series]) -> Result<Vec<String>> {
    let of = |name: &str| {
        all.iter()
            .find(|series| series.load.name == name)
            .with_context(|| format!("no {name}"))
    };
    let (service, handoffs) = (of("service")?, of("handoffs")?);
    let mut lines = vec![
        at_least("`service`, all parts to the self view", service.rate(&SELF)?, SELF_MIN),
        at_least("`handoffs`, all parts to both views", handoffs.rate(&BOTH)?, BOTH_MIN),
    ];
    for series in all {
        let growths = [
            ("self view, time", series.growth(&SELF)?),
            ("both views, time", series.growth(&BOTH)?),
            ("self view, memory", series.memory_growth(0)),
            ("both views, memory", series.memory_growth(1)),
        ];
        let worst = growths.iter().map(|(_, growth)| *growth).fold(0.0, f64::max);
        let told = growths.map(|(what, growth)| format!("{what} x {growth:.2}")).join(", ");
        lines.push(format!(
            "{}: `{}`, twice the input takes at most {GROWTH_MAX} times as much: {told}",
            word(worst <= GROWTH_MAX),
            series.load.name
        ));
    }
    for series in all {
        let ours_ns = series.times(&SELF)?.median_ns as f64;
        for (what, times_ns) in [
            ("DuckDB", &series.peer.self_view_ns),
            ("a range join of DuckDB without owners", &series.peer.range_join_ns),
        ] {
            let best_ns = Times::of(times_ns).context("DuckDB never ran")?.best_ns;
            let faster = best_ns as f64 / ours_ns;
            lines.push(format!(
                "{}: `{}`, all parts to the self view, faster than {what}: {faster:.1} times (our median against its best)",
                word(faster > 1.0),
                series.load.name
            ));
        }
    }
    Ok(lines)
}

fn at_least(what: &str, rate: f64, target: f64) -> String {
    format!(
        "{}: {what}, at least {:.1} M intervals/s: {:.2}",
        word(rate >= target),
        target / 1e6,
        rate / 1e6
    )
}

fn word(met: bool) -> &'static str {
    if met { "met" } else { "**missed**" }
}
