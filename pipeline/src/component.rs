//! The kinds of component. Each is built (which may open files and ports), then run until its [`Stop`] says otherwise.
//!
//! Stopping goes with the data: receivers first, then connectors, then exporters, so that each hands on what it holds
//! to somebody who still listens.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{Batch, Refusal, Signal, Stop, StoredRows};

/// Takes batches.
#[async_trait]
pub trait Consumer: Send + Sync + 'static {
    /// Returns when the callee has taken responsibility for `batch`, or has refused it.
    async fn consume(&self, batch: Batch) -> Result<(), Refusal>;

    /// The rows that earlier runs of the collector left here, for a component that starts again and sends to this one.
    /// `None` if there are none, or none that can be read: most consumers keep nothing.
    ///
    /// # Errors
    /// There should be rows, and they cannot be read.
    async fn recall(&self) -> Result<Option<Arc<dyn StoredRows>>, Refusal> {
        Ok(None)
    }
}

/// Takes batches out of the process.
#[async_trait]
pub trait Exporter: Consumer {
    /// Works in the background until `stop`, then hands on everything that was accepted and returns.
    ///
    /// # Errors
    /// What was accepted and could not be handed on is lost, and the error says how much.
    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), RunError>;
}

/// Brings batches into the process.
#[async_trait]
pub trait Receiver: Send {
    /// Protocols for which it listens, and where: for the start-up message and for tests that ask for any free port.
    fn listening_on(&self) -> Vec<(&'static str, SocketAddr)> {
        Vec::new()
    }

    /// Receives until `stop`, then answers what is under way and returns.
    ///
    /// # Errors
    /// The receiver cannot go on; the collector stops.
    async fn run(self: Box<Self>, outputs: Outputs, stop: Stop) -> Result<(), RunError>;
}

/// An exporter of some pipelines and a receiver of others.
#[async_trait]
pub trait Connector: Consumer {
    /// Takes up what an earlier run left, which those know that it sends to. Ends before anything is received.
    async fn restore(&self, _outputs: &Outputs) {}

    /// Works until `stop`, then sends on everything that it still holds and returns.
    ///
    /// # Errors
    /// What was accepted and could not be sent on is lost, and the error says how much.
    async fn run(self: Arc<Self>, outputs: Outputs, stop: Stop) -> Result<(), RunError>;

    /// Takes note that the process ends in order, though work may be going on beside the executor that ends with it. Comes
    /// last, however [`Self::run`] and [`Self::restore`] end, and waits for nothing.
    fn give_up(&self) {}
}

/// Where a receiver or connector sends batches: one consumer for each signal that a pipeline takes from it.
#[derive(Clone, Default)]
pub struct Outputs(BTreeMap<Signal, Arc<dyn Consumer>>);

impl Outputs {
    /// Outputs for the given signals.
    pub fn new(consumers: impl IntoIterator<Item = (Signal, Arc<dyn Consumer>)>) -> Self {
        Self(consumers.into_iter().collect())
    }

    /// The consumer of `signal`, if a pipeline takes it.
    pub fn get(&self, signal: Signal) -> Option<&Arc<dyn Consumer>> {
        self.0.get(&signal)
    }

    /// Signals that a pipeline takes.
    pub fn signals(&self) -> impl Iterator<Item = Signal> + '_ {
        self.0.keys().copied()
    }
}

/// Why a component ended other than by being stopped.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct RunError {
    what: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl RunError {
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
