//! The metrics of a node. Labels are its name and its chain, never parts of an address that may be a key.

use std::time::Duration;

use crate::profile::Profile;

#[derive(Clone, Debug)]
pub(crate) struct Meter {
    chain: String,
    node: String,
}

impl Meter {
    pub(crate) fn new(profile: &Profile, node: String) -> Self {
        Self { chain: profile.chain_id.to_string(), node }
    }

    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    /// Records a request and its outcome.
    pub(crate) fn request(&self, took: Duration, outcome: &'static str) {
        let (chain, node) = (self.chain.clone(), self.node.clone());
        metrics::counter!("salt402_node_requests_total", "chain" => chain.clone(), "node" => node.clone(), "outcome" => outcome)
            .increment(1);
        metrics::histogram!("salt402_node_request_seconds", "chain" => chain, "node" => node)
            .record(took.as_secs_f64());
    }

    /// Records the units left, if there is a limit.
    pub(crate) fn budget(&self, left: Option<u64>) {
        if let Some(left) = left {
            metrics::gauge!("salt402_node_budget_units", "chain" => self.chain.clone(), "node" => self.node.clone())
            .set(left as f64);
        }
    }

    /// Records whether the node can be asked, and whether it is ejected.
    pub(crate) fn state(&self, up: bool, ejected: bool) {
        metrics::gauge!("salt402_node_up", "chain" => self.chain.clone(), "node" => self.node.clone())
            .set(f64::from(u8::from(up)));
        metrics::gauge!("salt402_node_ejected", "chain" => self.chain.clone(), "node" => self.node.clone())
            .set(f64::from(u8::from(ejected)));
    }

    /// Records whether the node's logs are accepted without the required proof.
    pub(crate) fn unproved(&self, is: bool) {
        metrics::gauge!("salt402_node_logs_unproved", "chain" => self.chain.clone(), "node" => self.node.clone())
            .set(f64::from(u8::from(is)));
    }

    /// Records the newest block that the node has shown.
    pub(crate) fn head(&self, number: u64) {
        metrics::gauge!("salt402_node_head_block", "chain" => self.chain.clone(), "node" => self.node.clone())
            .set(number as f64);
    }

    /// Counts an answer that other nodes did not confirm.
    pub(crate) fn disagreed(&self) {
        metrics::counter!("salt402_node_disagreements_total", "chain" => self.chain.clone(), "node" => self.node.clone())
            .increment(1);
    }
}
