//! Recordings without a wall clock, which wait until spans show when they were made.
//!
//! The spans are asked again whenever some are about to be joined that might be of the recorded process, and for the last
//! time when the recording has waited as long as a span does. An answer that takes long is followed by a pause.

use std::sync::Arc;
use std::time::Instant;

use spandrel_attribution::{Anchor, NotAnchored, ProcessSpans, choose_anchor};
use spandrel_model::{OffsetEstimate, ProcessIdentity, Span, UnanchoredRecording};

use super::held_profile::HeldProfile;

/// One that waits.
#[derive(Debug)]
pub(super) struct HeldUnanchored {
    pub(super) profile: HeldProfile,
    pub(super) at: Instant,
    pub(super) recording: Arc<UnanchoredRecording>,
    /// Memory that it takes.
    pub(super) bytes: u64,
    /// Earliest time of the next question, but for the last.
    pub(super) asked_again_at: Instant,
    /// Digest of the profile, which may be sent again if no spans place it.
    pub(super) digest: u64,
}

/// A question to the spans that have arrived: when was this recording made, and of which process is it?
#[derive(Debug)]
pub(super) struct Placing {
    pub(super) profile: HeldProfile,
    pub(super) recording: Arc<UnanchoredRecording>,
    /// The processes that may be the recorded one, with their spans, which are filled in one process at a time.
    pub(super) candidates: Vec<(Arc<ProcessIdentity>, Vec<Arc<Span>>)>,
    /// Whether the recording has waited long enough.
    pub(super) is_last: bool,
}

/// The answer.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) process: Arc<ProcessIdentity>,
    pub(super) estimate: OffsetEstimate,
}

