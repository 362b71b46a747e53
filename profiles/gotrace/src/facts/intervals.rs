//! Goroutine states one by one.

use std::collections::VecDeque;

use super::follower::Follower;
use super::visitor::{Lookup, Visitor};
use super::{StateInterval, Symbols};
use crate::clock::ClockSync;
use crate::decoder::Decoder;
use crate::error::Warnings;

/// Events that are followed at a time.
const BATCH_EVENTS: u64 = 256;

/// The states of all goroutines as a [`Visitor`](crate::Visitor) gets them: the iterator behind
/// [`ExecTrace::intervals`](crate::ExecTrace::intervals). Memory is for about one generation and for what is open.
///
/// Like [`Events`](crate::Events), it neither panics nor fails, whatever the bytes are: a trace without a whole generation
/// gives no interval, only warnings.
#[derive(Debug)]
pub struct Intervals<'a> {
    decoder: Decoder<'a>,
    follower: Follower,
    ready: Ready,
    is_over: bool,
}

#[derive(Debug, Default)]
struct Ready(VecDeque<StateInterval>);

impl Visitor for Ready {
    fn state(&mut self, interval: &StateInterval, _: Lookup<'_>) {
        self.0.push_back(*interval);
    }
}

impl<'a> Intervals<'a> {
    pub(crate) fn new(decoder: Decoder<'a>) -> Self {
        Self {
            decoder,
            follower: Follower::default(),
            ready: Ready::default(),
            is_over: false,
        }
    }

    /// Strings and stacks of all intervals so far.
    pub fn symbols(&self) -> &Symbols {
        &self.follower.symbols
    }

    /// The clock snapshots of all generations so far, and that of the next one where it stands at its start.
    pub fn clock(&self) -> &ClockSync {
        &self.decoder.tables.clock
    }

    /// What was odd so far, in the file and among its events, as a copy.
    pub fn warnings(&self) -> Warnings {
        let mut warnings = self.decoder.warnings.clone();
        warnings.append(self.follower.warnings());
        warnings
    }
}

impl Iterator for Intervals<'_> {
    type Item = StateInterval;

    fn next(&mut self) -> Option<StateInterval> {
        let Self {
            decoder,
            follower,
            ready,
            is_over,
        } = self;
        while ready.0.is_empty() && !*is_over {
            let more = decoder.run(BATCH_EVENTS, |event, subject, tables| {
                follower.apply(&event, subject, tables, ready);
            });
            if !more {
                follower.finish(&decoder.tables, ready);
                *is_over = true;
            }
        }
        ready.0.pop_front()
    }
}
