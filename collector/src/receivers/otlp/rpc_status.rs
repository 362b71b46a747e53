//! `google.rpc.Status` and `google.rpc.RetryInfo`, the bodies of OTLP error answers (google/rpc/status.proto,
//! google/rpc/error_details.proto).

use std::time::Duration;

use prost::Message;
use tonic::Code;

const RETRY_INFO_TYPE: &str = "type.googleapis.com/google.rpc.RetryInfo";

#[derive(Clone, PartialEq, Message)]
pub(super) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    pub(super) retry_delay: Option<ProtoDuration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct ProtoDuration {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

/// Encodes a status, with a `RetryInfo` if it is known when to try again.
pub(super) fn encode(code: Code, message: &str, retry_after: Option<Duration>) -> Vec<u8> {
    let details = retry_after.map(retry_info).into_iter().collect();
    RpcStatus {
        code: code as i32,
        message: message.to_owned(),
        details,
    }
    .encode_to_vec()
}

fn retry_info(delay: Duration) -> Any {
    let retry_delay = ProtoDuration {
        seconds: i64::try_from(delay.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(delay.subsec_nanos()).expect("below 10^9"),
    };
    let info = RetryInfo {
        retry_delay: Some(retry_delay),
    };
    Any {
        type_url: RETRY_INFO_TYPE.to_owned(),
        value: info.encode_to_vec(),
    }
}
