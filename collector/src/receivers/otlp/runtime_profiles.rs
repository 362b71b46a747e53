//! `POST /v1/runtime-profiles`: an upload of one Go execution trace, or of one CPU profile in the format of pprof.
//!
//! The body is as `runtime/trace` or `runtime/pprof` wrote it, compressed or not. The process it comes from stands in a header,
//! as in W3C Baggage: a list of `key=value`, the values percent-encoded where they hold `,`, `%`, spaces or non-ASCII.
//!
//! ```text
//! POST /v1/runtime-profiles
//! X-Spandrel-Resource: service.name=shop,service.instance.id=shop-1
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use axum::extract::Request;
use axum::response::Response;
use http::HeaderMap;
use http::request::Parts;
use percent_encoding::percent_decode_str;
use spandrel_model::ProcessIdentity;
use spandrel_pipeline::{Payload, ProfileFormat, RuntimeProfile, Signal};
use spandrel_profiles::pprof;

use super::HTTP;
use super::compression;
use super::exchange::{Exchange, Format};
use super::intake::{Answer, Intake};
use super::rejection::Rejection;
use super::serve::Peer;
use crate::receivers::resource;

/// The header that names the process.
const RESOURCE_HEADER: &str = "x-spandrel-resource";

const EXAMPLE: &str = "X-Spandrel-Resource: service.name=shop,service.instance.id=shop-1";

/// Where the limit of a trace stands, for messages.
const LIMIT_SETTING: &str = "protocols::http::max_runtime_profile_size";

pub(super) async fn upload(intake: &Intake, limit_bytes: usize, request: Request) -> Response {
    let mut exchange = Exchange::new(request, limit_bytes, LIMIT_SETTING);
    let result = accept(intake, &mut exchange).await;
    exchange.answer(intake, Format::Json, result).await
}

async fn accept(intake: &Intake, exchange: &mut Exchange) -> Answer {
    exchange.check_method()?;
    let process = process_of(&exchange.head().headers)?;
    let mut slot = intake.admit(Signal::Profiles)?;
    let bytes = exchange.receive(&mut slot).await?;
    let profile = RuntimeProfile {
        format: format_of(&bytes)?,
        bytes,
        process,
        source: source_of(exchange.head()),
        fetched: None,
        warnings: OnceLock::new(),
    };
    intake.offer(HTTP, Payload::Profile(Arc::new(profile)), 1).await
}

/// By the first bytes; the rest is for whoever decodes it.
fn format_of(bytes: &[u8]) -> Result<ProfileFormat, Rejection> {
    if pprof::is_recognized(bytes) {
        return Ok(ProfileFormat::CpuProfile);
    }
    let opened = gotrace::ExecTrace::open(bytes).map_err(|error| {
        Rejection::Malformed(format!(
            "{error}; this takes Go execution traces, and CPU profiles in the format of pprof{}",
            compression::hint(bytes, "Content-Encoding")
        ))
    });
    opened.map(|_| ProfileFormat::GoExecutionTrace)
}

fn source_of(head: &Parts) -> Arc<str> {
    match head.extensions.get::<Peer>() {
        Some(Peer(address)) => format!("upload from {address}").into(),
        None => "upload".into(),
    }
}

/// The process that the resource headers describe.
fn process_of(headers: &HeaderMap) -> Result<ProcessIdentity, Rejection> {
    let malformed = |what: &dyn std::fmt::Display| {
        Rejection::Malformed(format!("header X-Spandrel-Resource: {what}; example: `{EXAMPLE}`"))
    };
    let mut attributes = BTreeMap::new();
    for value in headers.get_all(RESOURCE_HEADER) {
        let text = value
            .to_str()
            .map_err(|_| malformed(&"not ASCII, percent-encode other characters"))?;
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = parse_pair(pair).ok_or_else(|| malformed(&format!("`{pair}` is not key=value")))?;
            if attributes.insert(key.clone(), value).is_some() {
                return Err(malformed(&format!("`{key}` is given twice")));
            }
        }
    }
    resource::identify(&attributes).map_err(|error| malformed(&error))
}

fn parse_pair(pair: &str) -> Option<(String, String)> {
    let (key, value) = pair.split_once('=')?;
    let decode = |text: &str| Some(percent_decode_str(text.trim()).decode_utf8().ok()?.into_owned());
    decode(key).filter(|key| !key.is_empty()).zip(decode(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(values: &[&str]) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(RESOURCE_HEADER, value.parse().unwrap());
        }
        process_of(&headers)
            .map(|process| process.to_string())
            .map_err(|rejection| rejection.to_string())
    }

    #[test]
    fn reads_a_list_over_several_headers() {
        assert_eq!(
            process(&["service.name=shop, service.instance.id=shop-1"]).unwrap(),
            "shop/shop-1"
        );
        assert_eq!(
            process(&["service.name=shop,host.name=a", "process.pid=7"]).unwrap(),
            "shop/a:7"
        );
    }

    #[test]
    fn values_are_percent_decoded() {
        assert_eq!(process(&["service.name=a%2Cb%20%C3%A9"]).unwrap(), "a,b \u{e9}");
    }

    #[test]
    fn every_complaint_names_the_header_and_shows_an_example() {
        for (values, complaint) in [
            (&[][..], "`service.name` is missing"),
            (&["service.instance.id=1"][..], "`service.name` is missing"),
            (&["service.name="][..], "`service.name` is missing"),
            (&["shop"][..], "`shop` is not key=value"),
            (&["service.name=%ff"][..], "`service.name=%ff` is not key=value"),
            (&["service.name=a,service.name=b"][..], "`service.name` is given twice"),
            (
                &["service.name=a,process.pid=x"][..],
                "`process.pid` is `x`, expected an integer",
            ),
        ] {
            let error = process(values).unwrap_err();
            assert!(error.starts_with("header X-Spandrel-Resource: "), "{error}");
            assert!(error.contains(complaint), "{error}");
            assert!(error.contains(EXAMPLE), "{error}");
        }
    }
}
