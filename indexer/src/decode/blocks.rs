//! Turns the logs of known blocks into payments and events, each with its block.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use alloy_primitives::{Address, B256};
use futures::{StreamExt, TryStreamExt, stream};
use salt402_chain::{Header, Log, Node, NodeError, Readable, Receipt};
use salt402_protocol::log::{Decoded, RawLog, decode};
use salt402_protocol::permit2::Call;
use salt402_protocol::transaction::{Whole, decode_whole, needs_call};
use salt402_protocol::{ChainId, Source};
use salt402_store::{Block, Extras, Placed, PlacedPayment, UnreadableTransaction};

use crate::decode::found::Found;
use crate::state::{FailingTransactions, IndexError};

/// How many transactions are read by their receipts at once.
const RECEIPTS_IN_FLIGHT: usize = 8;

/// A block, as far as its payments and events need it.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    number: u64,
    hash: B256,
    timestamp: u64,
}

/// A transaction that must be read as a whole: only some of its logs are known, or none could be read.
struct Open {
    place: Place,
    transaction: B256,
    known: Vec<Log>,
    /// Its index in its block, if that is known.
    index: Option<u32>,
}

/// What the logs of whole blocks tell by themselves, and which transactions must still be read.
pub(crate) struct Told {
    found: Found,
    open: Vec<Open>,
}

/// Reads the logs of whole blocks. `time_of` gives the time of the block at a height, if it is known. If something
/// could not be read with its block, each transaction of it is asked for by itself.
///
/// Reads each transaction of a block by itself, because equal logs are counted within their transaction. An answer with
/// one transaction in two blocks contradicts itself. Counted together, its logs would be payments that nobody made.
pub(crate) fn read(
    chain: ChainId,
    sources: &[Source],
    readable: &Readable,
    time_of: impl Fn(u64) -> Option<u64>,
) -> Told {
    let logs = &readable.logs;
    let mut blocks: BTreeMap<(u64, B256), Vec<&Log>> = BTreeMap::new();
    for together in logs.chunk_by(|a, b| a.block_hash == b.block_hash && a.block_number == b.block_number) {
        if let Some(first) = together.first() {
            blocks.entry((first.block_number, first.block_hash)).or_default().extend(together);
        }
    }
    let mut told = Told { found: Found::default(), open: Vec::new() };
    for ((number, hash), logs) in blocks {
        let said = || logs.iter().find_map(|log| log.block_timestamp);
        let Some(timestamp) = time_of(number).or_else(said) else { continue };
        let place = Place { number, hash, timestamp };
        let sources = since(sources, number);
        let (direct, open) = split(&sources, logs);
        told.found.extend(placed(chain, place, decode(chain, &sources, raw(direct))));
        let open = open.into_iter();
        told.open.extend(open.map(|(transaction, known)| Open { place, transaction, known, index: None }));
    }
    for unread in &readable.unreadable {
        let (number, hash, transaction) = (unread.block_number, unread.block_hash, unread.transaction);
        let known = told.open.iter().any(|open| open.transaction == transaction && open.place.hash == hash);
        if let (false, Some(timestamp)) = (known, time_of(number)) {
            let place = Place { number, hash, timestamp };
            told.open.push(Open { place, transaction, known: Vec::new(), index: Some(unread.place) });
        }
    }
    told
}

impl Told {
    /// Reads the transactions that must be read as a whole, by their receipts. One whose receipt cannot be read is
    /// named as unreadable and does not affect the others.
    pub(crate) async fn complete(
        self,
        node: &dyn Node,
        chain: ChainId,
        sources: &[Source],
        failing: &FailingTransactions,
    ) -> Result<Found, IndexError> {
        let mut found = self.found;
        let completed =
            self.open.into_iter().map(|open| open.complete_or_give_up(node, chain, sources, failing));
        let mut completed = stream::iter(completed).buffered(RECEIPTS_IN_FLIGHT);
        while let Some(more) = completed.try_next().await? {
            found.extend(more);
        }
        report(chain, &found);
        Ok(found)
    }
}

