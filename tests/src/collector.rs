//! A running collector: `spandrel run` on free ports.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::process::Background;
use crate::sql::Tables;
use crate::{binary, http, recording};

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Lets the system choose every port; the collector logs which.
const FREE_PORTS: [&str; 4] = [
    "receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0",
    "receivers.otlp.protocols.http.endpoint=127.0.0.1:0",
    "extensions.health_check.endpoint=127.0.0.1:0",
    "service.telemetry.metrics.address=127.0.0.1:0",
];

/// Short times, so that tests do not wait for the defaults.
pub const QUICK: [&str; 3] = [
    "connectors.attribution.join_delay=2s",
    "connectors.attribution.window=10s",
    "exporters.parquet.flush_interval=1s",
];

/// A collector of this test. Killed when dropped.
#[derive(Debug)]
pub struct Collector {
    process: Background,
    data: PathBuf,
    /// OTLP/gRPC.
    pub grpc: SocketAddr,
    /// OTLP/HTTP and runtime profiles.
    pub http: SocketAddr,
    /// Its own metrics, at `/metrics`.
    pub metrics: SocketAddr,
}

impl Collector {
    /// Starts a collector with files and tables in `dir`, which is new. `configs` replace the embedded configuration,
    /// `settings` (`KEY=VALUE`) are put on top. Returns when all components run.
    ///
    /// # Panics
    /// It does not come up; the message holds its log.
    pub fn start(dir: &Path, configs: &[&Path], settings: &[&str]) -> Self {
        let data = dir.join("data");
        let mut command = binary::command(&["run"]);
        command.current_dir(dir).arg("--data").arg(&data);
        for config in configs {
            command.arg("--config").arg(config);
        }
        for setting in FREE_PORTS.iter().chain(settings) {
            command.args(["--set", setting]);
        }
        let mut process = Background::start("collector", &mut command, &dir.join("collector.log"));
        const PORTS: [&str; 4] = ["otlp (grpc)", "otlp (http)", "metrics", "health_check"];
        let [grpc, http, metrics, health] = process.wait_for("its ports", START_LIMIT, |log| {
            let ports: Option<Vec<SocketAddr>> = PORTS.iter().map(|name| listening(log, name)).collect();
            <[SocketAddr; 4]>::try_from(ports?).ok()
        });
        process.wait_for("health", START_LIMIT, |_| {
            http::get(health, "/").ok().filter(|answer| answer.status == 200)
        });
        Self {
            process,
            data,
            grpc,
            http,
            metrics,
        }
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until a line of the log holds all of `words`, and returns it.
    ///
    /// # Panics
    /// None does within `limit`.
    pub fn wait_for_log(&mut self, words: &[&str], limit: Duration) -> String {
        let what = format!("a line of its log with {words:?}");
        self.process.wait_for(&what, limit, |log| {
            let mut lines = log.lines();
            lines
                .find(|line| words.iter().all(|word| line.contains(word)))
                .map(str::to_owned)
        })
    }

    /// The sum over all series of one of its metrics; 0 if there are none.
    ///
    /// # Panics
    /// The metrics cannot be read.
    pub fn metric(&self, name: &str) -> f64 {
        let page = http::get(self.metrics, "/metrics").expect("the collector serves its metrics");
        let series = page.body.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let value = if rest.starts_with('{') {
                rest.rsplit_once('}')?.1
            } else {
                rest.strip_prefix(' ')?
            };
            value.trim().parse::<f64>().ok()
        });
        series.sum()
    }

    /// Sends a recording and waits until it is joined and stored.
    ///
    /// # Panics
    /// A part of it is refused.
    pub fn replay(&self) {
        self.replay_with(&recording::dir(), &[]);
    }

    /// Sends a recording and returns when it has been accepted.
    ///
    /// # Panics
    /// A part of it is refused.
    pub fn replay_without_waiting(&self) {
        self.replay_with(&recording::dir(), &["--no-wait"]);
    }

    /// Sends the recording in `dir`, and returns when it has been accepted.
    ///
    /// # Panics
    /// A part of it is refused.
    pub fn send(&self, dir: &Path) {
        self.replay_with(dir, &["--no-wait"]);
    }

    fn replay_with(&self, dir: &Path, options: &[&str]) {
        let [grpc, http] = [self.grpc, self.http].map(|address| format!("http://{address}"));
        let metrics = format!("http://{}/metrics", self.metrics);
        let mut arguments = vec!["replay", dir.to_str().expect("our paths are ASCII")];
        arguments.extend(["--grpc", &grpc, "--http", &http, "--metrics", &metrics]);
        arguments.extend(options);
        binary::run(&arguments).success();
    }

    /// Its tables, as far as they are written.
    pub fn tables(&self) -> Tables {
        Tables::new(&self.data)
    }

    /// Sends SIGTERM and does not wait.
    pub fn ask_to_stop(&self) {
        self.process.ask_to_terminate();
    }

    /// Waits until it has ended by itself: exit code and log.
    ///
    /// # Panics
    /// It has not within `limit`; the message holds its log.
    pub fn ended(mut self, limit: Duration) -> (Option<i32>, String) {
        let status = self.process.wait(limit);
        (status.code(), self.log())
    }

    /// Stops it with SIGTERM and returns its tables.
    ///
    /// # Panics
    /// It does not end in time, or not with success; the message holds its log.
    pub fn stop(mut self) -> Tables {
        let status = self.process.terminate(STOP_LIMIT);
        assert!(status.success(), "the collector ended with {status}\n{}", self.log());
        Tables::new(&self.data)
    }
}

/// The address in the line `... {name} listens on {address}` of a log.
fn listening(log: &str, name: &str) -> Option<SocketAddr> {
    let marker = format!(" {name} listens on ");
    log.lines()
        .find_map(|line| line.split_once(&marker)?.1.trim().parse().ok())
}
