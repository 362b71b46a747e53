//! The protobuf wire format, bounded: a [`Reader`] cannot leave its message, and every error says where it was.
//!
//! ```text
//! message = field*
//! field   = tag value             tag = varint(number << 3 | wire type)
//! value   = varint                wire type 0: 1 to 10 bytes, 7 bits each, lowest first
//!         | 8 bytes               wire type 1: little-endian
//!         | varint(n) n bytes     wire type 2: string, bytes, message, packed list
//!         | 4 bytes               wire type 5: little-endian
//! ```
//!
//! Unknown fields are skipped by their wire type. Wire types 3 and 4 (groups) are refused: OTLP has none, and
//! skipping one would need a stack. Nothing here allocates.

use super::error::{DecodeError, DecodeProblem, FieldName, FieldPath};

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LEN: u8 = 2;
const FIXED32: u8 = 5;

const MAX_FIELD_NUMBER: u64 = (1 << 29) - 1;

/// What is left of one message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    message: &'static str,
    rest: &'a [u8],
    /// Position of `rest` in the request.
    offset: usize,
}

/// A field whose tag has been read. One of the methods that take `self` must read its value.
#[must_use]
pub(super) struct Field<'r, 'a> {
    /// Field number.
    pub(super) number: u32,
    wire_type: u8,
    reader: &'r mut Reader<'a>,
}

impl<'a> Reader<'a> {
    /// Reads `request` as a message called `message`.
    pub(super) fn new(message: &'static str, request: &'a [u8]) -> Self {
        Self {
            message,
            rest: request,
            offset: 0,
        }
    }

    /// The next field; `None` at the end of the message.
    #[inline]
    pub(super) fn next_field(&mut self) -> Result<Option<Field<'_, 'a>>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint(FieldName::Unknown)?;
        match tag >> 3 {
            0 => Err(self.error(FieldName::Unknown, DecodeProblem::FieldNumber { number: 0 })),
            number if number > MAX_FIELD_NUMBER => {
                Err(self.error(FieldName::Unknown, DecodeProblem::FieldNumber { number }))
            }
            number => Ok(Some(Field {
                number: number as u32,
                wire_type: (tag & 7) as u8,
                reader: self,
            })),
        }
    }

    /// Calls `each` with every message in the repeated field `number`, and skips all other fields.
    pub(super) fn each_message(
        mut self,
        number: u32,
        (name, message): (&'static str, &'static str),
        mut each: impl FnMut(Reader<'a>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        while let Some(field) = self.next_field()? {
            if field.number == number {
                each(field.message(name, message)?)?;
            } else {
                field.skip()?;
            }
        }
        Ok(())
    }

    /// An error at the current position.
    #[cold]
    pub(super) fn error(&self, field: FieldName, problem: DecodeProblem) -> DecodeError {
        DecodeError {
            offset: self.offset,
            field: FieldPath {
                message: self.message,
                field,
            },
            problem,
        }
    }

    #[inline]
    fn varint(&mut self, field: FieldName) -> Result<u64, DecodeError> {
        match self.rest.split_first() {
            Some((&byte, rest)) if byte < 0x80 => {
                self.rest = rest;
                self.offset += 1;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(field),
        }
    }

    fn long_varint(&mut self, field: FieldName) -> Result<u64, DecodeError> {
        let mut value = 0;
        for (index, &byte) in self.rest.iter().take(10).enumerate() {
            // The tenth byte holds the one bit that is left.
            if index == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.take(index + 1, field)?;
                return Ok(value);
            }
        }
        if self.rest.len() < 10 {
            let left = self.rest.len();
            return Err(self.error(
                field,
                DecodeProblem::Truncated {
                    needed: left as u64 + 1,
                    left,
                },
            ));
        }
        Err(self.error(field, DecodeProblem::VarintTooLong))
    }

    #[inline]
    fn take(&mut self, len: usize, field: FieldName) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.truncated(len as u64, field));
        };
        self.rest = rest;
        self.offset += len;
        Ok(taken)
    }

    #[inline]
    fn take_array<const N: usize>(&mut self, field: FieldName) -> Result<[u8; N], DecodeError> {
        let Some((taken, rest)) = self.rest.split_first_chunk() else {
            return Err(self.truncated(N as u64, field));
        };
        self.rest = rest;
        self.offset += N;
        Ok(*taken)
    }

    #[inline]
    fn len_delimited(&mut self, field: FieldName) -> Result<Reader<'a>, DecodeError> {
        let len = self.varint(field)?;
        let Ok(size) = usize::try_from(len) else {
            return Err(self.truncated(len, field));
        };
        let offset = self.offset;
        Ok(Reader {
            message: self.message,
            rest: self.take(size, field)?,
            offset,
        })
    }

    #[cold]
    fn truncated(&self, needed: u64, field: FieldName) -> DecodeError {
        self.error(
            field,
            DecodeProblem::Truncated {
                needed,
                left: self.rest.len(),
            },
        )
    }
}

