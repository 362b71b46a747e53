//! The messages of OTLP as data: JSON key, field number and type of every field, as in the `.proto` files.
//!
//! Fields that only profiles use (`key_strindex`, `string_value_strindex`) are left out.

/// A protobuf message.
pub(super) struct Message {
    pub(super) name: &'static str,
    pub(super) fields: &'static [Field],
}

/// A field of a message.
pub(super) struct Field {
    /// Key in JSON.
    pub(super) key: &'static str,
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) repeated: bool,
}

/// The type of a field.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Bool,
    /// `int32`, and enumerations.
    Int32,
    Uint32,
    Sint32,
    Int64,
    Uint64,
    Fixed32,
    Fixed64,
    Sfixed64,
    Double,
    String,
    /// `bytes` that JSON shows in hexadecimal.
    Id,
    /// `bytes` that JSON shows in base64.
    Bytes,
    Message(&'static Message),
}

impl Message {
    pub(super) fn field(&self, key: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.key == key)
    }
}

const fn one(key: &'static str, number: u32, kind: Kind) -> Field {
    Field {
        key,
        number,
        kind,
        repeated: false,
    }
}

const fn many(key: &'static str, number: u32, kind: Kind) -> Field {
    Field {
        key,
        number,
        kind,
        repeated: true,
    }
}

macro_rules! messages {
    ($($constant:ident = $name:literal [$($field:expr),* $(,)?];)*) => {
        $(pub(super) static $constant: Message = Message { name: $name, fields: &[$($field),*] };)*
    };
}

use Kind::{
    Bool, Bytes, Double, Fixed32, Fixed64, Id, Int32, Int64, Message as Msg, Sfixed64, Sint32, String, Uint32, Uint64,
};

