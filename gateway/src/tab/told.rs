//! What the client of a stream that is paid as it goes is told, where it asked for that: events beside those of the API.
//!
//! They are those of MPP's sessions, with members of ours. None has an id, as some SDKs cannot read what follows one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use salt402_http::clock::now_s;
use salt402_paywall::rfc3339;
use salt402_protocol::Amount;
use salt402_protocol::voucher::VoucherFigures;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::tab::{End, Standing, Tab, Waiting};

/// How often a client is told that its stream still waits.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// A comment, which clients pass over.
const STILL_WAITS: Bytes = Bytes::from_static(b": the stream waits for the next voucher\n\n");

/// Tells one client.
#[derive(Debug)]
pub(crate) struct Told {
    tab: Arc<Tab>,
    standing: watch::Receiver<Standing>,
    /// The last pause that it was told of.
    pause: u64,
    ended: bool,
}

impl Told {
    /// For a client of a stream.
    pub(crate) fn of(tab: Arc<Tab>) -> Self {
        let standing = tab.watch();
        Self { tab, standing, pause: 0, ended: false }
    }

    /// Waits for something to tell while nothing comes of the stream.
    pub(crate) async fn next(&mut self) -> Bytes {
        loop {
            let now = self.standing.borrow_and_update().clone();
            let Some(waiting) = now.waiting else {
                if self.standing.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                continue;
            };
            if waiting.number != self.pause {
                self.pause = waiting.number;
                return self.needs_voucher(&now, waiting);
            }
            tokio::select! {
                changed = self.standing.changed() => if changed.is_err() { std::future::pending::<()>().await },
                () = tokio::time::sleep(HEARTBEAT) => return STILL_WAITS,
            }
        }
    }

    /// What is told at the end, once, and whether the stream was given to its end. `None` before it is on disk what is charged.
    pub(crate) fn receipt(&mut self) -> Option<(Bytes, End)> {
        let now = self.standing.borrow().clone();
        let end = now.end.filter(|_| !self.ended)?;
        self.ended = true;
        let channel = self.tab.channel();
        let data = json!({
            "method": "salt402",
            "intent": "session",
            "status": "success",
            "timestamp": rfc3339(now_s()),
            "reference": channel,
            "channelId": channel,
            "acceptedCumulative": now.channel.highest,
            "authorized": now.allowed,
            "charged": now.charged,
            "complete": end == End::Whole,
        });
        Some((event("payment-receipt", &data), end))
    }

    fn needs_voucher(&self, now: &Standing, waiting: Waiting) -> Bytes {
        let channel = now.channel;
        let next = |needs: Amount| {
            let more = Amount(needs.0.saturating_sub(now.allowed.0));
            VoucherFigures::new(channel.highest, channel.used, more).next
        };
        let left = waiting.until.saturating_duration_since(Instant::now());
        let data = json!({
            "channelId": self.tab.channel(),
            "acceptedCumulative": channel.highest,
            "requiredCumulative": next(waiting.needs),
            "completeCumulative": next(self.tab.begun.most),
            "deposit": channel.deposit,
            "authorized": now.allowed,
            "charged": now.charged,
            "voucherUrl": format!("/v1/streams/{}", self.tab.begun.payment),
            "waitSeconds": left.as_secs(),
        });
        event("payment-need-voucher", &data)
    }
}

fn event(name: &str, data: &serde_json::Value) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}
