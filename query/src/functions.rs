//! The SQL functions `hex` and `unhex`: ids as text and back.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, FixedSizeBinaryArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{ScalarValue, exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use spandrel_model::{SpanId, TraceId};

/// Hexadecimal digits of a trace id and of a span id.
const ID_DIGITS: [usize; 2] = [2 * TraceId::LEN, 2 * SpanId::LEN];

/// `hex(binary) -> text`: lower-case hexadecimal digits.
pub(crate) fn hex_function() -> ScalarUDF {
    ScalarUDF::new_from_impl(Hex {
        signature: Signature::any(1, Volatility::Immutable),
    })
}

/// `unhex(text) -> binary`. A literal of the length of a trace or span id has the type of that id, so that a comparison
/// with a column of ids skips row groups.
pub(crate) fn unhex_function() -> ScalarUDF {
    ScalarUDF::new_from_impl(Unhex {
        signature: Signature::exact(vec![DataType::Utf8], Volatility::Immutable),
    })
}

/// Lower-case hexadecimal digits of the bytes.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes all that is written to it");
            text
        })
}

/// The bytes that the digits write; `None` if the text is anything else.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Hex {
    signature: Signature,
}

impl ScalarUDFImpl for Hex {
    fn name(&self) -> &str {
        "hex"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_)] => {
                Ok(DataType::Utf8)
            }
            [other] => plan_err!("`hex` takes a binary value, such as an id, and found {other}"),
            _ => plan_err!("`hex` takes one value"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        on_array(&args, |array| {
            let binary = cast(array, &DataType::Binary)?;
            let texts = binary.as_binary::<i32>().iter().map(|bytes| bytes.map(to_hex));
            Ok(Arc::new(StringArray::from_iter(texts)))
        })
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Unhex {
    signature: Signature,
}

impl ScalarUDFImpl for Unhex {
    fn name(&self) -> &str {
        "unhex"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let literal = args.scalar_arguments.first().copied().flatten().and_then(text_of);
        let id_len = literal
            .map(str::len)
            .filter(|digits| ID_DIGITS.contains(digits))
            .map(|digits| i32::try_from(digits / 2).expect("ids have 8 or 16 bytes"));
        let data_type = id_len.map_or(DataType::Binary, DataType::FixedSizeBinary);
        Ok(Arc::new(Field::new(self.name(), data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        on_array(&args, |array| {
            let bytes = array.as_string::<i32>().iter().map(unhex).collect::<Result<Vec<_>>>()?;
            Ok(match args.return_field.data_type() {
                DataType::FixedSizeBinary(len) => {
                    let values = bytes.iter().map(|bytes| bytes.as_deref());
                    Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, *len)?)
                }
                _ => Arc::new(BinaryArray::from_iter(bytes)),
            })
        })
    }
}

fn unhex(text: Option<&str>) -> Result<Option<Vec<u8>>> {
    let Some(text) = text else {
        return Ok(None);
    };
    match from_hex(text) {
        Some(bytes) => Ok(Some(bytes)),
        None => exec_err!("`unhex` takes pairs of hexadecimal digits and found `{text}`"),
    }
}

/// The text of a text literal.
pub(crate) fn text_of(literal: &ScalarValue) -> Option<&str> {
    literal.try_as_str().flatten()
}

/// Applies `function` to the only argument: to each row, or once to a constant.
fn on_array(args: &ScalarFunctionArgs, function: impl Fn(&ArrayRef) -> Result<ArrayRef>) -> Result<ColumnarValue> {
    match args.args.as_slice() {
        [ColumnarValue::Array(array)] => function(array).map(ColumnarValue::Array),
        [ColumnarValue::Scalar(value)] => {
            let result = function(&value.to_array()?)?;
            ScalarValue::try_from_array(&result, 0).map(ColumnarValue::Scalar)
        }
        other => exec_err!("expected one argument, found {}", other.len()),
    }
}
