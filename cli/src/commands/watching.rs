//! `salt402 status --watch`: prints one status after the other, with what changed in between.

use console::Term;
use salt402_http::clock::now_ms;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::time::Instant;

use crate::visible::visible_line;

/// The state of a chain when it was last read.
#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    indexed: u64,
    payments: u64,
}

/// What a chain does per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) blocks: u64,
    pub(crate) payments: u64,
}

/// Rates by chain.
pub(crate) type Rates = BTreeMap<String, Rate>;

/// A series of statuses on standard output: in place on a terminal, otherwise line after line.
pub(crate) struct Watching {
    json: bool,
    term: Term,
    drawn: usize,
    last: BTreeMap<String, Sample>,
}

impl Watching {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, term: Term::stdout(), drawn: 0, last: BTreeMap::new() }
    }

    /// Shows the next status, or why there is none.
    pub(crate) fn show(&mut self, status: anyhow::Result<Value>) -> anyhow::Result<()> {
        match status {
            Ok(status) => {
                let rates = self.rates(&status, Instant::now());
                if self.json { self.object(status, &rates) } else { self.draw(lines(&status, Some(&rates))) }
            }
            Err(error) if self.json => {
                self.write(&json!({ "at_ms": now_ms(), "error": format!("{error:#}") }).to_string())
            }
            Err(error) => self.draw(vec![format!("{error:#}")]),
        }
    }

    /// What changed since the last status.
    fn rates(&mut self, status: &Value, now: Instant) -> Rates {
        let mut rates = Rates::new();
        for chain in status["chains"].as_array().into_iter().flatten() {
            let id = text(&chain["chain"]);
            let sample = Sample {
                at: now,
                indexed: chain["indexed"].as_u64().unwrap_or(0),
                payments: chain["payments"].as_u64().unwrap_or(0),
            };
            if let Some(last) = self.last.insert(id.clone(), sample) {
                let passed =
                    u64::try_from(now.duration_since(last.at).as_millis()).unwrap_or(u64::MAX).max(1);
                let per_second = |now: u64, then: u64| now.saturating_sub(then).saturating_mul(1000) / passed;
                let rate = Rate {
                    blocks: per_second(sample.indexed, last.indexed),
                    payments: per_second(sample.payments, last.payments),
                };
                rates.insert(id, rate);
            }
        }
        rates
    }

    fn object(&mut self, mut status: Value, rates: &Rates) -> anyhow::Result<()> {
        status["at_ms"] = json!(now_ms());
        for chain in status["chains"].as_array_mut().into_iter().flatten() {
            let rate = rates.get(&text(&chain["chain"])).copied();
            if let Some(rate) = rate {
                chain["blocks_per_s"] = json!(rate.blocks);
                chain["payments_per_s"] = json!(rate.payments);
            }
        }
        self.write(&serde_json::to_string(&status)?)
    }

    fn draw(&mut self, lines: Vec<String>) -> anyhow::Result<()> {
        if !self.term.is_term() {
            return lines.iter().try_for_each(|line| self.write(line));
        }
        // A wrapped line would be counted as one and take two.
        let width = usize::from(self.term.size().1).saturating_sub(1);
        self.term.clear_last_lines(self.drawn)?;
        for line in &lines {
            let cut: String = visible_line(line).chars().take(width).collect();
            self.term.write_line(&cut)?;
        }
        self.drawn = lines.len();
        Ok(())
    }

    fn write(&self, line: &str) -> anyhow::Result<()> {
        crate::out::line(format_args!("{}", visible_line(line)));
        Ok(())
    }
}

/// A status in words. What is missing in it is not shown.
pub(crate) fn lines(status: &Value, rates: Option<&Rates>) -> Vec<String> {
    let ready = if status["ready"] == true { "ready" } else { "not ready" };
    let mut lines = vec![format!("salt402 {}: {ready}", text(&status["version"]))];
    for chain in status["chains"].as_array().into_iter().flatten() {
        lines.extend(chain_lines(chain, rates));
    }
    let mut last = format!("  {} payments claimed", text(&status["claims"]));
    if status["waiting"].is_u64() {
        last.push_str(&format!(", {} requests waiting", text(&status["waiting"])));
    }
    last.push_str(&format!(", {} open incidents", text(&status["open_incidents"])));
    lines.push(last);
    lines
}

