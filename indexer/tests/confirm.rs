//! What a second node says of a payment in a block that was merged from beside the selected chain.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by it")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, B256, LogData, U256};
use alloy_sol_types::SolEvent as _;
use async_trait::async_trait;
use futures::stream::BoxStream;
use salt402_chain::{
    At, Header, Log, LogQuery, Merging, Node, NodeError, Profile, Receipt, Span, Transaction, Work,
};
use salt402_indexer::{Confirmation, Confirmed, FollowerOptions, ReceiptLookup};
use salt402_protocol::contracts::ISaltPay;
use salt402_protocol::log::{RawLog, decode};
use salt402_protocol::{ChainId, Source, SourceKind};
use salt402_store::{Options, PlacedPayment, Store};
use tempfile::TempDir;

const CHAIN: ChainId = ChainId::CITRATE;
const CONTRACT: Address = Address::repeat_byte(0x5a);
const PAID: B256 = B256::repeat_byte(0x77);
/// The height of the block that merged, and that of the block that was merged.
const MERGING: u64 = 4;
const BESIDE: u64 = 3;
const TIP: u64 = 9;

fn selected(number: u64) -> Header {
    let hash = |number: u64| B256::left_padding_from(&(number + 1).to_be_bytes());
    let parent_hash = number.checked_sub(1).map_or(B256::ZERO, hash);
    Header { number, hash: hash(number), parent_hash, timestamp: 1_700_000_000 + number }
}

/// A block beside the selected chain.
fn beside() -> Header {
    let parent_hash = selected(BESIDE - 1).hash;
    Header { number: BESIDE, hash: B256::repeat_byte(0xbe), parent_hash, timestamp: 1_700_000_000 }
}

fn source() -> Source {
    Source { contract: CONTRACT, kind: SourceKind::SaltPay, start_block: 0 }
}

fn content() -> LogData {
    let paid = ISaltPay::Payment {
        paymentReference: B256::repeat_byte(8),
        payer: Address::repeat_byte(1),
        payee: Address::repeat_byte(2),
        asset: Address::ZERO,
        amount: U256::from(1000),
    };
    paid.encode_log_data()
}

/// The payment as the index has it: in the block that merged its own, or in any other.
fn placed(block: Header) -> PlacedPayment {
    let content = content();
    let log = RawLog { contract: CONTRACT, transaction: PAID, content: &content };
    let payment = decode(CHAIN, &[source()], [log]).payments.remove(0);
    PlacedPayment {
        payment,
        position: 0,
        block_number: block.number,
        block_hash: block.hash,
        block_timestamp: block.timestamp,
    }
}

fn receipt(block: Header, success: bool) -> Receipt {
    let log = Log {
        contract: CONTRACT,
        content: content(),
        transaction: PAID,
        block_number: block.number,
        block_hash: block.hash,
        block_timestamp: None,
    };
    Receipt {
        transaction: PAID,
        block_number: block.number,
        block_hash: block.hash,
        success,
        from: Address::ZERO,
        to: None,
        logs: if success { vec![log] } else { Vec::new() },
    }
}

/// One node with the selected chain, and what it says of the rest.
struct Shown {
    profile: Profile,
    /// The height whose block merged the one beside, if one did.
    merging: Mutex<Option<u64>>,
    receipt: Mutex<Option<Receipt>>,
    asked: AtomicU64,
}

impl Shown {
    fn new(merges_blocks: bool, merging: Option<u64>, receipt: Option<Receipt>) -> Arc<Self> {
        let profile = Profile {
            chain_id: CHAIN,
            merges_blocks,
            finality_depth: 4,
            ..Profile::named("local").expect("there is a local profile")
        };
        let (merging, receipt) = (Mutex::new(merging), Mutex::new(receipt));
        Arc::new(Self { profile, merging, receipt, asked: AtomicU64::new(0) })
    }
}

#[async_trait]
impl Node for Shown {
    async fn chain_id(&self) -> Result<u64, NodeError> {
        Ok(CHAIN.get())
    }

    async fn header(&self, at: At) -> Result<Option<Header>, NodeError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(match at {
            At::Latest => Some(selected(TIP)),
            At::Number(number) => (number <= TIP).then(|| selected(number)),
            At::Hash(hash) if hash == beside().hash => Some(beside()),
            At::Hash(hash) => (0..=TIP).map(selected).find(|header| header.hash == hash),
        })
    }

    async fn merging(&self, at: At) -> Result<Option<Merging>, NodeError> {
        let merging = *self.merging.lock().unwrap();
        let merged = |header: Header| merging == Some(header.number) && header.hash != beside().hash;
        let block = |header| Merging {
            header,
            merged: if merged(header) { vec![beside().hash] } else { Vec::new() },
        };
        Ok(self.header(at).await?.map(block))
    }

    async fn logs(&self, _query: &LogQuery, _span: Span) -> Result<Vec<Log>, NodeError> {
        Ok(Vec::new())
    }

    async fn receipt(&self, transaction: B256) -> Result<Option<Receipt>, NodeError> {
        Ok(self.receipt.lock().unwrap().clone().filter(|receipt| receipt.transaction == transaction))
    }

    async fn transaction(&self, _hash: B256) -> Result<Option<Transaction>, NodeError> {
        Ok(None)
    }

    async fn heads(&self) -> Result<Option<BoxStream<'static, ()>>, NodeError> {
        Ok(None)
    }

    fn profile(&self) -> &Profile {
        &self.profile
    }
}

/// Two nodes that stand in for each other.
struct Both([Arc<Shown>; 2]);

#[async_trait]
impl Node for Both {
    async fn chain_id(&self) -> Result<u64, NodeError> {
        self.0[0].chain_id().await
    }

