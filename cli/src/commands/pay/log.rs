//! Tells the payer each step as it happens, and how long it took.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use salt402_client::{Paid, PaymentProof, Step};
use salt402_protocol::Asset;
use salt402_protocol::details::PaymentDetails;
use serde_json::{Value, json};

use crate::visible::visible_line;

/// What is written to standard error: lines for people, or one JSON object at the end.
pub(super) struct StepLog {
    json: bool,
    /// The native coin's symbol and decimals, from our own profile and not from the server.
    coin: (String, u8),
    /// Where the receipt is; `None` where there is none.
    receipt: Option<PathBuf>,
    started: Instant,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Each step with its time since the start.
    steps: Vec<(&'static str, Duration)>,
    /// The proof of the payment, once there is one.
    proof: Option<PaymentProof>,
}

impl StepLog {
    pub(super) fn new(json: bool, coin: (String, u8), receipt: Option<PathBuf>) -> Self {
        Self { json, coin, receipt, started: Instant::now(), seen: Mutex::default() }
    }

    pub(super) fn take(&self, step: &Step<'_>) {
        let at = self.started.elapsed();
        let (name, text) = match step {
            Step::Asked(details) => (
                "asked",
                format!(
                    "402: {} on {} ({}) for {}, to {} through {}",
                    self.money(details),
                    details.network,
                    details.chain,
                    details.resource.description,
                    details.recipient,
                    details.payment_contract,
                ),
            ),
            Step::Paying(proof) => ("paying", format!("paying with transaction {}", proof.proof)),
            Step::Sent(_) => ("sent", "a node has the transaction; showing the proof".to_owned()),
            Step::Unsent(why) => {
                ("unsent", format!("no node says that it has the transaction: {why}; showing the proof"))
            }
            Step::Waiting(reason) => ("waiting", format!("not yet: {reason}")),
        };
        let mut seen = self.seen();
        seen.steps.push((name, at));
        if let Step::Paying(proof) = step {
            seen.proof = Some((*proof).clone());
        }
        drop(seen);
        if !self.json {
            self.say(at, &text);
        }
    }

    /// Whether money may have moved.
    pub(super) fn may_have_paid(&self) -> bool {
        self.seen().proof.is_some()
    }

    pub(super) fn end(&self, paid: &Paid) {
        let cost = paid.details.as_ref().map(|details| self.money(details));
        let at = self.started.elapsed();
        let timing = paid.headers.get("server-timing").and_then(|value| value.to_str().ok());
        if self.json {
            let mut seen = self.seen();
            seen.steps.push(("answered", at));
            drop(seen);
            self.report(json!({
                "status": paid.status.as_u16(),
                "cost": cost,
                "amount": paid.details.as_ref().map(|details| details.amount),
                "server_timing": timing,
            }));
            return;
        }
        let cost =
            cost.map_or_else(|| "nothing was asked for".to_owned(), |cost| format!("cost {cost} and gas"));
        self.say(at, &format!("answered with status {}; {cost}", paid.status.as_u16()));
        if let Some(timing) = timing {
            self.say(at, &format!("server: {timing}"));
        }
        self.name_payment();
    }

    /// After a failure: what went wrong, and how to get what was paid for.
    pub(super) fn fail(&self, why: &str) {
        if self.json {
            self.report(json!({ "error": why }));
            return;
        }
        self.print(&format!("salt402: {why}"));
        self.name_payment();
        self.how_to_resume();
    }

    /// How to get what was paid for, if something was paid.
    pub(super) fn how_to_resume(&self) {
        let seen = self.seen();
        if self.json {
            return;
        }
        let Some(PaymentProof { proof, quote: Some(quote) }) = &seen.proof else { return };
        self.print(&match &self.receipt {
            Some(receipt) => {
                format!("to go on without paying again: salt402 pay --resume {}", receipt.display())
            }
            None => format!(
                "to show it again with the same request: salt402 pay … --proof {proof} --quote {}",
                quote.as_str()
            ),
        });
    }

    /// That the payment was given back.
    pub(super) fn how_to_pay_again(&self) {
        if !self.json {
            self.print(
                "the payment was given back and buys nothing: once all of it came back, pay the same request with --again, which \
                 pays anew",
            );
        }
    }

    /// The payment's hash, its quote id, and its receipt.
    fn name_payment(&self) {
        let seen = self.seen();
        let Some(PaymentProof { proof, quote }) = &seen.proof else { return };
        self.print(&format!("payment {proof}"));
        if let Some(quote) = quote {
            self.print(&format!("quote id {}", quote.as_str()));
        }
        if let Some(receipt) = &self.receipt {
            self.print(&format!("receipt {}", receipt.display()));
        }
    }

    /// One JSON object with what is known of the payment.
    fn report(&self, mut report: Value) {
        let seen = self.seen();
        let steps: Vec<_> =
            seen.steps.iter().map(|(name, at)| json!({ "step": name, "at_us": micros(*at) })).collect();
        let proof = seen.proof.as_ref();
        report["transaction"] = json!(proof.and_then(|proof| proof.proof.hash()));
        report["quote_id"] = json!(proof.and_then(|proof| proof.quote.as_ref()).map(|quote| quote.as_str()));
        report["receipt"] = json!(proof.and(self.receipt.as_ref()));
        report["steps"] = json!(steps);
        self.print(&report.to_string());
    }

    fn money(&self, details: &PaymentDetails) -> String {
        let (symbol, decimals) = &self.coin;
        match details.asset {
            Asset::Native => format!("{} {symbol}", details.amount.to_units(*decimals)),
            Asset::Token(token) => format!("{} base units of {token}", details.amount),
        }
    }

    pub(super) fn note(&self, text: &str) {
        if !self.json {
            self.say(self.started.elapsed(), text);
        }
    }

    fn say(&self, at: Duration, text: &str) {
        self.print(&format!("{:>6} ms  {text}", at.as_millis()));
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These texts contain what a server, a node or a file says. What happens to the user's money is printed at every
    /// log level.
    fn print(&self, text: &str) {
        crate::out::tell(format_args!("{}", visible_line(text)));
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
