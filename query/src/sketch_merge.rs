//! The SQL aggregate `sketch_merge`: the sketch of all that the sketches of a group count.
//!
//! As the aggregate of a sliding window it subtracts what leaves the window instead of starting anew.

use std::mem::size_of;

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{ScalarValue, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use spandrel_attribution::Sketch;

use crate::sketch_functions::{is_binary, sketch_at};

/// Memory of a bucket of a sketch, about.
const BUCKET_BYTES: usize = 32;

/// `sketch_merge(sketch) -> sketch`; null if there are none.
pub(crate) fn sketch_merge_function() -> AggregateUDF {
    AggregateUDF::new_from_impl(SketchMerge {
        signature: Signature::any(1, Volatility::Immutable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SketchMerge {
    signature: Signature,
}

impl AggregateUDFImpl for SketchMerge {
    fn name(&self) -> &str {
        "sketch_merge"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [given] if is_binary(given) => Ok(DataType::Binary),
            other => plan_err!("`sketch_merge` takes a sketch, and found {other:?}"),
        }
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Merged::default()))
    }
}

/// The sum of the sketches so far.
#[derive(Debug, Default)]
struct Merged {
    sum: Sketch,
    sketches: usize,
}

impl Merged {
    fn each(&mut self, values: &[ArrayRef], mut take: impl FnMut(&mut Self, &Sketch)) -> Result<()> {
        let column = cast(&values[0], &DataType::Binary)?;
        let column = column.as_binary::<i32>();
        for row in 0..values[0].len() {
            if let Some(sketch) = sketch_at(column, row)? {
                take(self, &sketch);
            }
        }
        Ok(())
    }
}

impl Accumulator for Merged {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.each(values, |merged, sketch| {
            merged.sum.merge(sketch);
            merged.sketches += 1;
        })
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.each(values, |merged, sketch| {
            merged.sum.subtract(sketch);
            merged.sketches -= 1;
        })
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Binary((self.sketches > 0).then(|| self.sum.to_bytes())))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.sum.buckets().count() * BUCKET_BYTES
    }
}
