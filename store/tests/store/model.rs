//! The store against a plain model of it: random blocks, reorganizations, claims and restarts, everything compared after
//! every step. A failing case prints its seed and shrinks.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use crate::support;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use salt402_protocol::{Address, Amount, Asset, B256, RequestDigest, U256};
use salt402_store::{Applied, Block, ClaimResult, Cursor, ExposureLimit, NewUse, StoreError};
use support::{CHAIN, Fixture, TestBlock, batch, genesis, id, new_claim, numbered, placed, transaction};

const PAYMENTS: u64 = 8;

#[derive(Clone, Debug)]
enum Step {
    /// Blocks on top, with the payments of a mask that are not on the chain yet.
    Extend {
        blocks: Vec<u8>,
    },
    /// Goes back some blocks and on with new ones.
    Fork {
        back: usize,
        blocks: Vec<u8>,
    },
    /// Goes to a block that was on the chain once, or is now.
    Return {
        to: usize,
    },
    /// Applies the blocks from some height on once more.
    Repeat {
        back: usize,
    },
    Claim {
        payment: u64,
        request: u8,
        confirmations: u64,
        rules: Rules,
    },
    /// An operator says that an incident was made good.
    Settle {
        pick: usize,
    },
    /// Grants that are final are forgotten.
    Sweep,
    /// A limit is set for the first time: what was granted without one is noted.
    Note,
    /// A batch that puts a payment of the chain into a second block.
    Twice {
        pick: usize,
    },
    /// A batch computed from a cursor that never was.
    Stale,
    Reopen,
}

/// What a claim asks of its payer, and whether it is one of several.
#[derive(Clone, Copy, Debug)]
struct Rules {
    /// The most that may be granted on payments that are not final, in units.
    most: Option<u64>,
    after_loss: u64,
    /// Which of how many requests.
    usage: Option<(u8, u32)>,
}

/// Blocks after which a payment is final.
const FINAL_AT: u64 = 4;

fn rules() -> impl Strategy<Value = Rules> {
    let most = prop::option::of(0u64..20);
    let after_loss = prop_oneof![Just(0), Just(FINAL_AT), Just(u64::MAX)];
    let usage = prop::option::of((0u8..4, 1u32..4));
    (most, after_loss, usage).prop_map(|(most, after_loss, usage)| Rules { most, after_loss, usage })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let masks = || prop::collection::vec(any::<u8>(), 1..4);
    let step = prop_oneof![
        4 => masks().prop_map(|blocks| Step::Extend { blocks }),
        3 => (0usize..5, masks()).prop_map(|(back, blocks)| Step::Fork { back, blocks }),
        3 => any::<usize>().prop_map(|to| Step::Return { to }),
        1 => (0usize..4).prop_map(|back| Step::Repeat { back }),
        9 => (0..PAYMENTS, 1u8..3, 0u64..4, rules()).prop_map(|(payment, request, confirmations, rules)| {
            Step::Claim { payment, request, confirmations, rules }
        }),
        1 => any::<usize>().prop_map(|pick| Step::Settle { pick }),
        1 => Just(Step::Sweep),
        1 => Just(Step::Note),
        1 => any::<usize>().prop_map(|pick| Step::Twice { pick }),
        1 => Just(Step::Stale),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..30)
}

/// What must be so.
#[derive(Default)]
struct Model {
    /// Every block there ever was, by number of its making, with its parent.
    blocks: Vec<(TestBlock, Option<usize>)>,
    /// The chain, as indices of `blocks`.
    chain: Vec<usize>,
    /// Whether each inclusion is on the chain; the key is the payment and the block's hash.
    rows: BTreeMap<(u64, B256), bool>,
    claims: BTreeMap<u64, Claimed>,
    open: BTreeSet<u64>,
    /// Payments of which an incident was settled by hand.
    settled: BTreeSet<u64>,
    /// Payments that count against a limit while they are on the chain and not final.
    noted: BTreeSet<u64>,
    /// Whether somebody set a limit, so that reorganizations note what is not final any more.
    limited: bool,
    resolved: usize,
}

