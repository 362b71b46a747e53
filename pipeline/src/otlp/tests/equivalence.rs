//! One request has many encodings: fields in any order, messages in parts, numbers packed or not, fields of later
//! versions between. All decode alike.

use proptest::prelude::*;
use prost::Message as _;

use super::generate::Dice;
use crate::otlp::schema::{self, Kind, Message};
use crate::otlp::{decode_logs, decode_metrics, decode_traces};

/// Encodes `bytes`, a message of the type `message`, in another way.
fn disguise(dice: &mut Dice, message: &Message, bytes: &[u8]) -> Vec<u8> {
    let mut encoded: Vec<(u32, Vec<u8>)> = Vec::new();
    for (number, tag, value) in split(bytes) {
        let field = message
            .fields
            .iter()
            .find(|field| field.number == number)
            .expect("only known fields");
        match field.kind {
            Kind::Message(inner) => {
                let content = disguise(dice, inner, content(&value));
                let parts = if field.repeated || dice.chance(2) {
                    vec![content]
                } else {
                    cut(dice, &content)
                };
                encoded.extend(parts.into_iter().map(|part| (number, length_delimited(number, &part))));
            }
            Kind::Fixed64 | Kind::Double if field.repeated && dice.chance(2) => {
                let single = |chunk: &[u8]| (number, [varint(u64::from(number) << 3 | 1), chunk.to_vec()].concat());
                encoded.extend(content(&value).chunks(8).map(single));
            }
            _ => encoded.push((number, [tag, value].concat())),
        }
    }
    if dice.chance(2) {
        let unknown = [
            &[0xa0, 0x06, 0x80, 0x01][..],
            &[0xa2, 0x06, 2, 0xff, 0xff],
            &[0xa5, 0x06, 1, 2, 3, 4],
        ];
        encoded.push((100, unknown[dice.below(3)].to_vec()));
    }
    shuffle(dice, encoded).concat()
}

/// A random order that keeps the order of fields with the same number.
fn shuffle(dice: &mut Dice, mut fields: Vec<(u32, Vec<u8>)>) -> Vec<Vec<u8>> {
    let mut shuffled = Vec::new();
    while !fields.is_empty() {
        let chosen = fields[dice.below(fields.len())].0;
        let first = fields
            .iter()
            .position(|(number, _)| *number == chosen)
            .expect("it was just seen");
        shuffled.push(fields.remove(first).1);
    }
    shuffled
}

/// The message as two messages that protobuf merges into it.
fn cut(dice: &mut Dice, message: &[u8]) -> Vec<Vec<u8>> {
    let fields: Vec<Vec<u8>> = split(message)
        .into_iter()
        .map(|(_, tag, value)| [tag, value].concat())
        .collect();
    let (first, second) = fields.split_at(dice.below(fields.len() + 1));
    vec![first.concat(), second.concat()]
}

/// The fields of a valid message: number, bytes of the tag, bytes of the value with its length.
fn split(mut bytes: &[u8]) -> Vec<(u32, Vec<u8>, Vec<u8>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let (tag, tag_len) = read_varint(bytes);
        let rest = &bytes[tag_len..];
        let value_len = match tag & 7 {
            0 => read_varint(rest).1,
            1 => 8,
            2 => read_varint(rest).0 as usize + read_varint(rest).1,
            _ => 4,
        };
        fields.push(((tag >> 3) as u32, bytes[..tag_len].to_vec(), rest[..value_len].to_vec()));
        bytes = &rest[value_len..];
    }
    fields
}

fn content(length_delimited: &[u8]) -> &[u8] {
    &length_delimited[read_varint(length_delimited).1..]
}

fn read_varint(bytes: &[u8]) -> (u64, usize) {
    let len = bytes
        .iter()
        .position(|byte| *byte < 0x80)
        .expect("the message is valid")
        + 1;
    let value = bytes[..len]
        .iter()
        .rev()
        .fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f));
    (value, len)
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn length_delimited(number: u32, content: &[u8]) -> Vec<u8> {
    [
        varint(u64::from(number) << 3 | 2),
        varint(content.len() as u64),
        content.to_vec(),
    ]
    .concat()
}

proptest! {
    #[test]
    fn traces_decode_alike_in_every_encoding(seed: u64) {
        let mut dice = Dice::new(seed);
        dice.all_doubles = false;
        let request = dice.traces();
        let plain = request.encode_to_vec();
        let disguised = disguise(&mut dice, &schema::TRACES_REQUEST, &plain);
        prop_assert_eq!(prost::Message::decode(&disguised[..]), Ok(request), "the disguise changed the meaning");
        prop_assert_eq!(decode_traces(&disguised), decode_traces(&plain));
    }

    #[test]
    fn metrics_decode_alike_in_every_encoding(seed: u64) {
        let mut dice = Dice::new(seed);
        dice.all_doubles = false;
        let request = dice.metrics();
        let plain = request.encode_to_vec();
        let disguised = disguise(&mut dice, &schema::METRICS_REQUEST, &plain);
        prop_assert_eq!(prost::Message::decode(&disguised[..]), Ok(request), "the disguise changed the meaning");
        prop_assert_eq!(decode_metrics(&disguised), decode_metrics(&plain));
    }

    #[test]
    fn logs_decode_alike_in_every_encoding(seed: u64) {
        let mut dice = Dice::new(seed);
        dice.all_doubles = false;
        let request = dice.logs();
        let plain = request.encode_to_vec();
        let disguised = disguise(&mut dice, &schema::LOGS_REQUEST, &plain);
        prop_assert_eq!(prost::Message::decode(&disguised[..]), Ok(request), "the disguise changed the meaning");
        prop_assert_eq!(decode_logs(&disguised), decode_logs(&plain));
    }
}
