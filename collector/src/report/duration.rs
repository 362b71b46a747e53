//! Durations as a person reads them.

/// Three significant digits with a unit: `1.23 ms`, `45.6 us`, `789 ns`, `12.0 s`.
pub fn human(ns: i64) -> String {
    let (value, unit) = match ns.unsigned_abs() {
        0 => return "0".to_owned(),
        1..=999 => return format!("{ns} ns"),
        1_000..=999_999 => (ns as f64 / 1e3, "us"),
        1_000_000..=999_999_999 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    let decimals = match value.abs() {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn keeps_three_digits_and_names_the_unit() {
        let shown = [0, 789, 1_234, 45_600, 123_400_000, 12_000_000_000].map(human);
        assert_eq!(shown, ["0", "789 ns", "1.23 us", "45.6 us", "123 ms", "12.0 s"]);
    }
}