/// A claim: for which request, when, for how many requests, and which of them were served.
#[derive(Clone, Debug)]
struct Claimed {
    by: u8,
    at_ms: u64,
    uses: u32,
    used: BTreeMap<u8, u64>,
}

impl Model {
    fn tip(&self) -> Block {
        self.chain.last().map_or_else(genesis, |tip| self.blocks[*tip].0.block)
    }

    fn cursor(&self) -> Option<Cursor> {
        self.chain.last().map(|_| Cursor { number: self.tip().number, hash: self.tip().hash })
    }

    /// New blocks on a chain, not yet part of it.
    fn mine(&mut self, on: &[usize], masks: &[u8]) -> Vec<usize> {
        let mut path = on.to_vec();
        for mask in masks {
            let parent = path.last().map_or_else(genesis, |parent| self.blocks[*parent].0.block);
            let paid: BTreeSet<u64> =
                path.iter().flat_map(|block| self.blocks[*block].0.payments.clone()).collect();
            let payments = (0..PAYMENTS)
                .filter(|payment| mask & (1 << payment) != 0 && !paid.contains(payment))
                .collect();
            let block = Block {
                number: parent.number + 1,
                hash: numbered(0xb0, self.blocks.len() as u64),
                parent_hash: parent.hash,
                timestamp: parent.timestamp + 1,
            };
            self.blocks.push((TestBlock { block, payments }, path.last().copied()));
            path.push(self.blocks.len() - 1);
        }
        path
    }

    /// The chain that ends with a block.
    fn path_to(&self, block: usize) -> Vec<usize> {
        let mut path = vec![block];
        while let Some(parent) = self.blocks[path[path.len() - 1]].1 {
            path.push(parent);
        }
        path.reverse();
        path
    }

    /// Goes over to another chain, keeping `kept` blocks; returns what must be reported.
    fn switch(&mut self, path: Vec<usize>, kept: Option<usize>) -> Applied {
        let mut applied = Applied::default();
        if let Some(kept) = kept.filter(|_| self.limited) {
            let now_open = kept.min((path.len() + 1).saturating_sub(FINAL_AT as usize));
            let payments = self.chain[now_open..].iter().flat_map(|block| &self.blocks[*block].0.payments);
            self.noted.extend(payments.filter(|payment| self.claims.contains_key(payment)));
        }
        if let Some(kept) = kept {
            for block in &self.chain[kept..] {
                for payment in &self.blocks[*block].0.payments {
                    self.rows.insert((*payment, self.blocks[*block].0.block.hash), false);
                    applied.orphaned += 1;
                }
            }
        }
        for block in &path[kept.unwrap_or(self.chain.len())..] {
            for payment in &self.blocks[*block].0.payments {
                match self.rows.insert((*payment, self.blocks[*block].0.block.hash), true) {
                    None => applied.inserted += 1,
                    Some(false) => applied.restored += 1,
                    Some(true) => {}
                }
            }
        }
        self.chain = path;
        for payment in self.claims.keys() {
            if self.height(*payment).is_some() {
                self.resolved += usize::from(self.open.remove(payment));
            } else if !self.settled.contains(payment) && self.open.insert(*payment) {
                applied.incidents += 1;
            }
        }
        applied
    }

    /// The height of a payment on the chain.
    fn height(&self, payment: u64) -> Option<u64> {
        let holder = self.chain.iter().find(|block| self.blocks[**block].0.payments.contains(&payment))?;
        Some(self.blocks[*holder].0.block.number)
    }

    /// How deep a payment is; `None` where it is not on the chain.
    fn depth(&self, payment: u64) -> Option<u64> {
        self.height(payment).map(|height| self.tip().number - height + 1)
    }

