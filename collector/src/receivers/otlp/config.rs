//! The section of an `otlp` receiver.

use async_trait::async_trait;
use serde::Deserialize;
use spandrel_config::{ByteSize, HostPort, Problems, Section, present};
use spandrel_pipeline::{BuildContext, BuildError, Receiver, ReceiverConfig};

use super::OtlpReceiver;
use super::http::SIGNALS;

const MIB: u64 = 1 << 20;

/// The limit that the OTLP specification recommends for requests on both transports.
const DEFAULT_MAX_REQUEST_BYTES: u64 = 64 * MIB;

/// Some seconds of a busy process.
const DEFAULT_MAX_PROFILE_BYTES: u64 = 256 * MIB;
const DEFAULT_MAX_IN_FLIGHT_BYTES: u64 = 512 * MIB;
const DEFAULT_MAX_REQUESTS: usize = 1024;

/// The largest request that the decoder takes; anything larger would be read in vain.
const MAX_REQUEST_BYTES: u64 = spandrel_pipeline::otlp::MAX_REQUEST_BYTES as u64;

/// Reservations are counted in 32 bits.
const MAX_SIZE_BYTES: u64 = 2048 * MIB;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawOtlp {
    protocols: Option<RawProtocols>,
    max_in_flight_size: Option<ByteSize>,
    max_concurrent_requests: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProtocols {
    #[serde(default, deserialize_with = "present")]
    grpc: Option<RawGrpc>,
    #[serde(default, deserialize_with = "present")]
    http: Option<RawHttp>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawGrpc {
    endpoint: Option<HostPort>,
    max_recv_msg_size_mib: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawHttp {
    endpoint: Option<HostPort>,
    max_request_body_size: Option<ByteSize>,
    runtime_profiles_url_path: Option<String>,
    max_runtime_profile_size: Option<ByteSize>,
}

/// A valid `otlp` section.
#[derive(Clone, Debug)]
pub(super) struct OtlpConfig {
    pub(super) grpc: Option<GrpcConfig>,
    pub(super) http: Option<HttpConfig>,
    pub(super) max_in_flight_bytes: usize,
    pub(super) max_concurrent_requests: usize,
}

#[derive(Clone, Debug)]
pub(super) struct GrpcConfig {
    pub(super) listen: Listen,
    pub(super) max_message_bytes: usize,
}

#[derive(Clone, Debug)]
pub(super) struct HttpConfig {
    pub(super) listen: Listen,
    pub(super) max_body_bytes: usize,
    /// Starts with `/` and is none of the OTLP paths.
    pub(super) runtime_profiles_path: String,
    pub(super) max_profile_bytes: usize,
}

/// Where to listen.
#[derive(Clone, Debug)]
pub(super) struct Listen {
    pub(super) endpoint: HostPort,
    /// The setting, for messages: `receivers::otlp::protocols::grpc::endpoint`.
    pub(super) setting: String,
}

/// Checks a section and reports every problem in it.
pub(super) fn check(section: &Section, problems: &mut Problems) -> Option<Box<dyn ReceiverConfig>> {
    Some(Box::new(OtlpConfig::check(section, problems)?))
}

impl OtlpConfig {
    pub(super) fn check(section: &Section, problems: &mut Problems) -> Option<Self> {
        let raw: RawOtlp = section.parse(problems)?;
        let mut check = Check {
            section,
            problems,
            failed: false,
        };
        let protocols = match raw.protocols {
            Some(protocols) => protocols,
            None => RawProtocols {
                grpc: Some(RawGrpc::default()),
                http: Some(RawHttp::default()),
            },
        };
        if protocols.grpc.is_none() && protocols.http.is_none() {
            check.fail("protocols", "lists no protocol", "add `grpc:`, `http:` or both");
        }
        const IN_FLIGHT: &str = "max_in_flight_size";
        let config = Self {
            grpc: protocols.grpc.map(|grpc| check.grpc(grpc)),
            http: protocols.http.map(|http| check.http(http)),
            max_in_flight_bytes: check.size(
                IN_FLIGHT,
                raw.max_in_flight_size,
                DEFAULT_MAX_IN_FLIGHT_BYTES,
                MAX_SIZE_BYTES,
            ),
            max_concurrent_requests: raw.max_concurrent_requests.unwrap_or(DEFAULT_MAX_REQUESTS),
        };
        check.in_flight(&config);
        let failed = check.failed;
        (!failed).then_some(config)
    }

    /// The largest request that the limits of the listed protocols allow, and where that limit stands.
    fn largest_request(&self) -> Option<(usize, &'static str)> {
        let grpc = self
            .grpc
            .iter()
            .map(|grpc| (grpc.max_message_bytes, "protocols::grpc::max_recv_msg_size_mib"));
        let http = self.http.iter().flat_map(|http| {
            [
                (http.max_body_bytes, "protocols::http::max_request_body_size"),
                (http.max_profile_bytes, "protocols::http::max_runtime_profile_size"),
            ]
        });
        grpc.chain(http).max_by_key(|(bytes, _)| *bytes)
    }
}

/// The check of one section.
struct Check<'a> {
    section: &'a Section,
    problems: &'a mut Problems,
    failed: bool,
}

impl Check<'_> {
    fn grpc(&mut self, raw: RawGrpc) -> GrpcConfig {
        const LIMIT: &str = "protocols::grpc::max_recv_msg_size_mib";
        let max_message = raw.max_recv_msg_size_mib.map(|mib| ByteSize(mib.saturating_mul(MIB)));
        GrpcConfig {
            listen: self.listen("protocols::grpc::endpoint", raw.endpoint, "localhost:4317"),
            max_message_bytes: self.size(LIMIT, max_message, DEFAULT_MAX_REQUEST_BYTES, MAX_REQUEST_BYTES),
        }
    }

    fn http(&mut self, raw: RawHttp) -> HttpConfig {
        const LIMIT: &str = "protocols::http::max_request_body_size";
        const PROFILE_LIMIT: &str = "protocols::http::max_runtime_profile_size";
        HttpConfig {
            listen: self.listen("protocols::http::endpoint", raw.endpoint, "localhost:4318"),
            max_body_bytes: self.size(
                LIMIT,
                raw.max_request_body_size,
                DEFAULT_MAX_REQUEST_BYTES,
                MAX_REQUEST_BYTES,
            ),
            runtime_profiles_path: self.path(raw.runtime_profiles_url_path),
            max_profile_bytes: self.size(
                PROFILE_LIMIT,
                raw.max_runtime_profile_size,
                DEFAULT_MAX_PROFILE_BYTES,
                MAX_SIZE_BYTES,
            ),
        }
    }

    fn listen(&self, setting: &str, endpoint: Option<HostPort>, default: &str) -> Listen {
        let endpoint = endpoint.unwrap_or_else(|| default.parse().expect("the default is host:port"));
        Listen {
            endpoint,
            setting: self.section.at(setting).path.to_string(),
        }
    }

    fn size(&mut self, setting: &str, size: Option<ByteSize>, default_bytes: u64, max_bytes: u64) -> usize {
        let bytes = size.map_or(default_bytes, |size| size.0);
        if bytes == 0 || bytes > max_bytes {
            let message = format!("must be more than 0 and at most {} MiB", max_bytes / MIB);
            self.fail(setting, &message, "leave it out for the default");
        }
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    fn path(&mut self, path: Option<String>) -> String {
        const SETTING: &str = "protocols::http::runtime_profiles_url_path";
        let path = path.unwrap_or_else(|| "/v1/runtime-profiles".to_owned());
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
        if !path.starts_with('/') || !path.bytes().all(is_plain) {
            let help = "start with `/` and use letters, digits and `/-_.~`";
            self.fail(SETTING, &format!("`{path}` is not a path"), help);
        }
        if SIGNALS.iter().any(|(taken, _)| *taken == path) {
            self.fail(
                SETTING,
                &format!("`{path}` is a path of OTLP itself"),
                "choose another path",
            );
        }
        path
    }

    fn in_flight(&mut self, config: &OtlpConfig) {
        if config.max_concurrent_requests == 0 {
            self.fail(
                "max_concurrent_requests",
                "must be at least 1",
                "leave it out for the default",
            );
        }
        let Some((largest, limit)) = config.largest_request() else {
            return;
        };
        if config.max_in_flight_bytes < largest {
            let message = format!(
                "{} bytes cannot hold a request of {largest} bytes, which {limit} allows",
                config.max_in_flight_bytes
            );
            self.fail(
                "max_in_flight_size",
                &message,
                "raise it, or lower the limits of the protocols",
            );
        }
    }

    fn fail(&mut self, setting: &str, message: &str, help: &str) {
        self.failed = true;
        self.problems.push(self.section.at(setting), message).help(help);
    }
}

#[async_trait]
impl ReceiverConfig for OtlpConfig {
    async fn build(self: Box<Self>, context: BuildContext) -> Result<Box<dyn Receiver>, BuildError> {
        Ok(Box::new(OtlpReceiver::bind(*self, context).await?))
    }
}
