//! Sketches as bytes: the column `sketch` of the tables.
//!
//! ```text
//! version   1 byte, 1
//! scale     1 byte, 0 to 6
//! zeros     signed varint
//! buckets   varint: how many follow
//! bucket    varint: buckets without a count since the last one, the first counted from bucket -1
//!           signed varint: count, not 0
//! ...
//! ```
//!
//! A varint is an unsigned LEB128 number: seven bits a byte, the lowest first, the highest bit set in all but the last. It
//! takes as few bytes as it can. A signed varint is that of the zigzag number: 0, -1, 1, -2 ... as 0, 1, 2, 3 ... So equal
//! sketches are equal bytes. A thousand requests take a few hundred bytes, and none takes more than [`Sketch::BYTES_MAX`].

use thiserror::Error;

use super::Sketch;
use super::buckets::{INDEX_MIN, index_max};

const VERSION: u8 = 1;
/// Bytes of a number of 64 bits.
const VARINT_BYTES_MAX: usize = 10;

/// Bytes are not a sketch.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SketchError {
    /// A later version of Spandrel wrote them, or something else.
    #[error("version {found} of a sketch, expected {VERSION}; was it written by a later version of Spandrel?")]
    Version {
        /// First byte.
        found: u8,
    },
    /// The scale does not exist.
    #[error("scale {found} of a sketch, expected at most {}", Sketch::SCALE_MAX)]
    Scale {
        /// Second byte.
        found: u8,
    },
    /// They end too soon.
    #[error("a sketch of {len} bytes ends within its {field}")]
    Short {
        /// How many there are.
        len: usize,
        /// What was being read.
        field: &'static str,
    },
    /// A number is too large, takes more bytes than it needs, or says nothing.
    #[error("a sketch has a {field} at byte {at} that no sketch is written with")]
    Number {
        /// Position of its first byte.
        at: usize,
        /// What was being read.
        field: &'static str,
    },
    /// There are more of them.
    #[error("a sketch of {len} bytes ends at byte {end}")]
    Long {
        /// How many there are.
        len: usize,
        /// Position after the last bucket.
        end: usize,
    },
}

impl Sketch {
    /// No sketch takes more bytes: there are 4033 buckets, and two bytes say where the next one is.
    pub const BYTES_MAX: usize = 2 + VARINT_BYTES_MAX + 2 + 4_033 * (2 + VARINT_BYTES_MAX);

    /// The sketch as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, self.scale];
        put_varint(&mut bytes, zigzag(self.zeros));
        put_varint(&mut bytes, self.buckets.len() as u64);
        let mut next = INDEX_MIN;
        for (index, count) in self.buckets() {
            put_varint(&mut bytes, u64::from(index.abs_diff(next)));
            put_varint(&mut bytes, zigzag(count));
            next = index + 1;
        }
        bytes
    }

    /// The inverse of [`Self::to_bytes`]. Takes no more memory than a small multiple of the bytes.
    ///
    /// # Errors
    /// The bytes are not what [`Self::to_bytes`] makes of any sketch.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let mut reader = Reader { bytes, at: 0 };
        let version = reader.byte("version")?;
        if version != VERSION {
            return Err(SketchError::Version { found: version });
        }
        let scale = reader.byte("scale")?;
        if scale > Self::SCALE_MAX {
            return Err(SketchError::Scale { found: scale });
        }
        let mut sketch = Self {
            scale,
            zeros: reader.signed("count of zeros")?,
            ..Self::default()
        };
        let mut next = i64::from(INDEX_MIN);
        for _ in 0..reader.varint("number of buckets")? {
            let at = reader.at;
            let gap = i64::try_from(reader.varint("gap")?).unwrap_or(i64::MAX);
            let index = i32::try_from(next.saturating_add(gap)).unwrap_or(i32::MAX);
            if index > index_max(sketch.scale) {
                return Err(SketchError::Number { at, field: "gap" });
            }
            let at = reader.at;
            let count = reader.signed("count")?;
            if count == 0 {
                return Err(SketchError::Number { at, field: "count" });
            }
            sketch.buckets.insert(index, count);
            next = i64::from(index) + 1;
        }
        reader.finish()?;
        Ok(sketch)
    }
}

fn zigzag(count: i64) -> u64 {
    ((count << 1) ^ (count >> 63)).cast_unsigned()
}

fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        bytes.push(0x80 | (number & 0x7f) as u8);
        number >>= 7;
    }
    bytes.push(number as u8);
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self, field: &'static str) -> Result<u8, SketchError> {
        let byte = self.bytes.get(self.at).copied();
        self.at += 1;
        byte.ok_or(SketchError::Short {
            len: self.bytes.len(),
            field,
        })
    }

    fn varint(&mut self, field: &'static str) -> Result<u64, SketchError> {
        let start = self.at;
        let wrong = SketchError::Number { at: start, field };
        let mut number = 0_u128;
        loop {
            let read = self.at - start;
            if read == VARINT_BYTES_MAX {
                return Err(wrong);
            }
            let byte = self.byte(field)?;
            number |= u128::from(byte & 0x7f) << (7 * read);
            if byte == 0 && read > 0 {
                return Err(wrong);
            }
            if byte < 0x80 {
                return u64::try_from(number).map_err(|_| wrong);
            }
        }
    }

    fn signed(&mut self, field: &'static str) -> Result<i64, SketchError> {
        let number = self.varint(field)?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn finish(self) -> Result<(), SketchError> {
        if self.at < self.bytes.len() {
            return Err(SketchError::Long {
                len: self.bytes.len(),
                end: self.at,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sketches() -> impl Strategy<Value = Sketch> {
        let counted = proptest::collection::vec((any::<i64>(), any::<i64>(), 0..63_u32), 0..80);
        (counted, 0..=Sketch::SCALE_MAX).prop_map(|(counted, scale)| {
            let mut sketch = Sketch::default();
            sketch.coarsen(scale);
            for (ns, times, octaves) in counted {
                sketch.add(ns >> octaves, times >> octaves);
            }
            sketch
        })
    }

    proptest! {
        #[test]
        fn bytes_are_the_sketch_again(sketch in sketches()) {
            prop_assert_eq!(Sketch::from_bytes(&sketch.to_bytes()), Ok(sketch));
        }

        /// Whatever is decoded is what it would be written as, so that nothing strange gets in; and nothing panics.
        #[test]
        fn any_bytes_are_a_sketch_of_these_bytes_or_an_error(
            start in prop_oneof![Just(vec![]), (0..8_u8).prop_map(|scale| vec![VERSION, scale])],
            rest in proptest::collection::vec(prop_oneof![0..8_u8, any::<u8>()], 0..60),
        ) {
            let bytes = [start, rest].concat();
            if let Ok(sketch) = Sketch::from_bytes(&bytes) {
                prop_assert_eq!(sketch.to_bytes(), bytes);
                sketch.quantile_ns(0.99);
            }
        }

        #[test]
        fn a_damaged_sketch_is_another_sketch_or_an_error(
            sketch in sketches(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(),
        ) {
            let bytes = sketch.to_bytes();
            let cut = cut.index(bytes.len());
            prop_assert!(Sketch::from_bytes(&bytes[..cut]).is_err());
            let mut damaged = bytes.clone();
            damaged[at.index(bytes.len())] = byte;
            if let Ok(other) = Sketch::from_bytes(&damaged) {
                prop_assert_eq!(other.to_bytes(), damaged);
            }
        }
    }

    #[test]
    fn an_example_byte_by_byte() {
        let mut sketch = Sketch::default();
        sketch.add(0, 3);
        sketch.add(1, 1);
        sketch.add(1_000_000, 100);
        sketch.add(1_000_000_000, -1);
        // Buckets -1, 1275 and 1913.
        assert_eq!(
            sketch.to_bytes(),
            [1, 6, 6, 3, 0, 2, 0xfb, 0x09, 0xc8, 0x01, 0xfd, 0x04, 1]
        );
    }

    #[test]
    fn the_largest_sketch_keeps_the_limit() {
        let buckets = (INDEX_MIN..=index_max(Sketch::SCALE_MAX)).map(|index| (index, i64::MIN));
        let largest = Sketch {
            zeros: i64::MIN,
            buckets: buckets.collect(),
            ..Sketch::default()
        };
        assert!(largest.to_bytes().len() <= Sketch::BYTES_MAX);
        assert_eq!(Sketch::from_bytes(&largest.to_bytes()), Ok(largest));
    }

    #[test]
    fn errors_name_the_place() {
        for (bytes, message) in [
            (&[][..], "a sketch of 0 bytes ends within its version"),
            (
                &[9],
                "version 9 of a sketch, expected 1; was it written by a later version of Spandrel?",
            ),
            (&[1, 7], "scale 7 of a sketch, expected at most 6"),
            (&[1, 6, 0, 1, 0], "a sketch of 5 bytes ends within its count"),
            (
                &[1, 6, 0, 1, 0, 0],
                "a sketch has a count at byte 5 that no sketch is written with",
            ),
            (
                &[1, 6, 0, 1, 0x80, 0, 2],
                "a sketch has a gap at byte 4 that no sketch is written with",
            ),
            (
                &[1, 0, 0, 1, 0xff, 0x7f, 2],
                "a sketch has a gap at byte 4 that no sketch is written with",
            ),
            (&[1, 6, 0, 0, 5], "a sketch of 5 bytes ends at byte 4"),
        ] {
            assert_eq!(Sketch::from_bytes(bytes).unwrap_err().to_string(), message);
        }
    }
}
