//! How a component comes to be: its section is checked (pure), then built (may open files and ports), then run.
//!
//! A factory is a row of the component table in the collector: plain data and one function, no registration.

use std::sync::Arc;

use async_trait::async_trait;
use prometheus::Registry;
use spandrel_config::{Problems, Section};

use crate::{Connector, Exporter, Receiver, Signal};

/// What a component may need while it is built.
#[derive(Clone)]
pub struct BuildContext {
    /// Id of the component in the configuration, `type[/name]`.
    pub id: Arc<str>,
    /// Where it registers its metrics.
    pub registry: Registry,
}

/// A kind of receiver.
pub struct ReceiverFactory {
    /// Type in the configuration.
    pub kind: &'static str,
    /// Signals it can emit.
    pub emits: &'static [Signal],
    /// One line for `spandrel components`.
    pub summary: &'static str,
    /// Checks a section and reports every problem in it; `None` if there was one.
    pub check: fn(&Section, &mut Problems) -> Option<Box<dyn ReceiverConfig>>,
}

/// A kind of exporter.
pub struct ExporterFactory {
    /// Type in the configuration.
    pub kind: &'static str,
    /// Signals it accepts.
    pub accepts: &'static [Signal],
    /// One line for `spandrel components`.
    pub summary: &'static str,
    /// Checks a section and reports every problem in it; `None` if there was one.
    pub check: fn(&Section, &mut Problems) -> Option<Box<dyn ExporterConfig>>,
}

/// A kind of connector.
pub struct ConnectorFactory {
    /// Type in the configuration.
    pub kind: &'static str,
    /// Signals it accepts, at the end of a pipeline.
    pub accepts: &'static [Signal],
    /// Signals it emits, at the beginning of a pipeline.
    pub emits: &'static [Signal],
    /// One line for `spandrel components`.
    pub summary: &'static str,
    /// Checks a section and reports every problem in it; `None` if there was one.
    pub check: fn(&Section, &mut Problems) -> Option<Box<dyn ConnectorConfig>>,
}

/// A checked section of a receiver.
#[async_trait]
pub trait ReceiverConfig: Send {
    /// Opens what the receiver needs, such as its port.
    async fn build(self: Box<Self>, context: BuildContext) -> Result<Box<dyn Receiver>, BuildError>;
}

/// A checked section of an exporter.
#[async_trait]
pub trait ExporterConfig: Send {
    /// Opens what the exporter needs, such as its directory.
    async fn build(self: Box<Self>, context: BuildContext) -> Result<Arc<dyn Exporter>, BuildError>;
}

/// A checked section of a connector.
#[async_trait]
pub trait ConnectorConfig: Send {
    /// Opens what the connector needs.
    async fn build(self: Box<Self>, context: BuildContext) -> Result<Arc<dyn Connector>, BuildError>;
}

/// Why a component with a valid section could not be built.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct BuildError {
    what: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl BuildError {
    /// An error without a cause of its own.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            source: None,
        }
    }

    /// An error caused by `source`.
    pub fn caused_by(what: impl Into<String>, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self {
            what: what.into(),
            source: Some(Box::new(source)),
        }
    }
}
