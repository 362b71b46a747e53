//! The type of a plain scalar.

use crate::value::Data;

/// Gives an unquoted scalar its type.
pub(super) fn resolve(text: &str) -> Data {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Data::Null,
        "true" | "True" | "TRUE" => return Data::Bool(true),
        "false" | "False" | "FALSE" => return Data::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Data::Float(f64::NAN),
        _ => {}
    }
    if let Some(number) = integer(text) {
        // Beyond 64 bits a number keeps its size and loses its last digits.
        let fits = i64::try_from(number).is_ok() || u64::try_from(number).is_ok();
        return if fits {
            Data::Int(number)
        } else {
            Data::Float(number as f64)
        };
    }
    match float(text) {
        Some(number) => Data::Float(number),
        None => Data::String(text.to_owned()),
    }
}

/// Splits off a sign: `(is negative, rest)`.
fn sign(text: &str) -> (bool, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = sign(text);
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let digits = digits.replace('_', "");
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x', ..] => (16, &digits[2..]),
        [b'0', b'o', ..] => (8, &digits[2..]),
        [b'0', b'b', ..] => (2, &digits[2..]),
        [b'0', b'0'..=b'7', ..] => (8, &digits[1..]),
        _ => (10, digits.as_str()),
    };
    if !digits.starts_with(|first: char| first.is_digit(radix)) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    Some(if negative { -magnitude } else { magnitude })
}

fn float(text: &str) -> Option<f64> {
    let (negative, digits) = sign(text);
    if matches!(digits, ".inf" | ".Inf" | ".INF") {
        return Some(if negative { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    // Rust also reads `inf`, `nan` and `infinity`, which are text in YAML.
    let numeric = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && digits.contains(|digit: char| digit.is_ascii_digit());
    if !numeric {
        return None;
    }
    text.replace('_', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_in_every_notation() {
        for (text, expected) in [
            ("0", 0),
            ("-12", -12),
            ("+7", 7),
            ("0x1F", 31),
            ("0o17", 15),
            ("0123", 83),
            ("089", 89),
            ("0b101", 5),
            ("1_000", 1000),
            ("18446744073709551615", u64::MAX.into()),
        ] {
            assert_eq!(resolve(text), Data::Int(expected), "{text}");
        }
    }

    #[test]
    fn numbers_that_are_not_64_bit_integers_are_floats() {
        for (text, expected) in [
            ("1.5", 1.5),
            ("-1e3", -1000.0),
            (".5", 0.5),
            ("99999999999999999999", 1e20),
        ] {
            assert_eq!(resolve(text), Data::Float(expected), "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_a_type_is_text() {
        for text in [
            "yes",
            "on",
            "nan",
            "inf",
            "infinity",
            "0x",
            "1.2.3",
            "5s",
            "20MiB",
            "0o8",
            "-",
            "+",
            ".",
            "2026-01-02",
            "1:30",
        ] {
            assert_eq!(resolve(text), Data::String(text.to_owned()), "{text}");
        }
    }
}
