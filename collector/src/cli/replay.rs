//! `spandrel replay`: a recording of a real service, sent to a running collector as the service sent it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use serde::Deserialize;
use tokio::time::sleep;
use tonic::transport::Channel;

use super::progress::Step;
use crate::files;
use crate::report::number::counted;

/// Longest time to wait for the join and for the last flush.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often the collector's metrics are asked.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Options of `spandrel replay`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory of the recording: manifest.json, otlp/, profiles/.
    #[arg(value_name = "DIR")]
    pub recording: PathBuf,
    /// OTLP/gRPC endpoint of the collector.
    #[arg(long, default_value = "http://127.0.0.1:4317", value_name = "URL")]
    pub grpc: String,
    /// OTLP/HTTP endpoint of the collector, where runtime profiles go.
    #[arg(long, default_value = "http://127.0.0.1:4318", value_name = "URL")]
    pub http: String,
    /// Metrics of the collector, to see when everything has been joined and written.
    #[arg(long, default_value = "http://127.0.0.1:8888/metrics", value_name = "URL")]
    pub metrics: String,
    /// Return as soon as everything has been accepted.
    #[arg(long)]
    pub no_wait: bool,
}

/// The part of `manifest.json` that a replay needs.
#[derive(Debug, Deserialize)]
struct Manifest {
    format: String,
    items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
struct Item {
    file: PathBuf,
    kind: Kind,
    #[serde(default)]
    resource: BTreeMap<String, serde_json::Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Kind {
    #[serde(rename = "otlp.traces")]
    Traces,
    #[serde(rename = "otlp.metrics")]
    Metrics,
    #[serde(rename = "otlp.logs")]
    Logs,
    #[serde(rename = "go.execution_trace")]
    GoExecutionTrace,
}

/// Sends the recording and waits until it is joined and stored.
///
/// # Errors
/// The recording cannot be read, or the collector refuses a part of it; the message names the file.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let manifest = read_manifest(&args.recording)?;
    let runtime = tokio::runtime::Runtime::new().context("failed to start threads")?;
    runtime.block_on(async {
        replay(args, &manifest).await?;
        if args.no_wait {
            Ok(())
        } else {
            wait(&args.metrics).await
        }
    })
}

fn read_manifest(dir: &Path) -> anyhow::Result<Manifest> {
    let path = dir.join("manifest.json");
    let manifest: Manifest =
        serde_json::from_slice(&files::read(&path)?).with_context(|| format!("cannot read `{}`", path.display()))?;
    if manifest.format != "spandrel-recording/1" {
        bail!(
            "`{}` is of format `{}`, expected `spandrel-recording/1`",
            path.display(),
            manifest.format
        );
    }
    Ok(manifest)
}

async fn replay(args: &Args, manifest: &Manifest) -> anyhow::Result<()> {
    let step = Step::counted("replay", manifest.items.len() as u64);
    let mut sender = Sender::connect(args).await?;
    for item in &manifest.items {
        let path = args.recording.join(&item.file);
        let bytes = files::read(&path)?;
        sender
            .send(item, bytes)
            .await
            .with_context(|| format!("failed to send `{}`", path.display()))?;
        step.advance();
    }
    step.finish(&format!("{} accepted", counted(manifest.items.len() as u64, "request")));
    Ok(())
}

struct Sender {
    traces: TraceServiceClient<Channel>,
    metrics: MetricsServiceClient<Channel>,
    logs: LogsServiceClient<Channel>,
    http: reqwest::Client,
    profiles_url: String,
}

impl Sender {
    async fn connect(args: &Args) -> anyhow::Result<Self> {
        let channel = Channel::from_shared(args.grpc.clone())
            .with_context(|| format!("`{}` is not a URL", args.grpc))?
            .connect()
            .await
            .with_context(|| {
                format!(
                    "no collector answers at `{}` (start one with `spandrel run`)",
                    args.grpc
                )
            })?;
        Ok(Self {
            traces: TraceServiceClient::new(channel.clone()),
            metrics: MetricsServiceClient::new(channel.clone()),
            logs: LogsServiceClient::new(channel),
            http: reqwest::Client::new(),
            profiles_url: format!("{}/v1/runtime-profiles", args.http.trim_end_matches('/')),
        })
    }

