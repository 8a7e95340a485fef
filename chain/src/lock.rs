//! Standard mutexes, for values that are never held across an await.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks the value, even after a panic elsewhere: no panic leaves a value of this crate half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
