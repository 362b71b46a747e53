//! Model spans as OTLP requests.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as OtlpSpan};
use prost::Message;
use spandrel_model::{AttributeValue, Span, SpanKind};

/// The request that an SDK would send for these spans. The process is told by its service and instance.
pub(crate) fn request(spans: &[Span]) -> Vec<u8> {
    let resource_spans = spans.iter().map(|span| ResourceSpans {
        resource: Some(Resource {
            attributes: vec![
                attribute("service.name", text(&span.process.service_name)),
                attribute(
                    "service.instance.id",
                    text(span.process.service_instance_id.as_deref().unwrap_or_default()),
                ),
            ],
            ..Resource::default()
        }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: span.scope_name.to_string(),
                ..InstrumentationScope::default()
            }),
            spans: vec![otlp_span(span)],
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    });
    let request = ExportTraceServiceRequest {
        resource_spans: resource_spans.collect(),
    };
    request.encode_to_vec()
}

fn otlp_span(span: &Span) -> OtlpSpan {
    let parent = span.parent_span_id.map(|id| id.as_bytes().to_vec());
    OtlpSpan {
        trace_id: span.trace_id.as_bytes().to_vec(),
        span_id: span.span_id.as_bytes().to_vec(),
        parent_span_id: parent.unwrap_or_default(),
        flags: match span.parent_is_remote {
            None => 0,
            Some(false) => 0x100,
            Some(true) => 0x300,
        },
        name: span.name.to_string(),
        kind: match span.kind {
            SpanKind::Unspecified => 0,
            SpanKind::Internal => 1,
            SpanKind::Server => 2,
            SpanKind::Client => 3,
            SpanKind::Producer => 4,
            SpanKind::Consumer => 5,
        },
        start_time_unix_nano: u64::try_from(span.interval.start().0).unwrap(),
        end_time_unix_nano: u64::try_from(span.interval.end().0).unwrap(),
        attributes: (span.attributes.iter())
            .map(|(key, value)| attribute(key, any_value(value)))
            .collect(),
        ..OtlpSpan::default()
    }
}

fn any_value(value: &AttributeValue) -> any_value::Value {
    match value {
        AttributeValue::Int(value) => any_value::Value::IntValue(*value),
        AttributeValue::String(value) => text(value),
        other => panic!("no program has the attribute {other:?}"),
    }
}

fn text(value: &str) -> any_value::Value {
    any_value::Value::StringValue(value.to_owned())
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
