//! What time it is, for the columns that tell an operator when something was stored. Two things are decided by it: whether
//! the index is too old to grant on a voucher, and how long it is believed what a node refused.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in milliseconds since 1970 UTC; 0 on a clock that is set before that.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
