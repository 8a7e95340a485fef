//! One run of what was asked of a route: the best candidate is asked, and where it fails before it has answered anything, the next.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use salt402_paywall::Order;
use salt402_protocol::{Address, Amount, Code, Problem};
use tokio::time::Instant;

use crate::circuit::Circuits;
use crate::execution::{Failed, Given, Head, Purchase};
use crate::gateway::Inner;
use crate::meter::Meter;
use crate::paid::Sale;
use crate::routing::candidate::Run;
use crate::routing::choice::{Standing, choose, choose_any};
use crate::routing::routed::Routed;
use crate::sessions::{SessionKey, Sessions};
use crate::upstream::failure::FailureClass;

/// When to ask again, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// What is known of a candidate now.
fn standing<C: Run>(candidate: &C, circuits: &Circuits) -> Standing {
    let (name, upstream) = (candidate.name(), &candidate.model().upstream);
    let (load, expected) = (upstream.load(), circuits.expected(name));
    Standing {
        sold: circuits.unsold(name).is_none(),
        full: upstream.full().is_some(),
        inside: load.inside,
        at_once: load.at_once,
        latency: expected.latency,
        errors: expected.errors,
    }
}

impl<C: Run> Sale for Routed<C> {
    /// None of them answers and has room.
    fn unsold(&self, gateway: &Inner) -> Option<Problem> {
        let standings: Vec<_> =
            self.candidates.iter().map(|candidate| standing(candidate, &gateway.circuits)).collect();
        if standings.iter().any(|standing| standing.sold && !standing.full) {
            return None;
        }
        let name = &self.name;
        let (code, why) = if standings.iter().any(|standing| standing.sold) {
            (Code::AtCapacity, format!("no candidate of {name} takes on more for a moment"))
        } else {
            (Code::ModelUnavailable, format!("the server of no candidate of {name} answers"))
        };
        let detail = format!(
            "{why}, so nothing is sold of it: ask again; whoever has paid does not pay again, and shows the same proof again"
        );
        Some(Problem::new(code, detail).retry_after(RETRY_MS))
    }

    fn order(&self) -> &Order {
        &self.order
    }

    fn names(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    /// Where its price covers whichever answers, what that one uses is not counted.
    fn meter(&self, ceiling: Amount) -> Meter {
        if self.covers_all { Meter::of_all(ceiling) } else { Meter::of_several(ceiling) }
    }

    /// Whoever answers can begin for the most that one of them begins for.
    fn begins(&self) -> Option<Amount> {
        if self.covers_all || !self.streamed {
            return None;
        }
        let begin: Option<Vec<_>> = self.candidates.iter().map(Run::begins).collect();
        begin?.into_iter().max()
    }

    /// None of them has room. [`Sale::unsold`] tells those who have not paid, since it knows which of them answer.
    fn full(&self) -> Option<Problem> {
        let full: Option<Vec<_>> =
            self.candidates.iter().map(|candidate| candidate.model().upstream.full()).collect();
        full?.pop()
    }

    async fn outcome(self, gateway: &Inner, purchase: Purchase) -> Result<Given, Problem> {
        let Self { name, candidates, covers_all, streamed, session, .. } = self;
        let (payer, meter) = (purchase.payment.payer, purchase.meter.clone());
        let sessions = Arc::clone(&gateway.sessions);
        let session = session.map(|session| sessions.key(&name, payer, &session));
        let circuits = gateway.circuits.clone();
        let way = Way { route: name, circuits, payer, meter, covers_all, sessions, session };
        if streamed {
            let run = |recorder: crate::execution::Recorder| async move {
                let ask = |candidate: C| {
                    let own = recorder.of_model(candidate.name());
                    way.asks(&candidate);
                    candidate.stream(way.circuits.clone(), way.payer, way.meter.clone(), own)
                };
                let has_ended = || recorder.has_begun() || way.is_unpaid();
                way.ask_until_one_answers(candidates, ask, has_ended).await.map(|(_, last)| last)
            };
            gateway.executions.stream(purchase, run).await
        } else {
            let run = || async move {
                let ask = |candidate: C| {
                    way.asks(&candidate);
                    candidate.whole(way.circuits.clone(), way.payer, way.meter.clone())
                };
                let (model, (head, body)) = way.ask_until_one_answers(candidates, ask, || false).await?;
                Ok((Head { model: Some(model), ..head }, body))
            };
            gateway.executions.outcome(purchase, run).await
        }
    }
}

/// For whom something is asked, and what is noted of it.
struct Way {
    route: String,
    circuits: Circuits,
    payer: Address,
    /// What counts what is used, where that is charged.
    meter: Option<Arc<Meter>>,
    /// Whether the price covers whoever answers.
    covers_all: bool,
    sessions: Arc<Sessions>,
    session: Option<SessionKey>,
}

impl Way {
    /// What a candidate uses is counted by its own prices.
    fn asks<C: Run>(&self, candidate: &C) {
        if let Some(meter) = self.meter.as_ref().filter(|_| !self.covers_all) {
            meter.asks(candidate.model(), candidate.quantities(), candidate.cost().cloned());
        }
    }

