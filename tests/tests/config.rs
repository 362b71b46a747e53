//! What a user sees of the configuration: all problems at once, each with its place; defaults that work.

use std::fs;
use std::net::TcpListener;

use spandrel_tests::binary;

#[test]
fn every_problem_is_reported_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("broken.yaml");
    let broken = "\
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: localhost
  oltp:
exporters:
  parquet:
    flush_interval: 5 parsecs
    directroy: ./data
connectors:
  attribution:
    join_delay: 90s
service:
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [attribution, parket]
";
    fs::write(&file, broken).unwrap();
    let page = binary::run(&["validate", "--config", file.to_str().unwrap()]).failure();
    for (place, what) in [
        ("broken.yaml:5:", "endpoint"),
        ("broken.yaml:6:", "oltp"),
        ("broken.yaml:9:", "parsecs"),
        ("broken.yaml:10:", "directroy"),
        ("broken.yaml:12:", "retention"),
        ("broken.yaml:18:", "parket"),
    ] {
        assert!(page.contains(place), "no `{place}` in\n{page}");
        assert!(page.contains(what), "no `{what}` in\n{page}");
    }
}

#[test]
fn run_starts_nothing_with_a_broken_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("broken.yaml");
    let data = dir.path().join("data");
    fs::write(&file, "receivers: {otlp: {}}\n").unwrap();
    let (config, data_option) = (file.to_str().unwrap(), data.to_str().unwrap());
    let message = binary::run(&["run", "--config", config, "--data", data_option]).failure();
    assert!(message.contains("broken.yaml:1:1"), "{message}");
    assert!(message.contains("nothing was started"), "{message}");
    assert!(!data.exists());
}

#[test]
fn the_default_configuration_and_the_examples_are_valid() {
    let dir = tempfile::tempdir().unwrap();
    let default = dir.path().join("default.yaml");
    fs::write(&default, binary::run(&["run", "--print-config"]).success()).unwrap();
    let examples = spandrel_tests::repository::root().join("examples");
    let examples = fs::read_dir(examples).unwrap().map(|entry| entry.unwrap().path());
    let yaml = examples.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    for file in yaml.chain([default]) {
        let page = binary::run(&["validate", "--config", file.to_str().unwrap()]).success();
        assert!(page.contains("valid"), "{}: {page}", file.display());
    }
}

#[test]
fn an_occupied_port_is_named_with_its_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (setting, named) in [
        (
            "receivers.otlp.protocols.grpc.endpoint",
            "receivers::otlp::protocols::grpc::endpoint",
        ),
        (
            "receivers.otlp.protocols.http.endpoint",
            "receivers::otlp::protocols::http::endpoint",
        ),
        ("extensions.health_check.endpoint", "health_check"),
        (
            "service.telemetry.metrics.address",
            "service::telemetry::metrics::address",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().display().to_string();
        let mut arguments = vec!["run".to_owned(), "--data".to_owned(), data];
        for endpoint in [
            "receivers.otlp.protocols.grpc.endpoint",
            "receivers.otlp.protocols.http.endpoint",
            "extensions.health_check.endpoint",
            "service.telemetry.metrics.address",
        ] {
            let port = if endpoint == setting { &port } else { "0" };
            arguments.extend(["--set".to_owned(), format!("{endpoint}=127.0.0.1:{port}")]);
        }
        let message = binary::run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).failure();
        assert!(message.contains(&format!("127.0.0.1:{port}")), "{setting}: {message}");
        assert!(message.contains(named), "{setting}: {message}");
    }
}

#[test]
fn every_command_explains_itself_with_an_example_or_its_defaults() {
    let commands = [
        "run",
        "validate",
        "components",
        "sql",
        "matrix",
        "why",
        "attribute",
        "inspect",
        "export",
        "replay",
    ];
    let overview = binary::run(&["--help"]).success();
    for command in commands {
        assert!(overview.contains(command), "no {command} in\n{overview}");
        let page = binary::run(&[command, "--help"]).success();
        let explains = ["Example", "default", "Without --config", "KEY=VALUE"]
            .iter()
            .any(|word| page.contains(word));
        assert!(
            explains,
            "spandrel {command} --help has neither example nor default\n{page}"
        );
    }
}

#[test]
fn components_lists_what_the_default_configuration_uses() {
    let page = binary::run(&["components"]).success();
    for component in ["otlp", "go_runtime", "attribution", "parquet", "health_check"] {
        assert!(page.contains(component), "no {component} in\n{page}");
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error_and_no_panic() {
    for arguments in [&["components"][..], &["run", "--print-config"]] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = binary::command(arguments).stdout(full).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("failed to write to standard output"), "{error}");
    }
}

#[test]
fn a_delay_that_is_too_short_for_the_recordings_is_a_warning_that_names_both_lines() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("early.yaml");
    let early = "\
receivers:
  go_runtime:
    trace_duration: 30s
    targets:
      - {endpoint: http://localhost:6060, resource: {service.name: shop}}
exporters:
  parquet:
connectors:
  attribution:
    join_delay: 20s
service:
  pipelines:
    profiles: {receivers: [go_runtime], exporters: [attribution]}
    attribution: {receivers: [attribution], exporters: [parquet]}
";
    fs::write(&file, early).unwrap();
    let ended = binary::run(&["validate", "--config", file.to_str().unwrap()]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("the configuration is valid"), "{}", ended.stdout);
    for part in [
        "early.yaml:10:",
        "connectors::attribution::join_delay",
        "receivers::go_runtime::trace_duration of 30s",
        "early.yaml:3:",
        "33s",
    ] {
        assert!(ended.stderr.contains(part), "no `{part}` in\n{}", ended.stderr);
    }
}
