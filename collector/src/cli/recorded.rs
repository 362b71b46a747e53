//! Which requests commands sum up: those of which no part is missing.

/// Of `span_quality AS q`: requests that recordings cover from start to end.
pub(super) const RECORDED: &str = "q.is_request AND q.recorded_ns = q.duration_ns AND q.duration_ns > 0";

/// The message where there are none in `data`.
pub(super) fn none_in(data: &std::path::Path) -> String {
    format!(
        "no request that runtime profiles cover from start to end is in `{}`; `spandrel sql --data {0} -c 'SELECT binding, \
         count(*) FROM span_quality GROUP BY 1'` says how spans were bound",
        data.display()
    )
}
