//! Decoded data points are what the protobuf types say.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, SummaryDataPoint,
};
use proptest::prelude::*;
use prost::Message;
use serde_json::{Value, json};
use spandrel_model::Table;

use super::generate::Dice;
use super::rows::{Row, assert_rows, attributes, double, is_a_time, items, optional_text, origin, time};
use crate::Signal;
use crate::otlp::{count_items, decode_metrics};

pub(super) fn expected_rows(request: &ExportMetricsServiceRequest) -> Vec<Row> {
    let mut rows = Vec::new();
    for group in &request.resource_metrics {
        for scope_group in &group.scope_metrics {
            for metric in &scope_group.metrics {
                for point in expected_points(metric) {
                    let mut row = origin(group.resource.as_ref(), scope_group.scope.as_ref());
                    row.extend(point);
                    rows.push(row);
                }
            }
        }
    }
    rows
}

fn expected_points(metric: &Metric) -> Vec<Row> {
    let (kind, temporality, points): (&str, i32, Vec<Value>) = match metric.data.as_ref() {
        None => ("", 0, Vec::new()),
        Some(Data::Gauge(gauge)) => ("gauge", 0, gauge.data_points.iter().filter_map(number).collect()),
        Some(Data::Sum(sum)) => (
            "sum",
            sum.aggregation_temporality,
            sum.data_points.iter().filter_map(number).collect(),
        ),
        Some(Data::Histogram(data)) => (
            "histogram",
            data.aggregation_temporality,
            data.data_points.iter().filter_map(histogram).collect(),
        ),
        Some(Data::ExponentialHistogram(data)) => {
            let points = data.data_points.iter().filter_map(exponential).collect();
            ("exponential_histogram", data.aggregation_temporality, points)
        }
        Some(Data::Summary(data)) => ("summary", 0, data.data_points.iter().filter_map(summary).collect()),
    };
    let is_monotonic = match metric.data.as_ref() {
        Some(Data::Sum(sum)) => Value::Bool(sum.is_monotonic),
        _ => Value::Null,
    };
    let temporality_word = match temporality {
        1 => Some("delta"),
        2 => Some("cumulative"),
        _ => None,
    };
    let complete = |point: Value| {
        let mut row = json!({
            "metric_name": metric.name,
            "metric_type": kind,
            "unit": optional_text(&metric.unit),
            "temporality": temporality_word,
            "is_monotonic": is_monotonic,
            "value_double": null, "value_int": null,
            "count": null, "sum": null, "min": null, "max": null,
            "explicit_bounds": null, "bucket_counts": null, "quantile_values": null,
            "scale": null, "zero_count": null,
            "positive_offset": null, "negative_offset": null, "negative_bucket_counts": null,
        });
        row.as_object_mut().unwrap().extend(point.as_object().unwrap().clone());
        row.as_object().unwrap().clone()
    };
    points.into_iter().map(complete).collect()
}

/// What all points have; returns without a point if it has a time that `i64` nanoseconds do not hold.
macro_rules! common {
    ($point:ident) => {{
        if ![$point.time_unix_nano, $point.start_time_unix_nano].into_iter().all(is_a_time) {
            return None;
        }
        let time_ns = time($point.time_unix_nano);
        let start_ns = time($point.start_time_unix_nano);
        json!({
            "time_ns": time_ns,
            "time": time_ns / 1000,
            "start_ns": if start_ns == 0 { Value::Null } else { start_ns.into() },
            "attributes": attributes(&$point.attributes),
        })
    }};
}

fn number(point: &NumberDataPoint) -> Option<Value> {
    let mut row = common!(point);
    match point.value {
        None => {}
        Some(Number::AsDouble(value)) => row["value_double"] = double(value),
        Some(Number::AsInt(value)) => row["value_int"] = value.into(),
    }
    Some(row)
}

fn histogram(point: &HistogramDataPoint) -> Option<Value> {
    let mut row = common!(point);
    row["count"] = time(point.count).into();
    row["sum"] = point.sum.map_or(Value::Null, double);
    row["min"] = point.min.map_or(Value::Null, double);
    row["max"] = point.max.map_or(Value::Null, double);
    row["explicit_bounds"] = point.explicit_bounds.iter().copied().map(double).collect();
    row["bucket_counts"] = point.bucket_counts.iter().copied().map(time).collect();
    Some(row)
}

fn exponential(point: &ExponentialHistogramDataPoint) -> Option<Value> {
    let mut row = common!(point);
    row["count"] = time(point.count).into();
    row["sum"] = point.sum.map_or(Value::Null, double);
    row["min"] = point.min.map_or(Value::Null, double);
    row["max"] = point.max.map_or(Value::Null, double);
    row["scale"] = point.scale.into();
    row["zero_count"] = time(point.zero_count).into();
    if let Some(buckets) = &point.positive {
        row["positive_offset"] = buckets.offset.into();
        row["bucket_counts"] = buckets.bucket_counts.iter().copied().map(time).collect();
    }
    if let Some(buckets) = &point.negative {
        row["negative_offset"] = buckets.offset.into();
        row["negative_bucket_counts"] = buckets.bucket_counts.iter().copied().map(time).collect();
    }
    Some(row)
}

fn summary(point: &SummaryDataPoint) -> Option<Value> {
    let mut row = common!(point);
    row["count"] = time(point.count).into();
    row["sum"] = double(point.sum);
    row["explicit_bounds"] = point.quantile_values.iter().map(|pair| double(pair.quantile)).collect();
    row["quantile_values"] = point.quantile_values.iter().map(|pair| double(pair.value)).collect();
    Some(row)
}

proptest! {
    #[test]
    fn every_column_is_what_the_protobuf_types_say(seed: u64) {
        let bytes = Dice::new(seed).metrics().encode_to_vec();
        // Read back, because the encoder takes -0.0 for the default and leaves it out.
        let request = ExportMetricsServiceRequest::decode(&bytes[..]).unwrap();
        let decoded = decode_metrics(&bytes).unwrap();
        let batch = &decoded.rows;
        prop_assert_eq!(batch.schema(), Table::Metrics.schema());
        assert_rows(batch, &expected_rows(&request));
        prop_assert_eq!(count_items(Signal::Metrics, &bytes), Ok(items(&decoded)));
    }
}

#[test]
fn an_empty_request_has_no_rows() {
    let batch = decode_metrics(&[]).unwrap().rows;
    assert_eq!((batch.num_rows(), batch.schema()), (0, Table::Metrics.schema()));
}
