//! YAML to typed, validated configuration, with every problem at its file, line and column.
//!
//! ```text
//! files, texts --parse--> Value trees --merge--> one tree --expand ${...}--> tree --check--> CollectorConfig
//!                                       ^                                                    | Section
//!                                     --set                                                  v Section::parse
//!                                                                         a component's own raw struct (serde)
//! ```
//! Parsing comes before substitution, so a variable cannot change the structure around it, and every [`Value`] still
//! knows where it was written. [`load`] runs the stages and returns a [`CollectorConfig`], in which references between
//! pipelines and components hold. [`load_with`] shows each component its section, so that it can check its own
//! settings in the same round, and an [`Attempt`] lets who knows more go on checking. Each component reads its [`Section`] as a struct. Whatever is wrong is collected
//! in [`Problems`], so that a user repairs a file in one round.
//!
//! The configuration language is that of the OpenTelemetry Collector: ids, expansion, merging and the texts of errors.
//!
//! Not here: which component types exist, their settings, which signals a connector joins; anything asynchronous.
//!
//! ```
//! use spandrel_config::{ConfigSource, ProcessEnvironment, load};
//!
//! let text = "
//! receivers: {otlp: {}}
//! exporters: {debug: {}}
//! service: {pipelines: {traces: {receivers: [otpl], exporters: [debug]}}}
//! ";
//! let source = ConfigSource::Text { name: "example.yaml".to_owned(), text: text.to_owned() };
//! let problems = load(&[source], &[], &ProcessEnvironment).unwrap_err();
//! assert_eq!(
//!     problems.to_string(),
//!     "example.yaml:4:44: service::pipelines::traces: references receiver `otpl` which is not configured \
//!      (did you mean `otlp`?)"
//! );
//! ```

mod check;
mod deserialize;
mod environment;
mod expand;
mod id;
mod load;
mod merge;
mod path;
mod problems;
mod quantity;
mod render;
mod section;
mod service;
mod source;
mod suggest;
mod telemetry;
mod value;
mod yaml;

pub use deserialize::present;
pub use environment::{Environment, MAX_FILE_BYTES, ProcessEnvironment};
pub use id::{ComponentId, InvalidId, PipelineId, PipelineSignal};
pub use load::{Attempt, ConfigSource, Loaded, load, load_with};
pub use path::{ConfigPath, Place};
pub use problems::{Problem, Problems, Severity};
pub use quantity::{ByteSize, Endpoint, HostPort, HumanDuration, InvalidQuantity, Scheme};
pub use render::RenderStyle;
pub use section::Section;
pub use service::{CollectorConfig, ComponentKind, Pipeline, ServiceConfig};
pub use source::{Location, Source, Span};
pub use suggest::nearest;
pub use telemetry::{LogLevel, LogsTelemetry, MetricsLevel, MetricsTelemetry, Telemetry};
pub use value::{Data, Entry, Map, Value};
