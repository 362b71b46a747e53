//! User regions of `runtime/trace`, on a track below that of their goroutine.

use std::collections::HashMap;
use std::io;

use gotrace::{Goroutine, GoroutineId, Symbols, TraceNanos, UserRegion};

use super::tasks::{Note, Region, Tasks};
use super::tracks::{self, Extent, LaneTracks, Timeline, place_all};

#[derive(Default)]
pub(super) struct Regions {
    /// Of goroutines that live.
    living: HashMap<GoroutineId, OfGoroutine>,
    /// The goroutine that has ended last: the regions that it left open come after it.
    dead: Option<Dead>,
}

struct OfGoroutine {
    tracks: LaneTracks,
    /// Regions of which the trace shows one end: they last as long as the goroutine.
    cut: Vec<UserRegion>,
}

struct Dead {
    id: GoroutineId,
    first: TraceNanos,
    last: TraceNanos,
    tracks: LaneTracks,
}

impl Regions {
    /// A region has ended, or its goroutine has. (The runtime lets nothing but goroutines begin regions.)
    pub(super) fn region<W: io::Write>(
        &mut self,
        timeline: &mut Timeline<W>,
        region: &UserRegion,
        tasks: &mut Tasks,
        symbols: &Symbols,
    ) -> io::Result<()> {
        let Some(id) = region.goroutine else {
            return Ok(());
        };
        if let Some(dead) = &mut self.dead
            && dead.id == id
            && region.end.is_none()
        {
            let start = region.start.unwrap_or(dead.first);
            let end = dead.last.max(start);
            let placed = Region {
                track: dead.tracks.place(timeline, start, end)?,
                start,
                end,
                region: *region,
            };
            return tasks.note(timeline, Note::Region(placed), symbols);
        }
        let living = self.living.entry(id).or_insert_with(|| OfGoroutine {
            tracks: of(id),
            cut: Vec::new(),
        });
        let (Some(start), Some(end)) = (region.start, region.end) else {
            living.cut.push(*region);
            return Ok(());
        };
        let placed = Region {
            track: living.tracks.place(timeline, start, end)?,
            start,
            end,
            region: *region,
        };
        tasks.note(timeline, Note::Region(placed), symbols)
    }

    /// A goroutine has ended.
    pub(super) fn goroutine_ended<W: io::Write>(
        &mut self,
        timeline: &mut Timeline<W>,
        goroutine: &Goroutine,
        tasks: &Tasks,
        symbols: &Symbols,
    ) -> io::Result<()> {
        let Goroutine { id, first, last, .. } = *goroutine;
        let mut dead = Dead {
            id,
            first,
            last,
            tracks: of(id),
        };
        if let Some(OfGoroutine { cut, .. }) = self.living.remove(&id) {
            let extent = |region: UserRegion| {
                let start = region.start.unwrap_or(first);
                let end = region.end.unwrap_or(last).max(start);
                Extent {
                    start,
                    end,
                    what: region,
                }
            };
            let cut = cut.into_iter().map(extent).collect();
            place_all(timeline, &mut dead.tracks, cut, |timeline, track, extent| {
                let placed = Region {
                    track,
                    start: extent.start,
                    end: extent.end,
                    region: extent.what,
                };
                tasks.write_note(timeline, &Note::Region(placed), symbols)
            })?;
        }
        self.dead = Some(dead);
        Ok(())
    }
}

fn of(id: GoroutineId) -> LaneTracks {
    LaneTracks::new(tracks::goroutine(id), "regions", 0)
}
