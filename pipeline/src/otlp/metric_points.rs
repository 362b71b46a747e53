//! The five kinds of data points, read into the one shape that the `metrics` table has for them.

use arrow::array::{Float64Builder, Int64Builder, ListBuilder};
use arrow::datatypes::Schema;

use super::any_value::read_key_value;
use super::attributes::AttributesBuilder;
use super::columns::{item_field, to_i64};
use super::error::DecodeError;
use super::wire::Reader;

/// The scalars of one data point; `None` is what its kind does not have, or what was not reported.
#[derive(Debug, Default)]
pub(super) struct Point {
    pub(super) time: u64,
    pub(super) start: u64,
    pub(super) value: Option<Number>,
    pub(super) count: Option<u64>,
    pub(super) sum: Option<f64>,
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    pub(super) scale: Option<i32>,
    pub(super) zero_count: Option<u64>,
    pub(super) positive_offset: Option<i32>,
    pub(super) negative_offset: Option<i32>,
}

/// Value of a gauge or sum.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Double(f64),
    Int(i64),
}

/// What repeats within a data point; it goes straight into the columns, and [`Self::end_row`] closes the row.
pub(super) struct PointLists {
    pub(super) attributes: AttributesBuilder,
    pub(super) explicit_bounds: ListBuilder<Float64Builder>,
    pub(super) bucket_counts: ListBuilder<Int64Builder>,
    pub(super) quantile_values: ListBuilder<Float64Builder>,
    pub(super) negative_bucket_counts: ListBuilder<Int64Builder>,
}

/// Which lists a data point has; the others are null.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PresentLists {
    pub(super) explicit_bounds: bool,
    pub(super) bucket_counts: bool,
    pub(super) quantile_values: bool,
    pub(super) negative_bucket_counts: bool,
}

impl PointLists {
    pub(super) fn new(schema: &Schema) -> Self {
        let doubles = |column| ListBuilder::new(Float64Builder::new()).with_field(item_field(schema, column).clone());
        let counts = |column| ListBuilder::new(Int64Builder::new()).with_field(item_field(schema, column).clone());
        Self {
            attributes: AttributesBuilder::new(),
            explicit_bounds: doubles("explicit_bounds"),
            bucket_counts: counts("bucket_counts"),
            quantile_values: doubles("quantile_values"),
            negative_bucket_counts: counts("negative_bucket_counts"),
        }
    }

    pub(super) fn end_row(&mut self, present: PresentLists) {
        self.attributes.end_row();
        self.explicit_bounds.append(present.explicit_bounds);
        self.bucket_counts.append(present.bucket_counts);
        self.quantile_values.append(present.quantile_values);
        self.negative_bucket_counts.append(present.negative_bucket_counts);
    }

    fn append_attribute(&mut self, key_value: Reader<'_>) -> Result<(), DecodeError> {
        let (key, value) = read_key_value(key_value)?;
        self.attributes.append(key, &value)
    }

    /// Reads a `NumberDataPoint`.
    pub(super) fn read_number(&mut self, mut message: Reader<'_>) -> Result<(Point, PresentLists), DecodeError> {
        let mut point = Point::default();
        while let Some(field) = message.next_field()? {
            match field.number {
                2 => point.start = field.fixed64("start_time_unix_nano")?,
                3 => point.time = field.fixed64("time_unix_nano")?,
                4 => point.value = Some(Number::Double(field.double("as_double")?)),
                6 => point.value = Some(Number::Int(field.sfixed64("as_int")?)),
                7 => self.append_attribute(field.message("attributes", "KeyValue")?)?,
                _ => field.skip()?,
            }
        }
        Ok((point, PresentLists::default()))
    }

