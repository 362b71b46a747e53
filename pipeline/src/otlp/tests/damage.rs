//! Cut, flipped and random bytes: never a panic, and never rows that protobuf would read differently.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::prelude::*;
use prost::Message;

use super::generate::Dice;
use super::rows::{Row, assert_rows, items};
use super::{logs, metrics, traces};
use crate::Signal;
use crate::otlp::{DecodeError, DecodeProblem, Decoded, count_items, decode_logs, decode_metrics, decode_traces};

/// Changes up to four bytes, and cuts the end off every other time.
fn damage(dice: &mut Dice, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    for _ in 0..dice.below(5) {
        let at = dice.below(bytes.len());
        bytes[at] = if dice.chance(2) {
            bytes[at] ^ (1 << dice.below(8))
        } else {
            dice.bits() as u8
        };
    }
    if dice.chance(2) {
        bytes.truncate(dice.below(bytes.len()));
    }
}

/// Where protobuf reads `bytes` as `Request`, so do we, but for what we refuse on purpose.
fn check<Request: Message + Default>(
    bytes: &[u8],
    signal: Signal,
    decode: fn(&[u8]) -> Result<Decoded, DecodeError>,
    expected_rows: fn(&Request) -> Vec<Row>,
) {
    let count = count_items(signal, bytes);
    match (decode(bytes), Request::decode(bytes)) {
        (Ok(decoded), Ok(request)) => {
            assert_rows(&decoded.rows, &expected_rows(&request));
            assert_eq!(count, Ok(items(&decoded)));
        }
        // Fields without a column are skipped unread, so damage inside them goes unseen.
        (Ok(decoded), Err(_)) => assert_eq!(count, Ok(items(&decoded))),
        (Err(error), Ok(_)) => {
            let refused = matches!(
                error.problem,
                DecodeProblem::IdLength { .. } | DecodeProblem::WireType { found: 3 | 4, .. }
            );
            assert!(refused, "{error}");
        }
        (Err(error), Err(_)) => assert!(error.offset <= bytes.len(), "{error}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn damaged_traces_give_an_error_or_what_protobuf_reads(seed: u64) {
        let mut dice = Dice::new(seed);
        let mut bytes = dice.traces().encode_to_vec();
        damage(&mut dice, &mut bytes);
        check::<ExportTraceServiceRequest>(&bytes, Signal::Traces, decode_traces, traces::expected_rows);
    }

    #[test]
    fn damaged_metrics_give_an_error_or_what_protobuf_reads(seed: u64) {
        let mut dice = Dice::new(seed);
        let mut bytes = dice.metrics().encode_to_vec();
        damage(&mut dice, &mut bytes);
        check::<ExportMetricsServiceRequest>(&bytes, Signal::Metrics, decode_metrics, metrics::expected_rows);
    }

    #[test]
    fn damaged_logs_give_an_error_or_what_protobuf_reads(seed: u64) {
        let mut dice = Dice::new(seed);
        let mut bytes = dice.logs().encode_to_vec();
        damage(&mut dice, &mut bytes);
        check::<ExportLogsServiceRequest>(&bytes, Signal::Logs, decode_logs, logs::expected_rows);
    }

    #[test]
    fn random_bytes_give_an_error_or_what_protobuf_reads(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        check::<ExportTraceServiceRequest>(&bytes, Signal::Traces, decode_traces, traces::expected_rows);
        check::<ExportMetricsServiceRequest>(&bytes, Signal::Metrics, decode_metrics, metrics::expected_rows);
        check::<ExportLogsServiceRequest>(&bytes, Signal::Logs, decode_logs, logs::expected_rows);
    }
}
