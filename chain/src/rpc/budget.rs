//! The rate limit of a node: a token bucket of units, with a share for each kind of work.
//!
//! The rate is the operator's, or the network's. It falls when the node refuses requests, and grows back slowly.
//! Requests then become rarer, not smaller.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::NodeError;
use crate::lock::lock;
use crate::node::Work;

/// The bucket counts thousandths of a unit, so that slow rates need no fractions.
const UNIT: i64 = 1000;
/// A reduced rate grows each second by the limit divided by this.
const GROWTH: i64 = 32;
/// If only the node's refusals limit the rate, it becomes unlimited again from this rate on, in units per second.
const UNLIMITED_FROM: i64 = 5_000 * UNIT;
/// Refusals within this time count once, because concurrent requests are refused together.
const REFUSAL_WINDOW: Duration = Duration::from_secs(1);

/// The token bucket of one node.
#[derive(Debug)]
pub(crate) struct Budget {
    /// The allowed rate, in thousandths of a unit per second. `None`: as much as the node accepts.
    limit: Option<i64>,
    /// The longest pause that the node may request.
    longest_rest: Duration,
    state: Mutex<State>,
    /// The waiting requests by kind of work. Tokio's mutex is fair, so they keep their order, and a cancelled request
    /// only leaves its place.
    queues: [tokio::sync::Mutex<()>; 3],
}

#[derive(Debug)]
struct State {
    /// The current rate, in thousandths of a unit per second. `None`: unlimited.
    rate: Option<i64>,
    /// The units left. Below zero after a request that cost more than the bucket holds.
    level: i64,
    filled: Instant,
    grown: Instant,
    refused: Option<Instant>,
    rest_until: Option<Instant>,
    /// The units spent since a time. They give the first rate when an unlimited node refuses.
    spent: (Instant, i64),
}

impl Budget {
    /// A bucket for a number of units in any one second. `None`: unlimited until the node refuses.
    pub(crate) fn new(units_per_second: Option<u64>, longest_rest: Duration, now: Instant) -> Self {
        // A full bucket plus one second's inflow must not exceed one second's units.
        let limit = units_per_second.map(|units| units_to_milli(units).max(UNIT));
        let state = State {
            rate: limit,
            level: limit.map_or(0, capacity),
            filled: now,
            grown: now,
            refused: None,
            rest_until: None,
            spent: (now, 0),
        };
        Self { limit, longest_rest, state: Mutex::new(state), queues: Default::default() }
    }

    /// Waits for the units and spends them.
    ///
    /// # Errors [`NodeError::RateLimited`] at once while the node wants a pause, so the caller may ask another node.
    pub(crate) async fn take(&self, work: Work, units: u64) -> Result<(), NodeError> {
        let _turn = self.queues[place(work)].lock().await;
        loop {
            let taken = lock(&self.state).take(work, units_to_milli(units), self.limit, Instant::now());
            match taken {
                Taken::Now => return Ok(()),
                Taken::Resting(left) => return Err(NodeError::RateLimited { retry_after: Some(left) }),
                Taken::Wait(time) => tokio::time::sleep(time).await,
            }
        }
    }

    /// Records that the node refused a request, and the pause it asked for.
    pub(crate) fn refused(&self, retry_after: Option<Duration>) {
        let now = Instant::now();
        lock(&self.state).refused(retry_after.map(|time| time.min(self.longest_rest)), self.limit, now);
    }

    /// The whole units left. `None`: unlimited.
    pub(crate) fn left(&self) -> Option<u64> {
        let mut state = lock(&self.state);
        state.fill(self.limit, Instant::now());
        state.rate.map(|_| u64::try_from(state.level / UNIT).unwrap_or(0))
    }
}

enum Taken {
    Now,
    Wait(Duration),
    Resting(Duration),
}

