//! A CPU profile as Go wrote it, from the program in `programs/labels`. `go tool pprof -tags` shows the same numbers.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

#[path = "support/pprof_promises.rs"]
mod promises;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use spandrel_model::CpuProfile;
use spandrel_profiles::pprof;

const PROFILE: &[u8] = include_bytes!("programs/labels/labels.pprof");

fn decode(bytes: &[u8]) -> Result<CpuProfile, pprof::PprofError> {
    pprof::decode(bytes, Arc::default(), "labels.pprof".into())
}

fn plain() -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(PROFILE).read_to_end(&mut plain).unwrap();
    plain
}

#[test]
fn samples_count_for_the_span_that_labels_name() {
    let profile = decode(PROFILE).unwrap();
    let mut by_span: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for samples in &profile.samples {
        let name = samples.span.map_or_else(String::new, |span| {
            let trace = span.trace_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
            format!("{trace} {}", span.span_id)
        });
        let total = by_span.entry(name).or_default();
        *total = (total.0 + samples.count, total.1 + samples.cpu_ns);
    }
    let expected = [
        ("", (3, 30_000_000)),
        ("- fffffffffffffffe", (4, 40_000_000)),
        ("4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7", (4, 40_000_000)),
    ];
    assert_eq!(by_span, expected.map(|(name, total)| (name.to_owned(), total)).into());
    assert_eq!(profile.period_ns, 10_000_000);
    assert!(profile.window.duration_ns() > 300_000_000);
}

#[test]
fn stacks_lead_from_the_innermost_function_outwards() {
    let profile = decode(PROFILE).unwrap();
    for samples in &profile.samples {
        let id = samples.stack.unwrap();
        let stack = &profile.stacks[profile.stacks.binary_search_by_key(&id, |stack| stack.id).unwrap()];
        let functions: Vec<&str> = stack
            .frames
            .iter()
            .map(|frame| &**profile.names.resolve(frame.function))
            .collect();
        assert!(functions.contains(&"main.burn"), "{functions:?}");
        assert_eq!(functions.last(), Some(&"runtime/pprof.Do"), "{functions:?}");
    }
}

#[test]
fn a_summary_says_how_many_samples_have_labels_of_spans() {
    let summary = pprof::summarize(PROFILE).unwrap();
    assert!(summary.is_cpu);
    assert_eq!((summary.samples, summary.span_samples), (11, 8));
    assert_eq!(summary.duration_ns, decode(PROFILE).unwrap().window.duration_ns());
    let of = |key: &str| {
        summary
            .labels
            .iter()
            .find(|(each, _)| each == key)
            .map(|(_, count)| *count)
    };
    assert_eq!(
        [of("span_id"), of("trace_id"), of("span id")],
        [Some(4), Some(4), Some(4)]
    );
}

#[test]
fn compression_makes_no_difference() {
    assert_eq!(decode(&plain()).unwrap().samples, decode(PROFILE).unwrap().samples);
}

#[test]
fn i24_damage_is_an_error_or_another_profile_and_never_a_panic() {
    let plain = plain();
    for len in 0..plain.len() {
        promises::check(&plain[..len]);
    }
    for position in 0..plain.len() {
        for bit in 0..8 {
            let mut damaged = plain.clone();
            damaged[position] ^= 1 << bit;
            promises::check(&damaged);
        }
    }
    for len in 0..PROFILE.len() {
        assert!(decode(&PROFILE[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn i24_promises_hold_of_all_that_fuzzing_has_kept() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/pprof");
    for file in corpus.read_dir().unwrap() {
        promises::check(&std::fs::read(file.unwrap().path()).unwrap());
    }
}

/// A length-delimited field.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        field.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    field.push(u8::try_from(length).unwrap());
    field.extend(content);
    field
}

#[test]
fn i24_profiles_made_to_cost_time_are_read_or_refused_in_proportion_to_their_bytes() {
    // Many times what any of them takes on a busy machine.
    const LIMIT: Duration = Duration::from_secs(60);
    let room = usize::try_from(pprof::MAX_PROFILE_BYTES).unwrap() - 1_000;
    let empty = |number: u8| [number << 3 | 2, 0].repeat(room / 2);
    let (one_count, all_of_it) = ([0x12, 1, 1], field(2, &empty(3)));
    let many_lines = [vec![0x08, 1], empty(4)].concat();
    let cases: [(&str, Vec<u8>, Option<&str>); 6] = [
        ("samples without anything", empty(2), None),
        ("a sample with labels only", all_of_it, None),
        (
            "one byte for each location",
            field(2, &[field(1, &vec![1; room / 2]), one_count.to_vec()].concat()),
            None,
        ),
        (
            "locations without anything",
            empty(4),
            Some("locations, functions and strings"),
        ),
        (
            "strings without anything",
            empty(6),
            Some("locations, functions and strings"),
        ),
        ("a location of lines without a function", field(4, &many_lines), None),
    ];
    let head = [
        field(1, &[8, 1, 16, 2]),
        field(6, b""),
        field(6, b"cpu"),
        field(6, b"nanoseconds"),
        vec![0x48, 1],
    ]
    .concat();
    for (what, body, complaint) in cases {
        let begin = Instant::now();
        let decoded = decode(&[&head[..], &body].concat());
        assert!(begin.elapsed() < LIMIT, "{what} took {:?}", begin.elapsed());
        match (complaint, decoded) {
            (Some(complaint), Err(error)) => assert!(error.to_string().contains(complaint), "{what}: {error}"),
            (Some(complaint), Ok(_)) => panic!("{what}: expected an error with `{complaint}`"),
            (None, Ok(profile)) => assert!(profile.samples.len() <= 1, "{what}"),
            (None, Err(error)) => assert!(
                error.to_string().contains("location 1 is referred to"),
                "{what}: {error}"
            ),
        }
    }
}
