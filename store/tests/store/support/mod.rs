//! A store in a temporary directory, and small chains to put into it.

#![allow(dead_code, reason = "every test file uses its own part")]

use salt402_protocol::{
    Address, Amount, Asset, B256, ChainId, ChannelChange, ChannelEvent, ChannelEventId, Payment, PaymentId,
    RequestDigest, U256,
};
use salt402_store::{
    Applied, Batch, Block, ClaimLimits, ClaimResult, Cursor, IndexedPayment, NewClaim, Options, Placed,
    PlacedPayment, SourceKey, Store, StoreError,
};
use tempfile::TempDir;

pub(crate) const CHAIN: ChainId = ChainId::CITRATE;
/// The contract of the channels.
pub(crate) const CHANNELS: Address = Address::repeat_byte(0xcc);

/// The contract of the channels as a source.
pub(crate) fn channels() -> SourceKey {
    SourceKey { contract: CHANNELS, question: B256::repeat_byte(0xcc) }
}

/// A store and the directory that goes with it.
pub(crate) struct Fixture {
    pub(crate) directory: TempDir,
    pub(crate) store: Store,
}

impl Fixture {
    /// An empty store in which the chain is pinned.
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = open(&directory).await;
        store.pin_chain(CHAIN, genesis().hash).await.unwrap();
        Self { directory, store }
    }

    /// Follows the contract of the channels from the first block, as it stands in the configuration.
    pub(crate) async fn follow_channels(&self) {
        self.store.follow_sources(CHAIN, vec![(channels(), 0)]).await.unwrap();
    }

    /// Closes the store and opens it again.
    pub(crate) async fn reopen(&mut self) {
        self.store.clone().close().await;
        self.store = open(&self.directory).await;
    }

    /// Extends the chain by blocks, or replaces those above `keep_through`.
    pub(crate) async fn apply(
        &self,
        keep_through: Option<u64>,
        blocks: &[TestBlock],
    ) -> Result<Applied, StoreError> {
        let batch = self.batch(keep_through, blocks).await;
        self.store.apply(batch).await
    }

    pub(crate) async fn batch(&self, keep_through: Option<u64>, blocks: &[TestBlock]) -> Batch {
        let expected = self.cursor().await;
        batch(expected, keep_through, blocks)
    }

    pub(crate) async fn cursor(&self) -> Option<Cursor> {
        self.store.chain_state(CHAIN).await.unwrap().unwrap().cursor
    }

    pub(crate) async fn claim(&self, payment: u64, request: u8) -> ClaimResult {
        self.store.claim(new_claim(payment, request)).await.unwrap()
    }

    /// The rows of a payment: whether on the chain, in which block, how deep.
    pub(crate) async fn rows(&self, payment: u64) -> Vec<(bool, B256, u64)> {
        let rows = self.store.payments_in(CHAIN, transaction(payment)).await.unwrap();
        rows.iter()
            .map(|row: &IndexedPayment| (row.canonical, row.placed.block_hash, row.confirmations))
            .collect()
    }

    pub(crate) async fn open_incidents(&self) -> Vec<PaymentId> {
        self.store.incidents(true, 100).await.unwrap().iter().map(|incident| incident.payment).collect()
    }
}

pub(crate) fn options(directory: &TempDir) -> Options {
    Options::new(directory.path().join("salt402.db"))
}

pub(crate) async fn open(directory: &TempDir) -> Store {
    Store::open(options(directory)).await.unwrap()
}

/// Gives the schema the names back that it had before the step `names`, and forgets that the step was taken.
pub(crate) const FORMER_NAMES: [&str; 6] = [
    "ALTER TABLE chains RENAME COLUMN lower_fork_at TO doubted_above",
    "ALTER TABLE undecoded_logs RENAME COLUMN position TO place",
    "ALTER TABLE unreadable_transactions RENAME COLUMN position TO place",
    "DROP INDEX exposures_orphaned",
    "CREATE INDEX exposures_lost ON exposures (chain_id, payment_id) WHERE block_number IS NULL",
    "DELETE FROM _sqlx_migrations WHERE description = 'names'",
];

/// A block with the payments in it, by number.
#[derive(Clone, Debug)]
pub(crate) struct TestBlock {
    pub(crate) block: Block,
    pub(crate) payments: Vec<u64>,
}

/// A child of `parent`; `branch` tells siblings apart.
pub(crate) fn child(parent: Block, branch: u8, payments: &[u64]) -> TestBlock {
    let number = parent.number + 1;
    let mut hash = B256::repeat_byte(branch);
    hash[..8].copy_from_slice(&number.to_be_bytes());
    hash[8..16].copy_from_slice(&parent.hash[16..24]);
    let block = Block { number, hash, parent_hash: parent.hash, timestamp: 1_700_000_000 + number };
    TestBlock { block, payments: payments.to_vec() }
}