    /// What counts against a limit of a payer in an asset.
    fn granted(&self, payer: Address, asset: Asset) -> Amount {
        let counts = |payment: &&u64| {
            support::payer(**payment) == payer
                && support::payment(**payment).asset == asset
                && self.depth(**payment).is_some_and(|depth| depth < FINAL_AT)
        };
        let amounts = self.noted.iter().filter(counts).map(|payment| support::amount(*payment).0);
        Amount(amounts.fold(U256::ZERO, |sum, amount| sum + amount))
    }

    fn claim(&mut self, payment: u64, request: u8, needed: u64, rules: Rules) -> ClaimResult {
        let Some(confirmations) = self.depth(payment) else { return ClaimResult::NotCanonical };
        let now_ms = new_claim(payment, request).now_ms;
        let lost = self.open.iter().any(|open| support::payer(*open) == support::payer(payment));
        if let Some(claimed) = self.claims.get_mut(&payment) {
            if claimed.by != request {
                return ClaimResult::Taken;
            }
            let Some((which, _)) = rules.usage else {
                return ClaimResult::Again { claimed_at_ms: claimed.at_ms };
            };
            if let Some(at_ms) = claimed.used.get(&which) {
                return ClaimResult::Again { claimed_at_ms: *at_ms };
            }
            if claimed.used.len().max(1) as u32 >= claimed.uses {
                return ClaimResult::UsedUp { uses: claimed.uses.into() };
            }
            // It may have moved to a newer block since the first use.
            if confirmations < needed {
                return ClaimResult::TooShallow { confirmations };
            }
            if lost && confirmations < rules.after_loss {
                return ClaimResult::AfterLoss { confirmations };
            }
            claimed.used.insert(which, now_ms);
            return ClaimResult::First { claimed_at_ms: now_ms };
        }
        if confirmations < needed {
            return ClaimResult::TooShallow { confirmations };
        }
        let (payer, asset) = (support::payer(payment), support::payment(payment).asset);
        let exposed = rules.most.is_some() && confirmations < FINAL_AT;
        if let Some(most) = rules.most.filter(|_| exposed) {
            let granted = self.granted(payer, asset);
            if granted.0 + support::amount(payment).0 > support::unit() * U256::from(most) {
                return ClaimResult::Exposed { confirmations, granted };
            }
        }
        if lost && confirmations < rules.after_loss {
            return ClaimResult::AfterLoss { confirmations };
        }
        if exposed {
            self.noted.insert(payment);
        }
        let used = rules.usage.map(|(which, _)| (which, now_ms)).into_iter().collect();
        let uses = rules.usage.map_or(1, |(_, most)| most);
        self.claims.insert(payment, Claimed { by: request, at_ms: now_ms, uses, used });
        ClaimResult::First { claimed_at_ms: now_ms }
    }
}

struct Run {
    fixture: Fixture,
    model: Model,
}

