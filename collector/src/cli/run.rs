//! `spandrel run`: the collector.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use spandrel_pipeline::StopSource;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::output;
use crate::service::{self, Service};
use crate::telemetry::logs;

/// Signals that come so soon after the first one are the same: a terminal and a program that passes signals on both send one.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// Options of `spandrel run`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --config, an embedded configuration listens on 127.0.0.1 (OTLP on 4317 and 4318, metrics on \
    8888, health on 13133) and stores under ./spandrel-data. `spandrel run --print-config` shows it."
)]
pub struct Args {
    /// Configuration file, YAML. Given several times, later files are merged over earlier ones.
    #[arg(short, long, value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// Override one setting, such as `exporters.parquet.flush_interval=1s`. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Directory of the tables, and of recordings; short for `--set exporters.parquet.directory=DIR`
    /// `--set connectors.attribution.recordings_directory=DIR/recordings`.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Print the embedded configuration and exit.
    #[arg(long)]
    pub print_config: bool,
}

impl Args {
    fn overrides(&self) -> Vec<String> {
        let data = self.data.iter().flat_map(|dir| {
            let recordings = dir.join("recordings");
            [
                format!("exporters.parquet.directory={}", dir.display()),
                format!("connectors.attribution.recordings_directory={}", recordings.display()),
            ]
        });
        // What is set by its own name comes last, and so wins.
        data.chain(self.set.iter().cloned()).collect()
    }
}

/// Runs the collector until SIGINT or SIGTERM. The first one lets it write what it has accepted, a second one does not.
///
/// # Errors
/// Problems of the configuration; a port or file that cannot be opened; a component that failed or lost something; a
/// second signal.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.print_config {
        return output::write(service::DEFAULT_CONFIG);
    }
    let checked = match service::load(&args.config, &args.overrides()) {
        Ok(checked) => checked,
        Err(problems) => {
            eprintln!("{}", service::render(&problems));
            bail!("the configuration has problems, nothing was started");
        }
    };
    if !checked.warnings.is_empty() {
        eprintln!("{}", service::render(&checked.warnings));
    }
    logs::start(checked.config.service.telemetry.logs.level);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start threads")?;
    let outcome = runtime.block_on(serve(checked));
    // Nothing is left to wait for but work that shall not be waited for: after a second signal, or when patience was over.
    // Connectors know that it is given up.
    runtime.shutdown_background();
    outcome
}

async fn serve(checked: service::Checked) -> anyhow::Result<()> {
    let collector = Service::build(checked).await?;
    for (name, address) in collector.listening_on() {
        tracing::info!("{name} listens on {address}");
    }
    let source = StopSource::new();
    let stop = source.stop();
    let mut signals = Terminations::listen()?;
    let stopped_twice = async {
        signals.next().await;
        tracing::info!(
            "stopping: no new data is taken, what was accepted is written; a second signal ends this at once"
        );
        source.request();
        let first = Instant::now();
        while first.elapsed() < SAME_SIGNAL {
            signals.next().await;
        }
    };
    tokio::select! {
        outcome = collector.run(stop) => outcome?,
        () = stopped_twice => bail!(
            "ended at once by a second signal, as in a crash: rows not yet flushed and requests not yet delivered are \
             lost; the tables are whole, and what they hold unjoined is joined at the next start"
        ),
    }
    tracing::info!("stopped");
    Ok(())
}

/// SIGINT and SIGTERM.
struct Terminations {
    interrupt: Signal,
    terminate: Signal,
}

impl Terminations {
    /// From now on they do not end the process.
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?,
            terminate: signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?,
        })
    }

    /// Resolves at the next one.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