impl State {
    fn take(&mut self, work: Work, cost: i64, limit: Option<i64>, now: Instant) -> Taken {
        if let Some(left) = self.rest_until.and_then(|until| until.checked_duration_since(now)) {
            if !left.is_zero() {
                return Taken::Resting(left);
            }
            self.rest_until = None;
        }
        self.fill(limit, now);
        let Some(rate) = self.rate else {
            self.spend(cost, now);
            return Taken::Now;
        };
        // A request that costs more than the bucket holds passes once the bucket is as full as its kind of work allows,
        // and leaves a debt.
        let reserve = reserve(work, capacity(rate));
        let needed = cost.min(capacity(rate) - reserve) + reserve;
        if self.level >= needed {
            self.level -= cost;
            self.spend(cost, now);
            return Taken::Now;
        }
        let nanos = i128::from(needed - self.level) * 1_000_000_000 / i128::from(inflow(rate));
        Taken::Wait(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)) + Duration::from_millis(1))
    }

    fn spend(&mut self, cost: i64, now: Instant) {
        if now.duration_since(self.spent.0) > REFUSAL_WINDOW {
            self.spent = (now, 0);
        }
        self.spent.1 = self.spent.1.saturating_add(cost);
    }

    fn fill(&mut self, limit: Option<i64>, now: Instant) {
        self.grow(limit, now);
        let Some(rate) = self.rate else {
            self.filled = now;
            return;
        };
        let nanos = now.duration_since(self.filled).as_nanos();
        let come =
            i128::try_from(nanos).unwrap_or(i128::MAX).saturating_mul(inflow(rate).into()) / 1_000_000_000;
        if come > 0 {
            let level = i128::from(self.level).saturating_add(come).min(capacity(rate).into());
            self.level = i64::try_from(level).unwrap_or(0);
            self.filled = now;
        }
    }

    /// Raises the rate once a second, up to the limit. Without a limit, until it hardly restricts.
    fn grow(&mut self, limit: Option<i64>, now: Instant) {
        let seconds = i64::try_from(now.duration_since(self.grown).as_secs()).unwrap_or(i64::MAX);
        let Some(rate) = self.rate.filter(|_| seconds > 0) else { return };
        self.grown = now;
        let step = limit.unwrap_or(rate.max(UNIT)) / GROWTH;
        let grown = rate.saturating_add(step.max(UNIT / GROWTH).saturating_mul(seconds));
        self.rate = match limit {
            Some(limit) => Some(grown.min(limit)),
            None => Some(grown).filter(|rate| *rate < UNLIMITED_FROM),
        };
    }

    fn refused(&mut self, retry_after: Option<Duration>, limit: Option<i64>, now: Instant) {
        if let Some(rest) = retry_after {
            self.rest_until = self.rest_until.max(Some(now + rest));
        }
        if self.refused.is_some_and(|at| now.duration_since(at) < REFUSAL_WINDOW) {
            return;
        }
        (self.refused, self.grown) = (Some(now), now);
        let was = self.rate.unwrap_or(self.spent.1);
        let least = limit.map_or(UNIT, |limit| (limit / GROWTH).max(UNIT));
        let rate = (was / 2).max(least);
        // Half a second without requests, so that the node's own count falls first.
        (self.rate, self.level, self.filled) = (Some(rate), -inflow(rate) / 2, now);
    }
}

fn units_to_milli(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX / UNIT).saturating_mul(UNIT)
}

/// The bucket's size: a fifth of a second's units, at least one.
fn capacity(rate: i64) -> i64 {
    (rate / 5).max(UNIT)
}

/// The inflow per second: the remaining units.
fn inflow(rate: i64) -> i64 {
    (rate - rate / 5).max(1)
}

/// The units that a kind of work must leave for more urgent kinds.
fn reserve(work: Work, capacity: i64) -> i64 {
    match work {
        Work::Head => 0,
        Work::LookUp => capacity / 4,
        Work::BackFill => capacity / 2,
    }
}

