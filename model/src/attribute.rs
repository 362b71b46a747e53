//! Attributes of OpenTelemetry, as far as rules look at them.

/// A key with its value. Keys are unique within one span by the OpenTelemetry specification; the first one counts.
pub type Attribute = (String, AttributeValue);

/// The value of an attribute. Arrays, maps and bytes are kept as the JSON text that the tables show.
#[derive(Clone, Debug, PartialEq)]
pub enum AttributeValue {
    /// A string.
    String(String),
    /// A signed 64-bit integer.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// A truth value.
    Bool(bool),
    /// An array, a key-value list or bytes (base64), rendered as JSON.
    Json(String),
}

impl std::fmt::Display for AttributeValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::String(value) | Self::Json(value) => f.write_str(value),
            Self::Int(value) => write!(f, "{value}"),
            Self::Double(value) => write!(f, "{value}"),
            Self::Bool(value) => write!(f, "{value}"),
        }
    }
}
