//! `spandrel components`: what this binary can do.

use spandrel_pipeline::Signal;

use crate::components::{CONNECTORS, EXPORTERS, EXTENSIONS, RECEIVERS};

/// Prints every component with its signals.
///
/// # Errors
/// None today; the signature is that of all commands.
pub fn run() -> anyhow::Result<()> {
    println!("receivers:");
    for factory in RECEIVERS {
        println!(
            "  {:<14} {} [emits {}]",
            factory.kind,
            factory.summary,
            names(factory.emits)
        );
    }
    println!("connectors:");
    for factory in CONNECTORS {
        let (accepts, emits) = (names(factory.accepts), names(factory.emits));
        println!(
            "  {:<14} {} [accepts {accepts}; emits {emits}]",
            factory.kind, factory.summary
        );
    }
    println!("exporters:");
    for factory in EXPORTERS {
        println!(
            "  {:<14} {} [accepts {}]",
            factory.kind,
            factory.summary,
            names(factory.accepts)
        );
    }
    println!("extensions:");
    for factory in EXTENSIONS {
        println!("  {:<14} {}", factory.kind, factory.summary);
    }
    Ok(())
}

fn names(signals: &[Signal]) -> String {
    signals
        .iter()
        .map(|signal| signal.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}
