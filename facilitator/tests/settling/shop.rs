//! A database, a world, and who settles over them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256};
use salt402_chain::{Account, Node};
use salt402_facilitator::{
    Approved, Authorization, Engine, Method, SettleChain, SettleContracts, SettleOptions, Settled,
    Settler as _,
};
use salt402_store::{IndexChanges, Options, SettlementRow, Store};
use tempfile::TempDir;

use crate::ledger::TOKEN;
use crate::node::TestNode;
use crate::world::{CHAIN, START, World};

/// Anvil's publicly known keys.
pub(crate) const KEYS: [&str; 2] = [
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
];
pub(crate) const PAYEE: Address = Address::repeat_byte(0xbb);

pub(crate) struct Shop {
    pub(crate) _folder: TempDir,
    pub(crate) store: Store,
    pub(crate) world: Arc<World>,
    pub(crate) options: SettleOptions,
}

impl Shop {
    pub(crate) async fn new(seed: u64) -> Self {
        Self::with_finality(seed, 30).await
    }

    pub(crate) async fn with_finality(seed: u64, depth: u64) -> Self {
        println!("seed {seed}");
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Options::new(folder.path().join("settling.db"))).await.unwrap();
        let world = Arc::new(World::new(seed, depth));
        store.pin_chain(CHAIN, B256::repeat_byte(0xee)).await.unwrap();
        world.block(&store).await;
        let options = SettleOptions {
            wait: Duration::from_millis(300),
            stall: Duration::from_millis(40),
            locks: folder.path().to_owned(),
            ..SettleOptions::default()
        };
        Self { _folder: folder, store, world, options }
    }

    pub(crate) fn engine(&self) -> Arc<Engine> {
        self.engine_over(TestNode::new(&self.world), 1)
    }

    pub(crate) fn engine_over(&self, node: Arc<TestNode>, accounts: usize) -> Arc<Engine> {
        let node: Arc<dyn Node> = node;
        let accounts =
            KEYS.iter().take(accounts).map(|key| Arc::new(Account::from_key(key).unwrap())).collect();
        let chain = SettleChain { chain: CHAIN, node, contracts: SettleContracts::default(), accounts };
        let changes = IndexChanges::of_this_process(&self.store);
        Arc::new(Engine::start(&self.store, &changes, vec![chain], self.options.clone()).unwrap())
    }

    /// An engine, once the one before has given its locks back.
    pub(crate) async fn next_engine(&self) -> Arc<Engine> {
        for _ in 0..100 {
            let account = Arc::new(Account::from_key(KEYS[0]).unwrap());
            let chain = SettleChain {
                chain: CHAIN,
                node: TestNode::new(&self.world),
                contracts: SettleContracts::default(),
                accounts: vec![account],
            };
            let changes = IndexChanges::of_this_process(&self.store);
            match Engine::start(&self.store, &changes, vec![chain], self.options.clone()) {
                Ok(engine) => return Arc::new(engine),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        panic!("the locks were not given back")
    }

    /// Makes blocks until a condition holds.
    pub(crate) async fn until<F: Future<Output = bool>>(&self, what: &str, holds: impl Fn() -> F) {
        for _ in 0..2_000 {
            if holds().await {
                return;
            }
            self.world.block(&self.store).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it was never so: {what}");
    }

    /// Makes blocks until a task has ended.
    pub(crate) async fn finish<T>(&self, task: tokio::task::JoinHandle<T>) -> T {
        self.until("the task ended", || async { task.is_finished() }).await;
        task.await.unwrap()
    }

    /// Replaces the block of a settlement, and all above it, by blocks without any transaction.
    pub(crate) async fn drop_block_of(&self, approved: &Approved) {
        let block = self.row(approved).await.block.unwrap();
        let depth = self.world.state().head().number - block + 1;
        self.world.reorganize(&self.store, usize::try_from(depth).unwrap(), false).await;
    }

    pub(crate) async fn row(&self, approved: &Approved) -> SettlementRow {
        self.row_of(approved).await.unwrap()
    }

    pub(crate) async fn row_of(&self, approved: &Approved) -> Option<SettlementRow> {
        self.store.settlement(CHAIN, approved.authorization.id()).await.unwrap()
    }
}

pub(crate) fn payer(number: u8) -> Address {
    Address::repeat_byte(0xa0 ^ number)
}

/// What a payer signed, approved.
pub(crate) fn approved(payer: Address, nonce: u64, amount: u64) -> Approved {
    let authorization = Authorization {
        chain: CHAIN,
        token: TOKEN,
        payer,
        payee: PAYEE,
        amount: U256::from(amount),
        nonce: U256::from(nonce),
        valid_after: U256::ZERO,
        valid_before: U256::from(START + 1_000_000),
        signature: [[3; 32].as_slice(), &[4; 32], &[27]].concat().into(),
        method: Method::Eip3009 { name: "Test".to_owned(), version: "1".to_owned(), deployment: None },
    };
    Approved {
        charge: authorization.amount,
        authorization,
        payer_has_code: false,
        caller: None,
        key: None,
        payload: Bytes::new(),
    }
}

/// What a payer signed for Permit2, approved.
pub(crate) fn permitted(payer: Address, nonce: u64, amount: u64) -> Approved {
    let mut one = approved(payer, nonce, amount);
    one.authorization.method = Method::Permit2Exact { permit: None };
    one
}

/// Asks to settle, in a task.
pub(crate) fn settle(engine: &Arc<Engine>, approved: &Approved) -> tokio::task::JoinHandle<Settled> {
    let (engine, approved) = (Arc::clone(engine), approved.clone());
    tokio::spawn(async move { engine.settle(approved).await.unwrap() })
}

/// Asks again until there is an outcome, as clients do.
pub(crate) async fn outcome(shop: &Shop, engine: &Arc<Engine>, approved: &Approved) -> Settled {
    loop {
        match shop.finish(settle(engine, approved)).await {
            Settled::Pending { .. } => {}
            settled => return settled,
        }
    }
}
