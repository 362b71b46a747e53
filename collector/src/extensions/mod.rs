//! What runs beside the pipelines and takes no telemetry.

pub mod health_check;

use std::net::SocketAddr;

use async_trait::async_trait;
use spandrel_config::{Problems, Section};
use spandrel_pipeline::{BuildError, RunError, Stop};
use tokio::sync::watch;

/// A kind of extension.
pub struct ExtensionFactory {
    /// Type in the configuration.
    pub kind: &'static str,
    /// One line for `spandrel components`.
    pub summary: &'static str,
    /// Checks a section and reports every problem in it; `None` if there was one.
    pub check: fn(&Section, &mut Problems) -> Option<Box<dyn ExtensionConfig>>,
}

/// A checked section of an extension.
#[async_trait]
pub trait ExtensionConfig: Send {
    /// Opens what the extension needs, such as its port.
    async fn build(self: Box<Self>) -> Result<Box<dyn Extension>, BuildError>;
}

/// A built extension.
#[async_trait]
pub trait Extension: Send {
    /// Address on which it listens, for the start-up message.
    fn listening_on(&self) -> Option<SocketAddr>;

    /// Runs until `stop`. `ready` is true while all components run.
    ///
    /// # Errors
    /// The extension cannot go on.
    async fn run(self: Box<Self>, ready: watch::Receiver<bool>, stop: Stop) -> Result<(), RunError>;
}
