//! A matrix as OTLP metrics, for those who watch rather than query: one exponential histogram for each operation and cell.
//!
//! The sketch of a row is such a histogram already, so its buckets leave as they are. Values are nanoseconds: in seconds, the
//! unit that the conventions prefer, the bounds of buckets would be others, and counts would have to be guessed anew.

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, ExponentialHistogram, ExponentialHistogramDataPoint, Metric, ResourceMetrics, ScopeMetrics,
    metric,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use spandrel_attribution::{Distribution, MatrixRow, OperationRow, RequestGroup, Sketch};
use spandrel_model::View;

use super::windows::WindowRows;

/// Points of one service and window, of the durations and of each view. What is beyond is one point more.
const POINTS_MAX: usize = 2_000;
/// Buckets between the first and the last one of a point. With more, neighbors are joined.
const BUCKETS_MAX: usize = 640;
/// The attribute that OpenTelemetry gives to a point that stands for all beyond a limit.
const OVERFLOW: &str = "otel.metric.overflow";

/// One point: what it is about, and its values.
struct Point {
    attributes: Vec<KeyValue>,
    group: RequestGroup,
    values: Distribution,
}

/// The points of one service.
#[derive(Default)]
struct Points {
    durations: Vec<Point>,
    times: BTreeMap<View, Vec<Point>>,
}

/// Requests to export the metrics of a window, one for each service. Rows that replace earlier ones have no points: a metric
/// that has left cannot be corrected, and would count twice.
pub(super) fn window_metrics(window: &WindowRows) -> Vec<ExportMetricsServiceRequest> {
    let replaced: BTreeSet<&RequestGroup> = window.replaced.iter().map(|(group, _)| group).collect();
    let is_first = |group: &RequestGroup| !replaced.contains(group);
    let mut services: BTreeMap<&str, Points> = BTreeMap::new();
    for row in window.tables.operations.iter().filter(|row| is_first(&row.group)) {
        let points = services.entry(&row.group.service_name).or_default();
        points.durations.push(point_of_operation(row));
    }
    for row in window.tables.cells.iter().filter(|row| is_first(&row.group)) {
        let points = services.entry(&row.group.service_name).or_default();
        points.times.entry(row.view).or_default().push(point_of_cell(row));
    }
    services
        .into_iter()
        .map(|(service, points)| request(service, points))
        .collect()
}

fn point_of_operation(row: &OperationRow) -> Point {
    Point {
        attributes: vec![attribute("operation", &row.group.operation)],
        group: row.group.clone(),
        values: row.durations.clone(),
    }
}

fn point_of_cell(row: &MatrixRow) -> Point {
    let attributes = [
        ("operation", &*row.group.operation),
        ("view", row.view.as_str()),
        ("layer", row.layer.as_str()),
        ("state", row.state.as_str()),
    ];
    Point {
        attributes: attributes.map(|(key, value)| attribute(key, value)).to_vec(),
        group: row.group.clone(),
        values: row.times.clone(),
    }
}

fn request(service: &str, points: Points) -> ExportMetricsServiceRequest {
    let durations = limited(points.durations, None);
    let times = points.times.into_iter();
    let times = times.flat_map(|(view, points)| limited(points, Some(attribute("view", view.as_str()))));
    let metrics = vec![
        histogram(
            "spandrel.attribution.duration",
            "Duration of the requests of an operation",
            durations,
        ),
        histogram(
            "spandrel.attribution.time",
            "Time that the requests of an operation spent in a layer and state, zeros included",
            times.collect(),
        ),
    ];
    let scope = InstrumentationScope {
        name: "spandrel/attribution".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: vec![attribute("service.name", service)],
                ..Resource::default()
            }),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope),
                metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

fn histogram(name: &str, description: &str, points: Vec<Point>) -> Metric {
    Metric {
        name: name.to_owned(),
        description: description.to_owned(),
        unit: "ns".to_owned(),
        data: Some(metric::Data::ExponentialHistogram(ExponentialHistogram {
            data_points: points.into_iter().map(data_point).collect(),
            aggregation_temporality: AggregationTemporality::Delta.into(),
        })),
        ..Metric::default()
    }
}

/// The points with the most time; all others are merged into one, which keeps the attribute that they share, so that sums
/// stay what they are.
fn limited(mut points: Vec<Point>, shared: Option<KeyValue>) -> Vec<Point> {
    if points.len() <= POINTS_MAX {
        return points;
    }
    points.sort_by_key(|point| std::cmp::Reverse(point.values.sum_ns));
    let mut rest = points.split_off(POINTS_MAX).into_iter();
    let Some(mut merged) = rest.next() else {
        return points;
    };
    let overflow = KeyValue {
        key: OVERFLOW.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::BoolValue(true)),
        }),
        ..KeyValue::default()
    };
    merged.attributes = std::iter::once(overflow).chain(shared).collect();
    for point in rest {
        merged.values.n = merged.values.n.saturating_add(point.values.n);
        merged.values.sum_ns = merged.values.sum_ns.saturating_add(point.values.sum_ns);
        merged.values.sketch.merge(&point.values.sketch);
    }
    points.push(merged);
    points
}

