//! The three levels that all signals share: request, resource, scope, and in it the items.

use super::error::{DecodeError, DecodeProblem, FieldName};
use super::resource::Origins;
use super::wire::Reader;

/// Largest request that is decoded, in bytes. It keeps the text of any column below 2 GiB, where Arrow's offsets end:
/// text grows at most sixfold, when control characters are escaped in JSON.
pub const MAX_REQUEST_BYTES: usize = 256 << 20;

/// The names that a signal gives to the levels. Each level is a repeated field: (field, message).
pub(super) struct Envelope {
    pub(super) request: &'static str,
    pub(super) resource_groups: (&'static str, &'static str),
    pub(super) scope_groups: (&'static str, &'static str),
    pub(super) items: (&'static str, &'static str),
}

const RESOURCE_GROUPS: u32 = 1;
const SCOPE_GROUPS: u32 = 2;
const ITEMS: u32 = 2;

impl Envelope {
    /// Calls `each` with every item of `request`, after telling `origins` where it comes from.
    pub(super) fn decode<'a>(
        &self,
        request: &'a [u8],
        origins: &mut Origins,
        mut each: impl FnMut(Reader<'a>, &mut Origins) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.open(request)?
            .each_message(RESOURCE_GROUPS, self.resource_groups, |group| {
                origins.begin_resource(group)?;
                group.each_message(SCOPE_GROUPS, self.scope_groups, |group| {
                    origins.begin_scope(group)?;
                    group.each_message(ITEMS, self.items, |item| each(item, origins))
                })
            })
    }

    /// Calls `each` with every item of `request` and reads nothing else.
    pub(super) fn skim<'a>(
        &self,
        request: &'a [u8],
        mut each: impl FnMut(Reader<'a>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.open(request)?
            .each_message(RESOURCE_GROUPS, self.resource_groups, |group| {
                group.each_message(SCOPE_GROUPS, self.scope_groups, |group| {
                    group.each_message(ITEMS, self.items, &mut each)
                })
            })
    }

    fn open<'a>(&self, request: &'a [u8]) -> Result<Reader<'a>, DecodeError> {
        let reader = Reader::new(self.request, request);
        if request.len() <= MAX_REQUEST_BYTES {
            return Ok(reader);
        }
        let problem = DecodeProblem::RequestTooLarge {
            len: request.len(),
            limit: MAX_REQUEST_BYTES,
        };
        Err(reader.error(FieldName::Unknown, problem))
    }
}
