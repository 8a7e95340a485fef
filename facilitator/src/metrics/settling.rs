//! What is measured of settling. Labels are chains, the operator's own accounts, and words of this program: nothing that a
//! caller chooses.

use alloy_primitives::{Address, U256};
use salt402_chain::Mined;
use salt402_protocol::ChainId;
use salt402_store::{SettlementOutcome, SettlementRow};

/// Says in `/metrics` what each of them is.
pub(super) fn describe() {
    metrics::describe_counter!(
        "salt402_settlements_total",
        "Settlements that ended, by chain, method, outcome and reason"
    );
    metrics::describe_histogram!(
        "salt402_settlement_seconds",
        metrics::Unit::Seconds,
        "From the claim of a settlement to its outcome"
    );
    metrics::describe_counter!("salt402_settlement_gas_total", "Gas that settling transactions used");
    metrics::describe_counter!(
        "salt402_settlement_fee_nano_total",
        "What settling transactions cost, in 10^-9 of the native coin"
    );
    metrics::describe_counter!(
        "salt402_settlement_transactions_total",
        "Transactions of settling accounts that were mined"
    );
    metrics::describe_histogram!("salt402_settlement_batch", "Settlements in one transaction");
    metrics::describe_gauge!("salt402_settlement_queue", "Settlements that wait to be sent");
    metrics::describe_gauge!(
        "salt402_settlement_open",
        "Nonces of settling accounts whose transaction is not mined"
    );
    metrics::describe_counter!(
        "salt402_settlement_resent_total",
        "Transactions that were sent again, replaced, cancelled or refused"
    );
    metrics::describe_counter!(
        "salt402_settlement_nonce_taken_total",
        "How often another's transaction was seen with the nonce of one of ours"
    );
    metrics::describe_gauge!(
        "salt402_settlement_balance",
        "The balance of a settling account in the native coin"
    );
    metrics::describe_gauge!(
        "salt402_settlement_low_water",
        "The balance below which a settling account is low"
    );
    metrics::describe_counter!(
        "salt402_settlement_low_balance_total",
        "How often a settling account had too low a balance to send"
    );
    metrics::describe_counter!(
        "salt402_settlement_pauses_total",
        "How often settling paused because the node or the disk failed"
    );
    metrics::describe_counter!(
        "salt402_settlement_broken_total",
        "How often settling on a chain broke by a fault of this program and was started again"
    );
    metrics::describe_counter!(
        "salt402_settlement_unwritten_total",
        "Refusals that were not written down, since the caller had too many of them"
    );
    metrics::describe_counter!(
        "salt402_settlement_refused_total",
        "Settlements that were refused before they were claimed"
    );
}

fn label(chain: ChainId) -> String {
    chain.to_string()
}

/// Notes the outcome of a settlement.
pub(crate) fn outcome(row: &SettlementRow, outcome: &SettlementOutcome, now_ms: u64) {
    let (word, reason) = match outcome {
        SettlementOutcome::Settled { elsewhere: None, .. } => ("settled", String::new()),
        SettlementOutcome::Settled { elsewhere: Some(_), .. } => ("elsewhere", String::new()),
        SettlementOutcome::Failed { reason, .. } => ("failed", reason.clone()),
        SettlementOutcome::Again { .. } => ("again", String::new()),
    };
    let (chain, method) = (label(row.claimed.chain), row.claimed.method.clone());
    metrics::counter!("salt402_settlements_total", "chain" => chain.clone(), "method" => method.clone(), "outcome" => word, "reason" => reason)
        .increment(1);
    if word != "again" {
        let seconds = std::time::Duration::from_millis(now_ms.saturating_sub(row.made_at_ms));
        metrics::histogram!("salt402_settlement_seconds", "chain" => chain, "method" => method)
            .record(seconds);
    }
}

