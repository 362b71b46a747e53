//! "Did you mean": the nearest known name to a misspelled one.

/// The candidate most like `name`, if one is close enough to be a slip of the fingers.
///
/// Close means: at most a third of the longer name's letters differ (swapped neighbors count once).
/// Names above 128 bytes get no suggestion, because the comparison is quadratic.
pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if name.len() > 128 {
        return None;
    }
    let folded = fold(name);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&folded, &fold(candidate)), candidate))
        .filter(|(distance, candidate)| distance * 3 <= name.len().max(candidate.len()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Letter case and the choice between `-` and `_` are the commonest slips; they cost nothing.
fn fold(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

/// The hint for an unknown name: the nearest match, then what is valid.
pub(crate) fn hint(name: &str, valid: &[&str]) -> String {
    let list = valid.join(", ");
    match (nearest(name, valid.iter().copied()), valid.is_empty()) {
        (Some(near), _) if valid.len() > 1 => format!("did you mean `{near}`? valid: {list}"),
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, false) => format!("valid: {list}"),
        (None, true) => "nothing is valid here".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_swapped_pair_of_letters() {
        assert_eq!(nearest("recievers", ["exporters", "receivers"]), Some("receivers"));
    }

    #[test]
    fn ignores_case_and_dashes() {
        assert_eq!(
            nearest("Send-Batch-Size", ["timeout", "send_batch_size"]),
            Some("send_batch_size")
        );
    }

    #[test]
    fn stays_silent_when_nothing_is_close() {
        assert_eq!(nearest("kafka", ["otlp", "debug"]), None);
    }
}
