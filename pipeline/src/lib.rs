//! What flows in a pipeline, and how a component accepts or refuses it.
//!
//! * [`Batch`]: telemetry of one signal. OTLP requests stay protobuf bytes until somebody asks for rows.
//! * [`Consumer`]: takes responsibility for a batch, or says why not with a [`Refusal`].
//! * [`Receiver`], [`Exporter`], [`Connector`]: the kinds of component, each with one life: built, run, stopped.
//! * [`ReceiverFactory`], [`ExporterFactory`], [`ConnectorFactory`]: how a component comes to be.
//! * [`StoredRows`]: what a consumer has of earlier runs, for a component that starts again.
//! * [`FanOut`]: one batch to several consumers, acknowledged when all have accepted.
//! * [`otlp`]: OTLP to Arrow, straight from the protobuf wire.
//!
//! Not here: sockets, files, concrete components.

#![forbid(unsafe_code)]

mod batch;
mod component;
mod factory;
mod fan_out;
pub mod otlp;
mod refusal;
mod stop;
mod stored_rows;

pub use batch::{Batch, OtlpRequest, Payload, ProfileFormat, RequestContext, RuntimeProfile, Signal, TableRows};
pub use component::{Connector, Consumer, Exporter, Outputs, Receiver, RunError};
pub use factory::{
    BuildContext, BuildError, ConnectorConfig, ConnectorFactory, ExporterConfig, ExporterFactory, ReceiverConfig,
    ReceiverFactory,
};
pub use fan_out::FanOut;
pub use refusal::Refusal;
pub use stop::{Stop, StopSource};
pub use stored_rows::{StoredRows, TakeRows, WantedRows};
