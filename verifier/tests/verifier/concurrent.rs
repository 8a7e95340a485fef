//! Many at once: some show proofs, one moves the chain, one restarts the process, clients break off. What was answered is
//! written down with its place in time, and afterwards the history must be one that a single claim for each payment explains.
//!
//! A seed fixes what everybody does, and not who is faster; `SALT402_SEED` runs one seed alone.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "these are tests"
)]

use crate::shop;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use salt402_protocol::api::{QuoteResponse, VerifyRequest};
use salt402_protocol::{Address, B256, Code, Payment, Proof, SignedNonce};
use salt402_verifier::Verifier;
use shop::{CHAIN, Operator, Shop, granted, now, operator, paid, proof};

const TOKEN: Address = Address::repeat_byte(0xc1);
const CLAIMANTS: [&str; 3] = ["one", "two", "three"];
/// Half of them are of SaltPay, half are signed for and settled by whomever.
const PAYMENTS: usize = 16;
/// The last one is mined after its quote ended, always.
const LATE: usize = PAYMENTS - 1;
const SHOWERS: u64 = 6;
const SHOWS: usize = 80;

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn pick(&mut self, of: usize) -> usize {
        usize::try_from(self.roll(of as u64)).unwrap()
    }
}

/// One proof that was shown and what was answered; nothing, where the client broke off.
#[derive(Clone, Debug)]
struct Event {
    payment: usize,
    claimant: &'static str,
    began: u64,
    ended: u64,
    answer: Option<Result<bool, Code>>,
}

/// What everybody shares.
struct World {
    /// The chain and the database, for those who move them.
    shop: tokio::sync::Mutex<Shop>,
    /// Whom clients ask now; an older one may still be answering, or be closed under their hands.
    verifier: RwLock<Verifier>,
    quotes: Vec<QuoteResponse>,
    clock: AtomicU64,
    history: Mutex<Vec<Event>>,
    over: AtomicBool,
    /// The payment that was mined last: many show it at once.
    newest: AtomicUsize,
}

impl World {
    async fn new(operator: &Operator) -> Self {
        let shop = Shop::open(operator).await;
        let quotes = (0..PAYMENTS).map(|payment| shop.quote(payment as u8 + 1, 5, false)).collect();
        for _ in 0..3 {
            shop.mine(&[]).await;
        }
        let verifier = RwLock::new(shop.verifier.clone());
        let (clock, history, over) = (AtomicU64::new(0), Mutex::default(), AtomicBool::new(false));
        let (shop, newest) = (tokio::sync::Mutex::new(shop), AtomicUsize::new(0));
        Self { shop, verifier, quotes, clock, history, over, newest }
    }

    fn nonce(&self, payment: usize) -> Option<SignedNonce> {
        let authorizer = Address::repeat_byte(payment as u8 + 1);
        let nonce = self.quotes[payment].reference;
        (payment % 2 == 1).then_some(SignedNonce::Eip3009 { token: TOKEN, authorizer, nonce })
    }

    /// A payment in its own transaction or, where somebody signed for it, in another that settled it.
    fn payment(&self, payment: usize, elsewhere: bool) -> Payment {
        let number = payment as u8 + 1;
        let plain = paid(number, number, 5, &self.quotes[payment]);
        match self.nonce(payment) {
            None => plain,
            Some(nonce) => {
                let transaction = B256::repeat_byte(number + if elsewhere { 100 } else { 0 });
                Payment { id: nonce.payment_id(CHAIN), contract: TOKEN, transaction, ..plain }
            }
        }
    }

    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    async fn show(&self, payment: usize, claimant: &'static str, by_nonce: bool, turns: Option<u64>) {
        let number = payment as u8 + 1;
        let mut asked = VerifyRequest { claimant: claimant.into(), ..proof(number, number, 5) };
        if let Some(nonce) = self.nonce(payment).filter(|_| by_nonce) {
            asked.proof = Proof::Nonce(nonce);
        }
        let verifier = self.verifier.read().unwrap().clone();
        let began = self.now();
        let verify = async { granted(verifier.verify(&asked).await) };
        let answer = match turns {
            None => Some(verify.await),
            Some(turns) => tokio::select! {
                biased;
                answer = verify => Some(answer),
                () = pass(turns) => None,
            },
        };
        let event = Event { payment, claimant, began, ended: self.now(), answer };
        self.history.lock().unwrap().push(event);
    }
}

