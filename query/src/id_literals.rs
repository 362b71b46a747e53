//! Ids compared with text: `trace_id = '4bf92f3577b34da6a3ce929d0e0e4736'`.
//!
//! Left alone, DataFusion compares the bytes of the id with the bytes of the text: no row matches, silently; and it
//! casts the column for `x'4bf9...'`, so that no row group is skipped. This rewrites the literal to the type of the id
//! before types are settled, and refuses a comparison that cannot match.

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};

use crate::functions::{from_hex, text_of};

/// See the module's description.
#[derive(Debug)]
pub(crate) struct IdLiterals;

impl FunctionRewrite for IdLiterals {
    fn name(&self) -> &str {
        "id_literals"
    }

    fn rewrite(&self, mut expr: Expr, schema: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        let changed = match &mut expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
                as_id(schema, left, right)? | as_id(schema, right, left)?
            }
            Expr::InList(in_list) => {
                let mut changed = false;
                for value in &mut in_list.list {
                    changed |= as_id(schema, &in_list.expr, value)?;
                }
                changed
            }
            Expr::Between(between) => {
                as_id(schema, &between.expr, &mut between.low)? | as_id(schema, &between.expr, &mut between.high)?
            }
            _ => false,
        };
        Ok(Transformed::new_transformed(expr, changed))
    }
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(
        op,
        Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom
    )
}

/// Gives `value` the type of `id`, if that is an id and `value` a literal of text or bytes. Returns whether it did.
fn as_id(schema: &DFSchema, id: &Expr, value: &mut Expr) -> Result<bool> {
    let Ok(DataType::FixedSizeBinary(len)) = id.get_type(schema) else {
        return Ok(false);
    };
    if let Expr::Literal(literal, _) = value {
        let Some(bytes) = id_bytes(id, literal, len)? else {
            return Ok(false);
        };
        let id = Expr::Literal(ScalarValue::FixedSizeBinary(len, Some(bytes)), None);
        *value = id;
        return Ok(true);
    }
    match value.get_type(schema) {
        Ok(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => {
            plan_err!("`{id}` is binary and `{value}` is text: compare with `unhex({value})`")
        }
        _ => Ok(false),
    }
}

/// The bytes that the literal means; `None` if it is null or already of the right type.
fn id_bytes(id: &Expr, literal: &ScalarValue, len: i32) -> Result<Option<Vec<u8>>> {
    let digits = usize::try_from(2 * len).expect("types have no negative length");
    if let Some(text) = text_of(literal) {
        return match from_hex(text) {
            Some(bytes) if text.len() == digits => Ok(Some(bytes)),
            _ => plan_err!("`{id}` is compared with `{text}`: expected {digits} hexadecimal digits"),
        };
    }
    match literal {
        ScalarValue::Binary(Some(bytes)) if 2 * bytes.len() == digits => Ok(Some(bytes.clone())),
        ScalarValue::Binary(Some(bytes)) => {
            let found = 2 * bytes.len();
            plan_err!("`{id}` is compared with {found} hexadecimal digits: expected {digits}")
        }
        _ => Ok(None),
    }
}
