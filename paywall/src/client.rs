//! Where payments are asked about: a verifier in this process, or one behind HTTP.
//!
//! A paywall knows the trait alone. The verifier implements it for itself; [`RemoteVerifier`] asks one behind HTTP.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::redirect::Policy;
use salt402_protocol::api::{
    AccountRequest, AccountView, CaptureRequest, CaptureResponse, CreditOfRequest, CreditView, DrawRequest,
    Drawn, LeaseRequest, LeaseResponse, OpenDrawsRequest, OpenDrawsResponse, QuoteRequest, QuoteResponse,
    Reservation, ReservationOutcome, ReserveRequest, Verdict, VerifyRequest,
};
use salt402_protocol::{Code, Problem};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use url::Url;

/// Longest answer of a verifier to a question of ours, in bytes. The longest is a page of an account's history.
const LONGEST_ANSWER: usize = 512 * 1024;

/// Where payments are asked about.
#[async_trait]
pub trait VerifierClient: Send + Sync + 'static {
    /// Asks for a quote.
    async fn quote(&self, request: &QuoteRequest) -> Result<QuoteResponse, Problem>;

    /// Asks whether a request was paid.
    async fn verify(&self, request: &VerifyRequest) -> Result<Verdict, Problem>;

    /// Takes the name of a claimant for an instance, or renews its lease.
    async fn lease(&self, request: &LeaseRequest) -> Result<LeaseResponse, Problem>;

    /// Keeps a signed payment for a request, before it is settled. Durable when this returns.
    async fn reserve(&self, request: &ReserveRequest) -> Result<Reservation, Problem>;

    /// Writes down what became of a signed payment that was kept. Durable when this returns.
    async fn conclude_reservation(&self, outcome: &ReservationOutcome) -> Result<(), Problem>;

    /// Writes down what is charged of an authorization whose amount is a ceiling. Durable when this returns; the first amount stays.
    async fn capture(&self, request: &CaptureRequest) -> Result<CaptureResponse, Problem>;

    /// What a payment bought, where that is a balance.
    async fn credit(&self, _request: &CreditOfRequest) -> Result<CreditView, Problem> {
        Err(no_balances())
    }

    /// Reserves what a request may cost of the balance of a key. Durable when this returns.
    async fn draw(&self, _request: &DrawRequest) -> Result<Drawn, Problem> {
        Err(no_balances())
    }

    /// What is reserved, and not charged yet.
    async fn open_draws(&self, _request: &OpenDrawsRequest) -> Result<OpenDrawsResponse, Problem> {
        Err(no_balances())
    }

    /// An account with a balance.
    async fn account(&self, _request: &AccountRequest) -> Result<AccountView, Problem> {
        Err(no_balances())
    }

    /// Whether payments can be verified now; if not, why.
    async fn ready(&self) -> Result<(), String>;
}

fn no_balances() -> Problem {
    Problem::new(Code::NotFound, "this verifier keeps no balances")
}

/// A verifier behind HTTP.
#[derive(Clone)]
pub struct RemoteVerifier {
    client: reqwest::Client,
    base: Url,
    token: Option<String>,
    timeout: Duration,
}

