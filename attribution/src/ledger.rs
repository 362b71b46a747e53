//! The account book of one task: time charged to accounts, one piece after the other, and asked back for any stretch.
//!
//! Nested spans of a task share its time, so adding every piece to every open span would cost depth times pieces.
//! Instead each account keeps its running total, and the time of a span in an account is the difference of the total at
//! its end and at its start. The accounts charged last stand first in a list, so that a span looks at no more accounts
//! than it has time in.

use std::hash::Hash;

use foldhash::HashMap;
use spandrel_model::{Interval, UnixNanos};

/// Accounts of type `K`. Pieces must come in the order of time.
pub(crate) struct Ledger<K> {
    accounts: Vec<Account<K>>,
    by_key: HashMap<K, usize>,
    latest: Option<usize>,
}

struct Account<K> {
    key: K,
    // (end of a piece, total up to there), in the order of time. Cleared by `close`.
    totals: Vec<(UnixNanos, i64)>,
    earlier: Option<usize>,
    later: Option<usize>,
}

impl<K: Copy + Eq + Hash> Ledger<K> {
    pub(crate) fn new() -> Self {
        Self {
            accounts: Vec::new(),
            by_key: HashMap::default(),
            latest: None,
        }
    }

    /// Number of accounts.
    pub(crate) fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Charges the piece to the account `key`.
    pub(crate) fn charge(&mut self, key: K, piece: Interval) {
        self.charge_part(key, piece.end(), piece.duration_ns());
    }

    /// Charges `ns` nanoseconds of a piece that ends at `end`, which several accounts share.
    pub(crate) fn charge_part(&mut self, key: K, end: UnixNanos, ns: i64) {
        let next = self.accounts.len();
        let index = *self.by_key.entry(key).or_insert(next);
        if index == next {
            self.accounts.push(Account {
                key,
                totals: Vec::new(),
                earlier: None,
                later: None,
            });
        }
        self.make_latest(index);
        let totals = &mut self.accounts[index].totals;
        let total = totals.last().map_or(0, |(_, total)| *total);
        totals.push((end, total.saturating_add(ns)));
    }

    /// Appends to `into` what each account was charged from `from` until now. `from` must be a boundary of pieces.
    pub(crate) fn since(&self, from: UnixNanos, into: &mut Vec<(K, i64)>) {
        let mut next = self.latest;
        while let Some(account) = next.map(|index| &self.accounts[index]) {
            let charged = total_since(&account.totals, from);
            if charged == 0 {
                return;
            }
            into.push((account.key, charged));
            next = account.earlier;
        }
    }

    /// Forgets all pieces, keeping the accounts.
    pub(crate) fn close(&mut self) {
        while let Some(index) = self.latest {
            let account = &mut self.accounts[index];
            self.latest = account.earlier;
            account.totals.clear();
            account.earlier = None;
            account.later = None;
        }
    }

    fn make_latest(&mut self, index: usize) {
        if self.latest == Some(index) {
            return;
        }
        let Account { earlier, later, .. } = self.accounts[index];
        if let Some(later) = later {
            self.accounts[later].earlier = earlier;
        }
        if let Some(earlier) = earlier {
            self.accounts[earlier].later = later;
        }
        if let Some(latest) = self.latest {
            self.accounts[latest].later = Some(index);
        }
        self.accounts[index].earlier = self.latest;
        self.accounts[index].later = None;
        self.latest = Some(index);
    }
}

/// What was charged after `from`.
fn total_since(totals: &[(UnixNanos, i64)], from: UnixNanos) -> i64 {
    let before = &totals[..totals.partition_point(|(end, _)| *end <= from)];
    let total = |totals: &[(UnixNanos, i64)]| totals.last().map_or(0, |(_, total)| *total);
    total(totals) - total(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(start: i64, end: i64) -> Interval {
        Interval::new(UnixNanos(start), UnixNanos(end)).unwrap()
    }

    fn since(ledger: &Ledger<char>, from: i64) -> Vec<(char, i64)> {
        let mut charged = Vec::new();
        ledger.since(UnixNanos(from), &mut charged);
        charged.sort_unstable();
        charged
    }

    #[test]
    fn accounts_are_asked_for_any_stretch_up_to_now() {
        let mut ledger = Ledger::new();
        for (key, start, end) in [('a', 0, 10), ('b', 10, 15), ('a', 15, 20), ('c', 20, 21), ('b', 21, 30)] {
            ledger.charge(key, piece(start, end));
        }
        assert_eq!(since(&ledger, 0), [('a', 15), ('b', 14), ('c', 1)]);
        assert_eq!(since(&ledger, 15), [('a', 5), ('b', 9), ('c', 1)]);
        assert_eq!(since(&ledger, 21), [('b', 9)]);
        assert_eq!(since(&ledger, 30), []);
    }

    #[test]
    fn a_closed_ledger_starts_from_nothing() {
        let mut ledger = Ledger::new();
        ledger.charge('a', piece(0, 10));
        ledger.charge('b', piece(10, 12));
        ledger.close();
        assert_eq!(since(&ledger, 0), []);
        ledger.charge('b', piece(20, 25));
        assert_eq!(since(&ledger, 20), [('b', 5)]);
    }
}
