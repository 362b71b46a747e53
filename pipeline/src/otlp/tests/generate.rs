//! Random requests from a seed, with every field set now and then.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar, metric,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

/// A stream of random choices (SplitMix64).
pub(super) struct Dice {
    state: u64,
    /// Whether doubles may be infinite or not a number.
    pub(super) all_doubles: bool,
}

const STRINGS: [&str; 10] = [
    "",
    "a",
    "GET /cart",
    "\u{e9}\u{1f600}",
    "say \"hi\"\n\t\\ \u{1}",
    "12",
    "true",
    "x=1,y=2",
    "{}",
    " ",
];

const KEYS: [&str; 18] = [
    "service.name",
    "service.instance.id",
    "host.name",
    "process.pid",
    "process.creation.time",
    "http.request.method",
    "http.route",
    "http.response.status_code",
    "url.path",
    "db.system.name",
    "db.query.text",
    "rpc.service",
    "error.type",
    "go.goroutine.id",
    "messaging.destination.name",
    "",
    "custom",
    "\u{fc}nicode",
];

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            state: seed,
            all_doubles: true,
        }
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.bits() % limit as u64) as usize
    }

    pub(super) fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn many<T>(&mut self, up_to: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(up_to + 1)).map(|_| make(self)).collect()
    }

    fn text(&mut self) -> String {
        STRINGS[self.below(STRINGS.len())].to_owned()
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.bits() as u8).collect()
    }

    /// Right length, none, zeros, or (for optional ids) a wrong length.
    fn optional_id(&mut self, len: usize, wrong_lengths: bool) -> Vec<u8> {
        match self.below(4) {
            0 => Vec::new(),
            1 => vec![0; len],
            2 if wrong_lengths => self.bytes(len - 1),
            _ => self.bytes(len),
        }
    }

    fn time(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => u64::MAX - self.bits() % 1000,
            2 => i64::MAX as u64 + self.bits() % 3,
            _ => 1_760_000_000_000_000_000 + self.bits() % 1_000_000_000_000,
        }
    }

    fn count(&mut self) -> u64 {
        if self.chance(8) {
            self.bits()
        } else {
            self.bits() % 1000
        }
    }

    fn double(&mut self) -> f64 {
        let doubles = [
            0.0,
            -0.0,
            1.0,
            -2.5,
            0.1,
            1e300,
            1e-7,
            1e21,
            f64::MIN_POSITIVE,
            12345.678,
        ];
        if self.all_doubles && self.chance(5) {
            return [f64::NAN, f64::INFINITY, f64::NEG_INFINITY][self.below(3)];
        }
        doubles[self.below(doubles.len())]
    }

    fn any_value(&mut self, depth: usize) -> AnyValue {
        let kinds = if depth < 4 { 8 } else { 6 };
        let value = match self.below(kinds) {
            0 => None,
            1 => Some(Value::StringValue(self.text())),
            2 => Some(Value::BoolValue(self.chance(2))),
            3 => Some(Value::IntValue(self.bits().cast_signed() >> self.below(64))),
            4 => Some(Value::DoubleValue(self.double())),
            5 => {
                let len = self.below(5);
                Some(Value::BytesValue(self.bytes(len)))
            }
            6 => Some(Value::ArrayValue(ArrayValue {
                values: self.many(3, |dice| dice.any_value(depth + 1)),
            })),
            _ => Some(Value::KvlistValue(KeyValueList {
                values: self.many(3, |dice| dice.key_value(depth + 1)),
            })),
        };
        AnyValue { value }
    }

    fn key_value(&mut self, depth: usize) -> KeyValue {
        let key = KEYS[self.below(KEYS.len())].to_owned();
        let value = (!self.chance(10)).then(|| self.any_value(depth));
        KeyValue {
            key,
            value,
            key_strindex: 0,
        }
    }

    fn attributes(&mut self) -> Vec<KeyValue> {
        self.many(5, |dice| dice.key_value(0))
    }

    fn resource(&mut self) -> Option<Resource> {
        (!self.chance(5)).then(|| Resource {
            attributes: self.attributes(),
            dropped_attributes_count: self.bits() as u32,
            entity_refs: self.many(2, |dice| EntityRef {
                schema_url: dice.text(),
                r#type: dice.text(),
                id_keys: dice.many(2, Self::text),
                description_keys: dice.many(2, Self::text),
            }),
        })
    }

    fn scope(&mut self) -> Option<InstrumentationScope> {
        (!self.chance(5)).then(|| InstrumentationScope {
            name: self.text(),
            version: self.text(),
            attributes: self.attributes(),
            dropped_attributes_count: self.bits() as u32,
        })
    }

    pub(super) fn traces(&mut self) -> ExportTraceServiceRequest {
        let resource_spans = self.many(3, |dice| ResourceSpans {
            resource: dice.resource(),
            scope_spans: dice.many(3, |dice| ScopeSpans {
                scope: dice.scope(),
                spans: dice.many(4, Self::span),
                schema_url: dice.text(),
            }),
            schema_url: dice.text(),
        });
        ExportTraceServiceRequest { resource_spans }
    }

    pub(super) fn span(&mut self) -> Span {
        Span {
            trace_id: self.bytes(16),
            span_id: self.bytes(8),
            trace_state: self.text(),
            parent_span_id: self.optional_id(8, false),
            flags: self.bits() as u32,
            name: self.text(),
            kind: self.below(8) as i32 - 1,
            start_time_unix_nano: self.time(),
            end_time_unix_nano: self.time(),
            attributes: self.attributes(),
            dropped_attributes_count: self.bits() as u32,
            events: self.many(3, |dice| Event {
                time_unix_nano: dice.time(),
                name: dice.text(),
                attributes: dice.attributes(),
                dropped_attributes_count: dice.bits() as u32,
            }),
            dropped_events_count: self.bits() as u32,
            links: self.many(3, |dice| Link {
                trace_id: dice.optional_id(16, true),
                span_id: dice.optional_id(8, true),
                trace_state: dice.text(),
                attributes: dice.attributes(),
                dropped_attributes_count: dice.bits() as u32,
                flags: dice.bits() as u32,
            }),
            dropped_links_count: self.bits() as u32,
            status: (!self.chance(4)).then(|| Status {
                message: self.text(),
                code: self.below(5) as i32 - 1,
            }),
        }
    }

    pub(super) fn logs(&mut self) -> ExportLogsServiceRequest {
        let resource_logs = self.many(3, |dice| ResourceLogs {
            resource: dice.resource(),
            scope_logs: dice.many(3, |dice| ScopeLogs {
                scope: dice.scope(),
                log_records: dice.many(5, Self::log_record),
                schema_url: dice.text(),
            }),
            schema_url: dice.text(),
        });
        ExportLogsServiceRequest { resource_logs }
    }

    fn log_record(&mut self) -> LogRecord {
        LogRecord {
            time_unix_nano: self.time(),
            observed_time_unix_nano: self.time(),
            severity_number: self.below(27) as i32 - 1,
            severity_text: self.text(),
            body: (!self.chance(5)).then(|| self.any_value(0)),
            attributes: self.attributes(),
            dropped_attributes_count: self.bits() as u32,
            flags: self.bits() as u32,
            trace_id: self.optional_id(16, true),
            span_id: self.optional_id(8, true),
            event_name: self.text(),
        }
    }

    pub(super) fn metrics(&mut self) -> ExportMetricsServiceRequest {
        let resource_metrics = self.many(3, |dice| ResourceMetrics {
            resource: dice.resource(),
            scope_metrics: dice.many(2, |dice| ScopeMetrics {
                scope: dice.scope(),
                metrics: dice.many(5, Self::metric),
                schema_url: dice.text(),
            }),
            schema_url: dice.text(),
        });
        ExportMetricsServiceRequest { resource_metrics }
    }

    fn metric(&mut self) -> Metric {
        let aggregation_temporality = self.below(4) as i32;
        let data = match self.below(6) {
            0 => None,
            1 => Some(metric::Data::Gauge(Gauge {
                data_points: self.many(3, Self::number_point),
            })),
            2 => Some(metric::Data::Sum(Sum {
                data_points: self.many(3, Self::number_point),
                aggregation_temporality,
                is_monotonic: self.chance(2),
            })),
            3 => Some(metric::Data::Histogram(Histogram {
                data_points: self.many(3, Self::histogram_point),
                aggregation_temporality,
            })),
            4 => Some(metric::Data::ExponentialHistogram(ExponentialHistogram {
                data_points: self.many(3, Self::exponential_point),
                aggregation_temporality,
            })),
            _ => Some(metric::Data::Summary(Summary {
                data_points: self.many(3, Self::summary_point),
            })),
        };
        Metric {
            name: self.text(),
            description: self.text(),
            unit: self.text(),
            metadata: self.attributes(),
            data,
        }
    }

    fn exemplars(&mut self) -> Vec<Exemplar> {
        self.many(2, |dice| Exemplar {
            filtered_attributes: dice.attributes(),
            time_unix_nano: dice.time(),
            span_id: dice.optional_id(8, false),
            trace_id: dice.optional_id(16, false),
            value: match dice.below(3) {
                0 => None,
                1 => Some(exemplar::Value::AsDouble(dice.double())),
                _ => Some(exemplar::Value::AsInt(dice.bits().cast_signed())),
            },
        })
    }

    fn optional_double(&mut self) -> Option<f64> {
        (!self.chance(3)).then(|| self.double())
    }

    fn number_point(&mut self) -> NumberDataPoint {
        NumberDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.time(),
            time_unix_nano: self.time(),
            exemplars: self.exemplars(),
            flags: self.bits() as u32,
            value: match self.below(3) {
                0 => None,
                1 => Some(number_data_point::Value::AsDouble(self.double())),
                _ => Some(number_data_point::Value::AsInt(self.bits().cast_signed())),
            },
        }
    }

    fn histogram_point(&mut self) -> HistogramDataPoint {
        HistogramDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.time(),
            time_unix_nano: self.time(),
            count: self.count(),
            sum: self.optional_double(),
            bucket_counts: self.many(4, Self::count),
            explicit_bounds: self.many(4, Self::double),
            exemplars: self.exemplars(),
            flags: self.bits() as u32,
            min: self.optional_double(),
            max: self.optional_double(),
        }
    }

    fn buckets(&mut self) -> Option<Buckets> {
        (!self.chance(3)).then(|| Buckets {
            offset: (self.bits() as i32) >> self.below(32),
            bucket_counts: self.many(4, Self::count),
        })
    }

    fn exponential_point(&mut self) -> ExponentialHistogramDataPoint {
        ExponentialHistogramDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.time(),
            time_unix_nano: self.time(),
            count: self.count(),
            sum: self.optional_double(),
            scale: self.below(30) as i32 - 10,
            zero_count: self.count(),
            positive: self.buckets(),
            negative: self.buckets(),
            flags: self.bits() as u32,
            exemplars: self.exemplars(),
            min: self.optional_double(),
            max: self.optional_double(),
            zero_threshold: self.double(),
        }
    }

    fn summary_point(&mut self) -> SummaryDataPoint {
        SummaryDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.time(),
            time_unix_nano: self.time(),
            count: self.count(),
            sum: self.double(),
            quantile_values: self.many(3, |dice| ValueAtQuantile {
                quantile: dice.double(),
                value: dice.double(),
            }),
            flags: self.bits() as u32,
        }
    }
}