pub(crate) fn genesis() -> Block {
    Block { number: 0, hash: B256::repeat_byte(0xee), parent_hash: B256::ZERO, timestamp: 1_700_000_000 }
}

pub(crate) fn batch(expected: Option<Cursor>, keep_through: Option<u64>, blocks: &[TestBlock]) -> Batch {
    let top = blocks.last().unwrap().block;
    Batch {
        chain: CHAIN,
        expected,
        keep_through,
        blocks: blocks.iter().map(|block| block.block).collect(),
        payments: blocks
            .iter()
            .flat_map(|block| block.payments.iter().map(|payment| placed(*payment, block.block)))
            .collect(),
        cursor: Cursor { number: top.number, hash: top.hash },
        head: Some(top.number),
        extras: Default::default(),
        undecoded: Vec::new(),
        prune_below: None,
    }
}

pub(crate) fn placed(payment: u64, block: Block) -> PlacedPayment {
    PlacedPayment {
        payment: self::payment(payment),
        position: 0,
        block_number: block.number,
        block_hash: block.hash,
        block_timestamp: block.timestamp,
    }
}

pub(crate) fn numbered(kind: u8, number: u64) -> B256 {
    let mut hash = B256::repeat_byte(kind);
    hash[24..].copy_from_slice(&number.to_be_bytes());
    hash
}

pub(crate) fn transaction(payment: u64) -> B256 {
    numbered(1, payment)
}

pub(crate) fn id(payment: u64) -> PaymentId {
    PaymentId(numbered(2, payment))
}

/// Who made a payment: one of three.
pub(crate) fn payer(payment: u64) -> Address {
    Address::repeat_byte(0x50 + (payment % 3) as u8)
}

/// The payment of a number, alone in its transaction. Its amount is large, so that no 64 bits hold it, and its number
/// makes it unlike others.
pub(crate) fn payment(number: u64) -> Payment {
    Payment {
        id: id(number),
        chain: CHAIN,
        contract: Address::repeat_byte(3),
        transaction: transaction(number),
        reference: numbered(4, number),
        payer: payer(number),
        payee: Address::repeat_byte(6),
        asset: if number.is_multiple_of(2) { Asset::Native } else { Asset::Token(Address::repeat_byte(7)) },
        amount: amount(number),
    }
}

/// What a payment pays.
pub(crate) fn amount(payment: u64) -> Amount {
    Amount(unit() * U256::from(payment + 1))
}

/// The least that is paid.
pub(crate) fn unit() -> U256 {
    U256::ONE << 200
}

pub(crate) fn new_claim(payment: u64, request: u8) -> NewClaim {
    NewClaim {
        payment: id(payment),
        chain: CHAIN,
        transaction: transaction(payment),
        request: RequestDigest(B256::repeat_byte(request)),
        claimant: "gateway".into(),
        holder: Default::default(),
        confirmations: 1,
        limits: ClaimLimits::default(),
        usage: None,
        now_ms: 1_700_000_000_000 + u64::from(request),
        credit: None,
    }
}

/// Puts a block with events of channels upon the chain, or in place of what is above `keep_through`.
pub(crate) async fn channel_block(
    fixture: &Fixture,
    keep_through: Option<u64>,
    branch: u8,
    changes: &[(B256, ChannelChange)],
) {
    let parent = match keep_through.or(fixture.cursor().await.map(|cursor| cursor.number)) {
        None | Some(0) => genesis(),
        Some(height) => fixture.store.canonical_block(CHAIN, height).await.unwrap().unwrap(),
    };
    let next = child(parent, branch, &[]);
    let mut batch = fixture.batch(keep_through, std::slice::from_ref(&next)).await;
    batch.extras.channels = channel_events(next.block, branch, changes);
    fixture.store.apply(batch).await.unwrap();
}

/// Events of channels in a block.
pub(crate) fn channel_events(
    block: Block,
    branch: u8,
    changes: &[(B256, ChannelChange)],
) -> Vec<Placed<ChannelEvent>> {
    let placed = |(place, (channel, change)): (usize, &(B256, ChannelChange))| {
        let number = block.number * 1000 + u64::from(branch) * 100 + place as u64;
        let what = ChannelEvent {
            id: ChannelEventId(numbered(0x0e, number)),
            chain: CHAIN,
            contract: CHANNELS,
            transaction: numbered(0x0f, number),
            channel: *channel,
            change: *change,
        };
        Placed { what, block_number: block.number, block_hash: block.hash, block_timestamp: block.timestamp }
    };
    changes.iter().enumerate().map(placed).collect()
}
