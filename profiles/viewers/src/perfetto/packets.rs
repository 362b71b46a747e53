//! Packets on one sequence: descriptors of tracks, and events on them.

use std::borrow::Cow;
use std::io;

use gotrace::{ClockSync, StackId, Symbols, TraceNanos};
use prost::Message;

use super::intern::Interned;
use super::proto::{self, DebugAnnotation, TracePacket, TrackDescriptor, TrackEvent};

/// Key of the field `Trace.packet`: number 1, a message (`protos/perfetto/trace/trace.proto`).
const PACKET_KEY: u8 = 0x0a;

/// The only sequence: everything comes from one writer.
const SEQUENCE: u32 = 1;

/// Identifies a track. Unique in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TrackId(pub(super) u64);

/// The beginning of a slice, or an instant.
pub(super) struct Event<'e> {
    pub(super) track: TrackId,
    pub(super) at: TraceNanos,
    pub(super) category: &'static str,
    pub(super) name: &'e str,
    /// Empty arguments are left out.
    pub(super) args: &'e [(&'static str, Arg<'e>)],
    pub(super) stack: Option<StackId>,
    /// A flow that leads from here to the event with the same number.
    pub(super) begins_flow: Option<u64>,
    /// The flow that leads here.
    pub(super) ends_flow: Option<u64>,
}

impl<'e> Event<'e> {
    /// An event without arguments, stack and flows.
    pub(super) fn new(track: TrackId, at: TraceNanos, category: &'static str, name: &'e str) -> Self {
        Self {
            track,
            at,
            category,
            name,
            args: &[],
            stack: None,
            begins_flow: None,
            ends_flow: None,
        }
    }
}

/// The value of an argument.
pub(super) enum Arg<'e> {
    /// A text that occurs again and again; left out if empty.
    Text(Cow<'e, str>),
    /// A text that does not.
    Unique(Cow<'e, str>),
    Number(Option<u64>),
}

impl<'e, T: Into<Cow<'e, str>>> From<T> for Arg<'e> {
    fn from(text: T) -> Self {
        Self::Text(text.into())
    }
}

pub(super) struct Packets<W> {
    out: W,
    interned: Interned,
    buf: Vec<u8>,
}

