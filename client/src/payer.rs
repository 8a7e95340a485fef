//! Asks, pays, asks again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Method, Response, StatusCode};
use salt402_protocol::details::{BINDING_HEADER, BINDING_QUOTE, DETAILS_HEADER, PaymentDetails};
use salt402_protocol::proof::PROOF_HEADER;
use salt402_protocol::quote::QUOTE_HEADER;
use salt402_protocol::{Problem, Proof, QuoteId};
use tokio::time::Instant;
use url::Url;

use crate::{Limit, PayError, Wallet};

/// The least time that a quote must have left when it is paid.
const LEAST_LEFT: u64 = 10;

/// What to send.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// The body; sent as JSON if not empty.
    pub body: Bytes,
}

/// A payment that was made, and what shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentProof {
    /// What is shown.
    pub proof: Proof,
    /// The quote that was paid; without it the proof is shown bare.
    pub quote: Option<QuoteId>,
}

/// What a payer does, as it does it.
#[derive(Debug)]
pub enum Step<'a> {
    /// The server asks for payment.
    Asked(&'a PaymentDetails),
    /// The payment is about to be broadcast: write this down, the money may move from here on.
    Paying(&'a PaymentProof),
    /// The node has taken the payment.
    Sent(&'a PaymentProof),
    /// The server has not seen the payment yet, or cannot answer yet; the same proof is shown again.
    Waiting(&'a str),
}

/// An answer, and what it cost.
#[derive(Debug)]
pub struct Paid {
    /// The answer's status.
    pub status: StatusCode,
    /// The answer's headers.
    pub headers: HeaderMap,
    /// The answer.
    pub body: Bytes,
    /// What was asked, if anything was.
    pub details: Option<PaymentDetails>,
    /// What paid, if anything did.
    pub proof: Option<PaymentProof>,
}

/// Pays requests. Never pays one request twice: once paid, only the proof is shown.
pub struct Payer<W> {
    client: reqwest::Client,
    wallet: W,
    limit: Limit,
    /// How long the proof is shown before the payer gives up.
    patience: Duration,
}

impl<W: Wallet> Payer<W> {
    /// A payer with a wallet and a limit for each request.
    pub fn new(wallet: W, limit: Limit, patience: Duration) -> Result<Self, PayError> {
        // No redirects: a quote is bound to one path, and a payment to one recipient.
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(300))
            .build()
            .map_err(PayError::Http)?;
        Ok(Self { client, wallet, limit, patience })
    }

    /// Sends a request; if that asks for payment, pays it once and sends it again with the proof until it is answered.
    pub async fn fetch(
        &self,
        request: &Request,
        watch: &(dyn Fn(Step<'_>) + Send + Sync),
    ) -> Result<Paid, PayError> {
        let response = self.send(request, None).await?;
        if response.status() != StatusCode::PAYMENT_REQUIRED {
            return finish(response, None, None).await;
        }
        let details = details(&response)?;
        watch(Step::Asked(&details));
        self.limit.allows(&details)?;
        let left = details.expires_at.saturating_sub(now());
        if left < LEAST_LEFT {
            return Err(PayError::EndsTooSoon { left });
        }
        let quote = Some(details.quote_id.clone());
        let sent = |transaction| {
            watch(Step::Paying(&PaymentProof {
                proof: Proof::transaction(transaction),
                quote: quote.clone(),
            }));
        };
        let transaction = self.wallet.pay(&details, &sent).await?;
        let proof = PaymentProof { proof: Proof::transaction(transaction), quote };
        watch(Step::Sent(&proof));
        self.show(request, proof, Some(details), watch).await
    }

    /// Sends a request with the proof of a payment that was made before, until it is answered. Pays nothing.
    pub async fn show(
        &self,
        request: &Request,
        proof: PaymentProof,
        details: Option<PaymentDetails>,
        watch: &(dyn Fn(Step<'_>) + Send + Sync),
    ) -> Result<Paid, PayError> {
        let give_up = Instant::now() + self.patience;
        loop {
            let (reason, pause) = match self.send(request, Some(&proof)).await {
                Ok(response) if asks_to_wait(&response) => {
                    let body = response.bytes().await.unwrap_or_default();
                    let problem = serde_json::from_slice::<Problem>(&body).ok();
                    let pause = problem.as_ref().and_then(|problem| problem.retry_after_ms).unwrap_or(1000);
                    (
                        problem.map_or_else(|| "the server is not ready".into(), |problem| problem.detail),
                        pause,
                    )
                }
                Ok(response) => match finish(response, details.clone(), Some(proof.clone())).await {
                    Ok(paid) => return Ok(paid),
                    Err(error) => (error.to_string(), 1000),
                },
                Err(error) => (error.to_string(), 1000),
            };
            let pause = Duration::from_millis(pause.clamp(100, 10_000));
            if Instant::now() + pause >= give_up {
                return Err(PayError::Unanswered { proof: Box::new(proof.proof), reason });
            }
            watch(Step::Waiting(&reason));
            tokio::time::sleep(pause).await;
        }
    }

    async fn send(&self, request: &Request, proof: Option<&PaymentProof>) -> Result<Response, PayError> {
        let mut builder = self.client.request(request.method.clone(), request.url.clone());
        if !request.body.is_empty() {
            builder = builder.header(CONTENT_TYPE, "application/json").body(request.body.clone());
        }
        match proof {
            // Ours alone: the quote id is shown with the proof, so nobody else can use the payment.
            None => builder = builder.header(BINDING_HEADER, BINDING_QUOTE),
            Some(proof) => {
                builder = builder.header(PROOF_HEADER, proof.proof.to_string());
                if let Some(quote) = &proof.quote {
                    builder = builder.header(QUOTE_HEADER, quote.as_str());
                }
            }
        }
        builder.send().await.map_err(|error| PayError::Http(error.without_url()))
    }
}

/// Whether the server asks for the same proof again: a 402 that brings no new details, or a passing failure.
fn asks_to_wait(response: &Response) -> bool {
    match response.status() {
        StatusCode::PAYMENT_REQUIRED => !response.headers().contains_key(DETAILS_HEADER),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => true,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::CONFLICT => true,
        // A model server that fails for a while; without a time to come back, it will never answer.
        StatusCode::FAILED_DEPENDENCY => response.headers().contains_key(RETRY_AFTER),
        _ => false,
    }
}

fn details(response: &Response) -> Result<PaymentDetails, PayError> {
    let mut values = response.headers().get_all(DETAILS_HEADER).iter();
    let value: &HeaderValue = values.next().ok_or(PayError::NoDetails)?;
    if values.next().is_some() {
        return Err(PayError::TwoDetails);
    }
    Ok(PaymentDetails::from_header(value.to_str().map_err(|_| PayError::NoDetails)?)?)
}

async fn finish(
    response: Response,
    details: Option<PaymentDetails>,
    proof: Option<PaymentProof>,
) -> Result<Paid, PayError> {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await.map_err(|error| PayError::Http(error.without_url()))?;
    Ok(Paid { status, headers, body, details, proof })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
