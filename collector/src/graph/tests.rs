//! What the graph accepts, refuses, and connects.

use std::time::Duration;

use spandrel_config::{ConfigSource, Problems, ProcessEnvironment};
use spandrel_pipeline::StopSource;

use super::{Graph, Plan, Sections, plan};

fn check(yaml: &str) -> Result<Plan, Problems> {
    let sources = [ConfigSource::Text {
        name: "test.yaml".into(),
        text: yaml.into(),
    }];
    let mut sections = Sections::default();
    let attempt = spandrel_config::load_with(
        &sources,
        &[],
        &ProcessEnvironment,
        &mut |kind, id, section, problems| {
            sections.check(kind, id, section, problems);
        },
    );
    let mut problems = attempt.problems;
    let plan = attempt.config.and_then(|config| plan(&config, sections, &mut problems));
    plan.ok_or(problems)
}

fn problems(yaml: &str) -> String {
    check(yaml).err().expect("there is a problem").to_string()
}

#[test]
fn the_embedded_configuration_is_valid() {
    check(crate::service::DEFAULT_CONFIG).unwrap_or_else(|problems| panic!("{problems}"));
}

#[test]
fn an_unknown_type_is_reported_with_the_known_ones() {
    let shown = problems(
        "receivers: {otlb: }\nexporters: {parquet: }\nservice: {pipelines: {traces: {receivers: [otlb], exporters: [parquet]}}}",
    );
    assert!(shown.contains("receivers::otlb") && shown.contains("`otlp`"), "{shown}");
}

#[test]
fn a_component_must_fit_the_signal_of_its_pipeline() {
    let shown = problems(
        "receivers: {go_runtime: {targets: [{endpoint: 'http://localhost:6060/debug/pprof/trace', resource: {service.name: a}}]}}\n\
         exporters: {parquet: }\n\
         service: {pipelines: {traces: {receivers: [go_runtime], exporters: [parquet]}, profiles: {receivers: [go_runtime], exporters: [parquet]}}}",
    );
    assert!(shown.contains("`go_runtime` does not emit traces"), "{shown}");
    assert!(shown.contains("`parquet` does not accept profiles"), "{shown}");
}

#[test]
fn problems_of_sections_and_of_pipelines_are_reported_together() {
    let shown = problems(
        "receivers: {otlp: {protocols: {grcp: }}}\nexporters: {parquet: {flush_interval: 0s}}\n\
         connectors: {attribution: {join_delay: 90s}}\n\
         service: {telemetry: {logs: {level: loud}}, extensions: [absent], pipelines: {\
         traces: {receivers: [otlp, missing], exporters: [attribution]}, logs: {receivers: [attribution], exporters: [parquet]}}}",
    );
    let parts = [
        "grcp",
        "flush_interval",
        "retention",
        "missing",
        "loud",
        "absent",
        "`attribution` does not emit logs",
    ];
    for part in parts {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
}

#[tokio::test]
async fn a_graph_stops_when_asked_and_frees_what_it_opened() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = format!(
        "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:0'}}, http: {{endpoint: '127.0.0.1:0'}}}}}}}}\n\
         connectors: {{attribution: }}\nexporters: {{parquet: {{directory: '{}'}}}}\n\
         service: {{pipelines: {{traces: {{receivers: [otlp], exporters: [attribution, parquet]}}, \
         attribution: {{receivers: [attribution], exporters: [parquet]}}}}}}",
        dir.path().display()
    );
    for _ in 0..2 {
        let plan = check(&yaml).unwrap_or_else(|problems| panic!("{problems}"));
        let graph = Graph::build(plan, &prometheus::Registry::new()).await.unwrap();
        assert_eq!(graph.listening_on().len(), 2);
        let source = StopSource::new();
        let running = tokio::spawn(graph.run(source.stop()));
        source.request();
        tokio::time::timeout(Duration::from_secs(60), running)
            .await
            .expect("stopping is bounded")
            .unwrap()
            .unwrap();
    }
}