impl Placing {
    /// Takes seconds where there are hundreds of thousands of spans.
    pub(super) fn answer(&self) -> Result<Placed, NotAnchored> {
        let processes: Vec<ProcessSpans<'_>> = (self.candidates.iter())
            .map(|(process, spans)| ProcessSpans {
                process: process.clone(),
                spans: spans.iter().map(AsRef::as_ref).collect(),
                context: Vec::new(),
            })
            .collect();
        let Anchor { index, estimate } = choose_anchor(&self.recording, &processes)?;
        let process = processes[index].process.clone();
        Ok(Placed { process, estimate })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use spandrel_attribution::Rules;
    use spandrel_model::{
        Interval, Names, RecordingClock, SpanId, SpanKind, TaskId, TaskRecording, TraceId, UnixNanos, UserTask,
    };

    use spandrel_profiles::go_execution_trace::StateRules;

    use super::super::join::run_join;
    use super::super::pending::Pending;
    use super::super::slots::Round;
    use super::super::tests::join_of;
    use super::*;

    const OFFSET_NS: i64 = 1_795_000_000_000_000_000;
    const DELAY: Duration = Duration::from_secs(10);
    const DIGEST: u64 = 7;
    const REQUESTS: u64 = 60;

    fn interval(start: i64, end: i64) -> Interval {
        Interval::new(UnixNanos(start), UnixNanos(end)).unwrap()
    }

    fn process(instance: &str) -> Arc<ProcessIdentity> {
        Arc::new(ProcessIdentity {
            service_name: "shop".into(),
            service_instance_id: Some(instance.into()),
            ..ProcessIdentity::default()
        })
    }

    /// Requests at uneven times, each of another length, on the clock of the recording.
    fn requests() -> impl Iterator<Item = (u64, Interval)> {
        (1..=REQUESTS).map(|id| {
            let at = i64::try_from(id * 10_000_000 + id * id * 7_919 % 4_000_000).unwrap();
            (
                id,
                interval(at, at + i64::try_from(100_000 + id * id * 104_729 % 3_000_000).unwrap()),
            )
        })
    }

    fn recording() -> UnanchoredRecording {
        let mut names = Names::new();
        let name = Some(names.intern("GET /"));
        let user_tasks = requests().map(|(id, time)| UserTask {
            id,
            parent: None,
            name,
            begin: Some((TaskId(1), time.start())),
            end: Some((TaskId(1), time.end())),
        });
        UnanchoredRecording::new(TaskRecording {
            process: Arc::new(ProcessIdentity {
                service_name: "shop".into(),
                ..ProcessIdentity::default()
            }),
            source: "old.trace".into(),
            window: interval(0, 1_000_000_000),
            clock: RecordingClock::Recorded,
            user_tasks: user_tasks.collect(),
            names,
            tasks: vec![],
            states: vec![],
            user_logs: vec![],
            stacks: vec![],
            runtime_events: vec![],
            warnings: vec![],
        })
    }

    /// The spans of the requests: they begin 20 us and end 1 us before their tasks.
    fn spans(instance: &str) -> Vec<Span> {
        let process = process(instance);
        let span = |(id, time): (u64, Interval)| Span {
            trace_id: TraceId::new([1; 16]),
            span_id: SpanId::new(id.to_be_bytes()),
            parent_span_id: None,
            parent_is_remote: None,
            process: process.clone(),
            name: "GET /".into(),
            kind: SpanKind::Server,
            scope_name: "".into(),
            interval: interval(time.start().0 + OFFSET_NS - 20_000, time.end().0 + OFFSET_NS - 1_000),
            attributes: vec![],
        };
        requests().map(span).collect()
    }

    /// The round in which what arrived until `due` is due.
    fn round(due: Instant) -> Round {
        Round {
            now: due + DELAY,
            join_delay: DELAY,
            retention: DELAY,
            settle: Duration::ZERO,
            is_last: false,
        }
    }

    /// The questions of a round, with their candidates.
    fn placings(pending: &Pending, round: &Round) -> Vec<Placing> {
        let mut placings = pending.placings(round);
        for placing in &mut placings {
            for (process, spans) in &mut placing.candidates {
                *spans = pending.spans_of(process, None);
            }
        }
        placings
    }

    /// Answers what there is to answer in a round.
    fn place(pending: &mut Pending, round: &Round) -> Vec<Result<Placed, NotAnchored>> {
        let placings = placings(pending, round);
        let answers: Vec<_> = placings.iter().map(Placing::answer).collect();
        for (placing, answer) in placings.into_iter().zip(&answers) {
            pending.place(placing, answer.clone(), round.now, round.now);
        }
        answers
    }

    fn add(pending: &mut Pending, at: Instant) {
        pending.add_unanchored(recording(), None, DIGEST, at);
    }

    #[test]
    fn a_recording_is_placed_when_its_spans_fall_due_and_joined_with_them() {
        let (mut pending, start) = (Pending::default(), Instant::now());
        let arrival = start + Duration::from_secs(1);
        pending.add_spans(spans("1"), start);
        add(&mut pending, arrival);
        let early = round(start - Duration::from_nanos(1));
        assert!(place(&mut pending, &early).is_empty(), "nothing is due");

        let [Ok(placed)] = &place(&mut pending, &round(start))[..] else {
            panic!("the spans show the offset");
        };
        let error_ns = (placed.estimate.offset_ns - OFFSET_NS).abs();
        assert!(error_ns <= placed.estimate.error_ns, "{}", placed.estimate);
        let due = pending.due(&round(start)).remove(0);
        let join = join_of(&mut pending, due, &round(start));
        assert_eq!(join.due, spans("1").len());
        let [joined] = &join.parts[0].recordings[..] else {
            panic!("one recording");
        };
        let joined = joined.decoded.open(&StateRules::default()).unwrap();
        assert_eq!(joined.process, process("1"));
        assert_eq!(joined.window.start(), UnixNanos(placed.estimate.offset_ns));
        assert_eq!(joined.clock, RecordingClock::Estimated(placed.estimate));

        assert!(place(&mut pending, &round(arrival)).is_empty(), "it is placed once");
        assert_eq!(pending.take_settled(&round(start)).len(), 0);
        assert_eq!(pending.take_settled(&round(arrival)).len(), 1);
    }

    #[test]
    fn a_recording_that_no_spans_place_waits_then_goes_and_may_come_again() {
        let (mut pending, start) = (Pending::default(), Instant::now());
        let bytes = recording().size_bytes();
        assert!(pending.is_new_profile(DIGEST));
        pending.add_spans(spans("1").split_off(REQUESTS as usize - 3), start);
        let arrival = start + Duration::from_secs(1);
        add(&mut pending, arrival);

        for due in [start, arrival] {
            let room = pending.make_room_for_recording(bytes, bytes);
            assert_eq!(room, None, "it takes its room");
            let [Err(NotAnchored::NoOffset(_))] = place(&mut pending, &round(due))[..] else {
                panic!("three spans are not enough");
            };
        }
        assert!(place(&mut pending, &round(arrival)).is_empty());
        assert!(pending.take_settled(&round(arrival)).is_empty());
        assert!(pending.is_new_profile(DIGEST));
        assert!(pending.make_room_for_recording(bytes, bytes).is_some());
    }

    #[test]
    fn spans_that_arrive_after_a_first_question_place_it_at_the_last() {
        let (mut pending, start) = (Pending::default(), Instant::now());
        let mut early = spans("1");
        let late = early.split_off(3);
        pending.add_spans(early, start);
        add(&mut pending, start);
        pending.add_spans(spans("2").split_off(55), start);
        pending.add_spans(late, start + DELAY);
        let [Ok(placed)] = &place(&mut pending, &round(start))[..] else {
            panic!("the late spans count");
        };
        assert_eq!(placed.process, process("1"));
    }

    #[test]
    fn between_two_questions_is_a_pause_but_not_before_the_last() {
        let (mut pending, start) = (Pending::default(), Instant::now());
        let (arrival, nanosecond) = (start + DELAY, Duration::from_nanos(1));
        let (pause_end, last) = (arrival + DELAY / 2, arrival + DELAY);
        pending.add_spans(spans("1").split_off(55), start);
        add(&mut pending, arrival);
        let count = |pending: &Pending, now: Instant| pending.placings(&round(now - DELAY)).len();
        let ask = |pending: &mut Pending, now: Instant, again_at: Instant| {
            let placing = placings(pending, &round(now - DELAY)).remove(0);
            let answer = placing.answer();
            assert!(answer.is_err());
            pending.place(placing, answer, now, again_at);
        };
        ask(&mut pending, arrival, pause_end);
        assert_eq!(count(&pending, pause_end - nanosecond), 0);
        assert_eq!(count(&pending, pause_end), 1);
        ask(&mut pending, pause_end, last + DELAY);
        assert_eq!(count(&pending, last - nanosecond), 0);
        assert_eq!(count(&pending, last), 1, "the last");
    }

    #[test]
    fn a_recording_placed_after_the_join_makes_the_spans_due_again() {
        let (mut pending, start) = (Pending::default(), Instant::now());
        pending.add_spans(spans("1"), start);
        let due = pending.due(&round(start)).remove(0);
        let mut join = join_of(&mut pending, due, &round(start));
        let opened = join.open_recordings(&StateRules::default(), u64::MAX);
        let result = run_join(&join, &opened, &join.profiles(), &Rules::default());
        assert_eq!(result.spans.len(), spans("1").len());
        pending.end_join(&join, &round(start), Duration::ZERO);
        add(&mut pending, start);
        assert!(pending.due(&round(start)).is_empty());
        assert_eq!(place(&mut pending, &round(start)).len(), 1);
        let due = pending.due(&round(start)).remove(0);
        let join = join_of(&mut pending, due, &round(start));
        assert_eq!(join.parts[0].recordings.len(), 1);
    }
}
