//! A token bucket: so many at once, and one more in each such time.

use std::time::Duration;

use tokio::time::Instant;

/// How often something may happen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// How many at once after a pause; at least 1.
    pub(crate) burst: u32,
    /// The time in which one token comes back.
    pub(crate) each: Duration,
}

/// A bucket of tokens, as the moment at which it is full again. The default is a full one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket(Option<Instant>);

impl Bucket {
    /// Whether there is a token.
    pub(crate) fn has(self, rate: Rate, now: Instant) -> bool {
        let taken = self.0.map_or(Duration::ZERO, |full_at| full_at.saturating_duration_since(now));
        taken <= rate.each * (rate.burst - 1)
    }

    /// Takes a token, if there is one.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> bool {
        let has = self.has(rate, now);
        if has {
            self.0 = Some(self.0.map_or(now, |full_at| full_at.max(now)) + rate.each);
        }
        has
    }

    /// Whether no token was taken that is not back.
    pub(crate) fn is_full(self, now: Instant) -> bool {
        self.0.is_none_or(|full_at| full_at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_bucket_gives_a_burst_and_then_its_rate() {
        let rate = Rate { burst: 3, each: Duration::from_secs(1) };
        let mut bucket = Bucket::default();
        let mut taken = |times: usize| (0..times).filter(|_| bucket.take(rate, Instant::now())).count();
        assert_eq!(taken(100), 3);
        tokio::time::advance(Duration::from_millis(999)).await;
        assert_eq!(taken(100), 0);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(taken(100), 1);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(taken(100), 2);
        // A long pause fills it, and no more than that.
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(taken(100), 3);
        assert!(!bucket.is_full(Instant::now()));
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(bucket.is_full(Instant::now()));
    }
}
