//! 402 into payment: pays a request within a limit and retries it.
