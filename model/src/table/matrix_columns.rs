//! The columns of `operations`, `matrix`, `interference` and `running_functions`, which sum up requests by window, service
//! and operation.

use arrow_schema::{DataType, Field};

use super::columns::{optional, required, timestamp_us};

const SKETCH: &str = "as a mergeable sketch, see `sketch_merge` and `sketch_quantile` in storage.md";

/// The columns that say which requests are summed up: the same in all of these tables.
fn group() -> Vec<Field> {
    vec![
        required("window_start_ns", DataType::Int64, "Start of the window"),
        timestamp_us("window_start", "The same, truncated to microseconds"),
        required("window_ns", DataType::Int64, "Length of the window"),
        required(
            "emission",
            DataType::Int32,
            "Which part of the requests: those that came after the window was let go, after a restart or to another \
             collector have another number. Each counts once: counts, sums and sketches add up over emissions, \
             quantiles and tails do not",
        ),
        required("service_name", DataType::Utf8, "Resource attribute `service.name`"),
        required("operation", DataType::Utf8, "Span name of the request"),
    ]
}

/// p50, p95 and p99 with their confidence intervals.
fn quantiles(of: &str) -> Vec<Field> {
    let quantile = |(percent, name): (u8, &str)| {
        let end =
            |which: &str| format!("{which} end of the 95 % confidence interval of p{percent}; null for few requests");
        [
            required(&format!("p{percent}_ns"), DataType::Int64, &format!("{name} of {of}")),
            optional(&format!("p{percent}_lo_ns"), DataType::Int64, &end("Lower")),
            optional(&format!("p{percent}_hi_ns"), DataType::Int64, &end("Upper")),
        ]
    };
    let names = [(50, "Median"), (95, "95th percentile"), (99, "99th percentile")];
    names.into_iter().flat_map(quantile).collect()
}

fn coverage(of: &str) -> [Field; 4] {
    [
        ("exact_ns", "from the runtime's own transitions"),
        ("sampled_ns", "from samples"),
        ("inferred_ns", "from the spans alone"),
        ("unknown_ns", "not known"),
    ]
    .map(|(name, how)| required(name, DataType::Int64, &format!("Part of {of} that is {how}")))
}

pub(super) fn operations() -> Vec<Field> {
    let mut fields = group();
    fields.extend([
        required("n", DataType::Int64, "Requests"),
        required("sum_ns", DataType::Int64, "Sum of their durations"),
    ]);
    fields.extend(quantiles("the duration"));
    for percent in [50, 95, 99] {
        fields.extend([
            required(
                &format!("tail_p{percent}_n"),
                DataType::Int64,
                &format!("Requests whose duration is near p{percent}"),
            ),
            required(
                &format!("tail_p{percent}_ns"),
                DataType::Int64,
                "Their mean duration, to which the column of this name in `matrix` sums",
            ),
        ]);
    }
    fields.extend(coverage("`sum_ns`, in the self view,"));
    fields.push(required(
        "sketch",
        DataType::Binary,
        &format!("The durations, {SKETCH}"),
    ));
    fields
}

pub(super) fn matrix() -> Vec<Field> {
    let mut fields = group();
    fields.extend([
        required("view", DataType::Utf8, "`self` or `root`"),
        required("layer", DataType::Utf8, "Layer"),
        required("state", DataType::Utf8, "State"),
        required("n", DataType::Int64, "Requests of the operation"),
        required("n_nonzero", DataType::Int64, "Requests with time in this cell"),
        required("sum_ns", DataType::Int64, "Time of all requests in this cell"),
    ]);
    fields.extend(quantiles("the time of a request in this cell, zeros included"));
    for percent in [50, 95, 99] {
        let doc = format!(
            "Mean time in this cell of the requests whose duration is near p{percent}; over the cells of a view it sums to \
             the column of this name in `operations`"
        );
        fields.push(required(&format!("tail_p{percent}_ns"), DataType::Int64, &doc));
    }
    fields.push(optional(
        "cov_share",
        DataType::Float64,
        "Covariance with the duration divided by the variance of the duration; sums to 1 over the cells of a view; null if \
         durations do not vary",
    ));
    fields.extend(coverage("`sum_ns`"));
    fields.push(required(
        "sketch",
        DataType::Binary,
        &format!("The time of each request in this cell, zeros included, {SKETCH}"),
    ));
    fields
}

pub(super) fn interference() -> Vec<Field> {
    let mut fields = group();
    fields.extend([
        required("layer", DataType::Utf8, "Layer in which the requests waited"),
        required("state", DataType::Utf8, "State in which they waited"),
        required(
            "culprit_operation",
            DataType::Utf8,
            "Operation of the requests that they waited for",
        ),
        required("culprit_layer", DataType::Utf8, "Layer in those"),
        required("culprit_state", DataType::Utf8, "State of those"),
        required("n", DataType::Int64, "Requests that waited so"),
        required("ns", DataType::Int64, "Time that they waited so, all together"),
    ]);
    fields
}

pub(super) fn running_functions() -> Vec<Field> {
    let mut fields = group();
    fields.extend([
        required(
            "layer",
            DataType::Utf8,
            "Layer of the running time, as in `matrix`; empty where labels name requests only, and divide the time of all layers",
        ),
        required(
            "function_layer",
            DataType::Utf8,
            "Layer of the library on the stack, if there is one without a span of its own; else `layer`",
        ),
        required(
            "function",
            DataType::Utf8,
            "Innermost function; empty for samples without a stack",
        ),
        required("n_samples", DataType::Int64, "Samples of the CPU profiler"),
        required(
            "ns",
            DataType::Int64,
            "Running time of the requests in the layer, times the function's share of the samples",
        ),
        required(
            "ns_lo",
            DataType::Int64,
            "Lower end of the 95 % confidence interval (Wilson's, of the share)",
        ),
        required("ns_hi", DataType::Int64, "Upper end"),
    ]);
    fields
}
