//! Where signed payments are settled: a facilitator in this process, or one behind HTTP. Any of x402 will do.

use std::time::Duration;

use async_trait::async_trait;
use axum::body::Bytes;
use reqwest::redirect::Policy;
use salt402_protocol::{Code, Problem, X402Reason};
use serde::Deserialize;
use url::Url;

/// The longest answer of a facilitator that is read, in bytes.
const LONGEST_ANSWER: usize = 64 * 1024;
/// How long a facilitator may take to verify.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a facilitator may take to settle. Clients of x402 wait for 90 seconds.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(85);

/// Where signed payments are settled.
#[async_trait]
pub trait FacilitatorClient: Send + Sync + 'static {
    /// Whether a payment would settle now. `question` is the body that x402 has for `POST /verify`.
    async fn verify(&self, question: &Bytes) -> Result<(), SettleFault>;

    /// Has a payment settled, with the same body. Whoever asks again with the same key is told again.
    async fn settle(&self, question: &Bytes, key: &str) -> Result<Settlement, SettleFault>;
}

/// What became of a payment that was to be settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// The money moved.
    Done,
    /// It was sent or is about to be. Ask again with the same body and key.
    Pending,
}

/// Why a payment was not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettleFault {
    /// No money moved, and none will by this question.
    Refused {
        /// x402's reason.
        reason: String,
        /// What is wrong, for people.
        detail: String,
    },
    /// The nonce was used, and the success was told to somebody else, or may have been.
    Used,
    /// The facilitator cannot be asked, or has no room. Of a settlement nothing is known.
    Unavailable(Problem),
}

impl SettleFault {
    /// A refusal by x402's reason. That a nonce was used says that money may have moved, and so does that it is being settled.
    pub fn refused(reason: String, detail: String) -> Self {
        let used =
            [X402Reason::NonceAlreadyUsed, X402Reason::Permit2InvalidNonce, X402Reason::SettlementPending];
        if used.iter().any(|used| used.as_str() == reason) {
            Self::Used
        } else {
            Self::Refused { reason, detail }
        }
    }
}

/// A facilitator behind HTTP.
#[derive(Clone)]
pub struct RemoteFacilitator {
    client: reqwest::Client,
    base: Url,
    token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verified {
    is_valid: bool,
    #[serde(default)]
    invalid_reason: Option<String>,
    #[serde(default)]
    invalid_message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Settled {
    success: bool,
    #[serde(default)]
    error_reason: Option<String>,
    #[serde(default)]
    error_message: Option<String>,
}

impl RemoteFacilitator {
    /// The facilitator at `base`, which may want a token.
    ///
    /// # Errors
    /// The HTTP client could not be made.
    pub fn new(mut base: Url, token: Option<String>) -> Result<Self, reqwest::Error> {
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let client = reqwest::Client::builder().redirect(Policy::none()).no_proxy().build()?;
        Ok(Self { client, base, token })
    }

    /// Whether a payment would settle now; else x402's reason, and what is wrong in words.
    async fn verified(&self, question: &Bytes) -> Result<Result<(), (String, String)>, SettleFault> {
        let Verified { is_valid, invalid_reason, invalid_message } =
            self.ask("verify", question, None, VERIFY_TIMEOUT).await?;
        if is_valid {
            return Ok(Ok(()));
        }
        Ok(Err((invalid_reason.unwrap_or_default(), invalid_message.unwrap_or_default())))
    }

    async fn ask<A: for<'de> Deserialize<'de>>(
        &self,
        path: &str,
        question: &Bytes,
        key: Option<&str>,
        timeout: Duration,
    ) -> Result<A, SettleFault> {
        let url =
            self.base.join(path).map_err(|_| unavailable("its address cannot be joined with a path"))?;
        let mut request = self.client.post(url).timeout(timeout).header("content-type", "application/json");
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let sent = request.body(question.clone()).send().await;
        let mut response = sent.map_err(|error| {
            let error = error.without_url();
            tracing::warn!(%error, "the facilitator could not be asked");
            unavailable("it could not be reached")
        })?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| unavailable("its answer broke off"))? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(unavailable("its answer is longer than a facilitator's"));
            }
            body.extend_from_slice(&chunk);
        }
        // Some answer a refusal with a status of its own: what the body says counts.
        serde_json::from_slice(&body).map_err(|_| {
            tracing::warn!(%status, path, "the facilitator's answer was not understood");
            unavailable("its answer was not understood")
        })
    }
}