impl Run {
    async fn step(&mut self, step: &Step) -> TestCaseResult {
        match step {
            Step::Extend { blocks } => {
                let chain = self.model.chain.clone();
                let path = self.model.mine(&chain, blocks);
                self.go(path, None).await?;
            }
            Step::Fork { back, blocks } => {
                let kept = self.model.chain.len().saturating_sub(*back);
                let chain = self.model.chain[..kept].to_vec();
                let path = self.model.mine(&chain, blocks);
                self.go(path, Some(kept)).await?;
            }
            Step::Return { to } if !self.model.blocks.is_empty() => {
                let path = self.model.path_to(to % self.model.blocks.len());
                let common = path.iter().zip(&self.model.chain).take_while(|(new, old)| new == old).count();
                self.go(path, Some(common)).await?;
            }
            Step::Repeat { back } => {
                let kept = self.model.chain.len().saturating_sub(*back);
                self.go(self.model.chain.clone(), Some(kept)).await?;
            }
            Step::Claim { payment, request, confirmations, rules } => {
                let mut claim = new_claim(*payment, *request);
                claim.confirmations = *confirmations;
                claim.limits.after_loss = rules.after_loss;
                claim.limits.exposure = rules.most.map(|most| ExposureLimit {
                    most: Amount(support::unit() * U256::from(most)),
                    final_at: FINAL_AT,
                });
                let of = |(which, most)| NewUse {
                    request: RequestDigest(B256::repeat_byte(which)),
                    most,
                    again_only: false,
                };
                claim.usage = rules.usage.map(of);
                let expected = self.model.claim(*payment, *request, *confirmations, *rules);
                prop_assert_eq!(self.fixture.store.claim(claim).await.unwrap(), expected);
            }
            Step::Settle { pick } => {
                let open = self.fixture.store.incidents(true, 100).await.unwrap();
                if !open.is_empty() {
                    let incident = &open[pick % open.len()];
                    let settle = || self.fixture.store.settle_incident(incident.id, "by invoice".into());
                    prop_assert!(settle().await.unwrap());
                    prop_assert!(!settle().await.unwrap(), "once");
                    let payment = (0..PAYMENTS).find(|payment| id(*payment) == incident.payment).unwrap();
                    prop_assert_eq!(incident.payer, Some(support::payer(payment)));
                    self.model.open.remove(&payment);
                    self.model.settled.insert(payment);
                    self.model.resolved += 1;
                }
            }
            Step::Sweep => {
                self.fixture.store.sweep_exposures(CHAIN, FINAL_AT, false).await.unwrap();
                let model = &mut self.model;
                let gone: Vec<u64> = model
                    .noted
                    .iter()
                    .copied()
                    .filter(|payment| model.depth(*payment).is_some_and(|depth| depth >= FINAL_AT))
                    .collect();
                gone.iter().for_each(|payment| _ = model.noted.remove(payment));
            }
            Step::Note => {
                self.fixture.store.note_exposures(CHAIN, FINAL_AT).await.unwrap();
                let model = &mut self.model;
                let open: Vec<u64> = model
                    .claims
                    .keys()
                    .copied()
                    .filter(|payment| match model.depth(*payment) {
                        Some(depth) => depth < FINAL_AT,
                        None => model.open.contains(payment),
                    })
                    .collect();
                model.noted.extend(open);
                model.limited = true;
            }
            Step::Twice { pick } => {
                let paid: Vec<u64> =
                    (0..PAYMENTS).filter(|payment| self.model.height(*payment).is_some()).collect();
                if !paid.is_empty() {
                    let block = support::child(self.model.tip(), 0xdd, &[paid[pick % paid.len()]]);
                    let refused = self.fixture.apply(None, &[block]).await;
                    prop_assert!(matches!(refused, Err(StoreError::PaymentTwice { .. })), "{:?}", refused);
                }
            }
            Step::Stale => {
                let nowhere = Some(Cursor { number: 0, hash: B256::repeat_byte(0xcc) });
                let stale = batch(nowhere, Some(0), &[support::child(genesis(), 0xcc, &[0, 1, 2])]);
                let refused = self.fixture.store.apply(stale).await;
                prop_assert!(matches!(refused, Err(StoreError::CursorMoved { .. })), "{:?}", refused);
            }
            Step::Reopen => self.fixture.reopen().await,
            Step::Return { .. } => {}
        }
        self.compare().await
    }

    async fn go(&mut self, path: Vec<usize>, kept: Option<usize>) -> TestCaseResult {
        if path.is_empty() {
            return Ok(());
        }
        let expected = self.model.cursor();
        let fresh: Vec<TestBlock> = path[kept.unwrap_or(self.model.chain.len())..]
            .iter()
            .map(|block| self.model.blocks[*block].0.clone())
            .collect();
        let top = self.model.blocks[path[path.len() - 1]].0.clone();
        let mut batch = batch(expected, kept.map(|kept| kept as u64), &[top]);
        batch.blocks = fresh.iter().map(|block| block.block).collect();
        batch.payments = fresh
            .iter()
            .flat_map(|block| block.payments.iter().map(|payment| placed(*payment, block.block)))
            .collect();
        let told = self.fixture.store.apply(batch).await.unwrap();
        prop_assert_eq!(told, self.model.switch(path, kept));
        Ok(())
    }

