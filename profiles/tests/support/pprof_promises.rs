//! What must hold of any bytes that are given as a profile in the format of pprof. Fuzzing and a test of its corpus check it.

use std::collections::HashSet;
use std::sync::Arc;

use spandrel_model::{CpuProfile, StackId};
use spandrel_profiles::pprof::{self, PprofError};

/// Reads `bytes` in every way.
///
/// # Panics
/// A promise is broken.
pub(crate) fn check(bytes: &[u8]) {
    pprof::is_recognized(bytes);
    let summary = pprof::summarize(bytes);
    match pprof::decode(bytes, Arc::default(), "fuzz".into()) {
        Ok(profile) => {
            assert_whole(&profile);
            let counts = profile.sample_counts();
            if let Ok(summary) = summary {
                assert!(summary.is_cpu);
                assert_eq!(summary.span_samples, counts.labeled);
                assert_eq!(summary.samples, counts.labeled.saturating_add(counts.unlabeled));
            }
            let labeled = profile.labeled();
            assert_whole(&labeled);
            assert_eq!(labeled.sample_counts().labeled, counts.labeled);
            assert_eq!(labeled.sample_counts().unlabeled, 0);
        }
        Err(PprofError::NotCpu { .. }) => assert!(summary.is_err() || summary.is_ok_and(|summary| !summary.is_cpu)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// What a profile refers to is in it, once and in order.
fn assert_whole(profile: &CpuProfile) {
    assert!(profile.window.start() <= profile.window.end());
    assert!(profile.period_ns > 0);
    assert!(profile.stacks.is_sorted_by(|one, next| one.id < next.id));
    let stacks: HashSet<StackId> = profile.stacks.iter().map(|stack| stack.id).collect();
    for samples in &profile.samples {
        assert!(samples.count > 0 && samples.cpu_ns >= 0);
        assert!(samples.stack.is_none_or(|stack| stacks.contains(&stack)));
    }
    for frame in profile.stacks.iter().flat_map(|stack| &stack.frames) {
        profile.names.resolve(frame.function);
        profile.names.resolve(frame.file);
    }
}
