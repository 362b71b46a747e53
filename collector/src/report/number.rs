//! Counts, sizes and shares as a person reads them.

/// Groups of three digits: `1,234,567`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A number of things that have a regular plural: `1 span`, `2,000 spans`.
pub fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

/// Three significant digits with a binary unit: `512 B`, `1.50 KiB`, `123 MiB`.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1_024.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1_024.0;
        unit += 1;
    }
    let decimals = match value {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// `part` of `whole` with one decimal: `12.3 %`. A dash if there is no whole, and `< 0.1 %` rather than zero for a part that
/// is there.
pub fn share(part: i64, whole: i64) -> String {
    if whole <= 0 {
        return "-".to_owned();
    }
    match 100.0 * part as f64 / whole as f64 {
        percent if part > 0 && percent < 0.05 => "< 0.1 %".to_owned(),
        percent => format!("{percent:.1} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_groups_of_three() {
        let shown = [0, 999, 1_000, 123_456, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "123,456", "1,234,567"]);
    }

    #[test]
    fn one_thing_has_no_plural() {
        let shown = [0, 1, 2_000].map(|number| counted(number, "small one"));
        assert_eq!(shown, ["0 small ones", "1 small one", "2,000 small ones"]);
    }

    #[test]
    fn sizes_keep_three_digits_and_name_the_unit() {
        let shown = [0, 1_023, 1_536, 1_024 * 1_023, 129_000_000, u64::MAX].map(human_bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.50 KiB", "1.00 MiB", "123 MiB", "16.0 EiB"]);
    }

    #[test]
    fn a_small_share_is_not_shown_as_none() {
        let shown = [(0, 10), (1, 3), (1, 1_000_000), (10, 10), (1, 0)].map(|(part, whole)| share(part, whole));
        assert_eq!(shown, ["0.0 %", "33.3 %", "< 0.1 %", "100.0 %", "-"]);
    }
}
