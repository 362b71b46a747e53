//! The life of the collector: configuration, components, signals.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use prometheus::Registry;
use spandrel_config::{Attempt, CollectorConfig, ConfigSource, Problems, ProcessEnvironment, RenderStyle};
use spandrel_pipeline::{Stop, StopSource};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::extensions::Extension;
use crate::graph::{self, Graph, Plan, Sections};
use crate::telemetry::metrics::MetricsServer;

/// The configuration that is used when none is given.
pub const DEFAULT_CONFIG: &str = include_str!("default.yaml");

/// A configuration without problems, and everything that was checked.
pub struct Checked {
    /// The configuration.
    pub config: CollectorConfig,
    /// The components in use.
    pub plan: Plan,
    /// What is odd and not wrong.
    pub warnings: Problems,
}

/// Loads and checks the configuration in `files`, or the embedded one if there are none.
///
/// # Errors
/// Every problem, each with file, line and column.
pub fn load(files: &[PathBuf], overrides: &[String]) -> Result<Checked, Problems> {
    let sources: Vec<ConfigSource> = if files.is_empty() {
        vec![ConfigSource::Text {
            name: "default.yaml (embedded)".to_owned(),
            text: DEFAULT_CONFIG.to_owned(),
        }]
    } else {
        files.iter().cloned().map(ConfigSource::File).collect()
    };
    let mut sections = Sections::default();
    let Attempt { config, mut problems } = spandrel_config::load_with(
        &sources,
        overrides,
        &ProcessEnvironment,
        &mut |kind, id, section, problems| {
            sections.check(kind, id, section, problems);
        },
    );
    let planned = config.and_then(|config| Some((graph::plan(&config, sections, &mut problems)?, config)));
    match planned {
        Some((plan, config)) => Ok(Checked {
            config,
            plan,
            warnings: problems,
        }),
        None => Err(problems),
    }
}

/// Problems as the terminal shows them, or as plain lines elsewhere.
pub fn render(problems: &Problems) -> String {
    use std::io::IsTerminal;
    let style = if std::io::stderr().is_terminal() {
        RenderStyle::Terminal { width: 100 }
    } else {
        RenderStyle::Plain
    };
    problems.render(style)
}

/// A built collector.
pub struct Service {
    graph: Graph,
    extensions: Vec<(String, Box<dyn Extension>)>,
    metrics: MetricsServer,
}

impl Service {
    /// Opens all ports and files of a checked configuration.
    ///
    /// # Errors
    /// The first that cannot be opened, with the reason.
    pub async fn build(checked: Checked) -> anyhow::Result<Self> {
        let registry = Registry::new();
        let address = checked.config.service.telemetry.metrics.address.to_string();
        let metrics = MetricsServer::bind(&address, registry.clone()).await?;
        let mut extensions = Vec::new();
        let mut plan = checked.plan;
        for (id, config) in std::mem::take(&mut plan.extensions) {
            let built = config
                .build()
                .await
                .with_context(|| format!("failed to build extension `{id}`"))?;
            extensions.push((id.to_string(), built));
        }
        let graph = Graph::build(plan, &registry).await?;
        Ok(Self {
            graph,
            extensions,
            metrics,
        })
    }

    /// Everything that listens: what it is, and where.
    pub fn listening_on(&self) -> Vec<(String, SocketAddr)> {
        let extensions = self
            .extensions
            .iter()
            .filter_map(|(id, extension)| Some((id.clone(), extension.listening_on()?)));
        let metrics = self
            .metrics
            .listening_on()
            .map(|address| ("metrics".to_owned(), address));
        self.graph
            .listening_on()
            .into_iter()
            .chain(extensions)
            .chain(metrics)
            .collect()
    }

    /// Runs until `stop`, then hands on everything that was accepted.
    ///
    /// # Errors
    /// Components that failed, or lost something.
    pub async fn run(self, stop: Stop) -> anyhow::Result<()> {
        let (ready, is_ready) = watch::channel(true);
        let beside = StopSource::new();
        let mut servers = JoinSet::new();
        servers.spawn(self.metrics.run(beside.stop()));
        for (_, extension) in self.extensions {
            servers.spawn(extension.run(is_ready.clone(), beside.stop()));
        }
        let stopping = stop.clone();
        servers.spawn(async move {
            stopping.requested().await;
            ready.send_replace(false);
            Ok(())
        });
        let outcome = self.graph.run(stop).await;
        beside.request();
        while let Some(ended) = servers.join_next().await {
            ended.context("a server ended unexpectedly")??;
        }
        outcome
    }
}