impl Open {
    async fn complete_or_give_up(
        self,
        node: &dyn Node,
        chain: ChainId,
        sources: &[Source],
        failing: &FailingTransactions,
    ) -> Result<Found, IndexError> {
        let (place, transaction, index) = (self.place, self.transaction, self.index);
        let error = match self.complete(node, chain, sources).await {
            Ok(found) => {
                failing.succeeded(transaction);
                return Ok(found);
            }
            Err(error) => error,
        };
        if !failing.gives_up(transaction, &error) {
            return Err(error);
        }
        let block = place.number;
        tracing::error!(%chain, %transaction, block, %error, "a transaction cannot be read: what it paid is not known");
        metrics::counter!("salt402_indexer_unreadable_total", "chain" => chain.to_string()).increment(1);
        let (bytes, bound) = error.too_long().unwrap_or_default();
        let what =
            UnreadableTransaction { transaction, position: index, bytes, bound, reason: error.to_string() };
        let unreadable = vec![Placed {
            what,
            block_number: place.number,
            block_hash: place.hash,
            block_timestamp: place.timestamp,
        }];
        Ok(Found { extras: Extras { unreadable, ..Extras::default() }, ..Found::default() })
    }

    async fn complete(
        self,
        node: &dyn Node,
        chain: ChainId,
        sources: &[Source],
    ) -> Result<Found, IndexError> {
        let Self { place, transaction, known, .. } = self;
        let receipt = node.receipt(transaction).await?.ok_or(NodeError::Behind)?;
        if receipt.block_hash != place.hash || receipt.block_number != place.number {
            return Err(NodeError::Moved.into());
        }
        // A receipt without a log that was shown before is of something else. The same log may have been shown for
        // several questions, so each is looked for.
        let holds = |known: &Log| {
            receipt.logs.iter().any(|log| log.contract == known.contract && log.content == known.content)
        };
        if !known.iter().all(holds) {
            let what = format!("the receipt of {transaction} lacks a log that the node showed before");
            return Err(NodeError::Lied { what }.into());
        }
        whole(node, chain, sources, &receipt, place.timestamp).await
    }
}

/// Splits logs into those that tell everything by themselves and, by transaction, those of transactions that must be
/// read as a whole.
fn split<'l>(sources: &[Source], logs: Vec<&'l Log>) -> (Vec<&'l Log>, Vec<(B256, Vec<Log>)>) {
    let direct =
        |log: &Log| sources.iter().any(|source| source.is_direct() && source.contract == log.contract);
    let mut told_of: Vec<(B256, Vec<Log>)> = Vec::new();
    let mut places: HashMap<B256, usize> = HashMap::new();
    for log in logs.iter().filter(|log| !direct(log)) {
        places.entry(log.transaction).or_insert_with(|| {
            told_of.push((log.transaction, Vec::new()));
            told_of.len() - 1
        });
    }
    let mut told = Vec::new();
    for log in logs {
        match places.get(&log.transaction) {
            Some(place) => told_of[*place].1.push(log.clone()),
            None => told.push(log),
        }
    }
    (told, told_of)
}

/// The sources that may have events at a height.
fn since(sources: &[Source], height: u64) -> Cow<'_, [Source]> {
    if sources.iter().all(|source| source.start_block <= height) {
        return Cow::Borrowed(sources);
    }
    sources.iter().filter(|source| source.start_block <= height).cloned().collect()
}

fn raw<'l>(logs: impl IntoIterator<Item = &'l Log>) -> impl Iterator<Item = RawLog<'l>> {
    logs.into_iter().map(|log| RawLog {
        contract: log.contract,
        transaction: log.transaction,
        content: &log.content,
    })
}

