//! The time of day, for columns that tell an operator when something was stored. One decision uses it too: whether an
//! index is current ([`crate::chains::freshness`]).

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in milliseconds since 1970 UTC; 0 on a clock that is set before that.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
