//! The lease of the gateway's name, which it holds at the verifier while it lives.
//!
//! What a payment pays for is run once because one gateway finds its claim. A second one of the same identity, as a copied
//! folder has, would find it too. So the verifier lets one of them claim, and each knows whether it is the one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use salt402_paywall::Paywall;
use salt402_protocol::api::LeaseRequest;
use salt402_protocol::{Code, Problem};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// When to ask again after a failure.
const AGAIN: Duration = Duration::from_secs(1);

/// Whether the name is this gateway's. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct ClaimantLease {
    /// Why nothing is sold or run, if that is so. A std mutex, because nothing is awaited while it is held.
    problem: Arc<Mutex<Option<Problem>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl ClaimantLease {
    /// Not asked yet. Where the paywall tells no instance there is nothing to ask.
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

    /// Takes the name, and renews the lease until [`ClaimantLease::finish`].
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

    /// Whoever is shut out sells nothing. A verifier that cannot be asked has said nothing: it grants nothing meanwhile.
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