/// Everything that a receipt tells, in the block that it names. The calldata is asked for if it is needed.
pub(crate) async fn whole(
    node: &dyn Node,
    chain: ChainId,
    sources: &[Source],
    receipt: &Receipt,
    timestamp: u64,
) -> Result<Found, IndexError> {
    Ok(whole_and_rest(node, chain, sources, receipt, timestamp).await?.0)
}

/// As [`whole`], and which tokens reached whom without a payment that counts.
pub(crate) async fn whole_and_rest(
    node: &dyn Node,
    chain: ChainId,
    sources: &[Source],
    receipt: &Receipt,
    timestamp: u64,
) -> Result<(Found, BTreeSet<(Address, Address)>), IndexError> {
    let place = Place { number: receipt.block_number, hash: receipt.block_hash, timestamp };
    let sources = since(sources, place.number);
    let logs: Vec<_> = receipt.logs.iter().map(|log| (log.contract, &log.content)).collect();
    let called = if needs_call(&sources, &logs) {
        Some(node.transaction(receipt.transaction).await?.ok_or(NodeError::Behind)?)
    } else {
        None
    };
    let call = called.as_ref().map(|called| Call { to: called.to, input: &called.input });
    let transaction = receipt.transaction;
    let mut decoded = decode_whole(chain, &sources, Whole { transaction, logs: &logs, call });
    let rest = std::mem::take(&mut decoded.unaccounted);
    Ok((placed(chain, place, decoded), rest))
}

/// What was decoded, with its block. The payments of each transaction are numbered.
fn placed(chain: ChainId, place: Place, decoded: Decoded) -> Found {
    let Place { number: block_number, hash: block_hash, timestamp: block_timestamp } = place;
    // The payments of a transaction mostly come one after the other. If they do not, the numbering goes on.
    let mut counted: HashMap<B256, u32> = HashMap::new();
    let mut current: Option<(B256, u32)> = None;
    let payments = decoded.payments.into_iter().map(|payment| {
        let position = match current {
            Some((transaction, before)) if transaction == payment.transaction => before + 1,
            other => {
                counted.extend(other);
                counted.get(&payment.transaction).map_or(0, |before| before + 1)
            }
        };
        current = Some((payment.transaction, position));
        PlacedPayment { position, block_number, block_hash, block_timestamp, payment }
    });
    let payments = payments.collect();
    if decoded.skipped > 0 {
        tracing::warn!(%chain, skipped = decoded.skipped, "logs of a followed contract do not decode");
        metrics::counter!("salt402_indexer_undecodable_logs_total", "chain" => chain.to_string())
            .increment(decoded.skipped as u64);
    }
    let channels = decoded.channels.into_iter();
    let channels = channels.map(|what| Placed { what, block_number, block_hash, block_timestamp });
    let refunds = decoded.refunds.into_iter();
    let refunds = refunds.map(|what| Placed { what, block_number, block_hash, block_timestamp });
    let ambiguities = decoded.ambiguities.into_iter();
    let ambiguities = ambiguities.map(|what| Placed { what, block_number, block_hash, block_timestamp });
    let extras = Extras {
        channels: channels.collect(),
        refunds: refunds.collect(),
        settlements: decoded.settlements,
        ambiguities: ambiguities.collect(),
        unreadable: Vec::new(),
    };
    Found { payments, extras, skipped: decoded.skipped }
}

/// Logs what a person must look at.
fn report(chain: ChainId, found: &Found) {
    for Placed { what, block_number, .. } in &found.extras.ambiguities {
        tracing::warn!(
            %chain,
            transaction = %what.transaction,
            contract = %what.contract,
            block = block_number,
            reason = what.reason,
            "something that may be a payment was not counted"
        );
        metrics::counter!("salt402_indexer_ambiguous_total", "chain" => chain.to_string()).increment(1);
    }
}

pub(crate) fn block(header: &Header) -> Block {
    Block {
        number: header.number,
        hash: header.hash,
        parent_hash: header.parent_hash,
        timestamp: header.timestamp,
    }
}
