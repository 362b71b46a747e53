//! Every component of this binary. Nothing registers itself: what is not in these tables does not exist.

use spandrel_exporters::{otlp_http, parquet};
use spandrel_pipeline::{ConnectorFactory, ExporterFactory, ReceiverFactory};
use spandrel_processors::attribution;

use crate::extensions::{ExtensionFactory, health_check};
use crate::receivers::{go_runtime, otlp};

/// Every receiver, by name.
pub static RECEIVERS: &[&ReceiverFactory] = &[&go_runtime::FACTORY, &otlp::FACTORY];

/// Every connector, by name.
pub static CONNECTORS: &[&ConnectorFactory] = &[&attribution::FACTORY];

/// Every exporter, by name.
pub static EXPORTERS: &[&ExporterFactory] = &[&otlp_http::FACTORY, &parquet::FACTORY];

/// Every extension, by name.
pub static EXTENSIONS: &[&ExtensionFactory] = &[&health_check::FACTORY];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_names_unique() {
        let names = [
            RECEIVERS.iter().map(|factory| factory.kind).collect::<Vec<_>>(),
            CONNECTORS.iter().map(|factory| factory.kind).collect(),
            EXPORTERS.iter().map(|factory| factory.kind).collect(),
            EXTENSIONS.iter().map(|factory| factory.kind).collect(),
        ];
        for names in names {
            assert!(names.is_sorted_by(|left, right| left < right), "{names:?}");
        }
    }
}