impl<W: io::Write> Packets<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            interned: Interned::default(),
            buf: Vec::new(),
        }
    }

    /// Begins the file.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        self.write(TracePacket {
            sequence_flags: Some(proto::SEQ_INCREMENTAL_STATE_CLEARED),
            trace_packet_defaults: Some(proto::TracePacketDefaults {
                timestamp_clock_id: Some(proto::BUILTIN_CLOCK_MONOTONIC),
            }),
            ..TracePacket::default()
        })
    }

    /// The clock of the trace, and what the wall clock showed at a moment. Without wall clock the trace's own clock is
    /// announced alone, so that a reader takes its times as they are.
    pub(super) fn clocks(&mut self, at: TraceNanos, clock: &ClockSync) -> io::Result<()> {
        let readings = [
            (proto::BUILTIN_CLOCK_MONOTONIC, Some(at.0)),
            (proto::BUILTIN_CLOCK_REALTIME, clock.unix(at).map(|unix| unix.0)),
        ];
        let clocks = readings.into_iter().filter_map(|(clock, ns)| {
            Some(proto::Clock {
                clock_id: Some(clock),
                timestamp: Some(u64::try_from(ns?).ok()?),
            })
        });
        self.write(TracePacket {
            clock_snapshot: Some(proto::ClockSnapshot {
                clocks: clocks.collect(),
                primary_trace_clock: Some(proto::BUILTIN_CLOCK_MONOTONIC),
            }),
            ..TracePacket::default()
        })
    }

    pub(super) fn describe(&mut self, track: TrackDescriptor) -> io::Result<()> {
        self.write(TracePacket {
            track_descriptor: Some(track),
            ..TracePacket::default()
        })
    }

    /// A slice as a whole. Of two on one track that begin together, the outer one must come first.
    pub(super) fn slice(&mut self, event: &Event<'_>, end: TraceNanos, symbols: &Symbols) -> io::Result<()> {
        self.event(proto::TYPE_SLICE_BEGIN, event, symbols)?;
        self.track_event(
            end,
            TrackEvent {
                r#type: Some(proto::TYPE_SLICE_END),
                track_uuid: Some(event.track.0),
                ..TrackEvent::default()
            },
        )
    }

    pub(super) fn instant(&mut self, event: &Event<'_>, symbols: &Symbols) -> io::Result<()> {
        self.event(proto::TYPE_INSTANT, event, symbols)
    }

    /// A counter has this value from `at` on.
    pub(super) fn count(&mut self, track: TrackId, at: TraceNanos, value: u64) -> io::Result<()> {
        self.track_event(
            at,
            TrackEvent {
                r#type: Some(proto::TYPE_COUNTER),
                track_uuid: Some(track.0),
                counter_value: Some(i64::try_from(value).unwrap_or(i64::MAX)),
                ..TrackEvent::default()
            },
        )
    }

    fn event(&mut self, r#type: u32, event: &Event<'_>, symbols: &Symbols) -> io::Result<()> {
        let mut debug_annotations = Vec::with_capacity(event.args.len() + 1);
        for (name, arg) in event.args {
            debug_annotations.extend(self.annotation(name, arg));
        }
        let mut callstack_iid = None;
        if let Some(stack) = event.stack {
            let stack = self.interned.stack(stack, symbols);
            callstack_iid = Some(stack.callstack);
            debug_annotations.push(DebugAnnotation {
                name_iid: Some(self.interned.argument_name("stack")),
                string_value_iid: Some(stack.text),
                ..DebugAnnotation::default()
            });
        }
        let track_event = TrackEvent {
            category_iids: vec![self.interned.category(event.category)],
            debug_annotations,
            r#type: Some(r#type),
            name_iid: Some(self.interned.event_name(event.name)),
            track_uuid: Some(event.track.0),
            flow_ids: event.begins_flow.into_iter().collect(),
            terminating_flow_ids: event.ends_flow.into_iter().collect(),
            callstack_iid,
            ..TrackEvent::default()
        };
        self.track_event(event.at, track_event)
    }

    /// `None` for an empty argument.
    fn annotation(&mut self, name: &'static str, arg: &Arg<'_>) -> Option<DebugAnnotation> {
        let mut annotation = DebugAnnotation::default();
        match arg {
            Arg::Number(number) => annotation.uint_value = Some((*number)?),
            Arg::Text(text) | Arg::Unique(text) if text.is_empty() => return None,
            Arg::Text(text) => annotation.string_value_iid = Some(self.interned.text(text)),
            Arg::Unique(text) => annotation.string_value = Some(text.clone().into_owned()),
        }
        annotation.name_iid = Some(self.interned.argument_name(name));
        Some(annotation)
    }

    fn track_event(&mut self, at: TraceNanos, event: TrackEvent) -> io::Result<()> {
        let interned_data = self.interned.take_news();
        self.write(TracePacket {
            timestamp: Some(at.0.max(0).cast_unsigned()),
            track_event: Some(event),
            interned_data,
            sequence_flags: Some(proto::SEQ_NEEDS_INCREMENTAL_STATE),
            ..TracePacket::default()
        })
    }

    fn write(&mut self, packet: TracePacket) -> io::Result<()> {
        let packet = TracePacket {
            trusted_packet_sequence_id: Some(SEQUENCE),
            ..packet
        };
        self.buf.clear();
        self.buf.push(PACKET_KEY);
        packet
            .encode_length_delimited(&mut self.buf)
            .expect("a vector grows as needed");
        self.out.write_all(&self.buf)
    }

    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
