//! What of an accepted request was not taken, as OTLP tells it: the field `partial_success` of an `Export*ServiceResponse`
//! (opentelemetry/proto/collector/*/v1/*_service.proto).
//!
//! The responses of the three signals are alike but for the name of one field in JSON. A message without rejected items is
//! a warning: that is how an upload is answered of which only a part could be read.

use prost::Message;
use spandrel_pipeline::{Payload, Signal};

/// Warnings that an answer quotes; the log has all of them.
const WARNINGS_MAX: usize = 3;

/// What was not taken of a request, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PartialSuccess {
    /// Of the request.
    pub(super) signal: Signal,
    /// Spans, data points or log records that were not taken, though others were.
    pub(super) rejected_items: usize,
    /// Why, for the sender's operator. Never empty.
    pub(super) message: String,
}

/// An `Export*ServiceResponse`.
#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<ExportPartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct ExportPartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_items: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

impl PartialSuccess {
    /// What those who took `payload` left out of it, if anything.
    pub(super) fn of(payload: &Payload) -> Option<Self> {
        match payload {
            Payload::Otlp(request) => request.rejected().map(|rejected| Self {
                signal: request.signal(),
                rejected_items: rejected.items,
                message: rejected.to_string(),
            }),
            Payload::Profile(profile) => profile.warnings.get().map(|warnings| Self {
                signal: Signal::Profiles,
                rejected_items: 0,
                message: format!("read in part: {}", quoted(warnings)),
            }),
            Payload::Tables(_) => None,
        }
    }

    /// The response as protobuf.
    pub(super) fn protobuf(&self) -> Vec<u8> {
        let partial_success = Some(ExportPartialSuccess {
            rejected_items: i64::try_from(self.rejected_items).unwrap_or(i64::MAX),
            error_message: self.message.clone(),
        });
        ExportResponse { partial_success }.encode_to_vec()
    }

    /// The response as JSON, in which a 64-bit integer is a string and a 0 is left out.
    pub(super) fn json(&self) -> String {
        let mut fields = serde_json::Map::new();
        if self.rejected_items > 0 {
            let field = match self.signal {
                Signal::Metrics => "rejectedDataPoints",
                Signal::Logs => "rejectedLogRecords",
                _ => "rejectedSpans",
            };
            fields.insert(field.to_owned(), self.rejected_items.to_string().into());
        }
        fields.insert("errorMessage".to_owned(), self.message.clone().into());
        serde_json::json!({ "partialSuccess": fields }).to_string()
    }
}

/// The first few.
fn quoted(warnings: &[String]) -> String {
    let (told, rest) = warnings.split_at(WARNINGS_MAX.min(warnings.len()));
    let more = match rest.len() {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    told.join("; ") + &more
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;

    use super::*;

    fn partial(signal: Signal) -> PartialSuccess {
        PartialSuccess {
            signal,
            rejected_items: 7,
            message: "no".to_owned(),
        }
    }

    #[test]
    fn the_protobuf_of_each_signal_is_that_of_its_service() {
        let traces = ExportTraceServiceResponse::decode(&partial(Signal::Traces).protobuf()[..]).unwrap();
        let traces = traces.partial_success.unwrap();
        assert_eq!((traces.rejected_spans, traces.error_message.as_str()), (7, "no"));
        let metrics = ExportMetricsServiceResponse::decode(&partial(Signal::Metrics).protobuf()[..]).unwrap();
        let metrics = metrics.partial_success.unwrap();
        assert_eq!(
            (metrics.rejected_data_points, metrics.error_message.as_str()),
            (7, "no")
        );
        let logs = ExportLogsServiceResponse::decode(&partial(Signal::Logs).protobuf()[..]).unwrap();
        let logs = logs.partial_success.unwrap();
        assert_eq!((logs.rejected_log_records, logs.error_message.as_str()), (7, "no"));
    }

    #[test]
    fn the_json_of_each_signal_names_its_items() {
        for (signal, field) in [
            (Signal::Traces, "rejectedSpans"),
            (Signal::Metrics, "rejectedDataPoints"),
            (Signal::Logs, "rejectedLogRecords"),
        ] {
            let json: serde_json::Value = serde_json::from_str(&partial(signal).json()).unwrap();
            assert_eq!(json["partialSuccess"][field], "7");
            assert_eq!(json["partialSuccess"]["errorMessage"], "no");
        }
        let warning = PartialSuccess {
            rejected_items: 0,
            ..partial(Signal::Profiles)
        };
        assert_eq!(warning.json(), r#"{"partialSuccess":{"errorMessage":"no"}}"#);
    }

    #[test]
    fn a_few_warnings_are_quoted() {
        let warnings = ["a", "b", "c", "d", "e"].map(str::to_owned);
        assert_eq!(quoted(&warnings), "a; b; c; and 2 more");
        assert_eq!(quoted(&warnings[..1]), "a");
    }
}
