//! `ExportMetricsServiceRequest` to rows of the `metrics` table, one per data point.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBuilder, Float64Builder, Int32Builder, Int64Builder, StringBuilder};
use arrow::record_batch::RecordBatch;
use spandrel_model::Table;

use super::columns::{column_type, non_empty, record_batch, timestamps_us, to_i64};
use super::envelope::Envelope;
use super::error::DecodeError;
use super::metric_points::{Number, Point, PointLists};
use super::rejected::{Decoded, Unfit};
use super::resource::Origins;
use super::wire::Reader;

pub(super) const ENVELOPE: Envelope = Envelope {
    request: "ExportMetricsServiceRequest",
    resource_groups: ("resource_metrics", "ResourceMetrics"),
    scope_groups: ("scope_metrics", "ScopeMetrics"),
    items: ("metrics", "Metric"),
};

/// Decodes `request`; the rows come in the order of the request.
pub(super) fn decode(request: &[u8]) -> Result<Decoded, DecodeError> {
    let mut origins = Origins::new();
    let mut points = PointsBuilder::new();
    ENVELOPE.decode(request, &mut origins, |metric, origins| {
        points.append_metric(metric, origins)
    })?;
    let unfit = std::mem::take(&mut points.unfit);
    Ok(unfit.without(points.finish(origins)))
}

/// Counts the data points of a `Metric`.
pub(super) fn count_points(metric: Reader<'_>) -> Result<usize, DecodeError> {
    let metric = Metric::read(metric)?;
    let mut count = 0;
    for data in &metric.data {
        data.each_message(DATA_POINTS, ("data_points", metric.kind.point_message()), |_| {
            count += 1;
            Ok(())
        })?;
    }
    Ok(count)
}

const DATA_POINTS: u32 = 1;

/// A metric without its data points.
struct Metric<'a> {
    name: &'a str,
    unit: &'a str,
    kind: MetricKind,
    /// The message of this kind, in as many parts as it was sent. Empty for a metric without data.
    data: Vec<Reader<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MetricKind {
    Gauge,
    Sum,
    Histogram,
    ExponentialHistogram,
    Summary,
}

/// What a `Sum` or histogram says about all its points.
#[derive(Clone, Copy, Debug, Default)]
struct Aggregation {
    temporality: i32,
    is_monotonic: bool,
}

impl<'a> Metric<'a> {
    fn read(mut message: Reader<'a>) -> Result<Self, DecodeError> {
        let mut metric = Self {
            name: "",
            unit: "",
            kind: MetricKind::Gauge,
            data: Vec::new(),
        };
        while let Some(field) = message.next_field()? {
            match field.number {
                1 => metric.name = field.string("name")?,
                3 => metric.unit = field.string("unit")?,
                5 => metric.add(MetricKind::Gauge, field.message("gauge", "Gauge")?),
                7 => metric.add(MetricKind::Sum, field.message("sum", "Sum")?),
                9 => metric.add(MetricKind::Histogram, field.message("histogram", "Histogram")?),
                10 => {
                    let data = field.message("exponential_histogram", "ExponentialHistogram")?;
                    metric.add(MetricKind::ExponentialHistogram, data);
                }
                11 => metric.add(MetricKind::Summary, field.message("summary", "Summary")?),
                _ => field.skip()?,
            }
        }
        Ok(metric)
    }

    /// Adds a part of the data: the last kind counts, and parts of the same kind are joined.
    fn add(&mut self, kind: MetricKind, data: Reader<'a>) {
        if self.kind != kind {
            self.data.clear();
        }
        self.kind = kind;
        self.data.push(data);
    }

    fn aggregation(&self) -> Result<Aggregation, DecodeError> {
        let mut aggregation = Aggregation::default();
        if matches!(self.kind, MetricKind::Gauge | MetricKind::Summary) {
            return Ok(aggregation);
        }
        for mut data in self.data.iter().copied() {
            while let Some(field) = data.next_field()? {
                match field.number {
                    2 => aggregation.temporality = field.int32("aggregation_temporality")?,
                    3 if self.kind == MetricKind::Sum => aggregation.is_monotonic = field.bool("is_monotonic")?,
                    _ => field.skip()?,
                }
            }
        }
        Ok(aggregation)
    }
}

impl MetricKind {
    fn word(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Sum => "sum",
            Self::Histogram => "histogram",
            Self::ExponentialHistogram => "exponential_histogram",
            Self::Summary => "summary",
        }
    }

    fn point_message(self) -> &'static str {
        match self {
            Self::Gauge | Self::Sum => "NumberDataPoint",
            Self::Histogram => "HistogramDataPoint",
            Self::ExponentialHistogram => "ExponentialHistogramDataPoint",
            Self::Summary => "SummaryDataPoint",
        }
    }
}

fn temporality_word(temporality: i32) -> Option<&'static str> {
    match temporality {
        1 => Some("delta"),
        2 => Some("cumulative"),
        _ => None,
    }
}

struct PointsBuilder {
    time_ns: Int64Builder,
    start_ns: Int64Builder,
    metric_name: StringBuilder,
    metric_type: StringBuilder,
    unit: StringBuilder,
    temporality: StringBuilder,
    is_monotonic: BooleanBuilder,
    value_double: Float64Builder,
    value_int: Int64Builder,
    count: Int64Builder,
    sum: Float64Builder,
    min: Float64Builder,
    max: Float64Builder,
    scale: Int32Builder,
    zero_count: Int64Builder,
    positive_offset: Int32Builder,
    negative_offset: Int32Builder,
    lists: PointLists,
    unfit: Unfit,
}