fn place(work: Work) -> usize {
    match work {
        Work::Head => 0,
        Work::LookUp => 1,
        Work::BackFill => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const REST: Duration = Duration::from_secs(60);

    fn of(units: Option<u64>) -> Arc<Budget> {
        Arc::new(Budget::new(units, REST, Instant::now()))
    }

    /// Spends without pause in the background and counts the units.
    fn greedy(budget: &Arc<Budget>, work: Work, cost: u64) -> (Arc<AtomicU64>, tokio::task::JoinHandle<()>) {
        let (budget, spent) = (Arc::clone(budget), Arc::new(AtomicU64::new(0)));
        let count = Arc::clone(&spent);
        let task = tokio::spawn(async move {
            while budget.take(work, cost).await.is_ok() {
                count.fetch_add(cost, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
        (spent, task)
    }

    #[tokio::test(start_paused = true)]
    async fn no_second_sees_more_than_its_units_and_few_are_wasted() {
        let budget = of(Some(1000));
        let (spent, task) = greedy(&budget, Work::Head, 10);
        let mut before = 0;
        for second in 0..10 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = spent.load(Ordering::Relaxed);
            assert!(now - before <= 1000, "{} units in second {second}", now - before);
            before = now;
        }
        assert!(before >= 7_000, "{before} of 10000 units were used");
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_back_fill_never_starves_the_head_or_a_look_up() {
        let budget = of(Some(1000));
        let (spent, task) = greedy(&budget, Work::BackFill, 10);
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(spent.load(Ordering::Relaxed) > 2_000, "the back-fill takes what nobody else wants");
        for _ in 0..20 {
            let asked = Instant::now();
            budget.take(Work::Head, 10).await.unwrap();
            budget.take(Work::LookUp, 1).await.unwrap();
            assert_eq!(asked.elapsed(), Duration::ZERO, "the head waited for a back-fill");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn the_smallest_budget_lets_every_kind_of_work_and_every_cost_through() {
        let budget = of(Some(1));
        for work in [Work::Head, Work::LookUp, Work::BackFill] {
            tokio::time::timeout(REST, budget.take(work, 10)).await.unwrap().unwrap();
        }
        // The last request left a debt.
        let asked = Instant::now();
        budget.take(Work::Head, 1).await.unwrap();
        assert!(asked.elapsed() >= Duration::from_secs(9), "{:?}", asked.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_are_served_in_turn_and_one_who_leaves_takes_nothing() {
        let budget = of(Some(10));
        while tokio::time::timeout(Duration::ZERO, budget.take(Work::Head, 1)).await.is_ok() {}
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for name in 0..6 {
            let (budget, order) = (Arc::clone(&budget), Arc::clone(&order));
            tasks.push(tokio::spawn(async move {
                budget.take(Work::Head, 1).await.unwrap();
                order.lock().unwrap().push(name);
            }));
            tokio::task::yield_now().await;
        }
        tasks[1].abort();
        for (name, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.is_ok(), name != 1);
        }
        assert_eq!(*order.lock().unwrap(), [0, 2, 3, 4, 5]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_halves_the_rate_once_and_it_grows_back_slowly() {
        let budget = of(Some(1000));
        let rate = || lock(&budget.state).rate.unwrap() / UNIT;
        for _ in 0..8 {
            budget.refused(None);
        }
        assert_eq!(rate(), 500, "refusals of one second count once");
        tokio::time::sleep(Duration::from_secs(2)).await;
        budget.refused(None);
        assert!((250..300).contains(&rate()), "{}", rate());
        tokio::time::sleep(Duration::from_secs(5)).await;
        budget.left();
        assert!(rate() < 500, "{}", rate());
        tokio::time::sleep(Duration::from_secs(60)).await;
        budget.left();
        assert_eq!(rate(), 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_a_refusal_tells_what_is_too_much_for_a_while() {
        let budget = of(None);
        for _ in 0..400 {
            budget.take(Work::Head, 1).await.unwrap();
        }
        assert_eq!(budget.left(), None);
        budget.refused(None);
        assert_eq!(lock(&budget.state).rate, Some(200 * UNIT));
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(budget.left().is_some_and(|units| units < 100), "it grew too fast");
        for _ in 0..600 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            budget.left();
        }
        assert_eq!(budget.left(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_wants_rest_gets_it_within_reason_and_whoever_asks_is_told_at_once() {
        let budget = of(Some(1000));
        budget.refused(Some(Duration::from_secs(3600)));
        let asked = Instant::now();
        let answer = budget.take(Work::Head, 1).await;
        assert_eq!(answer, Err(NodeError::RateLimited { retry_after: Some(REST) }));
        assert_eq!(asked.elapsed(), Duration::ZERO);
        tokio::time::sleep(REST).await;
        assert_eq!(budget.take(Work::Head, 1).await, Ok(()));
    }
}
