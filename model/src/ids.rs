//! Identifiers. Each is a type of its own, so that one cannot stand in for another.

use std::fmt;

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Wraps the bytes as they stand on the wire.
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// `None` unless `bytes` has exactly [`Self::LEN`] bytes.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// `None` unless `hex` has exactly twice [`Self::LEN`] hexadecimal digits, of either case.
            pub fn from_hex(hex: &str) -> Option<Self> {
                let digits = hex.as_bytes();
                if digits.len() != 2 * $len || !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                let mut bytes = [0; $len];
                for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
                    *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
                }
                Some(Self(bytes))
            }

            /// The bytes as they stand on the wire.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// All zeros, which OpenTelemetry defines as invalid (and uses for "no parent").
            pub fn is_zero(&self) -> bool {
                self.0 == [0; $len]
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

byte_id! {
    /// An OpenTelemetry trace id.
    TraceId, 16
}
byte_id! {
    /// An OpenTelemetry span id, unique within its trace.
    SpanId, 8
}

/// A runtime task: in Go, the goroutine id. Unique within one process; a restarted process counts from the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub u64);

/// A call stack, identified by a hash of its frames, so that the same stack has the same id in every recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StackId(pub u64);

impl StackId {
    /// The id as stored: the same 64 bits as a signed number, because Delta tables have no unsigned integers.
    pub const fn as_column(self) -> i64 {
        i64::from_ne_bytes(self.0.to_ne_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_the_inverse_of_display() {
        let id = SpanId::new([0, 1, 2, 0x7f, 0x80, 0xfe, 0xff, 9]);
        assert_eq!(SpanId::from_hex(&id.to_string()), Some(id));
        assert_eq!(SpanId::from_hex(&id.to_string().to_uppercase()), Some(id));
    }

    #[test]
    fn rejects_hex_of_another_length_or_alphabet() {
        assert_eq!(SpanId::from_hex("00"), None);
        assert_eq!(SpanId::from_hex("zz00000000000000"), None);
        assert_eq!(SpanId::from_hex("+f00000000000000"), None);
        assert_eq!(TraceId::from_slice(&[0; 8]), None);
    }
}
