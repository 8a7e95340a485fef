//! What a request uses, counted while it runs, and what is charged of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;
use salt402_paywall::AnswerPrice;
use salt402_protocol::Amount;

use crate::catalogue::Model;
use crate::pricing::{Cost, Quantities, Used};
use crate::rows::Rows;
use crate::tab::Tab;
use crate::under_way::Hold;
use crate::upstream::completion::Usage;
use crate::upstream::passing::Passing;
use crate::upstream::usage::Counts;

/// Counts what one run uses.
#[derive(Debug)]
pub(crate) struct Meter {
    /// The most that may be charged, in base units.
    ceiling: Amount,
    /// A std mutex, because nothing is awaited while it is held.
    counted: Mutex<Counted>,
    /// Whoever counts is under way.
    hold: Option<Hold>,
    /// Where it is paid as it goes.
    tab: Option<Arc<Tab>>,
    /// Whether a model server has taken the request on.
    taken_on: AtomicBool,
}

/// What is counted, and by which prices it is charged.
#[derive(Debug)]
enum Counted {
    /// Nothing yet: no model was asked.
    Nothing,
    /// All that was authorized is charged.
    All,
    /// By a model's prices, what it reads and writes, which costs so much at the most.
    Model(Box<OfModel>),
    /// By a service's, what it answers.
    Answer { price: AnswerPrice, bytes: u64, rows: Option<Rows> },
}

/// What a request to a model costs at the most, and what was seen of it.
#[derive(Debug)]
struct OfModel {
    model: Model,
    of: Quantities,
    cost: Cost,
    seen: Seen,
}

impl Counted {
    /// Of a request to a model. Without a price, all that was authorized is charged.
    fn of_model(model: &Model, of: Quantities, cost: Option<Cost>) -> Self {
        cost.map_or(Self::All, |cost| {
            Self::Model(Box::new(OfModel { model: model.clone(), of, cost, seen: Seen::default() }))
        })
    }
}

/// What a run has shown so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The tokens that the server counted.
    pub(crate) counts: Option<Counts>,
    /// The pieces of text that it has written.
    pub(crate) pieces: u64,
    /// Whether the answer came to its end.
    pub(crate) ended: bool,
}

impl Seen {
    /// Of a whole answer. What was estimated was not counted.
    pub(crate) fn of(usage: &Usage) -> Self {
        let Usage { prompt_tokens, completion_tokens, estimated, .. } = *usage;
        if estimated {
            return Self { counts: None, pieces: completion_tokens, ended: true };
        }
        let counts = Counts::of(Some(prompt_tokens), Some(completion_tokens), None);
        Self { counts: Some(counts), pieces: 0, ended: true }
    }

    /// Of an answer on its way.
    pub(crate) fn of_passing(passing: &Passing) -> Self {
        let (counts, pieces, ended) = passing.so_far();
        Self { counts, pieces, ended }
    }
}

impl Meter {
    /// For a request to a model, which costs so much at the most. Without a price, all that was authorized is charged.
    pub(crate) fn new(model: &Model, of: Quantities, cost: Option<Cost>, ceiling: Amount) -> Self {
        Self::of(Counted::of_model(model, of, cost), ceiling)
    }

    /// For a request that one of several models answers. Which of them is asked is told by [`Self::asks`].
    pub(crate) fn of_several(ceiling: Amount) -> Self {
        Self::of(Counted::Nothing, ceiling)
    }

    /// For an answer that is counted as it passes.
    pub(crate) fn of_answer(price: AnswerPrice, ceiling: Amount) -> Self {
        Self::of(Counted::Answer { price, bytes: 0, rows: None }, ceiling)
    }

    /// For what is not counted: all that was authorized is charged.
    pub(crate) fn of_all(ceiling: Amount) -> Self {
        Self::of(Counted::All, ceiling)
    }

    fn of(counted: Counted, ceiling: Amount) -> Self {
        let (counted, taken_on) = (Mutex::new(counted), AtomicBool::new(false));
        Self { ceiling, counted, hold: None, tab: None, taken_on }
    }

    /// A model is asked, which costs so much at the most. Whoever was asked before counts no more.
    pub(crate) fn asks(&self, model: &Model, of: Quantities, cost: Option<Cost>) {
        *self.counted() = Counted::of_model(model, of, cost);
        self.taken_on.store(false, Ordering::Relaxed);
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a request that cannot be run any more: nothing is charged.
    pub(crate) fn of_nothing() -> Self {
        Self::of_all(Amount::ZERO)
    }

    /// The same, whose request is under way until it is dropped.
    pub(crate) fn holding(self, hold: Option<Hold>) -> Self {
        Self { hold, ..self }
    }

    /// The same of a stream that is paid as it goes.
    pub(crate) fn on(self, tab: Option<Arc<Tab>>) -> Self {
        Self { tab, ..self }
    }

    /// Where it is paid as it goes.
    pub(crate) fn tab(&self) -> Option<&Arc<Tab>> {
        self.tab.as_ref()
    }

    /// What is charged for what was given: never more than was authorized.
    pub(crate) fn charged(&self) -> Amount {
        self.tab.as_ref().map_or_else(|| self.amount(), |tab| tab.charged())
    }

    /// For how long it may be used, so that it can be settled then. `None`: without an end.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.hold.as_ref().and_then(Hold::left)
    }

