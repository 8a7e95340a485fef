//! Logs of known blocks into placed payments.

use std::collections::HashMap;

use alloy_primitives::{Address, B256};
use alloy_sol_types::SolEvent;
use salt402_chain::{Header, Log, LogQuery};
use salt402_protocol::ChainId;
use salt402_protocol::contracts::ISaltPay;
use salt402_protocol::payment::{RawLog, decode};
use salt402_store::{Block, PlacedPayment};

/// The question whose answer holds every payment of a contract.
pub(crate) fn payments_of(contract: Address) -> LogQuery {
    LogQuery { contract, topic: ISaltPay::Payment::SIGNATURE_HASH }
}

/// Reads payments out of logs of whole blocks. `time_of` gives a block's time where a log does not bring it.
pub(crate) fn place(
    chain: ChainId,
    contract: Address,
    logs: &[Log],
    time_of: impl Fn(&Log) -> Option<u64>,
) -> Vec<PlacedPayment> {
    let raw = logs.iter().map(|log| RawLog {
        contract: log.contract,
        transaction: log.transaction,
        content: &log.content,
    });
    let decoded = decode(chain, contract, raw);
    if decoded.skipped > 0 {
        tracing::warn!(%chain, %contract, skipped = decoded.skipped, "logs of the payment contract do not decode");
        metrics::counter!("salt402_indexer_undecodable_logs_total", "chain" => chain.to_string())
            .increment(decoded.skipped as u64);
    }
    let blocks: HashMap<B256, &Log> = logs.iter().map(|log| (log.transaction, log)).collect();
    let mut position: HashMap<B256, u32> = HashMap::new();
    decoded
        .payments
        .into_iter()
        .filter_map(|payment| {
            let log = *blocks.get(&payment.transaction)?;
            let next = position.entry(payment.transaction).or_default();
            let placed = PlacedPayment {
                position: *next,
                block_number: log.block_number,
                block_hash: log.block_hash,
                block_timestamp: time_of(log)?,
                payment,
            };
            *next += 1;
            Some(placed)
        })
        .collect()
}

pub(crate) fn block(header: &Header) -> Block {
    Block {
        number: header.number,
        hash: header.hash,
        parent_hash: header.parent_hash,
        timestamp: header.timestamp,
    }
}
