//! How long a server took and how often it failed, as moving averages that forget.

#![allow(clippy::float_arithmetic, reason = "averages of times, and no money")]

use std::time::Duration;

use tokio::time::Instant;

/// How much of an average the newest value is.
const NEWEST: f64 = 0.2;
/// After how long what was measured counts half. So a server that was slow, or failed, is asked again some time.
const LATENCY_HALVES: Duration = Duration::from_secs(120);
const ERRORS_HALVE: Duration = Duration::from_secs(30);

/// What was measured of a server.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measured {
    /// Seconds until it answered; 0 before the first answer.
    latency: f64,
    /// Which part of its runs failed, from 0 to 1.
    errors: f64,
    /// When it was measured last.
    at: Option<Instant>,
}

/// What a server is thought to do next.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Expected {
    /// Seconds until it answers; 0 if nothing is known.
    pub(crate) latency: f64,
    /// How likely it is that it fails, from 0 to 1.
    pub(crate) errors: f64,
}

impl Measured {
    /// It answered after so long.
    pub(crate) fn answered(&mut self, took: Duration, now: Instant) {
        let Expected { latency, errors } = self.expected(now);
        let took = took.as_secs_f64();
        self.latency = if latency == 0.0 { took } else { latency + (took - latency) * NEWEST };
        self.errors = errors * (1.0 - NEWEST);
        self.at = Some(now);
    }

    /// It failed.
    pub(crate) fn failed(&mut self, now: Instant) {
        let Expected { latency, errors } = self.expected(now);
        self.latency = latency;
        self.errors = errors + (1.0 - errors) * NEWEST;
        self.at = Some(now);
    }

    /// What is to be expected of it now.
    pub(crate) fn expected(&self, now: Instant) -> Expected {
        let Some(at) = self.at else { return Expected::default() };
        let age = now.saturating_duration_since(at).as_secs_f64();
        let left = |halves: Duration| 0.5f64.powf(age / halves.as_secs_f64());
        Expected { latency: self.latency * left(LATENCY_HALVES), errors: self.errors * left(ERRORS_HALVE) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn averages_follow_what_is_measured_and_forget_it() {
        let (mut server, start) = (Measured::default(), Instant::now());
        assert_eq!(server.expected(start), Expected::default());
        server.answered(Duration::from_secs(4), start);
        assert_eq!(server.expected(start).latency, 4.0);
        server.answered(Duration::from_secs(2), start);
        assert!((server.expected(start).latency - 3.6).abs() < 1e-9);
        let later = server.expected(start + LATENCY_HALVES).latency;
        assert!((later - 1.8).abs() < 1e-9, "{later}");
        for _ in 0..100 {
            server.failed(start);
        }
        let errors = server.expected(start).errors;
        assert!(errors > 0.99 && errors < 1.0, "{errors}");
        assert!((server.expected(start + ERRORS_HALVE).errors - errors / 2.0).abs() < 1e-9);
        server.answered(Duration::from_secs(2), start);
        assert!(server.expected(start).errors < errors, "an answer speaks for it");
    }
}