/// Why a verifier elsewhere can never be asked.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The HTTP client could not be made.
    #[error(transparent)]
    Client(#[from] reqwest::Error),
    /// Its address is none.
    #[error(transparent)]
    Address(#[from] url::ParseError),
}

impl RemoteVerifier {
    /// The verifier at `base`, which may want a token. `timeout` bounds one question, beyond what the question itself may wait.
    pub fn new(base: Url, token: Option<String>, timeout: Duration) -> Result<Self, reqwest::Error> {
        Ok(Self::over(Self::client().build()?, base, token, timeout))
    }

    /// The verifier behind a socket in the file system, which may want a token all the same.
    pub fn at_socket(path: &Path, token: Option<String>, timeout: Duration) -> Result<Self, RemoteError> {
        let client = Self::client().unix_socket(path).build()?;
        // Nobody resolves the name: it is what the `Host` header says.
        Ok(Self::over(client, Url::parse("http://localhost/")?, token, timeout))
    }

    fn client() -> reqwest::ClientBuilder {
        reqwest::Client::builder().redirect(Policy::none()).no_proxy()
    }

    fn over(client: reqwest::Client, mut base: Url, token: Option<String>, timeout: Duration) -> Self {
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        Self { client, base, token, timeout }
    }

    async fn ask<Q: Serialize + Sync, A: DeserializeOwned>(
        &self,
        path: &str,
        question: &Q,
        wait: Duration,
    ) -> Result<A, Problem> {
        let url =
            self.base.join(path).map_err(|_| unavailable("its address cannot be joined with a path"))?;
        let mut request = self.client.post(url).timeout(self.timeout + wait).json(question);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let sent = request.send().await;
        let response = sent.map_err(|error| {
            let error = error.without_url();
            tracing::warn!(%error, "the verifier could not be asked");
            unavailable("it could not be reached")
        })?;
        let good = response.status().is_success();
        let body = bounded(response).await?;
        if good {
            return serde_json::from_slice(&body).map_err(|_| unavailable("its answer was not understood"));
        }
        Err(serde_json::from_slice(&body).unwrap_or_else(|_| unavailable("it answered with an error")))
    }
}

#[async_trait]
impl VerifierClient for RemoteVerifier {
    async fn quote(&self, request: &QuoteRequest) -> Result<QuoteResponse, Problem> {
        self.ask("v1/quotes", request, Duration::ZERO).await
    }

    async fn verify(&self, request: &VerifyRequest) -> Result<Verdict, Problem> {
        self.ask("v1/verify", request, Duration::from_millis(request.wait_ms)).await
    }

    async fn lease(&self, request: &LeaseRequest) -> Result<LeaseResponse, Problem> {
        self.ask("v1/leases", request, Duration::ZERO).await
    }

    async fn reserve(&self, request: &ReserveRequest) -> Result<Reservation, Problem> {
        self.ask("v1/reservations", request, Duration::ZERO).await
    }

    async fn conclude_reservation(&self, outcome: &ReservationOutcome) -> Result<(), Problem> {
        let _: Kept = self.ask("v1/reservations/outcome", outcome, Duration::ZERO).await?;
        Ok(())
    }

    async fn capture(&self, request: &CaptureRequest) -> Result<CaptureResponse, Problem> {
        self.ask("v1/captures", request, Duration::ZERO).await
    }

    async fn credit(&self, request: &CreditOfRequest) -> Result<CreditView, Problem> {
        self.ask("v1/credits", request, Duration::ZERO).await
    }

    async fn draw(&self, request: &DrawRequest) -> Result<Drawn, Problem> {
        self.ask("v1/draws", request, Duration::ZERO).await
    }

    async fn open_draws(&self, request: &OpenDrawsRequest) -> Result<OpenDrawsResponse, Problem> {
        self.ask("v1/draws/open", request, Duration::ZERO).await
    }

    async fn account(&self, request: &AccountRequest) -> Result<AccountView, Problem> {
        self.ask("v1/accounts", request, Duration::ZERO).await
    }

    async fn ready(&self) -> Result<(), String> {
        let url = self.base.join("readyz").map_err(|error| error.to_string())?;
        let mut request = self.client.get(url).timeout(self.timeout);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        match request.send().await {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => {
                let problem = bounded(response)
                    .await
                    .ok()
                    .and_then(|body| serde_json::from_slice::<Problem>(&body).ok());
                Err(problem.map_or_else(|| "the verifier is not ready".into(), |problem| problem.detail))
            }
            Err(_) => Err("the verifier could not be reached".into()),
        }
    }
}

/// The answer to a [`ReservationOutcome`]: an object.
#[derive(Deserialize)]
struct Kept {}

/// An answer, read to its end unless it is longer than any answer of a verifier.
async fn bounded(mut response: reqwest::Response) -> Result<Vec<u8>, Problem> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| unavailable("its answer broke off"))? {
        if body.len() + chunk.len() > LONGEST_ANSWER {
            return Err(unavailable("its answer is longer than a verifier's"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn unavailable(what: &str) -> Problem {
    let detail =
        format!("the verifier cannot be asked: {what}; nothing was used up, show the same proof again");
    Problem::new(Code::VerifierUnavailable, detail).retry_after(1000)
}
