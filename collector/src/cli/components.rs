//! `spandrel components`: what this binary can do.

use spandrel_pipeline::Signal;

use super::output;
use crate::components::{CONNECTORS, EXPORTERS, EXTENSIONS, RECEIVERS};

/// Prints every component with its signals.
///
/// # Errors
/// They cannot be written.
pub fn run() -> anyhow::Result<()> {
    let mut page = String::from("receivers:\n");
    for factory in RECEIVERS {
        page += &line(
            factory.kind,
            factory.summary,
            &format!(" [emits {}]", names(factory.emits)),
        );
    }
    page += "connectors:\n";
    for factory in CONNECTORS {
        let (accepts, emits) = (names(factory.accepts), names(factory.emits));
        let signals = format!(" [accepts {accepts}; emits {emits}]");
        page += &line(factory.kind, factory.summary, &signals);
    }
    page += "exporters:\n";
    for factory in EXPORTERS {
        let signals = format!(" [accepts {}]", names(factory.accepts));
        page += &line(factory.kind, factory.summary, &signals);
    }
    page += "extensions:\n";
    for factory in EXTENSIONS {
        page += &line(factory.kind, factory.summary, "");
    }
    output::write(&page)
}

fn line(kind: &str, summary: &str, signals: &str) -> String {
    format!("  {kind:<14} {summary}{signals}\n")
}

fn names(signals: &[Signal]) -> String {
    signals
        .iter()
        .map(|signal| signal.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}
