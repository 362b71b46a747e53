//! A cell of the attribution, as a cause that a person can read.

use serde::Serialize;
use spandrel_model::State;

use super::super::answers::Value;
use super::other_types;

/// The columns of `attribution AS a` that make a [`Cause`], in its order.
pub(super) const COLUMNS: &str = "a.layer, a.state, a.relation, a.culprit_operation, a.culprit_layer, a.culprit_state";

/// What time was spent on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Cause {
    /// Layer that the time belongs to.
    pub(super) layer: String,
    /// What the goroutine did.
    pub(super) state: String,
    /// Whose doing it was: `same`, `helper`, `interference`, `runtime`.
    pub(super) relation: String,
    /// Whom the request waited for, if that was another request.
    pub(super) culprit: Option<Culprit>,
}

/// What another request did meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Culprit {
    pub(super) operation: String,
    pub(super) layer: String,
    pub(super) state: String,
}

impl Cause {
    /// From the [`COLUMNS`].
    ///
    /// # Errors
    /// They have other types.
    pub(super) fn of(columns: &[Value]) -> anyhow::Result<Self> {
        let [
            Value::Text(layer),
            Value::Text(state),
            Value::Text(relation),
            operation,
            culprit_layer,
            culprit_state,
        ] = columns
        else {
            return Err(other_types());
        };
        let text = |value: &Value| match value {
            Value::Text(text) => text.clone(),
            Value::Int(_) | Value::Null => String::new(),
        };
        let culprit = (*operation != Value::Null).then(|| Culprit {
            operation: text(operation),
            layer: text(culprit_layer),
            state: text(culprit_state),
        });
        Ok(Self {
            layer: layer.clone(),
            state: state.clone(),
            relation: relation.clone(),
            culprit,
        })
    }

    /// Whether nothing is known of the time.
    pub(super) fn is_unknown(&self) -> bool {
        self.state == State::Unknown.as_str()
    }

    /// The states in what [`Self::shown`] says.
    pub(super) fn states(&self) -> impl Iterator<Item = &str> {
        let culprit = self.culprit.iter().map(|culprit| culprit.state.as_str());
        let own = self.culprit.is_none().then_some(self.state.as_str());
        culprit.chain(own)
    }

    /// `db/network`, `db/network (helper)`, `cache blocked by GET /report (db/network)`.
    pub(super) fn shown(&self) -> String {
        self.shown_with("")
    }

    /// As [`Self::shown`], with the finer word: `db/network/read`, `cache blocked by GET /report (db/network), in mutex`.
    pub(super) fn shown_with(&self, sub_state: &str) -> String {
        let finer = |separator: &str| match sub_state {
            "" => String::new(),
            word => format!("{separator}{word}"),
        };
        if let Some(culprit) = &self.culprit {
            let Culprit {
                operation,
                layer,
                state,
            } = culprit;
            let own = finer(", in ");
            return format!("{} blocked by {operation} ({layer}/{state}){own}", self.layer);
        }
        let relation = match self.relation.as_str() {
            "same" => String::new(),
            relation => format!(" ({relation})"),
        };
        format!("{}/{}{}{relation}", self.layer, self.state, finer("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(culprit: Option<Culprit>, relation: &str) -> Cause {
        Cause {
            layer: "cache".into(),
            state: "mutex".into(),
            relation: relation.into(),
            culprit,
        }
    }

    #[test]
    fn names_the_request_that_was_waited_for() {
        let culprit = Culprit {
            operation: "GET /report".into(),
            layer: "db".into(),
            state: "network".into(),
        };
        let blocked = cause(Some(culprit), "interference");
        assert_eq!(blocked.shown(), "cache blocked by GET /report (db/network)");
        assert_eq!(
            blocked.shown_with("select"),
            "cache blocked by GET /report (db/network), in select"
        );
        assert_eq!(cause(None, "same").shown(), "cache/mutex");
        assert_eq!(cause(None, "helper").shown(), "cache/mutex (helper)");
        assert_eq!(cause(None, "helper").shown_with("x"), "cache/mutex/x (helper)");
    }
}
