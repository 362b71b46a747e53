//! The `go_runtime` receiver: pulls Go execution traces from `/debug/pprof/trace` of running services.
//!
//! Each target has its own worker; a target that is slow, down or serves something else costs the others nothing. A
//! trace is handed on undecoded. Not here: uploads, which the `otlp` receiver takes.

mod config;
mod pull;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use prometheus::{IntCounterVec, Opts};
use reqwest::{Client, Url};
use spandrel_config::{Problems, Section};
use spandrel_pipeline::{
    BuildContext, BuildError, Consumer, Outputs, Receiver, ReceiverFactory, RequestContext, RunError, Signal, Stop,
};
use tokio::task::JoinSet;

use super::log_limit::LogLimit;
use super::metrics::{ReceiverMetrics, counter_vec};
use config::{GoRuntimeConfig, Target};
use pull::Limits;
use worker::{FIRST_RETRY, LOG_PERIOD, Worker};

/// The row of the component table.
pub static FACTORY: ReceiverFactory = ReceiverFactory {
    kind: "go_runtime",
    emits: EMITS,
    summary: "pulls Go execution traces from /debug/pprof/trace",
    check: config::check,
};

const EMITS: &[Signal] = &[Signal::Profiles];

/// How long the recordings of a section last; `None` if the section is not valid.
pub fn trace_duration(section: &Section) -> Option<Duration> {
    GoRuntimeConfig::check(section, &mut Problems::new()).map(|config| config.trace_duration)
}

/// As the metrics and the request context name it.
const TRANSPORT: &str = "http";

/// A receiver that is ready to pull.
struct GoRuntimeReceiver {
    id: Arc<str>,
    config: GoRuntimeConfig,
    client: Client,
    metrics: ReceiverMetrics,
    errors: IntCounterVec,
    first_retry: Duration,
}

impl GoRuntimeReceiver {
    fn build(config: GoRuntimeConfig, context: &BuildContext) -> Result<Self, BuildError> {
        // Targets are neighbors: a proxy meant for the Internet does not reach them. A redirect leads to a login page.
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| BuildError::caused_by("cannot set up the HTTP client", error))?;
        let errors = Opts::new(
            "spandrel_go_runtime_errors",
            "Execution traces that could not be pulled or handed on, by target and kind of error.",
        );
        Ok(Self {
            id: Arc::clone(&context.id),
            config,
            client,
            metrics: ReceiverMetrics::register(context, EMITS, &[TRANSPORT])?,
            errors: counter_vec(context, errors, &["target", "kind"])?,
            first_retry: FIRST_RETRY,
        })
    }

    fn worker(&self, target: &Target, consumer: &Arc<dyn Consumer>) -> Worker {
        let context = RequestContext {
            receiver: Arc::clone(&self.id),
            transport: TRANSPORT,
        };
        Worker {
            target: display_name(&target.endpoint),
            url: trace_url(&target.endpoint, self.config.trace_duration),
            process: target.process.clone(),
            interval: self.config.collection_interval,
            limits: Limits {
                timeout: self.config.timeout,
                max_trace_bytes: self.config.max_trace_bytes,
            },
            client: self.client.clone(),
            consumer: Arc::clone(consumer),
            context: Arc::new(context),
            metrics: self.metrics.clone(),
            errors: self.errors.clone(),
            log: LogLimit::new(LOG_PERIOD),
            first_retry: self.first_retry,
        }
    }
}

/// The endpoint without what may be secret.
fn display_name(endpoint: &Url) -> Arc<str> {
    let mut url = endpoint.clone();
    // These fail for URLs that cannot have credentials, which is as good.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.as_str().into()
}

/// `net/http/pprof` takes fractions of a second.
fn trace_url(endpoint: &Url, duration: Duration) -> Url {
    let mut url = endpoint.clone();
    url.query_pairs_mut()
        .append_pair("seconds", &duration.as_secs_f64().to_string());
    url
}

#[async_trait]
impl Receiver for GoRuntimeReceiver {
    async fn run(self: Box<Self>, outputs: Outputs, stop: Stop) -> Result<(), RunError> {
        let Some(consumer) = outputs.get(Signal::Profiles) else {
            return Err(RunError::new(format!(
                "no pipeline takes profiles from receiver `{}`",
                self.id
            )));
        };
        let mut workers = JoinSet::new();
        for target in &self.config.targets {
            workers.spawn(self.worker(target, consumer).run(stop.clone()));
        }
        while let Some(ended) = workers.join_next().await {
            ended.map_err(|error| RunError::caused_by("the worker of a target failed", error))?;
        }
        Ok(())
    }
}
