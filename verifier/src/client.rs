//! A verifier in this process, as a paywall asks it.

use async_trait::async_trait;
use salt402_paywall::VerifierClient;
use salt402_protocol::Problem;
use salt402_protocol::api::{
    AccountRequest, AccountView, CaptureRequest, CaptureResponse, CreditOfRequest, CreditView, DrawRequest,
    Drawn, LeaseRequest, LeaseResponse, OpenDrawsRequest, OpenDrawsResponse, QuoteRequest, QuoteResponse,
    Reservation, ReservationOutcome, ReserveRequest, Verdict, VerifyRequest,
};

use crate::verify::verifier::Verifier;

#[async_trait]
impl VerifierClient for Verifier {
    async fn quote(&self, request: &QuoteRequest) -> Result<QuoteResponse, Problem> {
        self.offer(request).await
    }

    async fn verify(&self, request: &VerifyRequest) -> Result<Verdict, Problem> {
        Self::verify(self, request).await
    }

    async fn lease(&self, request: &LeaseRequest) -> Result<LeaseResponse, Problem> {
        Self::lease(self, request).await
    }

    async fn reserve(&self, request: &ReserveRequest) -> Result<Reservation, Problem> {
        Self::reserve(self, request).await
    }

    async fn conclude_reservation(&self, outcome: &ReservationOutcome) -> Result<(), Problem> {
        Self::conclude_reservation(self, outcome).await
    }

    async fn capture(&self, request: &CaptureRequest) -> Result<CaptureResponse, Problem> {
        Self::capture(self, request).await
    }

    async fn credit(&self, request: &CreditOfRequest) -> Result<CreditView, Problem> {
        Self::credit(self, request).await
    }

    async fn draw(&self, request: &DrawRequest) -> Result<Drawn, Problem> {
        Self::draw(self, request).await
    }

    async fn open_draws(&self, request: &OpenDrawsRequest) -> Result<OpenDrawsResponse, Problem> {
        Self::open_draws(self, request).await
    }

    async fn account(&self, request: &AccountRequest) -> Result<AccountView, Problem> {
        Self::account(self, request).await
    }

    async fn ready(&self) -> Result<(), String> {
        match self.status().await {
            Ok(status) if status.ready => Ok(()),
            Ok(status) => {
                let reasons = status.chains.into_iter().filter_map(|chain| chain.reason);
                Err(reasons.collect::<Vec<_>>().join("; "))
            }
            Err(problem) => Err(problem.detail),
        }
    }
}
