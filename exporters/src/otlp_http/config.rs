//! Configuration of the `otlp_http` exporter.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Url;
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use spandrel_config::{ByteSize, HumanDuration, Problems, Section};
use spandrel_pipeline::{BuildContext, BuildError, Exporter, ExporterConfig, ExporterFactory, Signal};

use super::OtlpHttpExporter;

/// The row of this component in the collector's table.
pub static FACTORY: ExporterFactory = ExporterFactory {
    kind: "otlp_http",
    accepts: &[Signal::Traces, Signal::Metrics, Signal::Logs],
    summary: "sends traces, metrics and logs to an OTLP endpoint over HTTP",
    check: |section, problems| {
        let config = OtlpHttpConfig::check(section, problems)?;
        Some(Box::new(config))
    },
};

/// The section as it stands in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawOtlpHttp {
    endpoint: Option<String>,
    traces_endpoint: Option<String>,
    metrics_endpoint: Option<String>,
    logs_endpoint: Option<String>,
    headers: BTreeMap<String, String>,
    compression: Option<RawCompression>,
    timeout: Option<HumanDuration>,
    retry_on_failure: RawRetry,
    queue_limit: Option<ByteSize>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawCompression {
    Gzip,
    None,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRetry {
    initial_interval: Option<HumanDuration>,
    max_interval: Option<HumanDuration>,
    max_elapsed_time: Option<HumanDuration>,
}

/// A valid section.
#[derive(Clone, Debug)]
pub struct OtlpHttpConfig {
    /// Where requests with spans go. Default `<endpoint>/v1/traces`.
    pub traces: Url,
    /// Where requests with metrics go. Default `<endpoint>/v1/metrics`.
    pub metrics: Url,
    /// Where requests with log records go. Default `<endpoint>/v1/logs`.
    pub logs: Url,
    /// Sent with every request. Default none.
    pub headers: HeaderMap,
    /// Whether bodies are compressed by gzip. Default yes.
    pub compresses: bool,
    /// How long one attempt may take. Default 30 s.
    pub timeout: Duration,
    /// When an attempt is made again.
    pub retry: RetryRules,
    /// Bytes accepted and not delivered beyond which batches are refused. Default 64 MiB.
    pub queue_limit_bytes: u64,
}

/// When an attempt that may succeed later is made again. Each pause is one and a half times the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryRules {
    /// Pause after the first attempt. Default 5 s.
    pub initial_interval: Duration,
    /// The longest pause. Default 30 s.
    pub max_interval: Duration,
    /// How long after the first attempt a request is given up; `None`: never. Default 5 min.
    pub max_elapsed: Option<Duration>,
}

impl Default for RetryRules {
    fn default() -> Self {
        Self {
            initial_interval: Duration::from_secs(5),
            max_interval: Duration::from_secs(30),
            max_elapsed: Some(Duration::from_secs(300)),
        }
    }
}

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_QUEUE_LIMIT_BYTES: u64 = 64 << 20;
/// Headers that say what a body is.
const RESERVED_HEADERS: [HeaderName; 3] = [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LENGTH];
const EXAMPLE: &str = "write it like http://localhost:4318";

