//! Profiles that no program would write.

use super::*;
use proto::ValueType;

fn decoded(bytes: &[u8]) -> Result<CpuProfile, String> {
    decode(bytes, Arc::default(), "test".into()).map_err(|error| error.to_string())
}

/// A profile of processor time, made at second 1, without samples.
fn profile() -> Head {
    Head {
        sample_type: vec![ValueType { r#type: 1, unit: 2 }],
        string_table: ["", "cpu", "nanoseconds", "main", "main.go"]
            .map(str::to_owned)
            .to_vec(),
        time_nanos: 1_000_000_000,
        duration_nanos: 5_000_000,
        period: 10_000_000,
        ..Head::default()
    }
}

fn with_sample(mut profile: Vec<u8>, sample: &Sample) -> Vec<u8> {
    profile.extend([0x12, u8::try_from(sample.encoded_len()).unwrap()]);
    profile.extend(sample.encode_to_vec());
    profile
}

#[test]
fn a_profile_without_counts_has_one_sample_for_each_period() {
    let sample = Sample {
        value: vec![30_000_000],
        ..Sample::default()
    };
    let decoded = decoded(&with_sample(profile().encode_to_vec(), &sample)).unwrap();
    assert_eq!(
        decoded.window,
        Interval::new(UnixNanos(1_000_000_000), UnixNanos(1_005_000_000)).unwrap()
    );
    let [samples] = &decoded.samples[..] else {
        panic!("{:?}", decoded.samples)
    };
    assert_eq!(
        (samples.count, samples.cpu_ns, samples.stack, samples.span),
        (3, 30_000_000, None, None)
    );
}

#[test]
fn says_what_is_wrong() {
    let memory = Head {
        string_table: ["", "inuse_space", "bytes"].map(str::to_owned).to_vec(),
        ..profile()
    };
    let timeless = Head {
        time_nanos: 0,
        ..profile()
    };
    let nameless = Head {
        sample_type: vec![ValueType { r#type: 1, unit: 9 }],
        ..profile()
    };
    let lost = Sample {
        location_id: vec![7],
        value: vec![10_000_000],
        ..Sample::default()
    };
    for (bytes, complaint) in [
        (
            memory.encode_to_vec(),
            "not a CPU profile: its sample types are inuse_space/bytes, expected cpu/nanoseconds among them",
        ),
        (Vec::new(), "its sample types are none"),
        (timeless.encode_to_vec(), "does not say when it was recorded"),
        (
            nameless.encode_to_vec(),
            "string 9 is referred to and not in the profile",
        ),
        (
            with_sample(profile().encode_to_vec(), &lost),
            "location 7 is referred to",
        ),
        (vec![0xff; 20], "not a profile in the format of pprof"),
        (GZIP_MAGIC.to_vec(), "not whole gzip data"),
    ] {
        let error = decoded(&bytes).unwrap_err();
        assert!(error.contains(complaint), "{error}, expected {complaint}");
    }
}

#[test]
fn a_summary_counts_samples_by_their_labels() {
    let label = |key, str| proto::Label { key, str, num: 0 };
    let texts = ["", "cpu", "nanoseconds", "span_id", "00f067aa0ba902b7", "endpoint", "/"];
    let profile = Head {
        string_table: texts.map(str::to_owned).to_vec(),
        ..profile()
    };
    let sample = |periods: i64, label: Vec<proto::Label>| Sample {
        value: vec![periods * 10_000_000],
        label,
        ..Sample::default()
    };
    let mut bytes = profile.encode_to_vec();
    for each in [
        sample(3, vec![label(3, 4), label(5, 6)]),
        sample(2, vec![label(5, 6)]),
        sample(1, Vec::new()),
    ] {
        bytes = with_sample(bytes, &each);
    }
    let summary = summarize(&bytes).unwrap();
    let expected = Summary {
        sample_types: vec!["cpu/nanoseconds".to_owned()],
        is_cpu: true,
        start: Some(UnixNanos(1_000_000_000)),
        duration_ns: 5_000_000,
        samples: 6,
        span_samples: 3,
        labels: vec![("endpoint".to_owned(), 5), ("span_id".to_owned(), 3)],
    };
    assert_eq!(summary, expected);

    let memory = Head {
        string_table: ["", "inuse_space", "bytes"].map(str::to_owned).to_vec(),
        ..self::profile()
    };
    let summary = summarize(&with_sample(memory.encode_to_vec(), &sample(9, Vec::new()))).unwrap();
    assert_eq!((summary.is_cpu, summary.samples), (false, 1));
    assert_eq!(summary.sample_types, ["inuse_space/bytes"]);
    assert!(summarize(&[0xff; 20]).is_err());
}

#[test]
fn a_bomb_is_not_blown_up() {
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::copy(&mut std::io::repeat(0).take(MAX_PROFILE_BYTES + 1), &mut bomb).unwrap();
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 100_000);
    assert!(decoded(&bomb).unwrap_err().contains("record for a shorter time"));
}

#[test]
fn what_would_take_far_more_memory_than_bytes_is_refused() {
    let mut many_strings = profile().encode_to_vec();
    many_strings.extend([0x32, 0].repeat(MAX_TABLE_ENTRIES));
    assert!(
        decoded(&many_strings)
            .unwrap_err()
            .contains("locations, functions and strings")
    );

    let line = proto::Line {
        function_id: 1,
        line: 1,
    };
    let deep = Head {
        function: vec![Function {
            id: 1,
            name: 3,
            filename: 4,
            ..Function::default()
        }],
        location: vec![Location {
            id: 1,
            line: vec![line; 1_000],
            ..Location::default()
        }],
        ..profile()
    };
    let sample = |locations: usize| Sample {
        location_id: vec![1; locations],
        value: vec![10_000_000],
        ..Sample::default()
    };
    let mut bytes = deep.encode_to_vec();
    let with = |sample: &Sample, bytes: &mut Vec<u8>| {
        bytes.push(0x12);
        bytes.extend(sample.encode_length_delimited_to_vec());
    };
    with(&sample(4), &mut bytes);
    assert_eq!(decoded(&bytes).unwrap().stacks[0].frames.len(), 4_000);
    with(&sample(100_000), &mut bytes);
    assert!(
        decoded(&bytes)
            .unwrap_err()
            .contains("more than 4096 frames in a stack")
    );
}

/// A profile with one function of that name at location 1, and samples of as many frames of it.
fn with_function_name(name: &str, frames: &[usize]) -> Vec<u8> {
    let mut head = profile();
    head.string_table.push(name.to_owned());
    head.function = vec![Function {
        id: 1,
        name: 5,
        filename: 4,
        ..Function::default()
    }];
    head.location = vec![Location {
        id: 1,
        line: vec![proto::Line {
            function_id: 1,
            line: 1,
        }],
        ..Location::default()
    }];
    let mut bytes = head.encode_to_vec();
    for frames in frames {
        let sample = Sample {
            location_id: vec![1; *frames],
            value: vec![10_000_000],
            ..Sample::default()
        };
        bytes.push(0x12);
        bytes.extend(sample.encode_length_delimited_to_vec());
    }
    bytes
}

#[test]
fn what_would_take_far_more_time_than_bytes_is_refused() {
    let longest = "f".repeat(MAX_NAME_BYTES);
    assert_eq!(
        decoded(&with_function_name(&longest, &[3])).unwrap().stacks[0]
            .frames
            .len(),
        3
    );
    let error = decoded(&with_function_name(&(longest.clone() + "f"), &[3])).unwrap_err();
    assert!(error.contains("16384 bytes in the name of a function"), "{error}");
    let deep: Vec<usize> = (0..30).map(|fewer| MAX_STACK_FRAMES - fewer).collect();
    let error = decoded(&with_function_name(&longest, &deep)).unwrap_err();
    assert!(error.contains("bytes of names in all stacks"), "{error}");
}

#[test]
fn a_message_lists_few_and_short_sample_types() {
    let mut other = profile();
    other.string_table[2] = "s".repeat(1_000_000);
    other.sample_type = vec![ValueType { r#type: 1, unit: 2 }; 1_000];
    let error = decoded(&other.encode_to_vec()).unwrap_err();
    assert!(
        error.contains("not a CPU profile") && error.len() < 1_000,
        "{}",
        error.len()
    );
}

#[test]
fn profiles_are_recognized_by_their_first_bytes() {
    let gzip = |content: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, content).unwrap();
        gzip.finish().unwrap()
    };
    let plain = profile().encode_to_vec();
    assert!(is_recognized(&plain) && is_recognized(&gzip(&plain)));
    let times_and_period_type = [0x48, 0xe7, 0x80, 0x01, 0x50, 7, 0x5a, 4, 8, 3, 16, 4];
    assert!(is_recognized(&[&times_and_period_type, &plain[..]].concat()));
    assert!(!is_recognized(&times_and_period_type));
    let trace = b"go 1.26 trace\0\0\0";
    for other in [&trace[..], &gzip(trace), b"", b"{}", b"<html>", b"\n{}"] {
        assert!(!is_recognized(other), "{other:?}");
    }
}