    /// Reads a `HistogramDataPoint`.
    pub(super) fn read_histogram(&mut self, mut message: Reader<'_>) -> Result<(Point, PresentLists), DecodeError> {
        let mut point = Point {
            count: Some(0),
            ..Point::default()
        };
        while let Some(field) = message.next_field()? {
            match field.number {
                2 => point.start = field.fixed64("start_time_unix_nano")?,
                3 => point.time = field.fixed64("time_unix_nano")?,
                4 => point.count = Some(field.fixed64("count")?),
                5 => point.sum = Some(field.double("sum")?),
                6 => {
                    let counts = self.bucket_counts.values();
                    field.each_fixed64("bucket_counts", |count| counts.append_value(to_i64(count)))?;
                }
                7 => {
                    let bounds = self.explicit_bounds.values();
                    field.each_fixed64("explicit_bounds", |bits| bounds.append_value(f64::from_bits(bits)))?;
                }
                9 => self.append_attribute(field.message("attributes", "KeyValue")?)?,
                11 => point.min = Some(field.double("min")?),
                12 => point.max = Some(field.double("max")?),
                _ => field.skip()?,
            }
        }
        let present = PresentLists {
            explicit_bounds: true,
            bucket_counts: true,
            ..PresentLists::default()
        };
        Ok((point, present))
    }

    /// Reads an `ExponentialHistogramDataPoint`.
    pub(super) fn read_exponential(&mut self, mut message: Reader<'_>) -> Result<(Point, PresentLists), DecodeError> {
        let mut point = Point {
            count: Some(0),
            scale: Some(0),
            zero_count: Some(0),
            ..Point::default()
        };
        while let Some(field) = message.next_field()? {
            match field.number {
                1 => self.append_attribute(field.message("attributes", "KeyValue")?)?,
                2 => point.start = field.fixed64("start_time_unix_nano")?,
                3 => point.time = field.fixed64("time_unix_nano")?,
                4 => point.count = Some(field.fixed64("count")?),
                5 => point.sum = Some(field.double("sum")?),
                6 => point.scale = Some(field.sint32("scale")?),
                7 => point.zero_count = Some(field.fixed64("zero_count")?),
                8 => {
                    let buckets = field.message("positive", "Buckets")?;
                    read_buckets(buckets, &mut point.positive_offset, self.bucket_counts.values())?;
                }
                9 => {
                    let buckets = field.message("negative", "Buckets")?;
                    read_buckets(
                        buckets,
                        &mut point.negative_offset,
                        self.negative_bucket_counts.values(),
                    )?;
                }
                12 => point.min = Some(field.double("min")?),
                13 => point.max = Some(field.double("max")?),
                _ => field.skip()?,
            }
        }
        let present = PresentLists {
            bucket_counts: point.positive_offset.is_some(),
            negative_bucket_counts: point.negative_offset.is_some(),
            ..PresentLists::default()
        };
        Ok((point, present))
    }

    /// Reads a `SummaryDataPoint`.
    pub(super) fn read_summary(&mut self, mut message: Reader<'_>) -> Result<(Point, PresentLists), DecodeError> {
        let mut point = Point {
            count: Some(0),
            sum: Some(0.0),
            ..Point::default()
        };
        while let Some(field) = message.next_field()? {
            match field.number {
                2 => point.start = field.fixed64("start_time_unix_nano")?,
                3 => point.time = field.fixed64("time_unix_nano")?,
                4 => point.count = Some(field.fixed64("count")?),
                5 => point.sum = Some(field.double("sum")?),
                6 => self.append_quantile(field.message("quantile_values", "ValueAtQuantile")?)?,
                7 => self.append_attribute(field.message("attributes", "KeyValue")?)?,
                _ => field.skip()?,
            }
        }
        let present = PresentLists {
            explicit_bounds: true,
            quantile_values: true,
            ..PresentLists::default()
        };
        Ok((point, present))
    }

    fn append_quantile(&mut self, mut message: Reader<'_>) -> Result<(), DecodeError> {
        let (mut quantile, mut value) = (0.0, 0.0);
        while let Some(field) = message.next_field()? {
            match field.number {
                1 => quantile = field.double("quantile")?,
                2 => value = field.double("value")?,
                _ => field.skip()?,
            }
        }
        self.explicit_bounds.values().append_value(quantile);
        self.quantile_values.values().append_value(value);
        Ok(())
    }
}

/// Reads one part of a `Buckets` message. The offset becomes `Some`: the buckets were reported.
fn read_buckets(
    mut message: Reader<'_>,
    offset: &mut Option<i32>,
    counts: &mut Int64Builder,
) -> Result<(), DecodeError> {
    offset.get_or_insert(0);
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => *offset = Some(field.sint32("offset")?),
            2 => field.each_uint64("bucket_counts", |count| counts.append_value(to_i64(count)))?,
            _ => field.skip()?,
        }
    }
    Ok(())
}
