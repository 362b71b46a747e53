//! Windows that an earlier run held, filled again from the rows of their requests.

use std::time::Instant;

use spandrel_attribution::{MatrixTables, RequestGroup, SpanAttribution};

use super::Windows;
use crate::attribution::restart::SentGroups;

impl Windows {
    /// Counts the requests of earlier runs, all of those of their windows, which have sent rows as `sent` says. Rows
    /// are sent again, in the place of those, where they do not agree with the requests: a crash has come between the
    /// two.
    pub(in crate::attribution) fn restore(&mut self, requests: &[SpanAttribution], sent: &SentGroups, now: Instant) {
        for request in requests {
            self.add(request, now);
        }
        for window in self.held.values_mut() {
            let groups: Vec<RequestGroup> = window.groups.keys().cloned().collect();
            for group in groups {
                let Some((sent, rows)) = sent.get(&group).zip(window.groups.get_mut(&group)) else {
                    continue;
                };
                rows.sent_as.clone_from(&sent.emissions);
                let mut tables = MatrixTables::default();
                window.matrix.tables_of(&group, &mut tables);
                if sent.agrees_with(&tables) {
                    rows.changed_at = None;
                }
            }
        }
    }
}