impl<'a> Field<'_, 'a> {
    /// Position of the value in the request.
    pub(super) fn offset(&self) -> usize {
        self.reader.offset
    }

    /// Reads over a field that nobody asks for.
    pub(super) fn skip(self) -> Result<(), DecodeError> {
        let name = FieldName::Number(self.number);
        match self.wire_type {
            VARINT => self.reader.varint(name).map(drop),
            FIXED64 => self.reader.take(8, name).map(drop),
            LEN => self.reader.len_delimited(name).map(drop),
            FIXED32 => self.reader.take(4, name).map(drop),
            found => Err(self.reader.error(
                name,
                DecodeProblem::WireType {
                    found,
                    expected: "0, 1, 2 or 5",
                },
            )),
        }
    }

    /// A `uint64`, or the raw bits of any other varint type.
    #[inline]
    pub(super) fn uint64(self, name: &'static str) -> Result<u64, DecodeError> {
        self.expect(VARINT, "0 (varint)", name)?;
        self.reader.varint(FieldName::Name(name))
    }

    /// An `int64`.
    #[inline]
    pub(super) fn int64(self, name: &'static str) -> Result<i64, DecodeError> {
        self.uint64(name).map(u64::cast_signed)
    }

    /// An `int32` or an enumeration. Protobuf keeps the low 32 bits of a longer number.
    #[inline]
    pub(super) fn int32(self, name: &'static str) -> Result<i32, DecodeError> {
        self.uint64(name).map(|bits| bits as i32)
    }

    /// A `uint32`. Protobuf keeps the low 32 bits of a longer number.
    #[inline]
    pub(super) fn uint32(self, name: &'static str) -> Result<u32, DecodeError> {
        self.uint64(name).map(|bits| bits as u32)
    }

    /// A `sint32`: zigzag, so that small negative numbers are short.
    pub(super) fn sint32(self, name: &'static str) -> Result<i32, DecodeError> {
        let bits = self.uint32(name)?;
        Ok((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed())
    }

    /// A `bool`.
    pub(super) fn bool(self, name: &'static str) -> Result<bool, DecodeError> {
        self.uint64(name).map(|bits| bits != 0)
    }

    /// A `fixed64`.
    #[inline]
    pub(super) fn fixed64(self, name: &'static str) -> Result<u64, DecodeError> {
        self.expect(FIXED64, "1 (64 bits)", name)?;
        self.reader.take_array(FieldName::Name(name)).map(u64::from_le_bytes)
    }

    /// An `sfixed64`.
    pub(super) fn sfixed64(self, name: &'static str) -> Result<i64, DecodeError> {
        self.fixed64(name).map(u64::cast_signed)
    }

    /// A `double`.
    pub(super) fn double(self, name: &'static str) -> Result<f64, DecodeError> {
        self.fixed64(name).map(f64::from_bits)
    }

    /// A `fixed32`.
    #[inline]
    pub(super) fn fixed32(self, name: &'static str) -> Result<u32, DecodeError> {
        self.expect(FIXED32, "5 (32 bits)", name)?;
        self.reader.take_array(FieldName::Name(name)).map(u32::from_le_bytes)
    }

    /// `bytes`.
    #[inline]
    pub(super) fn bytes(self, name: &'static str) -> Result<&'a [u8], DecodeError> {
        self.expect(LEN, "2 (length-delimited)", name)?;
        self.reader
            .len_delimited(FieldName::Name(name))
            .map(|content| content.rest)
    }

    /// A `string`.
    ///
    /// # Errors
    /// Also on invalid UTF-8: protobuf makes it an error, and a repaired string would not be what was reported.
    #[inline]
    pub(super) fn string(self, name: &'static str) -> Result<&'a str, DecodeError> {
        self.expect(LEN, "2 (length-delimited)", name)?;
        let content = self.reader.len_delimited(FieldName::Name(name))?;
        std::str::from_utf8(content.rest).map_err(|fault| {
            content.error(
                FieldName::Name(name),
                DecodeProblem::InvalidUtf8 {
                    valid_bytes: fault.valid_up_to(),
                },
            )
        })
    }

    /// A message of the type `message`.
    #[inline]
    pub(super) fn message(self, name: &'static str, message: &'static str) -> Result<Reader<'a>, DecodeError> {
        self.expect(LEN, "2 (length-delimited)", name)?;
        let content = self.reader.len_delimited(FieldName::Name(name))?;
        Ok(Reader { message, ..content })
    }

    /// Part of a `repeated fixed64`: one number, or a packed list of them.
    pub(super) fn each_fixed64(self, name: &'static str, mut each: impl FnMut(u64)) -> Result<(), DecodeError> {
        const WIDTH: usize = size_of::<u64>();
        if self.wire_type != LEN {
            return self.fixed64(name).map(each);
        }
        let list = self.reader.len_delimited(FieldName::Name(name))?;
        let (numbers, remainder) = list.rest.as_chunks::<WIDTH>();
        if !remainder.is_empty() {
            let problem = DecodeProblem::PackedLength {
                len: list.rest.len(),
                width: WIDTH,
            };
            return Err(list.error(FieldName::Name(name), problem));
        }
        numbers.iter().for_each(|bytes| each(u64::from_le_bytes(*bytes)));
        Ok(())
    }

    /// Part of a `repeated uint64`: one number, or a packed list of them.
    pub(super) fn each_uint64(self, name: &'static str, mut each: impl FnMut(u64)) -> Result<(), DecodeError> {
        if self.wire_type != LEN {
            return self.uint64(name).map(each);
        }
        let mut list = self.reader.len_delimited(FieldName::Name(name))?;
        while !list.rest.is_empty() {
            each(list.varint(FieldName::Name(name))?);
        }
        Ok(())
    }

    #[inline]
    fn expect(&self, wire_type: u8, expected: &'static str, name: &'static str) -> Result<(), DecodeError> {
        if self.wire_type == wire_type {
            return Ok(());
        }
        let problem = DecodeProblem::WireType {
            found: self.wire_type,
            expected,
        };
        Err(self.reader.error(FieldName::Name(name), problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(bytes: &[u8], read: impl FnOnce(Field<'_, '_>) -> Result<(), DecodeError>) -> (usize, DecodeProblem) {
        let mut reader = Reader::new("M", bytes);
        let error = match reader.next_field() {
            Ok(Some(field)) => read(field).unwrap_err(),
            Ok(None) => panic!("no field"),
            Err(error) => error,
        };
        (error.offset, error.problem)
    }

    #[test]
    fn reads_the_longest_varint() {
        let bytes = [&[0x08][..], &[0xff; 9], &[0x01]].concat();
        let mut reader = Reader::new("M", &bytes);
        assert_eq!(reader.next_field().unwrap().unwrap().uint64("f"), Ok(u64::MAX));
        assert!(reader.next_field().unwrap().is_none());
    }

    #[test]
    fn rejects_a_varint_of_more_than_64_bits() {
        let too_long = [&[0x08][..], &[0xff; 9], &[0x02]].concat();
        assert_eq!(
            problem(&too_long, |field| field.skip()),
            (1, DecodeProblem::VarintTooLong)
        );
        let endless = [&[0x08][..], &[0x80; 20]].concat();
        assert_eq!(
            problem(&endless, |field| field.skip()),
            (1, DecodeProblem::VarintTooLong)
        );
    }

    #[test]
    fn rejects_a_length_that_the_message_cannot_hold() {
        let bytes = [&[0x0a][..], &[0xff; 9], &[0x01], b"abc"].concat();
        let expected = DecodeProblem::Truncated {
            needed: u64::MAX,
            left: 3,
        };
        assert_eq!(
            problem(&bytes, |field| field.bytes("f").map(drop)),
            (11, expected.clone())
        );
        assert_eq!(problem(&bytes, |field| field.skip()), (11, expected));
    }

    #[test]
    fn a_message_inside_cannot_read_past_its_end() {
        // The inner message has 2 bytes and announces a string of 5, which the outer one could supply.
        let bytes = [0x0a, 2, 0x0a, 5, b'a', b'b', b'c', b'd', b'e'];
        let (offset, problem) = problem(&bytes, |field| {
            let mut inner = field.message("f", "Inner")?;
            inner.next_field()?.unwrap().string("g").map(drop)
        });
        assert_eq!((offset, problem), (4, DecodeProblem::Truncated { needed: 5, left: 0 }));
    }

    #[test]
    fn rejects_groups_reserved_wire_types_and_impossible_field_numbers() {
        for (tag, found) in [(0x0b, 3), (0x0c, 4), (0x0e, 6), (0x0f, 7)] {
            let (offset, problem) = problem(&[tag, 0], |field| field.skip());
            assert_eq!(
                (offset, problem),
                (
                    1,
                    DecodeProblem::WireType {
                        found,
                        expected: "0, 1, 2 or 5"
                    }
                )
            );
        }
        assert_eq!(
            problem(&[0x00, 0], |_| Ok(())).1,
            DecodeProblem::FieldNumber { number: 0 }
        );
        let huge = [0x80, 0x80, 0x80, 0x80, 0x10, 0];
        assert_eq!(
            problem(&huge, |_| Ok(())).1,
            DecodeProblem::FieldNumber { number: 1 << 29 }
        );
    }

    #[test]
    fn names_the_field_and_the_position() {
        let mut reader = Reader::new("Span", &[0x2a, 3, b'a', 0xff, b'b']);
        let error = reader.next_field().unwrap().unwrap().string("name").unwrap_err();
        assert_eq!(error.to_string(), "byte 2: `Span.name`: invalid UTF-8 after 1 bytes");
        let mut reader = Reader::new("Span", &[0x2a, 3, b'a']);
        let error = reader.next_field().unwrap().unwrap().skip().unwrap_err();
        assert_eq!(
            error.to_string(),
            "byte 2: `Span` field 5: 3 bytes announced, 1 left in the message"
        );
        let mut reader = Reader::new("Span", &[0x28, 3]);
        let error = reader.next_field().unwrap().unwrap().string("name").unwrap_err();
        assert_eq!(
            error.to_string(),
            "byte 1: `Span.name`: wire type 0, expected 2 (length-delimited)"
        );
    }

    #[test]
    fn repeated_numbers_may_be_packed_or_not() {
        let mut seen = Vec::new();
        let packed = [&[0x0a, 16][..], &7u64.to_le_bytes(), &8u64.to_le_bytes()].concat();
        let single = [&[0x09][..], &9u64.to_le_bytes()].concat();
        for bytes in [packed, single] {
            let mut reader = Reader::new("M", &bytes);
            reader
                .next_field()
                .unwrap()
                .unwrap()
                .each_fixed64("f", |number| seen.push(number))
                .unwrap();
        }
        for bytes in [&[0x0a, 3, 0x80, 0x01, 5][..], &[0x08, 6]] {
            let mut reader = Reader::new("M", bytes);
            reader
                .next_field()
                .unwrap()
                .unwrap()
                .each_uint64("f", |number| seen.push(number))
                .unwrap();
        }
        assert_eq!(seen, [7, 8, 9, 128, 5, 6]);
        let cut = problem(&[0x0a, 3, 1, 2, 3], |field| field.each_fixed64("f", drop));
        assert_eq!(cut, (2, DecodeProblem::PackedLength { len: 3, width: 8 }));
    }
}
