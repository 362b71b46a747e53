//! The invariants of a recording.

use gotrace::{Recording, TraceNanos};

/// Checks the promise of `Recording::states`: intervals tile each goroutine's life, none is empty.
pub(crate) fn assert_tiled(recording: &Recording) {
    let mut states_count = 0;
    for goroutine in &recording.goroutines {
        assert!(
            goroutine.first >= recording.start && goroutine.last <= recording.end,
            "{goroutine:?}"
        );
        assert_eq!(
            goroutine.states.start, states_count,
            "states are in the order of their goroutines"
        );
        let mut at = goroutine.first;
        for interval in recording.states_of(goroutine) {
            assert_eq!(interval.goroutine, goroutine.id);
            assert_eq!(interval.start, at, "gap or overlap in {goroutine:?}");
            assert!(interval.end > interval.start, "empty interval in {goroutine:?}");
            at = interval.end;
        }
        assert_eq!(at, goroutine.last, "the last interval of {goroutine:?} ends early");
        assert!(
            goroutine.birth.is_none_or(|birth| birth == goroutine.first),
            "{goroutine:?}"
        );
        assert!(
            goroutine.death.is_none_or(|death| death == goroutine.last),
            "{goroutine:?}"
        );
        states_count = goroutine.states.end;
    }
    assert_eq!(
        states_count,
        recording.states.len(),
        "an interval belongs to no goroutine"
    );
    let lives = recording.goroutines.windows(2);
    for pair in lives.filter(|pair| pair[0].id == pair[1].id) {
        assert!(pair[0].last <= pair[1].first, "two lives of one id overlap: {pair:?}");
    }
    assert!(
        recording
            .ranges
            .iter()
            .all(|range| in_recording(recording, range.start, range.end))
    );
}

fn in_recording(recording: &Recording, start: TraceNanos, end: TraceNanos) -> bool {
    recording.start <= start && start <= end && end <= recording.end
}
