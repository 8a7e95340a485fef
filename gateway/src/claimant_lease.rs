//! The lease of the gateway's name at the verifier, which the gateway holds while it lives.
//!
//! A paid request is run only once, because one gateway finds its claim. A second gateway with the same identity, as in
//! a copied folder, would find the claim too. So the verifier lets only one of them claim, and each knows whether it is
//! that one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use salt402_paywall::Paywall;
use salt402_protocol::api::LeaseRequest;
use salt402_protocol::{Code, Problem};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// When to ask again after a failure.
const AGAIN: Duration = Duration::from_secs(1);

/// Whether this gateway has the name. Clones share one state.
#[derive(Clone, Debug)]
pub(crate) struct ClaimantLease {
    /// Why nothing is sold or run; `None` if all is well. A std mutex, because nothing is awaited while it is held.
    problem: Arc<Mutex<Option<Problem>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl ClaimantLease {
    /// Not asked yet. If the paywall names no instance, nothing is asked.
    pub(crate) fn of(paywall: &Paywall) -> Self {
        let unasked = paywall.instance.map(|_| {
            let detail =
                "the gateway has not heard yet whether its identity is its own: show the same proof again";
            Problem::new(Code::NotReady, detail).retry_after(1000)
        });
        let problem = Arc::new(Mutex::new(unasked));
        Self { problem, tasks: TaskTracker::new(), stop: CancellationToken::new() }
    }

    /// Why nothing is sold or run, if that is so.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }

    /// Takes the name and renews the lease until [`ClaimantLease::finish`].
    pub(crate) fn begin(&self, paywall: &Paywall) {
        let (this, paywall) = (self.clone(), paywall.clone());
        self.tasks.spawn(async move { this.stop.clone().run_until_cancelled(this.keep(paywall)).await });
    }

    /// Renews no more.
    pub(crate) async fn finish(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn keep(&self, paywall: Paywall) {
        let Some(instance) = paywall.instance else { return };
        let request = LeaseRequest { claimant: paywall.claimant.clone(), instance };
        loop {
            let pause = match paywall.verifier.lease(&request).await {
                Ok(held) => {
                    self.set(None);
                    Duration::from_millis(held.renew_within_ms)
                }
                Err(problem) => {
                    self.told(problem);
                    AGAIN
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// A gateway without the name sells nothing. A verifier that cannot be asked decides nothing: it grants nothing
    /// meanwhile.
    fn told(&self, problem: Problem) {
        if problem.code == Code::IdentityInUse {
            if self.check().map_err(|known| known.code) != Err(Code::IdentityInUse) {
                tracing::error!("{}", problem.detail);
            }
            self.set(Some(problem));
        } else {
            tracing::debug!(code = %problem.code, detail = problem.detail, "the gateway's name could not be renewed");
        }
    }

    fn set(&self, problem: Option<Problem>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }
}
