//! Logs of the collector, on standard error.

use std::io::IsTerminal;

use spandrel_config::LogLevel;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Starts logging at `level`. The environment variable `SPANDREL_LOG` overrides it with `tracing` directives, such as
/// `spandrel_processors=debug`. Libraries log warnings only, unless asked.
pub fn start(level: LogLevel) {
    let level = match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    let own = [
        "spandrel",
        "spandrel_exporters",
        "spandrel_pipeline",
        "spandrel_processors",
        "spandrel_store",
    ];
    let default = own
        .iter()
        .fold("warn".to_owned(), |filter, name| format!("{filter},{name}={level}"));
    let filter = EnvFilter::try_from_env("SPANDREL_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    // A second call, as from several tests in one process, finds logging started and changes nothing.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}
