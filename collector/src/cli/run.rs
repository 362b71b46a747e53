//! `spandrel run`: the collector.

use std::path::PathBuf;

use anyhow::{Context, bail};
use spandrel_pipeline::StopSource;

use super::output;
use crate::service::{self, Service};
use crate::telemetry::logs;

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
    /// Directory of the tables; short for `--set exporters.parquet.directory=DIR`.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Print the embedded configuration and exit.
    #[arg(long)]
    pub print_config: bool,
}

impl Args {
    fn overrides(&self) -> Vec<String> {
        let data = self
            .data
            .iter()
            .map(|dir| format!("exporters.parquet.directory={}", dir.display()));
        self.set.iter().cloned().chain(data).collect()
    }
}

/// Runs the collector until SIGINT or SIGTERM.
///
/// # Errors
/// Problems of the configuration; a port or file that cannot be opened; a component that failed or lost something.
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
    runtime.block_on(serve(checked))
}

async fn serve(checked: service::Checked) -> anyhow::Result<()> {
    let collector = Service::build(checked).await?;
    for (name, address) in collector.listening_on() {
        tracing::info!("{name} listens on {address}");
    }
    let source = StopSource::new();
    let stop = source.stop();
    let signal = termination()?;
    tokio::spawn(async move {
        signal.await;
        tracing::info!("stopping: no new data is taken, what was accepted is written");
        source.request();
    });
    collector.run(stop).await?;
    tracing::info!("stopped");
    Ok(())
}

/// Resolves at the first SIGINT or SIGTERM.
fn termination() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
