//! Strings as dictionaries, as rows travel, and in full, as they are stored.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;

/// The same rows under a schema that differs at most in how strings are encoded.
///
/// # Errors
/// The schemas differ in more than that.
pub(crate) fn recoded(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| recoded_column(column, field.data_type()));
    RecordBatch::try_new(schema.clone(), columns.collect::<Result<_, _>>()?)
}

/// A column with its strings encoded as `to` says; as it is if the types differ in more than that.
pub(crate) fn recoded_column(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let from = column.data_type();
    if from != to && words_of(from) == words_of(to) {
        return cast(column, to);
    }
    Ok(Arc::clone(column))
}

/// The type of the values, in a dictionary or not.
fn words_of(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => values,
        plain => plain,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, StringArray};
    use arrow::datatypes::{Field, Int32Type, Schema};

    use super::*;

    fn one_column(column: ArrayRef) -> RecordBatch {
        let field = Field::new("state", column.data_type().clone(), true);
        RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![column]).unwrap()
    }

    #[test]
    fn words_are_the_same_in_a_dictionary_and_in_full() {
        let words = [Some("running"), None, Some("mutex"), Some("running")];
        let full = one_column(Arc::new(StringArray::from_iter(words)));
        let keyed = one_column(Arc::new(DictionaryArray::<Int32Type>::from_iter(words)));
        assert_eq!(recoded(&keyed, &full.schema()).unwrap(), full);
        let there_and_back = recoded(&recoded(&full, &keyed.schema()).unwrap(), &full.schema());
        assert_eq!(there_and_back.unwrap(), full);
    }

    #[test]
    fn other_types_are_refused() {
        let words = one_column(Arc::new(StringArray::from(vec!["running"])));
        let numbers = Arc::new(Schema::new(vec![Field::new("state", DataType::Int64, true)]));
        assert!(recoded(&words, &numbers).is_err());
    }
}
