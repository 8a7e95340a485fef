//! Sends an operator's server messages about incidents. Each is delivered at least once, in order for each incident,
//! however long that takes.
//!
//! The messages are in the store, written together with their incidents. Here they are sent and then marked as
//! delivered. If the process ends in between, the message is sent again with the same number.

pub(crate) mod address;
pub(crate) mod key;

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, USER_AGENT};
use reqwest::redirect::Policy;
use salt402_http::clock::{now_ms, now_s};
use salt402_protocol::webhook::WebhookEvent;
use salt402_store::{Notice, Store, StoreError};
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::incidents;
use crate::webhook::address::{WebhookError, check};
use crate::webhook::key::WebhookKey;

/// How often the store is checked for messages.
const LOOK: Duration = Duration::from_millis(500);
/// How long the receiver may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after the first failure. Each further failure doubles it, up to the longest.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// How many messages are read at once.
const AT_ONCE: u32 = 32;
/// How long delivered messages are kept.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 3600);
const FORGET_EVERY: Duration = Duration::from_secs(600);

/// A server that gets messages about incidents.
#[derive(Debug)]
pub struct Webhook {
    client: reqwest::Client,
    url: Url,
    key: WebhookKey,
    store: Store,
}

impl Webhook {
    /// A server at `url`, which must be https or on loopback. Redirects are not followed, so that a signed body goes
    /// only where the operator said.
    pub fn new(url: Url, key: WebhookKey, store: Store) -> Result<Self, WebhookError> {
        check(&url)?;
        let client =
            reqwest::Client::builder().redirect(Policy::none()).no_proxy().timeout(TIMEOUT).build()?;
        Ok(Self { client, url, key, store })
    }

    /// Whether an address can be told of incidents.
    pub fn check(url: &Url) -> Result<(), WebhookError> {
        check(url)
    }

    /// Tells until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut forgotten = tokio::time::Instant::now();
        loop {
            tokio::select! {
                told = self.round() => if let Err(error) = told {
                    tracing::warn!(%error, "notices of incidents could not be read or marked");
                },
                () = stop.cancelled() => return,
            }
            if forgotten.elapsed() >= FORGET_EVERY {
                forgotten = tokio::time::Instant::now();
                self.forget().await;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Sends what is due, one message after another.
    async fn round(&self) -> Result<(), StoreError> {
        for notice in self.store.due_notices(now_ms(), AT_ONCE).await? {
            let (id, event, attempts) = (notice.id, notice.event, notice.attempts);
            match self.tell(notice).await {
                Ok(()) => {
                    count("delivered");
                    self.store.notice_delivered(id, now_ms()).await?;
                    tracing::info!(id, %event, "the webhook was told of an incident");
                }
                Err(reason) => {
                    count("failed");
                    let pause = pause(attempts);
                    tracing::warn!(
                        id,
                        %event,
                        attempt = attempts + 1,
                        %reason,
                        again_in_s = pause.as_secs(),
                        "the webhook could not be told of an incident"
                    );
                    let due = now_ms() + u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                    self.store.notice_failed(id, due).await?;
                }
            }
        }
        metrics::gauge!("salt402_webhook_waiting").set(self.store.waiting_notices().await? as f64);
        Ok(())
    }

    /// Sends one message. The error says why it was not delivered. It does not name the address, which may hold a
    /// secret.
    async fn tell(&self, notice: Notice) -> Result<(), String> {
        let event = WebhookEvent {
            id: notice.id,
            event: notice.event.to_string(),
            at_ms: notice.at_ms,
            incident: incidents::view(notice.incident),
        };
        let body = serde_json::to_vec(&event).map_err(|error| error.to_string())?;
        // The time is part of the id. After a restore, another message may have the same number.
        let (delivery, now) = (format!("{}-{}", notice.id, notice.at_ms), now_s());
        let signature = self.key.sign(&delivery, now, &body).map_err(|error| error.to_string())?;
        let sent = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("salt402/", env!("CARGO_PKG_VERSION")))
            .header(HEADER_WEBHOOK_ID, delivery)
            .header(HEADER_WEBHOOK_TIMESTAMP, now)
            .header(HEADER_WEBHOOK_SIGNATURE, signature)
            .body(body)
            .send()
            .await;
        // Only the status of the answer is read.
        match sent {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(format!("it answered with status {}", response.status().as_u16())),
            Err(error) if error.is_timeout() => {
                Err(format!("it did not answer within {} s", TIMEOUT.as_secs()))
            }
            Err(error) => Err(without_address(&error)),
        }
    }

    async fn forget(&self) {
        let before = now_ms().saturating_sub(u64::try_from(REMEMBERED.as_millis()).unwrap_or(u64::MAX));
        if let Err(error) = self.store.evict_notices(before).await {
            tracing::warn!(%error, "old notices could not be forgotten");
        }
    }
}

/// The innermost cause, such as "connection refused". The outer errors name the address.
fn without_address(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if std::ptr::addr_eq(cause, error) { "it could not be reached".into() } else { cause.to_string() }
}

/// The pause before the next attempt. It doubles each time, with a random part, so that messages which failed together
/// are not sent again together.
fn pause(attempts: u32) -> Duration {
    let doubled =
        PAUSE.saturating_mul(1u32.checked_shl(attempts.min(20)).unwrap_or(u32::MAX)).min(LONGEST_PAUSE);
    let quarter = u64::try_from(doubled.as_millis() / 4).unwrap_or(0);
    doubled + Duration::from_millis(rand::random_range(0..=quarter))
}

fn count(outcome: &'static str) {
    metrics::counter!("salt402_webhook_deliveries_total", "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_growing() {
        for (attempts, seconds) in
            [(0, 1), (1, 2), (5, 32), (11, 2048), (12, 3600), (1000, 3600), (u32::MAX, 3600)]
        {
            let pause = pause(attempts);
            assert!(pause >= Duration::from_secs(seconds), "{attempts}: {pause:?}");
            assert!(pause <= Duration::from_secs(seconds) * 5 / 4, "{attempts}: {pause:?}");
        }
    }
}
