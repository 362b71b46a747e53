//! Profiler labels that name a span.
//!
//! | writer | label | form |
//! |---|---|---|
//! | OpenTelemetry's convention, otel-profiling-go | `span_id`, `trace_id` | hexadecimal digits |
//! | dd-trace-go | `span id`, else `local root span id` | decimal number of 64 bits |
//!
//! otel-profiling-go labels with the first span of the process unless told otherwise. Which of the two it was does not
//! matter: samples count for the request that the span belongs to.

use spandrel_model::{LabeledSpan, SpanId, TraceId};

/// Of 64 bits. Longer labels are not looked through, because each of a million samples may have the same one.
const MAX_DECIMAL_DIGITS: usize = 20;

/// The span that the labels name; labels that are no ids count for nothing.
pub(super) fn labeled_span<'a>(labels: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Option<LabeledSpan> {
    let value = |wanted: &str| labels.clone().find(|(key, _)| *key == wanted).map(|(_, value)| value);
    let hexadecimal = value("span_id").and_then(SpanId::from_hex);
    let decimal = || {
        let digits = value("span id").or_else(|| value("local root span id"))?;
        let is_short = digits.len() <= MAX_DECIMAL_DIGITS;
        let number: u64 = is_short.then(|| digits.parse().ok())??;
        Some(SpanId::new(number.to_be_bytes()))
    };
    let span_id = hexadecimal.or_else(decimal).filter(|id| !id.is_zero())?;
    Some(LabeledSpan {
        trace_id: value("trace_id").and_then(TraceId::from_hex).filter(|id| !id.is_zero()),
        span_id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(labels: &[(&str, &str)]) -> Option<String> {
        let span = labeled_span(labels.iter().copied())?;
        let trace = span.trace_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        Some(format!("{trace} {}", span.span_id))
    }

    #[test]
    fn reads_the_labels_of_each_writer() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let both = [
            ("trace_id", trace),
            ("span_id", "00f067aa0ba902b7"),
            ("span_name", "GET /"),
        ];
        assert_eq!(span(&both).unwrap(), format!("{trace} 00f067aa0ba902b7"));
        let datadog = [("local root span id", "1"), ("span id", "18446744073709551615")];
        assert_eq!(span(&datadog).unwrap(), "- ffffffffffffffff");
        assert_eq!(span(&datadog[..1]).unwrap(), "- 0000000000000001");
    }

    #[test]
    fn labels_that_are_no_ids_name_no_span() {
        for labels in [
            &[][..],
            &[("endpoint", "/")],
            &[("span_id", "xyz")],
            &[("span_id", "0000000000000000")],
            &[("span id", "-1")],
            &[("span id", "000000000000000000001")],
            &[("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736")],
        ] {
            assert_eq!(span(labels), None, "{labels:?}");
        }
    }
}