impl PointsBuilder {
    fn new() -> Self {
        Self {
            time_ns: Int64Builder::new(),
            start_ns: Int64Builder::new(),
            metric_name: StringBuilder::new(),
            metric_type: StringBuilder::new(),
            unit: StringBuilder::new(),
            temporality: StringBuilder::new(),
            is_monotonic: BooleanBuilder::new(),
            value_double: Float64Builder::new(),
            value_int: Int64Builder::new(),
            count: Int64Builder::new(),
            sum: Float64Builder::new(),
            min: Float64Builder::new(),
            max: Float64Builder::new(),
            scale: Int32Builder::new(),
            zero_count: Int64Builder::new(),
            positive_offset: Int32Builder::new(),
            negative_offset: Int32Builder::new(),
            lists: PointLists::new(&Table::Metrics.schema()),
            unfit: Unfit::default(),
        }
    }

    fn append_metric(&mut self, metric: Reader<'_>, origins: &mut Origins) -> Result<(), DecodeError> {
        let metric = Metric::read(metric)?;
        let aggregation = metric.aggregation()?;
        for data in &metric.data {
            data.each_message(DATA_POINTS, ("data_points", metric.kind.point_message()), |message| {
                origins.add_row(&message, metric.name.len() + metric.unit.len())?;
                let (point, present) = match metric.kind {
                    MetricKind::Gauge | MetricKind::Sum => self.lists.read_number(message)?,
                    MetricKind::Histogram => self.lists.read_histogram(message)?,
                    MetricKind::ExponentialHistogram => self.lists.read_exponential(message)?,
                    MetricKind::Summary => self.lists.read_summary(message)?,
                };
                self.lists.end_row(present);
                self.check_times(metric.name, &point);
                self.append_metric_columns(&metric, aggregation);
                self.append_point_columns(&point);
                Ok(())
            })?;
        }
        Ok(())
    }

    fn append_metric_columns(&mut self, metric: &Metric<'_>, aggregation: Aggregation) {
        let is_sum = metric.kind == MetricKind::Sum;
        self.metric_name.append_value(metric.name);
        self.metric_type.append_value(metric.kind.word());
        self.unit.append_option(non_empty(metric.unit));
        self.temporality
            .append_option(temporality_word(aggregation.temporality));
        self.is_monotonic
            .append_option(is_sum.then_some(aggregation.is_monotonic));
    }

    fn check_times(&mut self, metric_name: &str, point: &Point) {
        let times = [("time_unix_nano", point.time), ("start_time_unix_nano", point.start)];
        let row = self.time_ns.values_slice().len();
        self.unfit.check_times(row, ("data point of", metric_name), &times);
    }

    fn append_point_columns(&mut self, point: &Point) {
        let (double, int) = match point.value {
            Some(Number::Double(value)) => (Some(value), None),
            Some(Number::Int(value)) => (None, Some(value)),
            None => (None, None),
        };
        self.time_ns.append_value(to_i64(point.time));
        self.start_ns
            .append_option((point.start != 0).then_some(to_i64(point.start)));
        self.value_double.append_option(double);
        self.value_int.append_option(int);
        self.count.append_option(point.count.map(to_i64));
        self.sum.append_option(point.sum);
        self.min.append_option(point.min);
        self.max.append_option(point.max);
        self.scale.append_option(point.scale);
        self.zero_count.append_option(point.zero_count.map(to_i64));
        self.positive_offset.append_option(point.positive_offset);
        self.negative_offset.append_option(point.negative_offset);
    }

    fn finish(mut self, origins: Origins) -> RecordBatch {
        let schema = Table::Metrics.schema();
        let origins = origins.finish(&schema);
        let time = timestamps_us(self.time_ns.values_slice());
        let mut lists = self.lists;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.time_ns.finish()),
            time,
            Arc::new(self.start_ns.finish()),
            origins.service_name,
            origins.process_id,
            origins.scope_name,
            Arc::new(self.metric_name.finish()),
            Arc::new(self.metric_type.finish()),
            Arc::new(self.unit.finish()),
            Arc::new(self.temporality.finish()),
            Arc::new(self.is_monotonic.finish()),
            Arc::new(self.value_double.finish()),
            Arc::new(self.value_int.finish()),
            Arc::new(self.count.finish()),
            Arc::new(self.sum.finish()),
            Arc::new(self.min.finish()),
            Arc::new(self.max.finish()),
            Arc::new(lists.explicit_bounds.finish()),
            Arc::new(lists.bucket_counts.finish()),
            Arc::new(lists.quantile_values.finish()),
            Arc::new(self.scale.finish()),
            Arc::new(self.zero_count.finish()),
            Arc::new(self.positive_offset.finish()),
            Arc::new(self.negative_offset.finish()),
            Arc::new(lists.negative_bucket_counts.finish()),
            lists.attributes.finish(column_type(&schema, "attributes")),
            origins.resource_attributes,
        ];
        record_batch(schema, columns)
    }
}