impl OtlpHttpConfig {
    /// Checks a section; every problem goes to `problems`.
    pub fn check(section: &Section, problems: &mut Problems) -> Option<Self> {
        let raw: RawOtlpHttp = section.parse(problems)?;
        let mut found = Problems::new();
        let base = raw
            .endpoint
            .as_deref()
            .and_then(|text| url(text, "endpoint", section, &mut found));
        let mut url_of = |key: &str, given: Option<&str>, path: &str| match (given, &base) {
            (Some(text), _) => url(text, key, section, &mut found),
            (None, Some(base)) => Some(below(base, path)),
            (None, None) => None,
        };
        let traces = url_of("traces_endpoint", raw.traces_endpoint.as_deref(), "v1/traces");
        let metrics = url_of("metrics_endpoint", raw.metrics_endpoint.as_deref(), "v1/metrics");
        let logs = url_of("logs_endpoint", raw.logs_endpoint.as_deref(), "v1/logs");
        if raw.endpoint.is_none() {
            found.push(section.at("endpoint"), "is required").help(EXAMPLE);
        }
        if let Some(base) = &base
            && base.path().trim_end_matches('/').ends_with("/v1/traces")
        {
            found
                .warn(
                    section.at("endpoint"),
                    "ends with /v1/traces, to which the path of each signal is appended",
                )
                .help("leave the path out, or write it as traces_endpoint");
        }
        let headers = headers(&raw.headers, section, &mut found);
        let retry = retry_rules(&raw.retry_on_failure, section, &mut found);
        let timeout = raw.timeout.map_or(DEFAULT_TIMEOUT, |duration| duration.0);
        if timeout.is_zero() {
            found
                .push(section.at("timeout"), "must be more than 0")
                .help("leave it out for 30s");
        }
        let valid = !found.has_errors();
        problems.append(found);
        if !valid {
            return None;
        }
        Some(Self {
            traces: traces?,
            metrics: metrics?,
            logs: logs?,
            headers,
            compresses: matches!(raw.compression, None | Some(RawCompression::Gzip)),
            timeout,
            retry,
            queue_limit_bytes: raw.queue_limit.map_or(DEFAULT_QUEUE_LIMIT_BYTES, |size| size.0),
        })
    }
}

fn url(text: &str, key: &str, section: &Section, problems: &mut Problems) -> Option<Url> {
    // What is refused is not quoted: it may hold a password.
    let refused = match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => return Some(url),
        Ok(url) => format!("is not an http or https URL, but one of `{}`", url.scheme()),
        Err(error) => format!("is not a URL: {error}"),
    };
    problems.push(section.at(key), refused).help(EXAMPLE);
    None
}

/// `base` with `path` appended, whether or not it ends with a slash.
fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

fn headers(raw: &BTreeMap<String, String>, section: &Section, problems: &mut Problems) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in raw {
        let place = || section.at(&format!("headers::{name}"));
        let parsed = (HeaderName::try_from(name), HeaderValue::try_from(value));
        let (Ok(name), Ok(mut value)) = parsed else {
            problems
                .push(place(), "is not a header of HTTP")
                .help("for example `authorization: Bearer ...`");
            continue;
        };
        if RESERVED_HEADERS.contains(&name) {
            problems.push(place(), "is set by the exporter").help("leave it out");
        }
        // It may be a password, which must not show in messages.
        value.set_sensitive(true);
        if headers.insert(name, value).is_some() {
            problems
                .push(place(), "is given twice")
                .help("names of headers are the same in upper and lower case");
        }
    }
    headers
}

fn retry_rules(raw: &RawRetry, section: &Section, problems: &mut Problems) -> RetryRules {
    let default = RetryRules::default();
    let or = |given: Option<HumanDuration>, default: Duration| given.map_or(default, |duration| duration.0);
    let initial_interval = or(raw.initial_interval, default.initial_interval);
    let max_interval = or(raw.max_interval, default.max_interval.max(initial_interval));
    if initial_interval.is_zero() {
        problems
            .push(section.at("retry_on_failure::initial_interval"), "must be more than 0")
            .help("leave it out for 5s");
    }
    if max_interval < initial_interval {
        problems
            .push(
                section.at("retry_on_failure::max_interval"),
                "must not be shorter than initial_interval",
            )
            .help("leave it out for 30s");
    }
    let max_elapsed = raw.max_elapsed_time.map_or(default.max_elapsed, |duration| {
        Some(duration.0).filter(|duration| !duration.is_zero())
    });
    RetryRules {
        initial_interval,
        max_interval,
        max_elapsed,
    }
}

#[async_trait]
impl ExporterConfig for OtlpHttpConfig {
    async fn build(self: Box<Self>, context: BuildContext) -> Result<Arc<dyn Exporter>, BuildError> {
        Ok(Arc::new(OtlpHttpExporter::new(*self, &context)?))
    }
}
