//! The SQL functions `sketch_quantile`, `sketch_count` and `sketch_subtract`: questions to the `sketch` columns.
//!
//! A null sketch gives null. What is not a sketch is an error that says why.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{ScalarValue, exec_datafusion_err, exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use spandrel_attribution::Sketch;

/// The functions over one row.
pub(crate) fn sketch_functions() -> [ScalarUDF; 3] {
    [Question::Quantile, Question::Count, Question::Subtract].map(|question| {
        ScalarUDF::new_from_impl(SketchFunction {
            question,
            signature: Signature::any(question.arguments().len(), Volatility::Immutable),
        })
    })
}

/// The sketch in a row; `None` for null.
pub(crate) fn sketch_at(column: &BinaryArray, row: usize) -> Result<Option<Sketch>> {
    if column.is_null(row) {
        return Ok(None);
    }
    let sketch = Sketch::from_bytes(column.value(row));
    sketch.map(Some).map_err(|error| exec_datafusion_err!("{error}"))
}

/// Whether values of the type can be sketches.
pub(crate) fn is_binary(data_type: &DataType) -> bool {
    use DataType::{Binary, BinaryView, FixedSizeBinary, LargeBinary, Null};
    matches!(data_type, Binary | LargeBinary | BinaryView | FixedSizeBinary(_) | Null)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Question {
    Quantile,
    Count,
    Subtract,
}

impl Question {
    fn name(self) -> &'static str {
        match self {
            Self::Quantile => "sketch_quantile",
            Self::Count => "sketch_count",
            Self::Subtract => "sketch_subtract",
        }
    }

    /// Types to which the arguments are cast.
    fn arguments(self) -> &'static [DataType] {
        match self {
            Self::Quantile => &[DataType::Binary, DataType::Float64],
            Self::Count => &[DataType::Binary],
            Self::Subtract => &[DataType::Binary, DataType::Binary],
        }
    }

    fn answer(self) -> DataType {
        match self {
            Self::Quantile | Self::Count => DataType::Int64,
            Self::Subtract => DataType::Binary,
        }
    }

    fn ask(self, columns: &[ArrayRef]) -> Result<ArrayRef> {
        let sketches = columns[0].as_binary::<i32>();
        let rows = 0..sketches.len();
        Ok(match self {
            Self::Count => {
                let count = |row| Ok(sketch_at(sketches, row)?.map(|sketch| sketch.count()));
                Arc::new(rows.map(count).collect::<Result<Int64Array>>()?)
            }
            Self::Quantile => {
                let shares = columns[1].as_primitive::<Float64Type>();
                let quantile = |row| {
                    quantile(
                        sketch_at(sketches, row)?,
                        shares.is_valid(row).then(|| shares.value(row)),
                    )
                };
                Arc::new(rows.map(quantile).collect::<Result<Int64Array>>()?)
            }
            Self::Subtract => {
                let others = columns[1].as_binary::<i32>();
                let difference = |row| difference(sketch_at(sketches, row)?, sketch_at(others, row)?);
                let differences = rows.map(difference).collect::<Result<Vec<_>>>()?;
                Arc::new(BinaryArray::from_iter(differences))
            }
        })
    }
}

fn quantile(sketch: Option<Sketch>, share: Option<f64>) -> Result<Option<i64>> {
    match share {
        Some(share) if !(0.0..=1.0).contains(&share) => {
            exec_err!("`sketch_quantile` takes a share from 0 to 1, such as 0.99 for p99, and found {share}")
        }
        _ => Ok(sketch.zip(share).and_then(|(sketch, share)| sketch.quantile_ns(share))),
    }
}

fn difference(sketch: Option<Sketch>, other: Option<Sketch>) -> Result<Option<Vec<u8>>> {
    let Some((mut sketch, other)) = sketch.zip(other) else {
        return Ok(None);
    };
    sketch.subtract(&other);
    Ok(Some(sketch.to_bytes()))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SketchFunction {
    question: Question,
    signature: Signature,
}

impl ScalarUDFImpl for SketchFunction {
    fn name(&self) -> &str {
        self.question.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        for (given, expected) in arg_types.iter().zip(self.question.arguments()) {
            let fits = match expected {
                DataType::Binary => is_binary(given),
                _ => given.is_numeric() || given.is_null(),
            };
            if !fits {
                let wanted = if is_binary(expected) { "a sketch" } else { "a number" };
                return plan_err!("`{}` takes {wanted} here, and found {given}", self.name());
            }
        }
        Ok(self.question.answer())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        let columns = args.args.iter().zip(self.question.arguments());
        let columns = columns.map(|(arg, expected)| Ok(cast(&arg.to_array(rows)?, expected)?));
        let answer = self.question.ask(&columns.collect::<Result<Vec<_>>>()?)?;
        if is_constant {
            return ScalarValue::try_from_array(&answer, 0).map(ColumnarValue::Scalar);
        }
        Ok(ColumnarValue::Array(answer))
    }
}