fn data_point(point: Point) -> ExponentialHistogramDataPoint {
    let Distribution { n, sum_ns, sketch, .. } = point.values;
    let sketch = narrow(sketch);
    let start_ns = point.group.window_start.0;
    ExponentialHistogramDataPoint {
        attributes: point.attributes,
        start_time_unix_nano: start_ns.try_into().unwrap_or(0),
        time_unix_nano: start_ns.saturating_add(point.group.window_ns).try_into().unwrap_or(0),
        count: n.try_into().unwrap_or(0),
        sum: Some(sum_ns as f64),
        scale: sketch.scale().into(),
        zero_count: sketch.zeros().try_into().unwrap_or(0),
        positive: Some(buckets(&sketch)),
        ..ExponentialHistogramDataPoint::default()
    }
}

/// The sketch at the finest scale at which it has few enough buckets, empty ones between the others included.
fn narrow(mut sketch: Sketch) -> Sketch {
    while width(&sketch) > BUCKETS_MAX
        && let Some(coarser) = sketch.scale().checked_sub(1)
    {
        sketch.coarsen(coarser);
    }
    sketch
}

fn width(sketch: &Sketch) -> usize {
    let (first, last) = (sketch.buckets().next(), sketch.buckets().next_back());
    first
        .zip(last)
        .map_or(0, |((first, _), (last, _))| last.abs_diff(first) as usize + 1)
}

fn buckets(sketch: &Sketch) -> Buckets {
    let offset = sketch.buckets().next().map_or(0, |(first, _)| first);
    let mut bucket_counts = vec![0; width(sketch)];
    for (index, count) in sketch.buckets() {
        bucket_counts[index.abs_diff(offset) as usize] = count.try_into().unwrap_or(0);
    }
    Buckets { offset, bucket_counts }
}

fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

#[cfg(test)]
mod tests {
    use spandrel_attribution::{Coverage, MatrixTables, Tail};
    use spandrel_model::UnixNanos;

    use super::*;

    fn operation(name: &str, nanoseconds: &[i64]) -> OperationRow {
        let mut sketch = Sketch::default();
        nanoseconds.iter().for_each(|ns| sketch.add(*ns, 1));
        let zero = spandrel_attribution::Quantile {
            ns: 0,
            confidence_ns: None,
        };
        OperationRow {
            group: RequestGroup {
                window_start: UnixNanos(1_000),
                window_ns: 60,
                service_name: "shop".into(),
                operation: name.into(),
            },
            durations: Distribution {
                n: i64::try_from(nanoseconds.len()).unwrap(),
                sum_ns: nanoseconds.iter().sum(),
                quantiles: [zero; 3],
                sketch,
            },
            tails: [Tail { n: 0, mean_ns: 0 }; 3],
            coverage: Coverage::default(),
        }
    }

    fn window(operations: Vec<OperationRow>) -> WindowRows {
        WindowRows {
            emission: 0,
            tables: MatrixTables {
                operations,
                ..MatrixTables::default()
            },
            replaced: Vec::new(),
        }
    }

    fn points(operations: Vec<OperationRow>) -> Vec<ExponentialHistogramDataPoint> {
        let mut requests = window_metrics(&window(operations));
        assert_eq!(requests.len(), 1, "one service");
        let mut resource = requests.remove(0).resource_metrics.remove(0);
        let metric = resource.scope_metrics.remove(0).metrics.remove(0);
        assert_eq!((&*metric.name, &*metric.unit), ("spandrel.attribution.duration", "ns"));
        match metric.data {
            Some(metric::Data::ExponentialHistogram(histogram)) => histogram.data_points,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn buckets_leave_as_they_are() {
        let [point] = &points(vec![operation("GET /", &[0, 64, 65, 1 << 10])])[..] else {
            panic!("one operation");
        };
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (1_000, 1_060));
        assert_eq!((point.count, point.zero_count, point.sum), (4, 1, Some(1_153.0)));
        let buckets = point.positive.as_ref().unwrap();
        // 64 is 2^6, the upper bound of bucket 6 * 64 - 1, and 2^10 that of 10 * 64 - 1.
        assert_eq!(
            (point.scale, buckets.offset, buckets.bucket_counts.len()),
            (6, 383, 257)
        );
        let occupied = buckets
            .bucket_counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0);
        assert_eq!(occupied.map(|(at, _)| at).collect::<Vec<_>>(), [0, 2, 256]);
    }

    #[test]
    fn rows_that_replace_earlier_ones_are_not_counted_again() {
        let mut window = window(vec![operation("GET /", &[5])]);
        window.replaced = vec![(window.tables.operations[0].group.clone(), 0)];
        assert_eq!(window_metrics(&window), []);
    }

    #[test]
    fn values_far_apart_are_counted_in_coarser_buckets() {
        let [point] = &points(vec![operation("GET /", &[1, i64::MAX - 1])])[..] else {
            panic!("one operation");
        };
        let buckets = point.positive.as_ref().unwrap();
        assert!(point.scale < 6 && buckets.bucket_counts.len() <= BUCKETS_MAX);
        assert_eq!((buckets.offset, buckets.bucket_counts.iter().sum::<u64>()), (-1, 2));
    }

    #[test]
    fn beyond_the_limit_the_smallest_are_one_point() {
        let operations = (1..=POINTS_MAX as i64 + 5).map(|ns| operation(&format!("op {ns}"), &[ns]));
        let points = points(operations.collect());
        assert_eq!(points.len(), POINTS_MAX + 1);
        let rest = points.last().unwrap();
        assert_eq!((&*rest.attributes[0].key, rest.attributes.len()), (OVERFLOW, 1));
        assert_eq!((rest.count, rest.sum), (5, Some(15.0)));
        let total: f64 = points.iter().filter_map(|point| point.sum).sum();
        let n = (POINTS_MAX + 5) as f64;
        assert_eq!(total, n * (n + 1.0) / 2.0);
    }
}