    async fn header(&self, at: At) -> Result<Option<Header>, NodeError> {
        self.0[0].header(at).await
    }

    async fn logs(&self, query: &LogQuery, span: Span) -> Result<Vec<Log>, NodeError> {
        self.0[0].logs(query, span).await
    }

    async fn receipt(&self, transaction: B256) -> Result<Option<Receipt>, NodeError> {
        self.0[0].receipt(transaction).await
    }

    async fn transaction(&self, hash: B256) -> Result<Option<Transaction>, NodeError> {
        self.0[0].transaction(hash).await
    }

    async fn heads(&self) -> Result<Option<BoxStream<'static, ()>>, NodeError> {
        Ok(None)
    }

    async fn each(&self, _work: Work) -> Vec<(String, Arc<dyn Node>)> {
        let [first, second] = &self.0;
        vec![("first".into(), Arc::clone(first) as _), ("second".into(), Arc::clone(second) as _)]
    }

    fn profile(&self) -> &Profile {
        self.0[0].profile()
    }
}

async fn asking(first: &Arc<Shown>, second: &Arc<Shown>) -> (ReceiptLookup, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(Options::new(directory.path().join("salt402.db"))).await.unwrap();
    let options = FollowerOptions { chain: CHAIN, sources: vec![source()] };
    let both = Both([Arc::clone(first), Arc::clone(second)]);
    (ReceiptLookup::new(Arc::new(both), store, options), directory)
}

/// What is said of a payment where the first node shows that its block was merged, and the second what it does.
async fn said(second: Arc<Shown>, block: Header) -> Confirmation {
    let first = Shown::new(true, Some(MERGING), Some(receipt(beside(), true)));
    let (lookup, _directory) = asking(&first, &second).await;
    lookup.confirm(&placed(block), TIP - block.number + 1).await.said
}

fn silent(said: &Confirmation, why: &str) -> bool {
    matches!(said, Confirmation::Unanswered(told) if told.contains("second") && told.contains(why))
}

#[tokio::test]
async fn two_nodes_whose_blocks_lead_to_the_same_merging_block_confirm_a_merged_payment() {
    let second = Shown::new(true, Some(MERGING), Some(receipt(beside(), true)));
    assert_eq!(said(second, selected(MERGING)).await, Confirmation::Confirmed);
}

/// One node says that a block was merged. Another one has the receipt only because the block lost.
#[tokio::test]
async fn the_receipt_of_a_block_that_a_node_does_not_show_to_be_merged_confirms_nothing() {
    for success in [true, false] {
        let second = Shown::new(true, None, Some(receipt(beside(), success)));
        let told = said(second, selected(MERGING)).await;
        assert!(silent(&told, "another block 3"), "{told:?}");
    }
    // Merged, and by another block than the one where the payment stands: below it, above it.
    for height in [BESIDE, MERGING + 1] {
        let second = Shown::new(true, Some(height), Some(receipt(beside(), true)));
        let told = said(second, selected(MERGING)).await;
        assert!(silent(&told, "another block 3"), "{height}: {told:?}");
    }
    // In a block of its own, above.
    let second = Shown::new(true, Some(MERGING), Some(receipt(selected(MERGING + 1), true)));
    let told = said(second, selected(MERGING)).await;
    assert!(silent(&told, "another block 5"), "{told:?}");
}

#[tokio::test]
async fn a_receipt_of_the_merged_block_without_the_payment_contradicts() {
    let second = Shown::new(true, Some(MERGING), Some(receipt(beside(), false)));
    let told = said(second, selected(MERGING)).await;
    assert!(matches!(&told, Confirmation::Contradicted(told) if told.contains("reverted")), "{told:?}");
}

/// It may be a failure to read the receipt, and the logs of a block never have what it merged.
#[tokio::test]
async fn no_receipt_contradicts_only_where_blocks_are_not_merged() {
    let told = said(Shown::new(true, Some(MERGING), None), selected(MERGING)).await;
    assert!(silent(&told, "does not show the receipt"), "{told:?}");
    let told = said(Shown::new(false, None, None), selected(MERGING)).await;
    assert!(matches!(&told, Confirmation::Contradicted(_)), "{told:?}");
}

#[tokio::test]
async fn what_is_searched_is_bounded_by_the_block_where_the_payment_stands() {
    let second = Shown::new(true, None, Some(receipt(beside(), true)));
    let told = said(Arc::clone(&second), selected(MERGING)).await;
    assert!(silent(&told, "another block"), "{told:?}");
    // The block where it stands, and those from the receipt's height up to it.
    let asked = second.asked.load(Ordering::SeqCst);
    assert!(asked <= 1 + (MERGING - BESIDE + 1), "{asked}");
}

#[tokio::test]
async fn a_contradiction_is_fresh_once_for_each_time_that_the_nodes_are_asked() {
    let first = Shown::new(true, Some(MERGING), Some(receipt(beside(), true)));
    let second = Shown::new(true, Some(MERGING), Some(receipt(beside(), false)));
    let (lookup, _directory) = asking(&first, &second).await;
    tokio::time::pause();
    let confirm = async || {
        let Confirmed { said, fresh } = lookup.confirm(&placed(selected(MERGING)), 6).await;
        (said != Confirmation::Confirmed, fresh)
    };
    for _ in 0..3 {
        let (one, other) = tokio::join!(confirm(), confirm());
        assert_eq!((one, other), ((true, true), (true, false)));
        for _ in 0..100 {
            assert_eq!(confirm().await, (true, false));
        }
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    // What it confirms in the end is asked for once.
    *second.receipt.lock().unwrap() = Some(receipt(beside(), true));
    assert_eq!(confirm().await, (false, true));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(confirm().await, (false, false));
}
