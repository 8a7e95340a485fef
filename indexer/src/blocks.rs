//! Logs of known blocks into placed payments.

use std::collections::HashMap;

use alloy_primitives::B256;
use salt402_chain::{Header, Log, LogQuery};
use salt402_protocol::payment::{RawLog, decode};
use salt402_protocol::{ChainId, Source};
use salt402_store::{Block, PlacedPayment};

/// The question whose answer holds every event of a contract that counts.
pub(crate) fn events_of(source: &Source) -> LogQuery {
    LogQuery::new(source.contract, source.events())
}

/// Reads payments out of logs of whole blocks. `time_of` gives a block's time where a log does not bring it.
///
/// Block by block, because equal logs are counted within their transaction: an answer that has one transaction in two
/// blocks contradicts itself, and counted together its logs would be payments that nobody made.
pub(crate) fn place(
    chain: ChainId,
    sources: &[Source],
    logs: &[Log],
    time_of: impl Fn(&Log) -> Option<u64>,
) -> Vec<PlacedPayment> {
    let mut placed = Vec::new();
    let mut skipped = 0;
    for block in logs.chunk_by(|a, b| a.block_hash == b.block_hash) {
        let raw = block.iter().map(|log| RawLog {
            contract: log.contract,
            transaction: log.transaction,
            content: &log.content,
        });
        let decoded = decode(chain, sources, raw);
        skipped += decoded.skipped;
        let Some((first, block_timestamp)) = block.first().and_then(|log| Some((log, time_of(log)?))) else {
            continue;
        };
        let mut position: HashMap<B256, u32> = HashMap::new();
        placed.extend(decoded.payments.into_iter().map(|payment| {
            let next = position.entry(payment.transaction).or_default();
            let position = *next;
            *next += 1;
            PlacedPayment {
                position,
                block_number: first.block_number,
                block_hash: first.block_hash,
                block_timestamp,
                payment,
            }
        }));
    }
    if skipped > 0 {
        tracing::warn!(%chain, skipped, "logs of a followed contract do not decode");
        metrics::counter!("salt402_indexer_undecodable_logs_total", "chain" => chain.to_string())
            .increment(skipped as u64);
    }
    placed
}

pub(crate) fn block(header: &Header) -> Block {
    Block {
        number: header.number,
        hash: header.hash,
        parent_hash: header.parent_hash,
        timestamp: header.timestamp,
    }
}