/// Notes a mined transaction.
pub(crate) fn slot_mined(chain: ChainId, account: Address, mined: &Mined, carries: bool) {
    let (chain, account) = (label(chain), account.to_string());
    let gas = mined.gas_used.unwrap_or(0);
    metrics::counter!("salt402_settlement_gas_total", "chain" => chain.clone(), "account" => account.clone())
        .increment(gas);
    let fee = U256::from(gas) * U256::from(mined.gas_price.unwrap_or(0)) / U256::from(1_000_000_000_u64);
    metrics::counter!("salt402_settlement_fee_nano_total", "chain" => chain.clone(), "account" => account)
        .increment(fee.saturating_to());
    let kind = if carries { "settle" } else { "filler" };
    let result = if mined.receipt.success { "success" } else { "reverted" };
    metrics::counter!("salt402_settlement_transactions_total", "chain" => chain, "kind" => kind, "result" => result).increment(1);
}

/// Notes how many settlements a transaction has.
pub(crate) fn sent(chain: ChainId, together: usize) {
    let together = u32::try_from(together).unwrap_or(u32::MAX);
    metrics::histogram!("salt402_settlement_batch", "chain" => label(chain)).record(together);
}

/// Notes how many settlements wait.
pub(crate) fn queued(chain: ChainId, number: usize) {
    metrics::gauge!("salt402_settlement_queue", "chain" => label(chain))
        .set(u32::try_from(number).unwrap_or(u32::MAX));
}

/// Notes how many nonces are open.
pub(crate) fn open(chain: ChainId, number: usize) {
    metrics::gauge!("salt402_settlement_open", "chain" => label(chain))
        .set(u32::try_from(number).unwrap_or(u32::MAX));
}

/// Notes that a transaction was sent again, or was not taken.
pub(crate) fn resent(chain: ChainId, how: &'static str) {
    metrics::counter!("salt402_settlement_resent_total", "chain" => label(chain), "how" => how).increment(1);
}

/// Notes a nonce that another's transaction has.
pub(crate) fn taken(chain: ChainId, account: Address) {
    metrics::counter!("salt402_settlement_nonce_taken_total", "chain" => label(chain), "account" => account.to_string()).increment(1);
}

/// Notes a balance. A gauge has no whole numbers of 256 bits; nothing is decided by it.
#[allow(clippy::float_arithmetic, reason = "a gauge is a float, and no money is counted by it")]
pub(crate) fn balance(chain: ChainId, account: Address, balance: U256, decimals: u8) {
    let unit = 10_f64.powi(i32::from(decimals));
    metrics::gauge!("salt402_settlement_balance", "chain" => label(chain), "account" => account.to_string())
        .set(f64::from(balance) / unit);
}

/// Says below which balance an operator wants to know of an account, as [`balance`] is told.
#[allow(clippy::float_arithmetic, reason = "a gauge is a float, and no money is counted by it")]
pub fn low_water(chain: ChainId, least: U256, decimals: u8) {
    let unit = 10_f64.powi(i32::from(decimals));
    metrics::gauge!("salt402_settlement_low_water", "chain" => label(chain)).set(f64::from(least) / unit);
}

/// Notes an account that could not send for its balance.
pub(crate) fn low(chain: ChainId, account: Address) {
    metrics::counter!("salt402_settlement_low_balance_total", "chain" => label(chain), "account" => account.to_string()).increment(1);
}

/// Notes a pause.
pub(crate) fn paused(chain: ChainId) {
    metrics::counter!("salt402_settlement_pauses_total", "chain" => label(chain)).increment(1);
}

/// Notes a chain's task that broke.
pub(crate) fn broke(chain: ChainId) {
    metrics::counter!("salt402_settlement_broken_total", "chain" => label(chain)).increment(1);
}

/// Notes a refusal that was not written down.
pub(crate) fn unwritten(chain: ChainId, outcome: &'static str) {
    metrics::counter!("salt402_settlement_unwritten_total", "chain" => label(chain), "outcome" => outcome)
        .increment(1);
}

/// Notes a settlement that was refused before it was claimed.
pub(crate) fn refused(chain: ChainId, why: &'static str) {
    metrics::counter!("salt402_settlement_refused_total", "chain" => label(chain), "why" => why).increment(1);
}