    async fn send(&mut self, item: &Item, bytes: Vec<u8>) -> anyhow::Result<()> {
        match item.kind {
            Kind::Traces => {
                self.traces
                    .export(ExportTraceServiceRequest::decode(bytes.as_slice())?)
                    .await?;
            }
            Kind::Metrics => {
                self.metrics
                    .export(ExportMetricsServiceRequest::decode(bytes.as_slice())?)
                    .await?;
            }
            Kind::Logs => {
                self.logs
                    .export(ExportLogsServiceRequest::decode(bytes.as_slice())?)
                    .await?;
            }
            Kind::GoExecutionTrace => self.send_profile(item, bytes).await?,
        }
        Ok(())
    }

    async fn send_profile(&self, item: &Item, bytes: Vec<u8>) -> anyhow::Result<()> {
        let text = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let pairs: Vec<String> = item
            .resource
            .iter()
            .map(|(key, value)| format!("{key}={}", text(value)))
            .collect();
        let request = self
            .http
            .post(&self.profiles_url)
            .header("X-Spandrel-Resource", pairs.join(","))
            .body(bytes);
        let response = request.send().await?;
        let status = response.status();
        if !status.is_success() {
            bail!(
                "the collector answered {status}: {}",
                response.text().await.unwrap_or_default()
            );
        }
        Ok(())
    }
}

/// Waits until the collector's metrics say that nothing waits for the join and nothing for the disk.
async fn wait(metrics_url: &str) -> anyhow::Result<()> {
    let join = Step::waiting("join");
    let started = Instant::now();
    loop {
        let now = scrape(metrics_url).await?;
        let (pending, windows) = (
            now.sum("spandrel_attribution_pending_spans"),
            now.sum("spandrel_attribution_open_windows"),
        );
        if pending == 0.0 && windows == 0.0 {
            let joined = now.sum("spandrel_attribution_joined_spans");
            join.finish(&format!("{} joined", counted(joined as u64, "span")));
            break;
        }
        join.say(format!(
            "waiting for neighbors: {}; open: {}",
            counted(pending as u64, "span"),
            counted(windows as u64, "window")
        ));
        if started.elapsed() > PATIENCE {
            bail!(
                "still waiting to be joined after {PATIENCE:?}: {}",
                counted(pending as u64, "span")
            );
        }
        sleep(POLL_INTERVAL).await;
    }
    let flush = Step::waiting("flush");
    loop {
        let now = scrape(metrics_url).await?;
        let buffered = now.sum("spandrel_exporter_buffered_bytes");
        if buffered == 0.0 {
            let stored = now.sum("spandrel_exporter_sent_rows");
            flush.finish(&format!("{} stored", counted(stored as u64, "row")));
            return Ok(());
        }
        flush.say(format!("{buffered} bytes wait to be written"));
        if started.elapsed() > PATIENCE {
            bail!("{buffered} bytes are still waiting to be written after {PATIENCE:?}");
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// Metrics in Prometheus' text format.
struct Metrics(String);

impl Metrics {
    /// The sum of all series of `name`; 0 if there are none.
    fn sum(&self, name: &str) -> f64 {
        let values = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let value = if rest.starts_with('{') {
                rest.rsplit_once('}')?.1
            } else {
                rest.strip_prefix(' ')?
            };
            value.trim().parse::<f64>().ok()
        });
        values.sum()
    }
}

async fn scrape(url: &str) -> anyhow::Result<Metrics> {
    let text = async { reqwest::get(url).await?.error_for_status()?.text().await };
    Ok(Metrics(text.await.with_context(|| {
        format!("cannot read the metrics of the collector at `{url}`")
    })?))
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn series_of_a_metric_are_summed() {
        let text = "# HELP a x\na{k=\"1\"} 2\na{k=\"2\"} 3.5\nab 9\nb 1\n".to_owned();
        assert_eq!(
            (
                Metrics(text.clone()).sum("a"),
                Metrics(text.clone()).sum("b"),
                Metrics(text).sum("c")
            ),
            (5.5, 1.0, 0.0)
        );
    }
}