/// A client that shows proofs, and sometimes does not wait for the answer.
async fn shower(world: Arc<World>, mut dice: Dice) {
    for _ in 0..SHOWS {
        let newest = world.newest.load(Ordering::SeqCst);
        let payment = if dice.roll(2) == 0 { newest } else { dice.pick(PAYMENTS) };
        let claimant = CLAIMANTS[dice.pick(CLAIMANTS.len())];
        let turns = (dice.roll(3) == 0).then(|| dice.roll(30));
        world.show(payment, claimant, dice.roll(2) == 0, turns).await;
        if dice.roll(4) == 0 {
            tokio::time::sleep(Duration::from_micros(dice.roll(2000))).await;
        }
    }
}

/// So many turns of other tasks: a client that breaks off in the middle of its request.
async fn pass(turns: u64) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
}

/// The chain: blocks come, are replaced, and bring payments back in their own transactions or in others.
async fn miner(world: Arc<World>, mut dice: Dice) {
    let mut blocks: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); 3];
    while !world.over.load(Ordering::SeqCst) {
        let back = if blocks.len() > 3 && dice.roll(3) == 0 { 1 + dice.roll(2) } else { 0 };
        blocks.truncate(blocks.len() - usize::try_from(back).unwrap());
        let late = dice.roll(6) == 0;
        let on_chain: BTreeSet<usize> = blocks.iter().flatten().copied().collect();
        let fresh: BTreeSet<usize> = (0..PAYMENTS)
            .filter(|payment| !on_chain.contains(payment) && (*payment == LATE) == late && dice.roll(6) == 0)
            .collect();
        let payments: Vec<Payment> =
            fresh.iter().map(|payment| world.payment(*payment, dice.roll(2) == 0)).collect();
        let timestamp = now() + if late { 5000 } else { 0 };
        world.shop.lock().await.put(back, timestamp, &payments).await;
        if let Some(newest) = fresh.iter().next_back() {
            world.newest.store(*newest, Ordering::SeqCst);
        }
        blocks.push(fresh);
        tokio::time::sleep(Duration::from_micros(500 + dice.roll(3000))).await;
    }
}

/// The process ends, whatever is under way, and another begins.
async fn restarter(world: Arc<World>, operator: Operator, mut dice: Dice) {
    while !world.over.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(15 + dice.roll(25))).await;
        let mut shop = world.shop.lock().await;
        shop.restart(&operator).await;
        *world.verifier.write().unwrap() = shop.verifier.clone();
    }
}

/// Everything that is missing is mined, and becomes final.
async fn settle(world: &World, operator: &Operator) {
    let mut shop = world.shop.lock().await;
    for payment in 0..LATE {
        let all = [world.payment(payment, false), world.payment(payment, true)];
        let mut on_chain = false;
        for known in &all {
            let rows = shop.store.payments_in(CHAIN, known.transaction).await.unwrap();
            on_chain |= rows.iter().any(|row| row.canonical);
        }
        if !on_chain {
            shop.mine(&all[..1]).await;
        }
    }
    for _ in 0..3 {
        shop.mine(&[]).await;
    }
    shop.restart(operator).await;
    *world.verifier.write().unwrap() = shop.verifier.clone();
}