    /// Nobody pays for more of it, so nobody else is asked.
    fn is_unpaid(&self) -> bool {
        self.meter.as_ref().and_then(|meter| meter.tab()).is_some_and(|tab| !tab.goes_on())
    }

    /// Asks one candidate after another, the best first, until one answers, or until it `has_ended`: one has
    /// begun to, or nobody pays for more. Returns its name, too.
    async fn ask_until_one_answers<C: Run, T, F>(
        &self,
        mut candidates: Vec<C>,
        ask: impl Fn(C) -> F,
        has_ended: impl Fn() -> bool,
    ) -> Result<(String, T), Failed>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        let mut failures = Vec::new();
        loop {
            let standings: Vec<_> =
                candidates.iter().map(|candidate| standing(candidate, &self.circuits)).collect();
            let chosen = choose(&standings, self.held(&candidates));
            // Whoever has paid while no server answers is served if one does all the same.
            let Some(chosen) = chosen.or_else(|| choose_any(&standings).filter(|_| failures.is_empty()))
            else {
                break;
            };
            let others = standings.iter().enumerate().any(|(at, other)| at != chosen && other.sold);
            let candidate = candidates.remove(chosen);
            let model = candidate.name().to_owned();
            match ask(candidate.hurried(others)).await {
                Ok(answer) => {
                    self.count(&model, "answered");
                    if let Some(session) = self.session {
                        self.sessions.answered(session, &model, Instant::now());
                    }
                    return Ok((model, answer));
                }
                Err(failed) => {
                    self.count(&model, "failed");
                    if has_ended() {
                        return Err(failed);
                    }
                    tracing::warn!(route = self.route, model, why = failed.detail, "a candidate failed");
                    failures.push(failed);
                }
            }
        }
        Err(all(failures, !candidates.is_empty()))
    }

    /// The candidate that the session is with.
    fn held<C: Run>(&self, candidates: &[C]) -> Option<usize> {
        let with = self.sessions.with(self.session?, Instant::now())?;
        candidates.iter().position(|candidate| *candidate.name() == *with)
    }

    fn count(&self, model: &str, outcome: &'static str) {
        let labels =
            [("route", self.route.clone()), ("model", model.to_owned()), ("outcome", outcome.to_owned())];
        metrics::counter!("salt402_gateway_routed_total", &labels).increment(1);
    }
}

/// What it means that all of them failed; `others`: some were not asked, because their servers do not answer.
fn all(failures: Vec<Failed>, others: bool) -> Failed {
    let soonest = |failed: &Failed| failed.after.unwrap_or(Duration::ZERO);
    // A run that may have cost work counts. What one refuses for good another may answer that was not asked, or was not there.
    let rank = |failed: &Failed| match failed.class {
        FailureClass::Ran | FailureClass::Left => 0,
        FailureClass::NotRun => 1,
        FailureClass::Permanent => 2,
    };
    let after = failures.iter().filter(|failed| failed.class == FailureClass::NotRun).map(soonest).min();
    let Some(worst) = failures.into_iter().min_by_key(rank) else {
        return Failed {
            class: FailureClass::NotRun,
            detail: "no model server could be asked".into(),
            after: None,
        };
    };
    match worst.class {
        FailureClass::Permanent if others => Failed {
            class: FailureClass::NotRun,
            detail: format!("{}, and the servers of others do not answer", worst.detail),
            after: None,
        },
        _ => Failed { after: after.filter(|after| !after.is_zero()), ..worst },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(class: FailureClass, after: Option<u64>) -> Failed {
        Failed { class, detail: format!("{class:?}"), after: after.map(Duration::from_secs) }
    }

    #[test]
    fn what_several_failures_mean_together() {
        use FailureClass::{NotRun, Permanent, Ran};
        let means = |failures: &[(FailureClass, Option<u64>)], others| {
            let failures = failures.iter().map(|(class, after)| failed(*class, *after)).collect();
            let Failed { class, after, .. } = all(failures, others);
            (class, after.map(|after| after.as_secs()))
        };
        assert_eq!(means(&[(Permanent, None), (Permanent, None)], false), (Permanent, None));
        assert_eq!(means(&[(Permanent, None)], true), (NotRun, None), "another may take it");
        assert_eq!(means(&[(Permanent, None), (NotRun, Some(9))], false), (NotRun, Some(9)));
        assert_eq!(means(&[(NotRun, Some(9)), (NotRun, Some(3))], false), (NotRun, Some(3)));
        assert_eq!(
            means(&[(NotRun, Some(9)), (NotRun, None)], false),
            (NotRun, None),
            "one can be asked at once"
        );
        assert_eq!(
            means(&[(Permanent, None), (Ran, None), (NotRun, None)], true),
            (Ran, None),
            "a run is a run"
        );
        assert_eq!(means(&[], true), (NotRun, None));
    }
}