    /// Whether it is too late to settle what was used.
    pub(crate) fn has_ended(&self) -> bool {
        self.hold.as_ref().is_some_and(Hold::has_ended)
    }

    /// A model server has taken the request on, and so has read it.
    pub(crate) fn taken_on(&self) {
        self.taken_on.store(true, Ordering::Relaxed);
    }

    /// What a run has used that nobody got anything of.
    pub(crate) fn used_for_nothing(&self) -> Amount {
        let sunk = self.hold.as_ref().map_or(Amount::ZERO, Hold::sunk);
        if self.taken_on.load(Ordering::Relaxed) {
            Amount(self.amount().0.saturating_sub(sunk.0))
        } else {
            Amount::ZERO
        }
    }

    /// Notes what was seen of a model's run that is under way. A new run begins anew.
    pub(crate) fn note(&self, now: Seen) {
        if let Counted::Model(of_model) = &mut *self.counted() {
            if now.ended && now.counts.is_none() {
                metrics::counter!("salt402_gateway_uncounted_total").increment(1);
            }
            of_model.seen = now;
        }
    }

    /// An answer with this head begins. What passed of another run counts no more.
    pub(crate) fn begin(&self, headers: &HeaderMap) {
        if let Counted::Answer { bytes, rows, .. } = &mut *self.counted() {
            (*bytes, *rows) = (0, Some(Rows::of(headers)));
        }
    }

    /// A piece of it passes.
    pub(crate) fn pass(&self, piece: &[u8]) {
        if let Counted::Answer { bytes, rows, .. } = &mut *self.counted() {
            *bytes = bytes.saturating_add(piece.len() as u64);
            if let Some(rows) = rows {
                rows.push(piece);
            }
        }
    }

    /// What all costs that was counted, and no more than the most.
    pub(crate) fn amount(&self) -> Amount {
        let amount = match &*self.counted() {
            Counted::Nothing => Some(Amount::ZERO),
            Counted::All => None,
            Counted::Model(of_model) => {
                let OfModel { model, of, cost, seen } = &**of_model;
                cost.of_used(&model.price, of, &used(of, seen))
            }
            Counted::Answer { price, bytes, rows } => price.of(*bytes, rows.as_ref().and_then(Rows::count)),
        };
        let sunk = self.hold.as_ref().map_or(Amount::ZERO, Hold::sunk);
        amount.map_or(self.ceiling, |amount| Amount(amount.0.saturating_add(sunk.0)).min(self.ceiling))
    }
}

/// What was used: what the server counted, within what was asked for. What it did not count is taken from the bound, and of a stream
/// from the pieces that it has written.
fn used(of: &Quantities, seen: &Seen) -> Used {
    let counts = seen.counts.unwrap_or_default();
    let most_written = u64::from(of.max_tokens).saturating_mul(of.choices);
    let rest = |part: Option<u64>| counts.total.zip(part).map(|(total, part)| total.saturating_sub(part));
    let prompt = counts.prompt.or_else(|| rest(counts.completion)).unwrap_or(of.prompt_tokens);
    let counted = counts.completion.or_else(|| rest(counts.prompt));
    let written = match counted {
        // What was counted before the end is of the part that had come by then.
        Some(counted) if !seen.ended => counted.max(seen.pieces),
        Some(counted) => counted,
        None if seen.pieces > 0 || !seen.ended => seen.pieces,
        None => most_written,
    };
    Used {
        prompt: prompt.min(of.prompt_tokens),
        cached: counts.cached.unwrap_or(0),
        written: written.min(most_written),
        reasoning: counts.reasoning.unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of() -> Quantities {
        Quantities { prompt_tokens: 100, max_tokens: 10, choices: 2, ..Quantities::default() }
    }

    fn counts(prompt: Option<u64>, completion: Option<u64>, total: Option<u64>) -> Option<Counts> {
        Some(Counts::of(prompt, completion, total))
    }

    fn seen(counts: Option<Counts>, pieces: u64, ended: bool) -> (u64, u64) {
        let used = used(&of(), &Seen { counts, pieces, ended });
        (used.prompt, used.written)
    }

    #[test]
    fn what_the_server_counted_is_charged_within_what_was_asked_for() {
        assert_eq!(seen(counts(Some(7), Some(3), None), 9, true), (7, 3));
        assert_eq!(seen(counts(Some(7), None, Some(10)), 0, true), (7, 3));
        assert_eq!(seen(counts(None, Some(3), Some(10)), 0, true), (7, 3));
        assert_eq!(seen(counts(Some(0), Some(0), None), 9, true), (0, 0), "zero is a count");
        assert_eq!(seen(counts(Some(700), Some(300), None), 9, true), (100, 20));
    }

    #[test]
    fn what_was_not_counted_is_the_bound_and_of_a_stream_what_was_written() {
        assert_eq!(seen(None, 0, true), (100, 20), "a document without a count");
        assert_eq!(seen(None, 5, true), (100, 5));
        assert_eq!(seen(None, 500, true), (100, 20));
        assert_eq!(seen(None, 4, false), (100, 4), "a reader has left");
        assert_eq!(seen(None, 0, false), (100, 0));
        // Anthropic's servers count what is read at the start, and one token of what is written.
        assert_eq!(seen(counts(Some(7), Some(1), None), 4, false), (7, 4));
    }
}