/// Who holds a payment by what was answered, if anybody was told so. Fails where no single claim explains the answers.
fn holder(payment: usize, history: &[Event]) -> Option<&'static str> {
    let of: Vec<&Event> = history.iter().filter(|event| event.payment == payment).collect();
    let told = |event: &&&Event| matches!(event.answer, Some(Ok(_)));
    let firsts = of.iter().filter(|event| event.answer == Some(Ok(true))).count();
    assert!(firsts <= 1, "payment {payment} was granted {firsts} times: {of:#?}");
    let holders: BTreeSet<&str> = of.iter().filter(told).map(|event| event.claimant).collect();
    assert!(holders.len() <= 1, "payment {payment} was granted to {holders:?}: {of:#?}");
    let first = of.iter().filter(told).min_by_key(|event| event.ended)?;
    // What was acknowledged is known to everybody who asks after that.
    for later in of.iter().filter(|event| event.began > first.ended) {
        let lost = match later.answer {
            Some(Ok(true)) => true,
            Some(Err(Code::AlreadyClaimed)) => later.claimant == first.claimant,
            _ => false,
        };
        assert!(!lost, "a grant was forgotten: {first:?} and then {later:?}");
    }
    Some(first.claimant)
}

async fn run(seed: u64) {
    eprintln!("seed {seed}");
    let mut operator = operator();
    operator.chain.other_contracts = vec![TOKEN];
    let world = Arc::new(World::new(&operator).await);
    let movers = [
        tokio::spawn(miner(Arc::clone(&world), Dice(seed ^ 0xb10c))),
        tokio::spawn(restarter(Arc::clone(&world), operator.clone(), Dice(seed ^ 0xdead))),
    ];
    let showers: Vec<_> = (0..SHOWERS)
        .map(|shower_of| tokio::spawn(shower(Arc::clone(&world), Dice(seed.wrapping_mul(31) + shower_of))))
        .collect();
    for task in showers {
        task.await.unwrap();
    }
    world.over.store(true, Ordering::SeqCst);
    for task in movers {
        task.await.unwrap();
    }
    settle(&world, &operator).await;
    // Every claimant asks for every payment once more, one after another: what is held is held by one, and it says so.
    for payment in 0..PAYMENTS {
        for claimant in CLAIMANTS {
            // By the nonce, where there is one: it may never have been in the transaction that its hash names.
            world.show(payment, claimant, true, None).await;
        }
    }
    let history = world.history.lock().unwrap().clone();
    assert_eq!(holder(LATE, &history), None, "seed {seed}: what came too late was granted");
    for payment in 0..LATE {
        let held = holder(payment, &history)
            .unwrap_or_else(|| panic!("seed {seed}: {payment} was refused: {history:#?}"));
        let last = &history[history.len() - (PAYMENTS - payment) * CLAIMANTS.len()..][..CLAIMANTS.len()];
        for event in last {
            let expected = event.claimant == held;
            let answered = event.answer.unwrap();
            assert_eq!(answered.is_ok(), expected, "seed {seed}: {event:?}, held by {held}");
            assert!(expected || answered == Err(Code::AlreadyClaimed), "seed {seed}: {event:?}");
        }
    }
    let status = world.shop.lock().await.verifier.status().await.unwrap();
    assert_eq!((status.claims, status.open_incidents), (LATE as u64, 0), "seed {seed}");
    let answered = history.iter().filter(|event| matches!(event.answer, Some(Ok(_)))).count();
    let broken_off = history.iter().filter(|event| event.answer.is_none()).count();
    let firsts = history.iter().filter(|event| event.answer == Some(Ok(true))).count();
    eprintln!(
        "  {} proofs shown, {answered} granted, {firsts} for the first time, {broken_off} broken off",
        history.len()
    );
    assert!(answered >= LATE, "seed {seed}: nothing happened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_many_were_told_at_once_is_explained_by_one_claim_for_each_payment() {
    match std::env::var("SALT402_SEED") {
        Ok(seed) => run(seed.parse().unwrap()).await,
        Err(_) => {
            for seed in 0..12 {
                run(seed).await;
            }
        }
    }
}
