//! What the graph accepts, refuses, and connects.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use spandrel_config::{ConfigSource, Problems, ProcessEnvironment};
use spandrel_pipeline::{Batch, Connector, Consumer, Outputs, Refusal, RunError, Stop, StopSource};

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

/// Both components in one pipeline, and their settings in lines of their own.
fn with_times(trace_duration: &str, join_delay: &str) -> String {
    format!(
        "receivers:\n  go_runtime:\n    {trace_duration}\n    targets: [{{endpoint: 'http://localhost:6060', resource: {{service.name: a}}}}]\n\
         connectors:\n  attribution:\n    {join_delay}\nexporters: {{parquet: }}\n\
         service: {{pipelines: {{profiles: {{receivers: [go_runtime], exporters: [attribution]}}, \
         attribution: {{receivers: [attribution], exporters: [parquet]}}}}}}"
    )
}

fn warnings(yaml: &str) -> Vec<String> {
    let sources = [ConfigSource::Text {
        name: "test.yaml".into(),
        text: yaml.into(),
    }];
    let mut sections = Sections::default();
    let mut check = |kind, id: &_, section: &_, problems: &mut _| sections.check(kind, id, section, problems);
    let attempt = spandrel_config::load_with(&sources, &[], &ProcessEnvironment, &mut check);
    let mut problems = attempt.problems;
    let plan = plan(&attempt.config.unwrap(), sections, &mut problems);
    assert!(plan.is_some(), "{problems}");
    problems.sorted().iter().map(ToString::to_string).collect()
}

#[test]
fn spans_that_are_joined_before_their_recordings_come_are_worth_a_warning() {
    assert_eq!(
        warnings(&with_times("trace_duration: 30s", "join_delay: 10s")),
        [
            "test.yaml:7:17: warning: connectors::attribution::join_delay: 10s is not longer than \
             receivers::go_runtime::trace_duration of 30s (test.yaml:3:21): a recording comes when it ends, so spans are joined \
             without it first, and again when it comes (set join_delay to 33s or more)"
        ]
    );
    let by_default = warnings(&with_times("", "join_delay: 5s"));
    assert!(
        by_default[0].contains("trace_duration of 5s (test.yaml:2:"),
        "{by_default:?}"
    );
    let lost = warnings(&with_times("trace_duration: 80s\n    collection_interval: 90s", ""));
    assert!(lost[0].contains("final by then"), "{lost:?}");
    assert!(
        lost[0].contains("join_delay to 83s or more, and retention to no less"),
        "{lost:?}"
    );
    assert_eq!(warnings(&with_times("trace_duration: 9s", "join_delay: 10s")), [""; 0]);
    assert_eq!(warnings(&with_times("", "")), [""; 0]);
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

/// A connector whose start or stop never ends.
#[derive(Default)]
struct Slow {
    never_restores: bool,
    times_given_up: AtomicU32,
}

#[async_trait]
impl Consumer for Slow {
    async fn consume(&self, _batch: Batch) -> Result<(), Refusal> {
        Ok(())
    }
}

#[async_trait]
impl Connector for Slow {
    async fn restore(&self, _outputs: &Outputs) {
        if self.never_restores {
            std::future::pending().await
        }
    }

    async fn run(self: Arc<Self>, _outputs: Outputs, stop: Stop) -> Result<(), RunError> {
        match self.never_restores {
            true => stop.requested().await,
            false => std::future::pending().await,
        }
        Ok(())
    }

    fn give_up(&self) {
        self.times_given_up.fetch_add(1, Ordering::Relaxed);
    }
}

fn graph_of(connector: &Arc<Slow>) -> Graph {
    let id = "attribution".parse().unwrap();
    Graph {
        receivers: vec![],
        connectors: vec![(id, connector.clone(), Outputs::default())],
        exporters: vec![],
    }
}

#[tokio::test]
async fn connectors_know_that_their_work_is_given_up_when_a_stop_cuts_it_short() {
    let source = StopSource::new();
    source.request();
    let restoring = Arc::new(Slow {
        never_restores: true,
        ..Slow::default()
    });
    graph_of(&restoring).run(source.stop()).await.unwrap();
    let cut_short = Arc::new(Slow::default());
    let running = graph_of(&cut_short).run(source.stop());
    assert!(tokio::time::timeout(Duration::from_millis(50), running).await.is_err());
    for connector in [restoring, cut_short] {
        assert_eq!(connector.times_given_up.load(Ordering::Relaxed), 1);
    }
}
