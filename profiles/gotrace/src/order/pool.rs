//! Goroutines or procs of the running program, as far as the trace has told.

use std::hash::Hash;

use super::Refusal;
use crate::error::DecodeErrorKind;
use crate::id_index::IdIndex;
use crate::ids::index;

/// End of a list of waiting lanes.
pub(crate) const NO_LANE: u32 = u32::MAX;

/// Position in a [`Pool`].
pub(crate) type Slot = u32;

/// The slot behind so many others.
///
/// # Errors
/// If there is none: the last number is [`NO_SLOT`](super::NO_SLOT).
pub(super) fn next_slot(count: usize, what: &'static str) -> Result<Slot, Refusal> {
    match u32::try_from(count) {
        Ok(slot) if slot < super::NO_SLOT => Ok(slot),
        _ => Err(Box::new(DecodeErrorKind::TooMany { what })),
    }
}

/// A place in the order of the events about one resource: counted from 0 in every generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sequence {
    /// Which generation, counted by the decoder.
    pub(super) epoch: u32,
    pub(super) number: u64,
}

impl Sequence {
    /// Whether this is the number right after `before`, in the same generation.
    #[inline(always)]
    pub(super) fn follows(self, before: Self) -> bool {
        self.epoch == before.epoch && before.number.checked_add(1) == Some(self.number)
    }
}

/// One goroutine or proc.
#[derive(Debug)]
pub(super) struct Tracked<I, S> {
    pub(super) id: I,
    /// `None` while only events that must wait have named it.
    pub(super) status: Option<S>,
    pub(super) sequence: Sequence,
    /// Lanes whose next event waits for a change of this resource: head of a list that runs through the lanes.
    waiters: u32,
}

/// All goroutines, or all procs.
#[derive(Debug)]
pub(super) struct Pool<I, S> {
    /// What they are, in the plural.
    what: &'static str,
    slots: Vec<Tracked<I, S>>,
    index: IdIndex<I>,
    free: Vec<Slot>,
}

impl<I: Copy + Eq + Hash + Into<u64>, S: Copy> Pool<I, S> {
    pub(super) fn new(what: &'static str) -> Self {
        Self {
            what,
            slots: Vec::new(),
            index: IdIndex::new(),
            free: Vec::new(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.index.clear();
        self.free.clear();
    }

    #[inline(always)]
    pub(super) fn get(&self, slot: Slot) -> &Tracked<I, S> {
        self.slots
            .get(index(slot))
            .expect("slots are handed out by this pool and never shrink")
    }

    #[inline(always)]
    fn get_mut(&mut self, slot: Slot) -> &mut Tracked<I, S> {
        self.slots
            .get_mut(index(slot))
            .expect("slots are handed out by this pool and never shrink")
    }

    /// The slot of an id; one that is new gets a slot without a status.
    #[inline(always)]
    pub(super) fn slot(&mut self, id: I) -> Result<Slot, Refusal> {
        match self.index.find(id) {
            Some(slot) => Ok(slot),
            None => self.add(id),
        }
    }

    #[inline(never)]
    fn add(&mut self, id: I) -> Result<Slot, Refusal> {
        let tracked = Tracked {
            id,
            status: None,
            sequence: Sequence { epoch: 0, number: 0 },
            waiters: NO_LANE,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                *self.get_mut(slot) = tracked;
                slot
            }
            None => {
                let slot = next_slot(self.slots.len(), self.what)?;
                self.slots.push(tracked);
                slot
            }
        };
        self.index.insert(id, slot);
        Ok(slot)
    }

    /// Sets the status. Lanes that waited for a change go to `woken`.
    #[inline(always)]
    pub(super) fn set_status(&mut self, slot: Slot, status: S, woken: &mut Vec<u32>) {
        let tracked = self.get_mut(slot);
        tracked.status = Some(status);
        wake(&mut tracked.waiters, woken);
    }

    /// Sets status and sequence. Lanes that waited for a change go to `woken`.
    #[inline(always)]
    pub(super) fn set(&mut self, slot: Slot, status: S, sequence: Sequence, woken: &mut Vec<u32>) {
        let tracked = self.get_mut(slot);
        tracked.status = Some(status);
        tracked.sequence = sequence;
        wake(&mut tracked.waiters, woken);
    }

    /// Forgets a resource that has ended.
    pub(super) fn remove(&mut self, slot: Slot, woken: &mut Vec<u32>) {
        let tracked = self.get_mut(slot);
        tracked.status = None;
        wake(&mut tracked.waiters, woken);
        let id = tracked.id;
        self.index.remove(id);
        self.free.push(slot);
    }

    /// Puts a lane at the head of the waiters and returns the head before.
    pub(super) fn park(&mut self, slot: Slot, lane: u32) -> u32 {
        std::mem::replace(&mut self.get_mut(slot).waiters, lane)
    }
}

/// Hands the list of waiters over.
#[inline(always)]
pub(super) fn wake(waiters: &mut u32, woken: &mut Vec<u32>) {
    if *waiters != NO_LANE {
        woken.push(std::mem::replace(waiters, NO_LANE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_run_out_before_the_number_that_is_none() {
        let count = |last: u32| usize::try_from(last).unwrap();
        assert_eq!(next_slot(count(u32::MAX - 1), "threads").unwrap(), u32::MAX - 1);
        for full in [count(u32::MAX), usize::MAX] {
            let refusal = next_slot(full, "threads").unwrap_err();
            assert_eq!(refusal.to_string(), "more than 4294967295 threads");
        }
    }
}
