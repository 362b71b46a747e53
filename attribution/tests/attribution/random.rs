//! Chance, the same for the same seed everywhere, and the lags of OpenTelemetry's Go SDK.

/// Pseudo-random numbers (splitmix64), the same for the same seed everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + i64::try_from(self.below(u64::try_from(high - low + 1).unwrap())).unwrap()
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Nanoseconds from the start of a span to the beginning of its user task, as measured.
    pub(crate) fn begin_lag(&mut self) -> i64 {
        self.quantile(&BEGIN_LAG)
    }

    /// Nanoseconds from the end of a span to the end of its user task, as measured.
    pub(crate) fn end_lag(&mut self) -> i64 {
        self.quantile(&END_LAG)
    }

    /// A number with these values at these per mille of the distribution, linear in between.
    fn quantile(&mut self, points: &[(i64, i64)]) -> i64 {
        let at = self.between(0, 1000);
        let pair = points.windows(2).find(|pair| at <= pair[1].0).unwrap();
        let (low, high) = (pair[0], pair[1]);
        low.1 + (high.1 - low.1) * (at - low.0) / (high.0 - low.0)
    }
}

const BEGIN_LAG: [(i64, i64); 5] = [
    (0, 3_000),
    (500, 12_000),
    (900, 40_000),
    (990, 500_000),
    (1000, 1_600_000),
];
const END_LAG: [(i64, i64); 6] = [
    (0, 100),
    (500, 1_000),
    (900, 2_000),
    (970, 10_000),
    (990, 200_000),
    (1000, 1_000_000),
];