fn chain_lines(chain: &Value, rates: Option<&Rates>) -> Vec<String> {
    let (indexed, head) = (chain["indexed"].as_u64(), chain["head"].as_u64());
    let mut line = format!(
        "  {} ({}): {}block {} of {}",
        text(&chain["network"]),
        text(&chain["chain"]),
        chain["phase"].as_str().map(|phase| format!("{}, ", phase.replace('_', "-"))).unwrap_or_default(),
        text(&chain["indexed"]),
        text(&chain["head"]),
    );
    if let (Some(indexed), Some(head)) = (indexed, head) {
        line.push_str(&format!(", {} behind", head.saturating_sub(indexed)));
        if let Some(seconds) = chain["behind_s"].as_u64() {
            line.push_str(&format!(" ({seconds} s)"));
        }
    }
    line.push_str(&format!(", {} payments", text(&chain["payments"])));
    if chain["open_incidents"].is_u64() {
        line.push_str(&format!(", {} open incidents", text(&chain["open_incidents"])));
    }
    if let Some(unreadable) = chain["unreadable"].as_u64().filter(|unreadable| *unreadable > 0) {
        line.push_str(&format!(", {unreadable} transactions not readable"));
    }
    if chain["payment_contract"].is_string() {
        line.push_str(&format!(" through {}", text(&chain["payment_contract"])));
    }
    let mut lines = vec![line];
    if let Some(rates) = rates {
        let rate = rates.get(&text(&chain["chain"])).copied().unwrap_or_default();
        let mut line = format!("    {} blocks/s, {} payments/s", rate.blocks, rate.payments);
        if chain["reorganizations"].is_u64() {
            line.push_str(&format!(", {} reorganizations", text(&chain["reorganizations"])));
        }
        lines.push(line);
    }
    for entry in chain["nodes"].as_array().into_iter().flatten() {
        lines.push(format!("    node {}", node(entry)));
    }
    for (key, what) in [("covered", "read"), ("unread", "not read yet")] {
        for blocks in chain[key].as_array().into_iter().flatten() {
            let [contract, from, to] = ["contract", "from_block", "to_block"].map(|name| text(&blocks[name]));
            lines.push(format!("    {what}: blocks {from} to {to} of {contract}"));
        }
    }
    for total in chain["vouchers"].as_array().into_iter().flatten() {
        let mut line = format!(
            "    vouchers: {} of {} accepted and not claimed",
            text(&total["unclaimed"]),
            text(&total["asset"])
        );
        if total["channels_at_risk"].as_u64().is_some_and(|channels| channels > 0) {
            line.push_str(&format!(
                ", {} of {} channels at risk: salt402 channel claim --all",
                text(&total["at_risk"]),
                text(&total["channels_at_risk"])
            ));
        }
        lines.push(line);
    }
    if let Some(reason) = chain["reason"].as_str() {
        lines.push(format!("    not current: {reason}"));
    }
    lines
}

/// A node in words: whether it may be asked and why not, its newest block, and anything else worth knowing.
fn node(node: &Value) -> String {
    let mut line = format!("{}: {}", text(&node["host"]), text(&node["state"]));
    if let Some(reason) = node["reason"].as_str() {
        line.push_str(&format!(" ({reason})"));
    }
    match node["head"].as_u64() {
        Some(head) => line.push_str(&format!(", its newest block is {head}")),
        None => line.push_str(", it has shown no block yet"),
    }
    for (fact, words) in [
        ("serving", "asked last"),
        ("fallback", "asked only while no other is ready"),
        ("logs_unproved", "its logs are taken without proof"),
    ] {
        if node[fact] == true {
            line.push_str(&format!(", {words}"));
        }
    }
    line
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn status(indexed: u64, payments: u64) -> Value {
        json!({
            "version": "1", "ready": true, "claims": 3, "waiting": 1, "open_incidents": 0,
            "chains": [{ "chain": "eip155:1", "network": "one", "indexed": indexed, "head": 100, "payments": payments,
                         "behind_s": 80, "open_incidents": 2,
                         "covered": [{ "contract": "0x1", "from_block": 0, "to_block": 9 },
                                     { "contract": "0x1", "from_block": 20, "to_block": 60 }],
                         "unread": [{ "contract": "0x1", "from_block": 10, "to_block": 19 }],
                         "phase": "back_filling", "nodes": [{ "host": "a:1", "state": "ready", "head": 100, "serving": true, "fallback": false },
                                   { "host": "b:2", "state": "resting", "head": null, "reason": "no answer",
                                     "fallback": true, "logs_unproved": true }],
                         "vouchers": [{ "asset": "native", "unclaimed": "70", "at_risk": "7", "channels_at_risk": 1 }] }],
        })
    }

    #[test]
    fn rates_are_of_the_time_between_two_looks() {
        let mut watching = Watching::new(false);
        let start = Instant::now();
        assert!(watching.rates(&status(10, 5), start).is_empty());
        let rates = watching.rates(&status(60, 5), start + Duration::from_millis(500));
        assert_eq!(rates["eip155:1"], Rate { blocks: 100, payments: 0 });
        // Blocks that were taken back do not make the rate negative.
        let rates = watching.rates(&status(50, 25), start + Duration::from_millis(1500));
        assert_eq!(rates["eip155:1"], Rate { blocks: 0, payments: 20 });
    }

    #[test]
    fn a_status_is_told_in_words_with_what_it_has_and_without_what_it_lacks() {
        let told = lines(&status(60, 5), Some(&Rates::new())).join("\n");
        for wanted in [
            "ready",
            "one (eip155:1): back-filling, block 60 of 100, 40 behind (80 s), 5 payments, 2 open incidents",
            "read: blocks 0 to 9 of 0x1",
            "not read yet: blocks 10 to 19 of 0x1",
            "read: blocks 20 to 60 of 0x1",
            "    node a:1: ready, its newest block is 100, asked last\n",
            "    node b:2: resting (no answer), it has shown no block yet, asked only while no other is ready, its logs are \
             taken without proof\n",
            "vouchers: 70 of native accepted and not claimed, 7 of 1 channels at risk",
        ] {
            assert!(told.contains(wanted), "{told}");
        }
        assert!(!told.contains("reorganizations") && !told.contains("not current"), "{told}");
    }
}
