//! Where rows come from: the resource and the instrumentation scope above them, and the columns these fill.
//!
//! Resource and scope are read once and repeated in every row below them when the columns are built. The repetition
//! is bounded, because a few bytes on the wire could otherwise stand for terabytes of rows.

use arrow::array::{Array, ArrayRef, MutableArrayData, StringBuilder, make_array};
use arrow::datatypes::Schema;
use spandrel_model::ProcessIdentity;

use super::any_value::{AnyValue, read_key_value};
use super::attributes::AttributesBuilder;
use super::columns::{column_type, non_empty};
use super::error::{DecodeError, DecodeProblem, FieldName};
use super::wire::Reader;

/// Bytes that the rows of one request may take, counting what they repeat (resource, scope, metric) and
/// `ROW_BYTES` for each.
pub const MAX_ROWS_BYTES: usize = 512 << 20;

/// What a row takes in the columns of the widest table when all its fields are defaults, roughly.
const ROW_BYTES: usize = 256;

/// The columns `service_name`, `process_id`, `scope_name`, `scope_version` and `resource_attributes`.
pub(super) struct Origins {
    // One entry per resource.
    resource_attributes: AttributesBuilder,
    service_names: StringBuilder,
    process_ids: StringBuilder,
    // One entry per scope.
    scope_names: StringBuilder,
    scope_versions: StringBuilder,
    // One entry per row: index of its resource, and of its scope.
    row_resources: Vec<usize>,
    row_scopes: Vec<usize>,
    /// Bytes that a row under the current resource, or scope, repeats.
    resource_bytes: usize,
    scope_bytes: usize,
    rows_bytes: usize,
}

/// The columns of [`Origins`].
pub(super) struct OriginColumns {
    pub(super) service_name: ArrayRef,
    pub(super) process_id: ArrayRef,
    pub(super) scope_name: ArrayRef,
    pub(super) scope_version: ArrayRef,
    pub(super) resource_attributes: ArrayRef,
}

impl Origins {
    pub(super) fn new() -> Self {
        Self {
            resource_attributes: AttributesBuilder::new(),
            service_names: StringBuilder::new(),
            process_ids: StringBuilder::new(),
            scope_names: StringBuilder::new(),
            scope_versions: StringBuilder::new(),
            row_resources: Vec::new(),
            row_scopes: Vec::new(),
            resource_bytes: 0,
            scope_bytes: 0,
            rows_bytes: 0,
        }
    }

    /// Reads the resource of a `ResourceSpans` (`ResourceMetrics`, `ResourceLogs`), wherever in it and in however
    /// many parts it stands. Rows that follow belong to it.
    pub(super) fn begin_resource(&mut self, group: Reader<'_>) -> Result<(), DecodeError> {
        let text_before = self.resource_attributes.text_bytes();
        let mut attributes = Vec::new();
        group.each_message(1, ("resource", "Resource"), |resource| {
            resource.each_message(1, ("attributes", "KeyValue"), |key_value| {
                let (key, value) = read_key_value(key_value)?;
                self.resource_attributes.append(key, &value)?;
                attributes.push((key, value));
                Ok(())
            })
        })?;
        self.resource_attributes.end_row();

        let identity = ProcessIdentity::from_resource(|key| text_of(&attributes, key));
        let process_id = identity.process_id();
        self.service_names.append_value(&identity.service_name);
        self.process_ids.append_value(&process_id);
        let text_bytes = self.resource_attributes.text_bytes() - text_before;
        self.resource_bytes =
            text_bytes + identity.service_name.len() + process_id.len() + attributes.len() * 2 * size_of::<i32>();
        Ok(())
    }

    /// Reads the scope of a `ScopeSpans` (`ScopeMetrics`, `ScopeLogs`). Rows that follow belong to it.
    pub(super) fn begin_scope(&mut self, group: Reader<'_>) -> Result<(), DecodeError> {
        let (mut name, mut version) = ("", "");
        group.each_message(1, ("scope", "InstrumentationScope"), |mut scope| {
            while let Some(field) = scope.next_field()? {
                match field.number {
                    1 => name = field.string("name")?,
                    2 => version = field.string("version")?,
                    _ => field.skip()?,
                }
            }
            Ok(())
        })?;
        self.scope_names.append_value(name);
        self.scope_versions.append_option(non_empty(version));
        self.scope_bytes = name.len() + version.len();
        Ok(())
    }

    /// Adds a row that is read from `item` and that repeats `repeated_bytes` of a message above it.
    #[inline]
    pub(super) fn add_row(&mut self, item: &Reader<'_>, repeated_bytes: usize) -> Result<(), DecodeError> {
        self.rows_bytes += ROW_BYTES + self.resource_bytes + self.scope_bytes + repeated_bytes;
        if self.rows_bytes > MAX_ROWS_BYTES {
            let problem = DecodeProblem::RowsTooLarge { limit: MAX_ROWS_BYTES };
            return Err(item.error(FieldName::Unknown, problem));
        }
        self.row_resources.push(self.service_names.offsets_slice().len() - 2);
        self.row_scopes.push(self.scope_names.offsets_slice().len() - 2);
        Ok(())
    }

    /// The columns, of the types that they have in `schema`.
    pub(super) fn finish(mut self, schema: &Schema) -> OriginColumns {
        let map_type = column_type(schema, "resource_attributes");
        OriginColumns {
            service_name: spread(&self.service_names.finish(), &self.row_resources),
            process_id: spread(&self.process_ids.finish(), &self.row_resources),
            scope_name: spread(&self.scope_names.finish(), &self.row_scopes),
            scope_version: spread(&self.scope_versions.finish(), &self.row_scopes),
            resource_attributes: spread(&self.resource_attributes.finish(map_type), &self.row_resources),
        }
    }
}

fn text_of(attributes: &[(&str, AnyValue<'_>)], key: &str) -> Option<String> {
    let (_, value) = attributes.iter().find(|(name, _)| *name == key)?;
    let mut text = String::new();
    value
        .write_text(&mut text)
        .expect("the same value has been written into the column");
    Some(text)
}

/// The column whose row `i` is `values[indices[i]]`.
///
/// Not `take`: for maps it reserves the mean size of all values for every row, also of values with no rows, and a
/// request chooses both numbers.
fn spread(values: &dyn Array, indices: &[usize]) -> ArrayRef {
    let data = values.to_data();
    let mut rows = MutableArrayData::new(vec![&data], false, indices.len());
    for index in indices {
        rows.try_extend(0, *index, *index + 1)
            .expect("MAX_ROWS_BYTES lies below the largest offset");
    }
    make_array(rows.freeze())
}
