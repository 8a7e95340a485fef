//! Asks, pays, asks again.

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

/// The least time that a quote must have left when it is paid, in seconds.
const LEAST_LEFT: u64 = 10;
/// How long a server may be silent, in the middle of an answer too.
const SILENCE: Duration = Duration::from_secs(300);
/// Between two times that a payment is sent which a node has.
const SENT_AGAIN: Duration = Duration::from_secs(15);
/// Between two times that a payment is sent which no node says it has.
const UNSENT_AGAIN: Duration = Duration::from_secs(2);

/// What a payer does, as it does it.
#[derive(Debug)]
pub enum Step<'a> {
    /// The server asks for payment.
    Asked(&'a PaymentDetails),
    /// The payment is signed and its receipt kept. From here on the money may move.
    Paying(&'a PaymentProof),
    /// A node has the payment.
    Sent(&'a PaymentProof),
    /// No node says that it has the payment, which proves nothing; it is sent again while that is safe.
    Unsent(&'a str),
    /// The server has not seen the payment yet, or cannot answer yet; the same proof is shown again.
    Waiting(&'a str),
}

/// Is told each step.
pub type Watch<'a> = &'a (dyn Fn(Step<'_>) + Send + Sync);

/// An answer, and what it cost.
#[derive(Debug)]
pub struct Paid {
    /// The answer's status.
    pub status: StatusCode,
    /// The answer's headers.
    pub headers: HeaderMap,
    /// The answer.
    pub answer: Answer,
    /// What was asked, if anything was.
    pub details: Option<PaymentDetails>,
    /// What paid, if anything did.
    pub proof: Option<PaymentProof>,
    /// The record of the payment, as it was kept last; still unfinished. See [`Paid::got`].
    pub receipt: Option<Receipt>,
}

impl Paid {
    /// To be called once the whole answer is where it should be: marks the receipt. Only an answer that is a success or a
    /// redirect is what was paid for; after any other the same request shows the payment again.
    ///
    /// # Errors
    /// What keeps the receipt from being written.
    pub async fn got(&self, keep: &dyn Keep) -> std::io::Result<()> {
        let served = self.status.is_success() || self.status.is_redirection();
        let Some(mut receipt) = self.receipt.clone().filter(|_| served) else { return Ok(()) };
        receipt.stage = Stage::Answered;
        receipt.status = Some(self.status.as_u16());
        keep.keep(&receipt).await
    }
}

/// Pays requests. Never pays one request twice: from the moment that a payment is signed, only its proof is shown.
///
/// ```text
/// asked ─▶ prepared ─▶ kept ─▶ sent ─▶ shown ─▶ answered
///                       └─ a crash from here on: resume
/// ```
pub struct Payer<W> {
    client: reqwest::Client,
    wallet: W,
    limit: Option<Limit>,
    /// How long the proof is shown before the payer gives up.
    timeout: Duration,
}

impl<W: Wallet> Payer<W> {
    /// A payer with a wallet and a limit for each request. Without a limit, it only shows what was paid before.
    pub fn new(wallet: W, limit: Option<Limit>, timeout: Duration) -> Result<Self, PayError> {
        // No redirects: a quote is bound to one path, and a payment to one recipient.
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(SILENCE)
            .build()
            .map_err(PayError::Http)?;
        Ok(Self { client, wallet, limit, timeout })
    }

    /// Sends a request; if that asks for payment, pays it once and sends it again with the proof until it is answered.
    /// `keep` has the receipt before the payment is sent; a payment whose receipt cannot be kept is not sent.
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
        if left < LEAST_LEFT {
            return Err(PayError::EndsTooSoon { left });
        }
        let kept = KeptFirst { request, details: &details, keep, watch };
        let (payment, status) = self.wallet.pay(&details, &kept).await?;
        let receipt = Receipt::new(request, details, payment);
        self.carry(request, receipt, Some(status), keep, watch).await
    }

    /// Goes on with a payment that was made before: shows its proof until it is answered, and sends the same signed
    /// transaction again while its quote lives. Signs nothing and so pays nothing more.
    pub async fn resume(
        &self,
        receipt: Receipt,
        keep: &dyn Keep,
        watch: Watch<'_>,
    ) -> Result<Paid, PayError> {
        let request = receipt.request().ok_or(PayError::NoRequest)?;
        watch(Step::Paying(&receipt.proof()));
        self.carry(&request, receipt, None, keep, watch).await
    }

    /// Sends a request with the proof of a payment that was made before, until it is answered. Pays and sends nothing.
    pub async fn show(
        &self,
        request: &Request,
        proof: PaymentProof,
        watch: Watch<'_>,
    ) -> Result<Paid, PayError> {
        let give_up = Instant::now() + self.timeout;
        loop {
            let (reason, pause) = match self.show_once(request, &proof, None).await {
                Shown::Answered(paid) => return Ok(*paid),
                Shown::NotYet { reason, pause } => (reason, pause),
            };
            self.wait(&proof, reason, None, pause, give_up, watch).await?;
        }
    }

    /// Sends and shows a payment until it is answered.
    async fn carry(
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
            send_at += self.learn(&mut receipt, status, &mut unsent, keep, watch).await?;
        }
        loop {
            let due = Instant::now() >= send_at;
            // A node that is slow keeps no proof from being shown.
            let (status, shown) = tokio::join!(
                async { if due { Some(self.send_again(&receipt).await) } else { None } },
                self.show_once(request, &proof, Some(&receipt)),
            );
            let (reason, pause) = match shown {
                Shown::Answered(paid) => return Ok(*paid),
                Shown::NotYet { reason, pause } => (reason, pause),
            };
            if let Some(status) = status {
                let rest = self.learn(&mut receipt, status, &mut unsent, keep, watch).await?;
                send_at = Instant::now() + rest;
            }
            self.wait(&proof, reason, unsent.as_deref(), pause, give_up, watch).await?;
        }
    }

    /// Sends a payment again where its quote still lives: what is mined after its end is lost.
    async fn send_again(&self, receipt: &Receipt) -> TransactionStatus {
        let lives = now() + LEAST_LEFT <= receipt.details.expires_at;
        self.wallet.send(&receipt.payment, lives, receipt.overtaken_at).await
    }

    /// Takes note of what the nodes say, and gives the time until they are asked again.
    async fn learn(
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
                Ok(SENT_AGAIN)
            }
            TransactionStatus::Unknown(why) => {
                watch(Step::Unsent(&why));
                *unsent = Some(why);
                Ok(UNSENT_AGAIN)
            }
            TransactionStatus::Replaced { at, is_final } => {
                let why = PayError::Replaced {
                    transaction: receipt.payment.transaction,
                    nonce: receipt.payment.nonce,
                };
                if is_final {
                    receipt.stage = Stage::Replaced;
                    // Found out again if it cannot be written.
                    let _ = keep.keep(receipt).await;
                    return Err(why);
                }
                if receipt.overtaken_at.is_none() {
                    receipt.overtaken_at = Some(at);
                    // Found again if it cannot be written.
                    let _ = keep.keep(receipt).await;
                }
                let why = format!(
                    "another transaction of the account has taken its place (nonce {}); whether for good shows when that \
                     is final",
                    receipt.payment.nonce
                );
                watch(Step::Unsent(&why));
                *unsent = Some(why);
                Ok(UNSENT_AGAIN)
            }
        }
    }

    async fn show_once(&self, request: &Request, proof: &PaymentProof, receipt: Option<&Receipt>) -> Shown {
        let not_yet = |error: &PayError| Shown::NotYet { reason: error.to_string(), pause: 1000 };
        let response = match self.send(request, Some(proof)).await {
            Ok(response) => response,
            Err(error) => return not_yet(&error),
        };
        let waits = asks_to_wait(&response);
        match finish(response, receipt, Some(proof.clone())).await {
            Ok(paid) if waits => {
                let problem = serde_json::from_slice::<Problem>(paid.answer.head()).ok();
                let pause = problem.as_ref().and_then(|problem| problem.retry_after_ms);
                Shown::NotYet {
                    pause: pause.or_else(|| retry_after(&paid.headers)).unwrap_or(1000),
                    reason: problem.map_or_else(
                        || format!("the server is not ready (status {})", paid.status.as_u16()),
                        |problem| problem.detail,
                    ),
                }
            }
            Ok(paid) => Shown::Answered(Box::new(paid)),
            Err(error) => not_yet(&error),
        }
    }

    /// Waits before the proof is shown again, unless the timeout comes before.
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
                Some(why) => format!("{reason}; no node says that it has the transaction: {why}"),
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

/// What came of showing a proof once.
enum Shown {
    Answered(Box<Paid>),
    NotYet { reason: String, pause: u64 },
}

/// Keeps the receipt of a payment that is about to be sent.
struct KeptFirst<'a> {
    request: &'a Request,
    details: &'a PaymentDetails,
    keep: &'a dyn Keep,
    watch: Watch<'a>,
}

#[async_trait]
impl BeforeSending for KeptFirst<'_> {
    async fn signed(&self, payment: &SignedPayment) -> Result<(), PayError> {
        let receipt = Receipt::new(self.request, self.details.clone(), payment.clone());
        self.keep.keep(&receipt).await.map_err(PayError::NotKept)?;
        (self.watch)(Step::Paying(&receipt.proof()));
        Ok(())
    }
}

/// Whether the server asks for the same proof again: a 402 that brings no new details, or a passing failure.
fn asks_to_wait(response: &Response) -> bool {
    match response.status() {
        StatusCode::PAYMENT_REQUIRED => !response.headers().contains_key(DETAILS_HEADER),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => true,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::CONFLICT | StatusCode::REQUEST_TIMEOUT => true,
        // A fault, or a model server that fails for a while; without a time to come back, there is no other answer.
        StatusCode::FAILED_DEPENDENCY | StatusCode::INTERNAL_SERVER_ERROR => {
            response.headers().contains_key(RETRY_AFTER)
        }
        _ => false,
    }
}

/// The time that a server which sends no problem document asks for, in milliseconds.
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
