//! Profiles in the format of pprof: what they are of, and whether attribution can use them.

use std::fmt::Write;
use std::io::Read;

use anyhow::Context;
use jiff::Timestamp;
use serde::Serialize;
use spandrel_profiles::pprof::{self, Summary};

use crate::report::duration::human;
use crate::report::number::{counted, grouped};
use crate::report::terminal::{Terminal, wrapped};

/// The JSON form. Of a CPU profile `samples` are those of the profiler, of others stacks with one set of labels.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    format: &'static str,
    /// `cpu`, `heap`, `contention` (of mutexes, or what blocks), `goroutine`, `threadcreate`, or `other`.
    kind: &'static str,
    sample_types: Vec<String>,
    /// Unix nanoseconds.
    first_ns: Option<i64>,
    duration_ns: i64,
    samples: i64,
    /// Those whose labels name a span.
    span_samples: i64,
    labels: Vec<Label>,
}

#[derive(Debug, Serialize)]
struct Label {
    key: String,
    samples: i64,
}

/// Reads a profile to its end.
///
/// # Errors
/// It cannot be read, or is damaged.
pub(super) fn read(content: impl Read) -> anyhow::Result<Report> {
    let mut bytes = Vec::new();
    let mut limited = content.take(pprof::MAX_PROFILE_BYTES + 1);
    limited.read_to_end(&mut bytes).context("failed to decompress it")?;
    Ok(Report::from(pprof::summarize(&bytes)?))
}

impl From<Summary> for Report {
    fn from(summary: Summary) -> Self {
        Self {
            format: "pprof",
            kind: kind(&summary),
            sample_types: summary.sample_types,
            first_ns: summary.start.map(|start| start.0),
            duration_ns: summary.duration_ns,
            samples: summary.samples,
            span_samples: summary.span_samples,
            labels: (summary.labels.into_iter())
                .map(|(key, samples)| Label { key, samples })
                .collect(),
        }
    }
}

/// By the sample types that Go writes.
fn kind(summary: &Summary) -> &'static str {
    if summary.is_cpu {
        return "cpu";
    }
    const KINDS: [(&str, &str); 4] = [
        ("inuse_space/bytes", "heap"),
        ("delay/nanoseconds", "contention"),
        ("goroutine/count", "goroutine"),
        ("threadcreate/count", "threadcreate"),
    ];
    let known = KINDS
        .iter()
        .find(|(of, _)| summary.sample_types.iter().any(|each| each == of));
    known.map_or("other", |(_, kind)| kind)
}

/// The page.
pub(super) fn render(name: &str, report: &Report, terminal: Terminal) -> String {
    let mut page = format!("{name}\n\n");
    let mut line = |label: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(page, "{label:<14}{}", wrapped(value, terminal.width, 14));
    };
    let what = match report.kind {
        "cpu" => "CPU profile",
        "heap" => "profile of memory",
        "contention" => "profile of mutexes, or of what blocks",
        "goroutine" => "profile of goroutines",
        "threadcreate" => "profile of threads",
        _ => "profile",
    };
    line("format", &format!("{what}, in the format of pprof"));
    let start = report
        .first_ns
        .and_then(|ns| Timestamp::from_nanosecond(ns.into()).ok());
    let start = start.map(|start| start.strftime("%Y-%m-%d %H:%M:%S%.3f UTC").to_string());
    line(
        "covers",
        &match (report.duration_ns, start) {
            (0, None) => "it does not say what time".to_owned(),
            (0, Some(start)) => format!("made at {start}"),
            (ns, None) => human(ns),
            (ns, Some(start)) => format!("{}, from {start}", human(ns)),
        },
    );
    line("values", &report.sample_types.join(", "));
    let samples = grouped(report.samples.unsigned_abs());
    line("samples", &samples);
    let label = |label: &Label| format!("`{}` on {}", label.key, grouped(label.samples.unsigned_abs()));
    let labels: Vec<String> = report.labels.iter().map(label).collect();
    let none = "none".to_owned();
    line("labels", &if labels.is_empty() { none } else { labels.join(", ") });
    line(
        "spans",
        &format!(
            "named by labels of {}",
            counted(report.span_samples.unsigned_abs(), "sample")
        ),
    );
    let _ = writeln!(page, "\n{}", wrapped(advice(report), terminal.width, 0));
    page
}

/// What to do with it.
fn advice(report: &Report) -> &'static str {
    if report.kind != "cpu" {
        return "Attribution uses CPU profiles only. `go tool pprof` shows this one.";
    }
    if report.span_samples == 0 {
        return "Attribution cannot use it: no label names a span, as `span_id` does, or `span id` and `local root span id` of \
                dd-trace-go. Without labels, take it while an execution trace is recorded, which then holds the samples.";
    }
    "It says what requests ran whose execution trace says for how long: give both to `spandrel attribute --spans FILE \
     --profile TRACE --profile CPU_PROFILE`, or send it to /v1/runtime-profiles of a collector. Functions are then in the \
     table running_functions and in `spandrel why`."
}

#[cfg(test)]
mod tests {
    use spandrel_model::UnixNanos;

    use super::*;

    fn summary() -> Summary {
        Summary {
            sample_types: vec!["samples/count".to_owned(), "cpu/nanoseconds".to_owned()],
            is_cpu: true,
            start: Some(UnixNanos(1_763_719_200_000_000_000)),
            duration_ns: 5_000_000_000,
            samples: 1_000,
            span_samples: 1,
            labels: vec![("span_id".to_owned(), 1)],
        }
    }

    fn page(summary: Summary) -> String {
        render("cpu.pprof", &Report::from(summary), Terminal::PLAIN)
    }

    #[test]
    fn the_page_says_what_it_is_and_what_to_do_with_it() {
        assert_eq!(
            page(summary()),
            "\
cpu.pprof

format        CPU profile, in the format of pprof
covers        5.00 s, from 2025-11-21 10:00:00.000 UTC
values        samples/count, cpu/nanoseconds
samples       1,000
labels        `span_id` on 1
spans         named by labels of 1 sample

It says what requests ran whose execution trace says for how long: give both to `spandrel attribute
--spans FILE --profile TRACE --profile CPU_PROFILE`, or send it to /v1/runtime-profiles of a
collector. Functions are then in the table running_functions and in `spandrel why`.
"
        );
    }

    #[test]
    fn what_attribution_cannot_use_is_said() {
        let unlabeled = Summary {
            span_samples: 0,
            labels: Vec::new(),
            ..summary()
        };
        assert!(page(unlabeled).contains("no label names a span"));
        for (value, what) in [
            ("inuse_space/bytes", "profile of memory"),
            ("delay/nanoseconds", "profile of mutexes"),
            ("goroutine/count", "profile of goroutines"),
            ("something/else", "format        profile,"),
        ] {
            let other = Summary {
                sample_types: vec![value.to_owned()],
                is_cpu: false,
                ..summary()
            };
            let page = page(other);
            assert!(page.contains(what) && page.contains("uses CPU profiles only"), "{page}");
        }
    }
}
