//! Settling on a real chain: anvil, a follower, and wrapped SALT with the signatures of a payer.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by it"
)]

use std::sync::Arc;
use std::time::Duration;

use salt402_chain::{Account, Endpoint, Node, Pool, PoolOptions, Profile, Role};
use salt402_facilitator::{
    Approved, Authorization, Engine, Method, SettleChain, SettleContracts, SettleOptions, Settled,
    Settler as _,
};
use salt402_indexer::{Follower, FollowerOptions};
use salt402_protocol::foreign::MULTICALL3;
use salt402_protocol::source::{Source, SourceKind};
use salt402_protocol::{Address, Amount, B256, ChainId, U256};
use salt402_store::{IndexChanges, Options, SettlementState, Store};
use salt402_tests::{Anvil, Deployment, TestPayer, signing};
use tokio_util::sync::CancellationToken;

/// Anvil's third key: whoever settles.
const SETTLER_KEY: &str = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a";
const PAYEE: Address = Address::repeat_byte(0xbb);

struct Shop {
    _folder: tempfile::TempDir,
    anvil: Anvil,
    deployed: Deployment,
    store: Store,
    pool: Pool,
    stop: CancellationToken,
    options: SettleOptions,
}

impl Shop {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let anvil = Anvil::start().await;
        let deployed = anvil.deploy(&folder.path().join("deployments")).await;
        TestPayer::new(&anvil).wrap(deployed.wrapped_salt, Amount(U256::from(1_000_000_u64))).await;
        let profile = Profile { poll_ms: 20, ..Profile::named("local").unwrap() };
        let endpoint = Endpoint::new(anvil.http().parse().unwrap());
        let pool_options = PoolOptions::of(&profile);
        let pool = Pool::connect(vec![(endpoint, Role::Primary)], &profile, pool_options).unwrap();
        let store = Store::open(Options::new(folder.path().join("settling.db"))).await.unwrap();
        let kind = SourceKind::Eip3009Token { payees: vec![PAYEE] };
        let sources = vec![Source { contract: deployed.wrapped_salt, kind, start_block: 0 }];
        let stop = CancellationToken::new();
        let follower = FollowerOptions { chain: ChainId::CITRATE, sources };
        let (follower, _health) = Follower::new(pool.clone(), store.clone(), follower);
        tokio::spawn(follower.run(stop.clone()));
        let options = SettleOptions {
            wait: Duration::from_secs(20),
            locks: folder.path().to_owned(),
            ..SettleOptions::default()
        };
        Self { _folder: folder, anvil, deployed, store, pool, stop, options }
    }

    fn engine(&self) -> Arc<Engine> {
        let node: Arc<dyn Node> = Arc::new(self.pool.clone());
        let accounts = vec![Arc::new(Account::from_key(SETTLER_KEY).unwrap())];
        let chain =
            SettleChain { chain: ChainId::CITRATE, node, contracts: SettleContracts::default(), accounts };
        let changes = IndexChanges::of_this_process(&self.store);
        Arc::new(Engine::start(&self.store, &changes, vec![chain], self.options.clone()).unwrap())
    }

    /// What the payer signed for wrapped SALT, approved.
    fn approved(&self, nonce: u64, value: u64) -> Approved {
        let (token, nonce, amount) = (self.deployed.wrapped_salt, U256::from(nonce), U256::from(value));
        let (v, r, s) = signing::wrapped_salt_signature(token, PAYEE, amount, B256::from(nonce));
        let authorization = Authorization {
            chain: ChainId::CITRATE,
            token,
            payer: signing::PAYER.parse().unwrap(),
            payee: PAYEE,
            amount,
            nonce,
            valid_after: U256::ZERO,
            valid_before: U256::MAX,
            signature: [r.as_slice(), s.as_slice(), &[v]].concat().into(),
            method: Method::Eip3009 {
                name: "Wrapped SALT".to_owned(),
                version: "1".to_owned(),
                deployment: None,
            },
        };
        Approved {
            charge: amount,
            authorization,
            payer_has_code: false,
            caller: None,
            key: None,
            payload: Default::default(),
        }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn settle(engine: &Arc<Engine>, approved: &Approved) -> tokio::task::JoinHandle<Settled> {
    let (engine, approved) = (Arc::clone(engine), approved.clone());
    tokio::spawn(async move {
        loop {
            match engine.settle(approved.clone()).await.unwrap() {
                Settled::Pending { .. } => {}
                settled => return settled,
            }
        }
    })
}

fn done(settled: &Settled) -> B256 {
    match settled {
        Settled::Done { transaction: Some(transaction), .. } => *transaction,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signed_payments_settle_alone_and_together_and_again_after_a_reorganization() {
    let shop = Shop::new().await;
    let engine = shop.engine();
    // One alone: its token's call, and the index has the payment by the same name.
    let one = shop.approved(1, 70);
    let transaction = done(&settle(&engine, &one).await.unwrap());
    let node = shop.anvil.node();
    let receipt = node.receipt(transaction).await.unwrap().unwrap();
    assert_eq!(receipt.to, Some(shop.deployed.wrapped_salt));
    let indexed = shop.store.signed_payments(ChainId::CITRATE, one.authorization.id()).await.unwrap();
    assert_eq!(indexed[0].placed.payment.transaction, transaction);
    let row = shop.store.settlement(ChainId::CITRATE, one.authorization.id()).await.unwrap().unwrap();
    assert!(row.gas_used > 30_000 && row.gas_used < 120_000, "{}", row.gas_used);
    assert!(!row.fee.0.is_zero());

    // Many at once: some go together, all are paid, and the same once more changes nothing.
    let many: Vec<_> = (100..130).map(|nonce| shop.approved(nonce, nonce)).collect();
    let tasks: Vec<_> = many.iter().map(|one| settle(&engine, one)).collect();
    let mut transactions = Vec::new();
    for task in tasks {
        transactions.push(done(&task.await.unwrap()));
    }
    let again = done(&settle(&engine, &many[3]).await.unwrap());
    assert_eq!(again, transactions[3]);
    transactions.sort_unstable();
    transactions.dedup();
    assert!(transactions.len() < many.len(), "none went together");
    let mut together = 0;
    for transaction in &transactions {
        let receipt = node.receipt(*transaction).await.unwrap().unwrap();
        assert!(receipt.success);
        together += usize::from(receipt.to == Some(MULTICALL3));
    }
    assert!(together > 0);
    // What a transaction used is divided among its settlements, and nothing is left over.
    let mut used = std::collections::BTreeMap::new();
    for one in &many {
        let row = shop.store.settlement(ChainId::CITRATE, one.authorization.id()).await.unwrap().unwrap();
        assert!(row.gas_used > 0 && !row.fee.0.is_zero(), "{row:?}");
        *used.entry(row.transaction.unwrap()).or_default() += row.gas_used;
    }
    for mined in node.mined(&transactions).await.unwrap().into_iter().flatten() {
        assert_eq!(used.get(&mined.receipt.transaction).copied(), mined.gas_used);
    }

    // The last block leaves the chain with its transaction, which is sent again.
    let last = shop.approved(200, 5);
    done(&settle(&engine, &last).await.unwrap());
    shop.anvil.reorg(1).await;
    let id = last.authorization.id();
    let mut seen = false;
    for _ in 0..2_000 {
        let row = shop.store.settlement(ChainId::CITRATE, id).await.unwrap().unwrap();
        let mined = node.receipt(row.transaction.unwrap_or_default()).await.unwrap();
        seen = row.state == SettlementState::Settled && mined.is_some_and(|receipt| receipt.success);
        if seen {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(seen, "it was not settled again");
    assert!(shop.store.open_slots(ChainId::CITRATE).await.unwrap().is_empty());
}
