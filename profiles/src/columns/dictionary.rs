//! String columns as keys of dictionaries that batches share.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, DictionaryArray, Int32Array, StringArray};
use arrow::datatypes::Int32Type;
use arrow::error::ArrowError;
use spandrel_model::{NameId, Names, ProcessIdentity};

/// What all rows of a recording have in common.
#[derive(Debug)]
pub(crate) struct Context {
    service: Constant,
    process: Constant,
}

impl Context {
    pub(crate) fn new(process: &ProcessIdentity) -> Self {
        Self {
            service: Constant::new(&process.service_name),
            process: Constant::new(&process.process_id()),
        }
    }

    /// The columns `service_name` and `process_id` of so many rows.
    pub(super) fn columns(&mut self, rows: usize) -> Result<[ArrayRef; 2], ArrowError> {
        Ok([self.service.column(rows)?, self.process.column(rows)?])
    }
}

/// A column in which all rows are the same: batches share it.
#[derive(Debug)]
struct Constant {
    value: ArrayRef,
    longest: Option<ArrayRef>,
}

impl Constant {
    fn new(value: &str) -> Self {
        Self {
            value: words([value]),
            longest: None,
        }
    }

    fn column(&mut self, rows: usize) -> Result<ArrayRef, ArrowError> {
        if let Some(longest) = self.longest.as_ref().filter(|longest| longest.len() >= rows) {
            return Ok(longest.slice(0, rows));
        }
        let column = keyed(vec![0; rows], &self.value)?;
        self.longest = Some(column.clone());
        Ok(column)
    }
}

/// The names of a recording as the values of dictionaries.
#[derive(Debug)]
pub(crate) struct NameValues(ArrayRef);

impl NameValues {
    pub(crate) fn new() -> Self {
        Self(words([]))
    }

    /// All names so far. The array is the one of before unless there are new names.
    pub(crate) fn of(&mut self, names: &Names) -> &ArrayRef {
        if self.0.len() != names.iter().len() {
            self.0 = words(names.iter());
        }
        &self.0
    }
}

pub(super) fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(words))
}

/// A column without nulls.
pub(super) fn keyed(keys: Vec<i32>, values: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    dictionary(Int32Array::from(keys), values)
}

/// The key of a name among [`NameValues`].
#[inline]
pub(super) fn key(name: NameId) -> i32 {
    name.position().cast_signed()
}

fn dictionary(keys: Int32Array, values: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, values.clone())?))
}
