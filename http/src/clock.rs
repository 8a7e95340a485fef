//! The time of day, for all crates that serve. A test can set it.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

thread_local! {
    static SET: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// The time since 1970 UTC; 0 on a clock that is set before that, which makes every quote ended, and so refuses and never
/// grants.
pub fn now() -> Duration {
    SET.get().unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// [`now`] in seconds.
pub fn now_s() -> u64 {
    now().as_secs()
}

/// [`now`] in milliseconds.
pub fn now_ms() -> u64 {
    u64::try_from(now().as_millis()).unwrap_or(u64::MAX)
}

/// How long ago a moment was, in milliseconds since 1970 UTC; 0 where it is still to come.
pub fn since_ms(moment_ms: u64) -> Duration {
    now().saturating_sub(Duration::from_millis(moment_ms))
}

/// For tests: sets the time since 1970 UTC on this thread, where it then stands still.
#[doc(hidden)]
pub fn set(now: Duration) {
    SET.set(Some(now));
}