    async fn compare(&self) -> TestCaseResult {
        let (store, model) = (&self.fixture.store, &self.model);
        prop_assert_eq!(self.fixture.cursor().await, model.cursor());
        for (block, _) in &model.blocks {
            let on_chain = model.chain.iter().any(|index| model.blocks[*index].0.block == block.block);
            let known = store.block_by_hash(CHAIN, block.block.hash).await.unwrap();
            prop_assert_eq!(known.filter(|(_, canonical)| *canonical).is_some(), on_chain);
        }
        for index in &model.chain {
            let block = model.blocks[*index].0.block;
            prop_assert_eq!(store.canonical_block(CHAIN, block.number).await.unwrap(), Some(block));
        }
        for payment in 0..PAYMENTS {
            let rows = store.payments_in(CHAIN, transaction(payment)).await.unwrap();
            let told: BTreeMap<_, _> =
                rows.iter().map(|row| ((payment, row.placed.block_hash), row.canonical)).collect();
            let expected: BTreeMap<_, _> = model
                .rows
                .range((payment, B256::ZERO)..(payment + 1, B256::ZERO))
                .map(|(k, v)| (*k, *v))
                .collect();
            prop_assert_eq!(told.len(), rows.len());
            prop_assert_eq!(told, expected);
            prop_assert!(rows.iter().filter(|row| row.canonical).count() <= 1);
            for row in &rows {
                let depth =
                    model.height(payment).filter(|_| row.canonical).map_or(0, |h| model.tip().number - h + 1);
                prop_assert_eq!(row.confirmations, depth);
                let claim = row.claim.as_ref().map(|claim| (claim.request.0[0], claim.claimed_at_ms));
                prop_assert_eq!(claim, model.claims.get(&payment).map(|claim| (claim.by, claim.at_ms)));
            }
        }
        let counts = store.counts().await.unwrap();
        prop_assert_eq!(counts.claims, model.claims.len() as u64);
        prop_assert_eq!(
            counts.payments[&CHAIN],
            model.rows.values().filter(|canonical| **canonical).count() as u64
        );
        prop_assert_eq!(counts.open_incidents, model.open.len() as u64);
        let open: BTreeSet<_> = self.fixture.open_incidents().await.into_iter().collect();
        prop_assert_eq!(open, model.open.iter().map(|payment| id(*payment)).collect());
        for exposure in store.exposures(CHAIN, FINAL_AT).await.unwrap() {
            let payers: BTreeSet<_> = (0..PAYMENTS).map(support::payer).collect();
            let granted = payers.iter().map(|payer| model.granted(*payer, exposure.asset));
            let granted: Vec<_> = granted.filter(|granted| !granted.is_zero()).collect();
            prop_assert_eq!(exposure.payers, granted.len() as u64);
            let sum = granted.iter().fold(U256::ZERO, |sum, granted| sum + granted.0);
            prop_assert_eq!(exposure.amount, Amount(sum));
        }
        let all = store.incidents(false, u32::MAX).await.unwrap();
        prop_assert_eq!(
            all.iter().filter(|incident| incident.resolved_at_ms.is_some()).count(),
            model.resolved
        );
        Ok(())
    }
}

/// 64, or what `PROPTEST_CASES` says.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn the_store_does_what_the_model_says(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut run = Run { fixture: Fixture::new().await, model: Model::default() };
            for step in &steps {
                run.step(step).await?;
            }
            run.fixture.store.clone().close().await;
            Ok::<(), TestCaseError>(())
        })?;
    }
}