messages! {
    ANY_VALUE = "AnyValue" [
        one("stringValue", 1, String),
        one("boolValue", 2, Bool),
        one("intValue", 3, Int64),
        one("doubleValue", 4, Double),
        one("arrayValue", 5, Msg(&ARRAY_VALUE)),
        one("kvlistValue", 6, Msg(&KEY_VALUE_LIST)),
        one("bytesValue", 7, Bytes),
    ];
    ARRAY_VALUE = "ArrayValue" [many("values", 1, Msg(&ANY_VALUE))];
    KEY_VALUE_LIST = "KeyValueList" [many("values", 1, Msg(&KEY_VALUE))];
    KEY_VALUE = "KeyValue" [one("key", 1, String), one("value", 2, Msg(&ANY_VALUE))];
    SCOPE = "InstrumentationScope" [
        one("name", 1, String),
        one("version", 2, String),
        many("attributes", 3, Msg(&KEY_VALUE)),
        one("droppedAttributesCount", 4, Uint32),
    ];
    ENTITY_REF = "EntityRef" [
        one("schemaUrl", 1, String),
        one("type", 2, String),
        many("idKeys", 3, String),
        many("descriptionKeys", 4, String),
    ];
    RESOURCE = "Resource" [
        many("attributes", 1, Msg(&KEY_VALUE)),
        one("droppedAttributesCount", 2, Uint32),
        many("entityRefs", 3, Msg(&ENTITY_REF)),
    ];

    TRACES_REQUEST = "ExportTraceServiceRequest" [many("resourceSpans", 1, Msg(&RESOURCE_SPANS))];
    RESOURCE_SPANS = "ResourceSpans" [
        one("resource", 1, Msg(&RESOURCE)),
        many("scopeSpans", 2, Msg(&SCOPE_SPANS)),
        one("schemaUrl", 3, String),
    ];
    SCOPE_SPANS = "ScopeSpans" [
        one("scope", 1, Msg(&SCOPE)),
        many("spans", 2, Msg(&SPAN)),
        one("schemaUrl", 3, String),
    ];
    SPAN = "Span" [
        one("traceId", 1, Id),
        one("spanId", 2, Id),
        one("traceState", 3, String),
        one("parentSpanId", 4, Id),
        one("name", 5, String),
        one("kind", 6, Int32),
        one("startTimeUnixNano", 7, Fixed64),
        one("endTimeUnixNano", 8, Fixed64),
        many("attributes", 9, Msg(&KEY_VALUE)),
        one("droppedAttributesCount", 10, Uint32),
        many("events", 11, Msg(&EVENT)),
        one("droppedEventsCount", 12, Uint32),
        many("links", 13, Msg(&LINK)),
        one("droppedLinksCount", 14, Uint32),
        one("status", 15, Msg(&STATUS)),
        one("flags", 16, Fixed32),
    ];
    EVENT = "Span.Event" [
        one("timeUnixNano", 1, Fixed64),
        one("name", 2, String),
        many("attributes", 3, Msg(&KEY_VALUE)),
        one("droppedAttributesCount", 4, Uint32),
    ];
    LINK = "Span.Link" [
        one("traceId", 1, Id),
        one("spanId", 2, Id),
        one("traceState", 3, String),
        many("attributes", 4, Msg(&KEY_VALUE)),
        one("droppedAttributesCount", 5, Uint32),
        one("flags", 6, Fixed32),
    ];
    STATUS = "Status" [one("message", 2, String), one("code", 3, Int32)];

    METRICS_REQUEST = "ExportMetricsServiceRequest" [many("resourceMetrics", 1, Msg(&RESOURCE_METRICS))];
    RESOURCE_METRICS = "ResourceMetrics" [
        one("resource", 1, Msg(&RESOURCE)),
        many("scopeMetrics", 2, Msg(&SCOPE_METRICS)),
        one("schemaUrl", 3, String),
    ];
    SCOPE_METRICS = "ScopeMetrics" [
        one("scope", 1, Msg(&SCOPE)),
        many("metrics", 2, Msg(&METRIC)),
        one("schemaUrl", 3, String),
    ];
    METRIC = "Metric" [
        one("name", 1, String),
        one("description", 2, String),
        one("unit", 3, String),
        one("gauge", 5, Msg(&GAUGE)),
        one("sum", 7, Msg(&SUM)),
        one("histogram", 9, Msg(&HISTOGRAM)),
        one("exponentialHistogram", 10, Msg(&EXPONENTIAL_HISTOGRAM)),
        one("summary", 11, Msg(&SUMMARY)),
        many("metadata", 12, Msg(&KEY_VALUE)),
    ];
    GAUGE = "Gauge" [many("dataPoints", 1, Msg(&NUMBER_POINT))];
    SUM = "Sum" [
        many("dataPoints", 1, Msg(&NUMBER_POINT)),
        one("aggregationTemporality", 2, Int32),
        one("isMonotonic", 3, Bool),
    ];
    HISTOGRAM = "Histogram" [
        many("dataPoints", 1, Msg(&HISTOGRAM_POINT)),
        one("aggregationTemporality", 2, Int32),
    ];
    EXPONENTIAL_HISTOGRAM = "ExponentialHistogram" [
        many("dataPoints", 1, Msg(&EXPONENTIAL_HISTOGRAM_POINT)),
        one("aggregationTemporality", 2, Int32),
    ];
    SUMMARY = "Summary" [many("dataPoints", 1, Msg(&SUMMARY_POINT))];
    NUMBER_POINT = "NumberDataPoint" [
        one("startTimeUnixNano", 2, Fixed64),
        one("timeUnixNano", 3, Fixed64),
        one("asDouble", 4, Double),
        many("exemplars", 5, Msg(&EXEMPLAR)),
        one("asInt", 6, Sfixed64),
        many("attributes", 7, Msg(&KEY_VALUE)),
        one("flags", 8, Uint32),
    ];
    HISTOGRAM_POINT = "HistogramDataPoint" [
        one("startTimeUnixNano", 2, Fixed64),
        one("timeUnixNano", 3, Fixed64),
        one("count", 4, Fixed64),
        one("sum", 5, Double),
        many("bucketCounts", 6, Fixed64),
        many("explicitBounds", 7, Double),
        many("exemplars", 8, Msg(&EXEMPLAR)),
        many("attributes", 9, Msg(&KEY_VALUE)),
        one("flags", 10, Uint32),
        one("min", 11, Double),
        one("max", 12, Double),
    ];
    EXPONENTIAL_HISTOGRAM_POINT = "ExponentialHistogramDataPoint" [
        many("attributes", 1, Msg(&KEY_VALUE)),
        one("startTimeUnixNano", 2, Fixed64),
        one("timeUnixNano", 3, Fixed64),
        one("count", 4, Fixed64),
        one("sum", 5, Double),
        one("scale", 6, Sint32),
        one("zeroCount", 7, Fixed64),
        one("positive", 8, Msg(&BUCKETS)),
        one("negative", 9, Msg(&BUCKETS)),
        one("flags", 10, Uint32),
        many("exemplars", 11, Msg(&EXEMPLAR)),
        one("min", 12, Double),
        one("max", 13, Double),
        one("zeroThreshold", 14, Double),
    ];
    BUCKETS = "ExponentialHistogramDataPoint.Buckets" [
        one("offset", 1, Sint32),
        many("bucketCounts", 2, Uint64),
    ];
    SUMMARY_POINT = "SummaryDataPoint" [
        one("startTimeUnixNano", 2, Fixed64),
        one("timeUnixNano", 3, Fixed64),
        one("count", 4, Fixed64),
        one("sum", 5, Double),
        many("quantileValues", 6, Msg(&VALUE_AT_QUANTILE)),
        many("attributes", 7, Msg(&KEY_VALUE)),
        one("flags", 8, Uint32),
    ];
    VALUE_AT_QUANTILE = "SummaryDataPoint.ValueAtQuantile" [one("quantile", 1, Double), one("value", 2, Double)];
    EXEMPLAR = "Exemplar" [
        one("timeUnixNano", 2, Fixed64),
        one("asDouble", 3, Double),
        one("spanId", 4, Id),
        one("traceId", 5, Id),
        one("asInt", 6, Sfixed64),
        many("filteredAttributes", 7, Msg(&KEY_VALUE)),
    ];

    LOGS_REQUEST = "ExportLogsServiceRequest" [many("resourceLogs", 1, Msg(&RESOURCE_LOGS))];
    RESOURCE_LOGS = "ResourceLogs" [
        one("resource", 1, Msg(&RESOURCE)),
        many("scopeLogs", 2, Msg(&SCOPE_LOGS)),
        one("schemaUrl", 3, String),
    ];
    SCOPE_LOGS = "ScopeLogs" [
        one("scope", 1, Msg(&SCOPE)),
        many("logRecords", 2, Msg(&LOG_RECORD)),
        one("schemaUrl", 3, String),
    ];
    LOG_RECORD = "LogRecord" [
        one("timeUnixNano", 1, Fixed64),
        one("severityNumber", 2, Int32),
        one("severityText", 3, String),
        one("body", 5, Msg(&ANY_VALUE)),
        many("attributes", 6, Msg(&KEY_VALUE)),
        one("droppedAttributesCount", 7, Uint32),
        one("flags", 8, Fixed32),
        one("traceId", 9, Id),
        one("spanId", 10, Id),
        one("observedTimeUnixNano", 11, Fixed64),
        one("eventName", 12, String),
    ];
}
