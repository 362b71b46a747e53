//! The section.

use super::*;
use crate::receivers::scripted::documented_section;

fn problems(yaml: &str) -> String {
    check(yaml).expect_err("the section has a problem").to_string()
}

#[test]
fn an_empty_section_starts_both_protocols_on_loopback() {
    for yaml in ["", "protocols:", "protocols: {grpc: , http: }"] {
        let config = check(yaml).unwrap();
        let (grpc, http) = (config.grpc.unwrap(), config.http.unwrap());
        assert_eq!(grpc.listen.endpoint.to_string(), "localhost:4317");
        assert_eq!(http.listen.endpoint.to_string(), "localhost:4318");
        assert_eq!((grpc.max_message_bytes, http.max_body_bytes), (64 << 20, 64 << 20));
        assert_eq!(
            (&*http.runtime_profiles_path, http.max_profile_bytes),
            ("/v1/runtime-profiles", 256 << 20)
        );
        assert_eq!(
            (config.max_in_flight_bytes, config.max_concurrent_requests),
            (512 << 20, 1024)
        );
    }
}

#[test]
fn the_documentation_shows_every_setting_with_its_default() {
    let page = include_str!("../../../../../docs/components/otlp.md");
    let documented = check(&documented_section(page, "max_in_flight_size")).unwrap();
    assert_eq!(format!("{documented:?}"), format!("{:?}", check("").unwrap()));
}

#[test]
fn a_null_protocol_is_on_and_an_absent_one_off() {
    let config = check("protocols: {grpc: }").unwrap();
    assert!(config.grpc.is_some() && config.http.is_none());
}

#[test]
fn no_protocol_at_all_is_an_error() {
    assert!(problems("protocols: {}").contains("receivers::otlp::protocols: lists no protocol"));
}

#[test]
fn limits_have_limits_and_every_problem_is_reported() {
    let text = problems(
        "
protocols:
  grpc: {max_recv_msg_size_mib: 0}
  http: {max_request_body_size: 1GiB, runtime_profiles_url_path: /v1/traces}
max_concurrent_requests: 0
",
    );
    for part in [
        "protocols::grpc::max_recv_msg_size_mib: must be more than 0 and at most 256 MiB",
        "protocols::http::max_request_body_size: must be more than 0 and at most 256 MiB",
        "protocols::http::runtime_profiles_url_path: `/v1/traces` is a path of OTLP itself",
        "max_concurrent_requests: must be at least 1",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn the_budget_must_hold_the_largest_request() {
    let text = problems("max_in_flight_size: 100MiB");
    assert!(
        text.contains("max_in_flight_size: 104857600 bytes cannot hold a request of 268435456 bytes"),
        "{text}"
    );
    assert!(text.contains("protocols::http::max_runtime_profile_size"), "{text}");
    assert!(check("{max_in_flight_size: 100MiB, protocols: {grpc: }}").is_ok());
}

#[test]
fn a_path_that_a_router_would_misread_is_refused() {
    for path in ["v1/x", "/{x}", "/a b", "''"] {
        let text = problems(&format!(
            "protocols: {{http: {{runtime_profiles_url_path: {}}}}}",
            quoted(path)
        ));
        assert!(text.contains("is not a path"), "{text}");
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', ""))
}

#[test]
fn unknown_keys_are_problems() {
    assert!(problems("protocols: {grcp: }").contains("grcp"));
}