#[async_trait]
impl FacilitatorClient for RemoteFacilitator {
    async fn verify(&self, question: &Bytes) -> Result<(), SettleFault> {
        self.verified(question).await?.map_err(|(reason, detail)| SettleFault::refused(reason, detail))
    }

    async fn settle(&self, question: &Bytes, key: &str) -> Result<Settlement, SettleFault> {
        let Settled { success, error_reason, error_message } =
            self.ask("settle", question, Some(key), SETTLE_TIMEOUT).await?;
        let reason = error_reason.unwrap_or_default();
        if success {
            return Ok(Settlement::Done);
        }
        if reason == X402Reason::SettlementPending.as_str() {
            return Ok(Settlement::Pending);
        }
        let refused = SettleFault::refused(reason, error_message.unwrap_or_default());
        if refused == SettleFault::Used {
            return Err(refused);
        }
        // Many say that a transaction failed where they did not wait for it to be mined, or where another one used the nonce before.
        // While the payment would still settle, or is on its way, nothing is known of it.
        match self.verified(question).await? {
            Ok(()) => Ok(Settlement::Pending),
            Err((reason, _)) if reason == X402Reason::SettlementPending.as_str() => Ok(Settlement::Pending),
            Err((reason, detail)) => match SettleFault::refused(reason, detail) {
                SettleFault::Used => Err(SettleFault::Used),
                _ => Err(refused),
            },
        }
    }
}

fn unavailable(what: &str) -> SettleFault {
    let detail = format!("the facilitator cannot be asked: {what}; send the same payment again");
    SettleFault::Unavailable(Problem::new(Code::FacilitatorUnavailable, detail).retry_after(1000))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::routing::post;
    use axum::{Json, Router};
    use serde_json::{Value, json};

    use super::*;

    /// What becomes of a payment where a facilitator says this of it, to settle it and to verify it.
    async fn settled(settle: Value, verify: Value) -> Result<Settlement, SettleFault> {
        let say = |said: Value| {
            let said = Arc::new(said);
            post(async move || Json((*said).clone()))
        };
        let router = Router::new().route("/x402/settle", say(settle)).route("/x402/verify", say(verify));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/x402", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        RemoteFacilitator::new(url, None).unwrap().settle(&Bytes::from_static(b"{}"), "key").await
    }

    #[tokio::test]
    async fn t5_a_transaction_that_is_said_to_have_failed_is_no_refusal_while_its_payment_may_have_moved() {
        let failed = |reason: &str| json!({ "success": false, "errorReason": reason, "transaction": "" });
        let valid = json!({ "isValid": true });
        let invalid = |reason: &str| json!({ "isValid": false, "invalidReason": reason });
        for reason in ["transaction_failed", "invalid_transaction_state", "unexpected_settle_error", ""] {
            let told = |verify: Value| settled(failed(reason), verify);
            assert_eq!(told(valid.clone()).await, Ok(Settlement::Pending), "{reason}");
            assert_eq!(told(invalid("settlement_pending")).await, Ok(Settlement::Pending), "{reason}");
            for used in ["invalid_exact_evm_nonce_already_used", "permit2_invalid_nonce"] {
                assert_eq!(told(invalid(used)).await, Err(SettleFault::Used), "{reason}");
            }
            let poor = told(invalid("invalid_exact_evm_insufficient_balance")).await;
            assert!(
                matches!(&poor, Err(SettleFault::Refused { reason: why, .. }) if why == reason),
                "{poor:?}"
            );
            assert!(matches!(told(json!("?")).await, Err(SettleFault::Unavailable(_))), "{reason}");
        }
        assert_eq!(settled(failed("settlement_pending"), json!("?")).await, Ok(Settlement::Pending));
        assert_eq!(settled(json!({ "success": true }), json!("?")).await, Ok(Settlement::Done));
        let used = settled(failed("invalid_exact_evm_nonce_already_used"), json!("?")).await;
        assert_eq!(used, Err(SettleFault::Used));
    }
}
