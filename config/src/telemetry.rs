//! What the collector says about itself: `service::telemetry`.

use serde::Deserialize;

use crate::problems::Problems;
use crate::quantity::HostPort;
use crate::section::Section;

const DEFAULT_METRICS_HOST: &str = "localhost";
const DEFAULT_METRICS_PORT: u16 = 8888;

/// The collector's own logs and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// Own logs.
    pub logs: LogsTelemetry,
    /// Own metrics.
    pub metrics: MetricsTelemetry,
}

/// The collector's own logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogsTelemetry {
    /// The least severity that is logged.
    pub level: LogLevel,
}

/// The collector's own metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsTelemetry {
    /// How many of them there are.
    pub level: MetricsLevel,
    /// Where Prometheus reads them, at `/metrics`.
    pub address: HostPort,
}

/// Severity of the collector's own logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What happens, the default.
    #[default]
    Info,
    /// What is odd but recovered.
    Warn,
    /// Lost data, or a human must act.
    Error,
}

impl LogLevel {
    /// The word in a configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Detail of the collector's own metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricsLevel {
    /// No metrics, and nothing listens.
    None,
    /// The essential ones.
    Basic,
    /// The usual ones, the default.
    #[default]
    Normal,
    /// All of them.
    Detailed,
}

impl MetricsLevel {
    /// The word in a configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic => "basic",
            Self::Normal => "normal",
            Self::Detailed => "detailed",
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawTelemetry {
    logs: RawLogs,
    metrics: RawMetrics,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLogs {
    level: LogLevel,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawMetrics {
    level: MetricsLevel,
    address: Option<HostPort>,
    readers: Vec<RawReader>,
}

/// The Collector's notation: `readers: [{pull: {exporter: {prometheus: {host, port}}}}]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReader {
    pull: RawPull,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPull {
    exporter: RawPullExporter,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPullExporter {
    prometheus: RawPrometheus,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawPrometheus {
    host: String,
    port: u16,
}

impl Default for RawPrometheus {
    fn default() -> Self {
        Self {
            host: DEFAULT_METRICS_HOST.to_owned(),
            port: DEFAULT_METRICS_PORT,
        }
    }
}

impl RawTelemetry {
    /// Checks the settings; `service` is the section that holds `telemetry`. An address that is pushed as wrong is the default.
    pub(crate) fn check(self, service: &Section, problems: &mut Problems) -> Telemetry {
        let address = self.metrics.check_address(service, problems);
        Telemetry {
            logs: LogsTelemetry { level: self.logs.level },
            metrics: MetricsTelemetry {
                level: self.metrics.level,
                address: address.unwrap_or_else(default_address),
            },
        }
    }
}

fn default_address() -> HostPort {
    let address = format!("{DEFAULT_METRICS_HOST}:{DEFAULT_METRICS_PORT}").parse();
    address.expect("the default is an address")
}

impl RawMetrics {
    fn check_address(&self, service: &Section, problems: &mut Problems) -> Option<HostPort> {
        let readers_place = service.at("telemetry::metrics::readers");
        let default = RawPrometheus::default();
        let prometheus = match (&self.address, self.readers.as_slice()) {
            (Some(address), []) => return Some(address.clone()),
            (None, []) => &default,
            (None, [reader]) => &reader.pull.exporter.prometheus,
            (Some(_), _) => {
                problems
                    .push(readers_place, "`address` is given too")
                    .help("keep one of the two");
                return None;
            }
            (None, readers) => {
                problems.push(
                    readers_place,
                    format!("expected at most one reader, found {}", readers.len()),
                );
                return None;
            }
        };
        // An IPv6 host has no brackets there.
        let host = match prometheus.host.contains(':') && !prometheus.host.starts_with('[') {
            true => format!("[{}]", prometheus.host),
            false => prometheus.host.clone(),
        };
        match format!("{host}:{}", prometheus.port).parse() {
            Ok(address) => Some(address),
            Err(error) => {
                let place = service.at("telemetry::metrics::readers::0::pull::exporter::prometheus::host");
                problems.push(place, format!("{error}"));
                None
            }
        }
    }
}
