//! Conversion of a real trace.
