//! What was reserved for a request of which this gateway knows nothing: its process ended, or the verifier's answer was lost, before
//! the request was begun. Nothing is charged of it.
//!
//! | a process ends | what is reserved |
//! | --- | --- |
//! | before the verifier has reserved | nothing is |
//! | before the request is written down here | it is free again a minute later, by what is here |
//! | before the answer | it is free again after ten minutes, as `charging` gives up what has ended; an `Idempotency-Key` has it run again until then |
//! | after the answer | what was used is charged, whether or not anybody asks |

use std::time::Duration;

use salt402_protocol::Problem;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::charging::Charging;
use crate::turns::Turns;

/// How often it is looked.
const TICK: Duration = Duration::from_secs(30);
/// How long something is reserved before it is looked for.
const AGE: Duration = Duration::from_secs(60);

/// Looks for them. Clones share one state.
#[derive(Clone)]
pub(super) struct OpenDraws {
    charging: Charging,
    asked: Turns,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl OpenDraws {
    pub(super) fn new(charging: Charging, asked: Turns) -> Self {
        Self { charging, asked, tasks: TaskTracker::new(), stop: CancellationToken::new() }
    }

    pub(super) fn begin(&self) {
        let this = self.clone();
        self.tasks.spawn(async move {
            let keep = async {
                loop {
                    if let Err(problem) = this.look().await {
                        tracing::warn!(
                            detail = problem.detail,
                            "what is reserved of balances could not be looked at"
                        );
                    }
                    tokio::time::sleep(TICK).await;
                }
            };
            this.stop.run_until_cancelled(keep).await;
        });
    }

    pub(super) async fn finish(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn look(&self) -> Result<(), Problem> {
        for draw in self.charging.open_draws(AGE).await? {
            // Whoever asks for it again meanwhile waits, and is told that it was let go.
            let Some(_turn) = self.asked.free(draw) else { continue };
            if self.charging.knows(draw).await? {
                continue;
            }
            tracing::info!(%draw, "a request was not begun for which something is reserved: nothing is charged");
            self.charging.let_go(draw).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use salt402_paywall::{Paywall, VerifierClient};
    use salt402_protocol::api::{
        CaptureRequest, CaptureResponse, LeaseRequest, LeaseResponse, OpenDrawsRequest, OpenDrawsResponse,
        QuoteRequest, QuoteResponse, Reservation, ReservationOutcome, ReserveRequest, Verdict, VerifyRequest,
    };
    use salt402_protocol::{Amount, B256, ChainId, Code, PaymentId};
    use salt402_store::{NewCharge, Options, Store};

    use super::*;

    /// A verifier in which three draws are open, what it is asked to capture, and whether nobody could begin it meanwhile.
    #[derive(Clone, Default)]
    struct Verifier {
        captured: Arc<Mutex<Vec<(PaymentId, Amount, bool)>>>,
        asked: Turns,
    }

    fn draw(number: u8) -> PaymentId {
        PaymentId(B256::repeat_byte(number))
    }

    fn none<T>() -> Result<T, Problem> {
        Err(Problem::new(Code::VerifierUnavailable, "it has open draws alone"))
    }

    #[async_trait]
    impl VerifierClient for Verifier {
        async fn quote(&self, _: &QuoteRequest) -> Result<QuoteResponse, Problem> {
            none()
        }

        async fn verify(&self, _: &VerifyRequest) -> Result<Verdict, Problem> {
            none()
        }

        async fn lease(&self, _: &LeaseRequest) -> Result<LeaseResponse, Problem> {
            none()
        }

        async fn reserve(&self, _: &ReserveRequest) -> Result<Reservation, Problem> {
            none()
        }

        async fn conclude_reservation(&self, _: &ReservationOutcome) -> Result<(), Problem> {
            none()
        }

        async fn capture(&self, request: &CaptureRequest) -> Result<CaptureResponse, Problem> {
            let is_alone = self.asked.free(request.payment_id).is_none();
            self.captured.lock().unwrap().push((request.payment_id, request.amount, is_alone));
            Ok(CaptureResponse { amount: request.amount, settled: true })
        }

        async fn open_draws(&self, request: &OpenDrawsRequest) -> Result<OpenDrawsResponse, Problem> {
            assert_eq!(request.claimant, "shop");
            Ok(OpenDrawsResponse { draws: vec![draw(1), draw(2), draw(3)] })
        }

        async fn ready(&self) -> Result<(), String> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_was_reserved_and_never_begun_is_charged_nothing_and_what_is_under_way_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Options::new(folder.path().join("outcomes.db"))).await.unwrap();
        let verifier = Verifier::default();
        let paywall = Paywall::new(verifier.clone(), ChainId::CITRATE, Default::default(), "shop");
        let charging = Charging::new(store.clone(), paywall, Arc::default());
        let open = OpenDraws::new(charging, verifier.asked.clone());
        // One is asked for now, and one was begun.
        let _asked = verifier.asked.wait(draw(1)).await;
        let begun = NewCharge {
            payment: draw(2),
            chain: ChainId::CITRATE,
            payer: Default::default(),
            request: B256::ZERO,
            ceiling: Amount::ZERO,
            question: None,
            most_open: None,
            most_open_requests: 1,
            ends_at_ms: u64::MAX,
            too_late: false,
            now_ms: 1,
        };
        store.begin_charge(begun).await.unwrap();
        open.look().await.unwrap();
        assert_eq!(*verifier.captured.lock().unwrap(), [(draw(3), Amount::ZERO, true)]);
        assert!(
            verifier.asked.free(draw(3)).is_some(),
            "whoever asks for it then is told that it was let go"
        );
    }
}
