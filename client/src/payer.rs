//! Requests, pays, and requests again with the proof.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode};
use salt402_protocol::Problem;
use salt402_protocol::details::{BINDING_HEADER, BINDING_QUOTE, DETAILS_HEADER, PaymentDetails};
use salt402_protocol::proof::PROOF_HEADER;
use salt402_protocol::quote::QUOTE_HEADER;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::error::PayError;
use crate::limit::Limit;
use crate::receipt::{Keep, Receipt, SignedPayment, Stage};
use crate::request::{PaymentProof, Request};
use crate::wallet::{BeforeSending, TransactionStatus, Wallet};

/// The shortest remaining lifetime of a quote that is still paid, in seconds.
const MIN_REMAINING_S: u64 = 10;
/// How long a server may send nothing, also during an answer.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(300);
/// The interval of resending a payment that a node has.
const RESEND_KNOWN: Duration = Duration::from_secs(15);
/// The interval of resending a payment that no node is known to have.
const RESEND_UNKNOWN: Duration = Duration::from_secs(2);

/// How long nodes are asked about a payment that the server refuses.
const REFUSED_TIMEOUT: Duration = Duration::from_secs(5);

/// The progress of a payment.
#[derive(Debug)]
pub enum Step<'a> {
    /// The server asks for a payment.
    Asked(&'a PaymentDetails),
    /// The payment is signed and its receipt stored. From now on the money may move.
    Paying(&'a PaymentProof),
    /// A node has the payment.
    Sent(&'a PaymentProof),
    /// No node reports to have the payment, which proves nothing. It is sent again while that is safe.
    Unsent(&'a str),
    /// The server has not seen the payment yet, or cannot answer yet. The same proof is presented again.
    Waiting(&'a str),
}

/// A callback for each step.
pub type Watch<'a> = &'a (dyn Fn(Step<'_>) + Send + Sync);

/// An answer, and the payment for it.
#[derive(Debug)]
pub struct Paid {
    /// The answer's status.
    pub status: StatusCode,
    /// The answer's headers.
    pub headers: HeaderMap,
    /// The answer's body.
    pub answer: Answer,
    /// The payment details, if the server asked for a payment.
    pub details: Option<PaymentDetails>,
    /// The proof, if a payment was made.
    pub proof: Option<PaymentProof>,
    /// The receipt as last stored, still unfinished. See [`Paid::got`].
    pub receipt: Option<Receipt>,
}

impl Paid {
    /// Marks the receipt as answered. Call it after the whole answer is stored. Only a success or a redirect is what
    /// was paid for; after any other answer, the same request presents the payment again.
    ///
    /// # Errors The error of storing the receipt.
    pub async fn got(&self, keep: &dyn Keep) -> std::io::Result<()> {
        let served = self.status.is_success() || self.status.is_redirection();
        let Some(mut receipt) = self.receipt.clone().filter(|_| served) else { return Ok(()) };
        receipt.stage = Stage::Answered;
        receipt.status = Some(self.status.as_u16());
        keep.keep(&receipt).await
    }
}

/// Pays requests, each at most once: after a payment is signed, only its proof is presented.
///
/// ```text
/// asked ─▶ prepared ─▶ kept ─▶ sent ─▶ shown ─▶ answered
///                       └─ a crash from here on: resume
/// ```
pub struct Payer<W> {
    client: reqwest::Client,
    wallet: W,
    limit: Option<Limit>,
    /// How long the proof is presented before the payer gives up.
    timeout: Duration,
}

impl<W: Wallet> Payer<W> {
    /// A payer with a wallet and a limit per request. Without a limit it only presents earlier payments.
    pub fn new(wallet: W, limit: Option<Limit>, timeout: Duration) -> Result<Self, PayError> {
        // Redirects are off, because a quote is bound to one path and a payment to one recipient.
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(SILENCE_TIMEOUT)
            .build()
            .map_err(PayError::Http)?;
        Ok(Self { client, wallet, limit, timeout })
    }

    /// Sends a request. If the server asks for a payment, pays once and presents the proof until the request is
    /// answered. `keep` stores the receipt before the payment is sent; if that fails, the payment is not sent.
    pub async fn fetch(
        &self,
        request: &Request,
        keep: &dyn Keep,
        watch: Watch<'_>,
    ) -> Result<Paid, PayError> {
        let response = self.send(request, None).await?;
        if response.status() != StatusCode::PAYMENT_REQUIRED {
            return finish(response, None, None).await;
        }
        let details = details(&response)?;
        watch(Step::Asked(&details));
        self.limit.as_ref().ok_or(PayError::NoLimit)?.allows(&details)?;
        let left = details.expires_at.saturating_sub(now());
        if left < MIN_REMAINING_S {
            return Err(PayError::EndsTooSoon { left });
        }
        let kept = StoreFirst { request, details: &details, keep, watch };
        let (payment, status) = self.wallet.pay(&details, &kept).await?;
        let receipt = Receipt::new(request, details, payment);
        self.complete(request, receipt, Some(status), keep, watch).await
    }

    /// Continues an earlier payment: presents its proof until the request is answered, and resends the same transaction
    /// while its quote is valid. It signs nothing, so it cannot pay twice.
    pub async fn resume(
        &self,
        receipt: Receipt,
        keep: &dyn Keep,
        watch: Watch<'_>,
    ) -> Result<Paid, PayError> {
        let request = receipt.request().ok_or(PayError::NoRequest)?;
        watch(Step::Paying(&receipt.proof()));
        self.complete(&request, receipt, None, keep, watch).await
    }

    /// Presents an earlier payment's proof until the request is answered. Pays and sends nothing.
    pub async fn show(
        &self,
        request: &Request,
        proof: PaymentProof,
        watch: Watch<'_>,
    ) -> Result<Paid, PayError> {
        let give_up = Instant::now() + self.timeout;
        loop {
            let (reason, pause) = match self.show_once(request, &proof, None).await {
                Presented::Answered(paid) => return Ok(*paid),
                Presented::NotYet { reason, pause } => (reason, pause),
            };
            self.wait(&proof, reason, None, pause, give_up, watch).await?;
        }
    }

    /// Sends a payment and presents its proof until the request is answered.
    async fn complete(
        &self,
        request: &Request,
        mut receipt: Receipt,
        status: Option<TransactionStatus>,
        keep: &dyn Keep,
        watch: Watch<'_>,
    ) -> Result<Paid, PayError> {
        let (proof, give_up) = (receipt.proof(), Instant::now() + self.timeout);
        let (mut unsent, mut send_at) = (None, Instant::now());
        if let Some(status) = status {
            send_at += self.record_status(&mut receipt, status, &mut unsent, keep, watch).await?;
        }
        loop {
            let due = Instant::now() >= send_at;
            // A slow node must not delay the proof.
            let (status, shown) = tokio::join!(
                async { if due { Some(self.send_again(&receipt).await) } else { None } },
                self.show_once(request, &proof, Some(&receipt)),
            );
            let (reason, pause) = match shown {
                Presented::Answered(paid) => {
                    if paid.status == StatusCode::PAYMENT_REQUIRED {
                        // A refusal may be that of a payment that came too late: whoever knows so can pay again.
                        let asked = self.wallet.send(&receipt.payment, false, receipt.overtaken_at);
                        let status = tokio::time::timeout(REFUSED_TIMEOUT, asked).await;
                        if let Ok(
                            status @ (TransactionStatus::Late
                            | TransactionStatus::Reverted { is_final: true, .. }),
                        ) = status
                        {
                            self.record_status(&mut receipt, status, &mut unsent, keep, watch).await?;
                        }
                    }
                    return Ok(*paid);
                }
                Presented::NotYet { reason, pause } => (reason, pause),
            };
            if let Some(status) = status {
                let rest = self.record_status(&mut receipt, status, &mut unsent, keep, watch).await?;
                send_at = Instant::now() + rest;
            }
            self.wait(&proof, reason, unsent.as_deref(), pause, give_up, watch).await?;
        }
    }

    /// Resends a payment while its quote is valid. A payment mined later would be lost.
    async fn send_again(&self, receipt: &Receipt) -> TransactionStatus {
        let lives = now() + MIN_REMAINING_S <= receipt.details.expires_at;
        self.wallet.send(&receipt.payment, lives, receipt.overtaken_at).await
    }

    /// Records the nodes' answer. Returns the time until the next one.
    async fn record_status(
        &self,
        receipt: &mut Receipt,
        status: TransactionStatus,
        unsent: &mut Option<String>,
        keep: &dyn Keep,
        watch: Watch<'_>,
    ) -> Result<Duration, PayError> {
        match status {
            TransactionStatus::Known => {
                *unsent = None;
                watch(Step::Sent(&receipt.proof()));
                Ok(RESEND_KNOWN)
            }
            TransactionStatus::Unknown(why) => {
                watch(Step::Unsent(&why));
                *unsent = Some(why);
                Ok(RESEND_UNKNOWN)
            }
            TransactionStatus::Late | TransactionStatus::Reverted { is_final: true, .. } => {
                let transaction = receipt.payment.transaction;
                receipt.stage = Stage::Reverted;
                // If this cannot be stored, it will be found out again.
                let _ = keep.keep(receipt).await;
                let deadline = receipt
                    .payment
                    .deadline
                    .filter(|_| !matches!(status, TransactionStatus::Reverted { late: false, .. }));
                Err(match deadline {
                    Some(deadline) => PayError::DeadlinePassed { transaction, deadline },
                    None => PayError::Reverted { transaction },
                })
            }
            TransactionStatus::Reverted { is_final: false, late } => {
                let why = if late { "after its deadline" } else { "before its deadline" };
                let why = format!(
                    "it was mined {why} and reverted, so that nothing was paid; whether for good shows when that is final"
                );
                watch(Step::Unsent(&why));
                *unsent = Some(why);
                Ok(RESEND_UNKNOWN)
            }
            TransactionStatus::Replaced { at, is_final } => {
                let why = PayError::Replaced {
                    transaction: receipt.payment.transaction,
                    nonce: receipt.payment.nonce,
                };
                if is_final {
                    receipt.stage = Stage::Replaced;
                    // If this cannot be stored, it will be found out again.
                    let _ = keep.keep(receipt).await;
                    return Err(why);
                }
                if receipt.overtaken_at.is_none() {
                    receipt.overtaken_at = Some(at);
                    // If this cannot be stored, it will be found out again.
                    let _ = keep.keep(receipt).await;
                }
                let why = format!(
                    "another transaction of the account has taken its place (nonce {}); whether for good shows when that \
                     is final",
                    receipt.payment.nonce
                );
                watch(Step::Unsent(&why));
                *unsent = Some(why);
                Ok(RESEND_UNKNOWN)
            }
        }
    }

    async fn show_once(
        &self,
        request: &Request,
        proof: &PaymentProof,
        receipt: Option<&Receipt>,
    ) -> Presented {
        let not_yet = |error: &PayError| Presented::NotYet { reason: error.to_string(), pause: 1000 };
        let response = match self.send(request, Some(proof)).await {
            Ok(response) => response,
            Err(error) => return not_yet(&error),
        };
        let waits = asks_to_wait(&response);
        match finish(response, receipt, Some(proof.clone())).await {
            Ok(paid) if waits => {
                let problem = serde_json::from_slice::<Problem>(paid.answer.head()).ok();
                let pause = problem.as_ref().and_then(|problem| problem.retry_after_ms);
                Presented::NotYet {
                    pause: pause.or_else(|| retry_after(&paid.headers)).unwrap_or(1000),
                    reason: problem.map_or_else(
                        || format!("the server is not ready (status {})", paid.status.as_u16()),
                        |problem| problem.detail,
                    ),
                }
            }
            Ok(paid) => Presented::Answered(Box::new(paid)),
            Err(error) => not_yet(&error),
        }
    }

    /// Waits before presenting the proof again. Fails if the timeout comes first.
    async fn wait(
        &self,
        proof: &PaymentProof,
        reason: String,
        unsent: Option<&str>,
        pause: u64,
        give_up: Instant,
        watch: Watch<'_>,
    ) -> Result<(), PayError> {
        let pause = Duration::from_millis(pause.clamp(100, 10_000));
        if Instant::now() + pause >= give_up {
            let reason = match unsent {
                Some(why) => format!("{reason}; no node reports to have the transaction: {why}"),
                None => reason,
            };
            return Err(PayError::Unanswered { proof: Box::new(proof.proof), reason });
        }
        watch(Step::Waiting(&reason));
        tokio::time::sleep(pause).await;
        Ok(())
    }

    async fn send(&self, request: &Request, proof: Option<&PaymentProof>) -> Result<Response, PayError> {
        let mut builder = self.client.request(request.method.clone(), request.url.clone());
        if !request.body.is_empty() {
            builder = builder.header(CONTENT_TYPE, "application/json").body(request.body.clone());
        }
        match proof {
            // The proof will come with the quote id, so the quote may be one that only this client gets.
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

/// The outcome of presenting a proof once.
enum Presented {
    Answered(Box<Paid>),
    NotYet { reason: String, pause: u64 },
}

/// Stores the receipt of a payment before it is sent.
struct StoreFirst<'a> {
    request: &'a Request,
    details: &'a PaymentDetails,
    keep: &'a dyn Keep,
    watch: Watch<'a>,
}

#[async_trait]
impl BeforeSending for StoreFirst<'_> {
    async fn signed(&self, payment: &SignedPayment) -> Result<(), PayError> {
        let receipt = Receipt::new(self.request, self.details.clone(), payment.clone());
        self.keep.keep(&receipt).await.map_err(PayError::NotKept)?;
        (self.watch)(Step::Paying(&receipt.proof()));
        Ok(())
    }
}

/// Whether the server asks to present the same proof again: a 402 without new details, or a temporary failure.
fn asks_to_wait(response: &Response) -> bool {
    match response.status() {
        StatusCode::PAYMENT_REQUIRED => !response.headers().contains_key(DETAILS_HEADER),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => true,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::CONFLICT | StatusCode::REQUEST_TIMEOUT => true,
        // Temporary only if the server gives a time to retry: a fault, or a failing model server.
        StatusCode::FAILED_DEPENDENCY | StatusCode::INTERNAL_SERVER_ERROR => {
            response.headers().contains_key(RETRY_AFTER)
        }
        _ => false,
    }
}

/// The `Retry-After` of a server without problem documents, in milliseconds.
fn retry_after(headers: &HeaderMap) -> Option<u64> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(seconds.saturating_mul(1000))
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
    receipt: Option<&Receipt>,
    proof: Option<PaymentProof>,
) -> Result<Paid, PayError> {
    let (status, headers) = (response.status(), response.headers().clone());
    let answer = Answer::begin(response).await?;
    let details = receipt.map(|receipt| receipt.details.clone());
    Ok(Paid { status, headers, answer, details, proof, receipt: receipt.cloned() })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
