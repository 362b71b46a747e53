//! Spans that are stored and have no attribution: whether they will have, and when.
//!
//! This command knows the tables and not the configuration of the collector that writes them, so it reckons with the defaults
//! and says what they are.

use std::time::Duration;

use spandrel_exporters::parquet::ParquetConfig;
use spandrel_processors::attribution::AttributionConfig;

use super::Span;
use crate::report::duration::human;

/// How long an SDK may hold a span that has ended: `OTEL_BSP_SCHEDULE_DELAY` if it is not set.
const EXPORT_DELAY: Duration = Duration::from_secs(5);

/// What to do about spans without attribution; `None` if all have some.
pub(super) fn note(spans: &[Span], now_ns: i64) -> Option<String> {
    let unjoined = || spans.iter().filter(|span| span.binding.is_none());
    let ended_ns = unjoined().map(Span::end_ns).max()?;
    let which = match unjoined().count() {
        count if count == spans.len() => "No span of this trace has".to_owned(),
        count => format!("{count} of the {} spans have not", spans.len()),
    };
    let (join_delay, flush_interval) = delays();
    let age_ns = now_ns.saturating_sub(ended_ns).max(0);
    let age = Duration::from_nanos(age_ns.unsigned_abs());
    let remedy = match (EXPORT_DELAY + join_delay + flush_interval).checked_sub(age) {
        Some(left) => format!("Try again in about {} s.", left.as_secs() + 1),
        None => format!(
            "They ended {} ago. So unless these settings of the collector are longer, look whether its traces pipeline ends in \
             the connector `attribution`, and whether an attribution pipeline leads from there to this store.",
            human(age_ns)
        ),
    };
    Some(format!(
        "{which} been joined with runtime profiles: the collector does that `join_delay` after a span has arrived \
         ({join_delay:?} by default), and stores it within `flush_interval` ({flush_interval:?}). {remedy}"
    ))
}

/// How long a span waits to be joined, and its rows to be stored, by default.
fn delays() -> (Duration, Duration) {
    (
        AttributionConfig::default().join_delay,
        ParquetConfig::default().flush_interval,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: i64 = 1_000_000_000;

    fn span(binding: Option<&str>) -> Span {
        Span {
            start_ns: 90 * SECOND_NS,
            duration_ns: 10 * SECOND_NS,
            binding: binding.map(str::to_owned),
            ..Span::default()
        }
    }

    #[test]
    fn a_trace_that_is_joined_needs_no_note() {
        assert_eq!(note(&[span(Some("user_task"))], 101 * SECOND_NS), None);
    }

    #[test]
    fn a_trace_of_just_now_will_be_joined_soon() {
        let note = note(&[span(None)], 104 * SECOND_NS).unwrap();
        assert_eq!(
            note,
            "No span of this trace has been joined with runtime profiles: the collector does that `join_delay` after a span has \
             arrived (10s by default), and stores it within `flush_interval` (5s). Try again in about 17 s."
        );
    }

    #[test]
    fn a_part_of_a_trace_may_be_missing_for_longer() {
        let note = note(&[span(None), span(Some("user_task"))], 400 * SECOND_NS).unwrap();
        assert!(note.starts_with("1 of the 2 spans have not been joined"), "{note}");
        assert!(note.contains("They ended 300 s ago. So unless"), "{note}");
    }
}
