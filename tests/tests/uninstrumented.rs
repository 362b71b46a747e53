//! The bundled recording as it would be had the service's database drivers no spans: stacks say what those said.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use spandrel_tests::sql::Tables;
use spandrel_tests::{binary, recording};

const RESOURCE: &str = "service.name=shop,service.instance.id=shop-1";
/// The layers of the two databases that the service asks.
const LAYERS: [&str; 2] = ["cache", "db"];

/// The span requests of the recording without client spans, one file each.
fn without_clients(folder: &Path) -> Vec<PathBuf> {
    let written = recording::span_files().into_iter().enumerate().map(|(number, path)| {
        let bytes = zstd::decode_all(fs::File::open(path).unwrap()).unwrap();
        let mut request = ExportTraceServiceRequest::decode(&*bytes).unwrap();
        for scope in request
            .resource_spans
            .iter_mut()
            .flat_map(|of_resource| &mut of_resource.scope_spans)
        {
            scope.spans.retain(|span| span.kind() != SpanKind::Client);
        }
        let path = folder.join(format!("{number}.pb"));
        fs::write(&path, request.encode_to_vec()).unwrap();
        path
    });
    written.collect()
}

fn attribute(spans: &[PathBuf], out: &Path) -> Tables {
    let mut arguments = vec!["attribute", "--spans"];
    arguments.extend(spans.iter().map(|path| path.to_str().unwrap()));
    let profiles = recording::profile_files(recording::FIRST);
    arguments.push("--profile");
    arguments.extend(profiles.iter().map(|path| path.to_str().unwrap()));
    arguments.extend(["--resource", RESOURCE, "--out", out.to_str().unwrap()]);
    binary::run(&arguments).success();
    Tables::new(out)
}

/// Time of all requests in a layer and these states, nanoseconds.
fn total_ns(tables: &Tables, view: &str, layer: &str, states: &str) -> i64 {
    tables.number(&format!(
        "SELECT coalesce(sum(ns), 0) FROM attribution \
         WHERE is_request AND view = '{view}' AND layer = '{layer}' AND state IN ({states})"
    ))
}

#[test]
fn time_in_drivers_without_spans_has_the_layer_that_their_spans_would_give_it() {
    let folder = tempfile::tempdir().unwrap();
    let with = attribute(&recording::span_files(), &folder.path().join("with"));
    let bare_spans = without_clients(folder.path());
    let bare = attribute(&bare_spans, &folder.path().join("bare"));
    assert_eq!(bare.number("SELECT count(*) FROM spans WHERE kind = 'client'"), 0);
    for view in ["self", "root"] {
        for layer in LAYERS {
            let standing_still = "'network', 'select', 'syscall', 'mutex', 'runnable', 'blocked_on_other'";
            let total = |tables: &Tables| total_ns(tables, view, layer, standing_still);
            let (told, found) = (total(&with), total(&bare));
            assert!(
                found > told / 100 * 99 && found <= told,
                "{view} {layer}: {found} of {told}"
            );
            // Where a goroutine is that runs is not known.
            assert_eq!(total_ns(&bare, "self", layer, "'running'"), 0);
        }
        assert_eq!(total_ns(&bare, view, "service", "'network'"), 0, "{view}");
    }
}
