//! Several nodes of a chain: one is asked at a time, what fails or is elsewhere is left, and where so many must agree,
//! nothing is believed that they do not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers may fail as loudly as tests.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, B256, LogData, keccak256};
use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use salt402_chain::{
    At, Header, Log, LogQuery, Node, NodeError, NodeState, Pool, PoolOptions, Profile, Receipt, Role, Span,
    Transaction, Work,
};

/// A chain as one node shows it: the branch that its blocks are of from a height on, and how it behaves.
#[derive(Clone)]
struct Shown {
    chain_id: u64,
    genesis: u8,
    head: u64,
    /// Blocks from here on are of another branch.
    fork: Option<u64>,
    /// Logs that it leaves out, and one that it makes up.
    omits: bool,
    invents: bool,
    knows_receipts: bool,
    error: Option<NodeError>,
    hangs: bool,
    pruned: bool,
}

struct Fake {
    shown: Mutex<Shown>,
    profile: Profile,
    asked: AtomicUsize,
}

const TOPIC: B256 = B256::repeat_byte(0x70);
const CONTRACT: Address = Address::repeat_byte(0xc0);

fn profile() -> Profile {
    Profile { finality_depth: 8, ..Profile::named("local").unwrap() }
}

fn query() -> LogQuery {
    LogQuery::new(CONTRACT, vec![TOPIC])
}

impl Fake {
    fn new() -> Arc<Self> {
        let shown = Shown {
            chain_id: 40204,
            genesis: 0,
            head: 100,
            fork: None,
            omits: false,
            invents: false,
            knows_receipts: true,
            error: None,
            hangs: false,
            pruned: false,
        };
        Arc::new(Self { shown: Mutex::new(shown), profile: profile(), asked: AtomicUsize::new(0) })
    }

    fn set(&self, change: impl FnOnce(&mut Shown)) {
        change(&mut self.shown.lock().unwrap());
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }

    async fn answer<T>(&self, tell: impl FnOnce(&Shown) -> T) -> Result<T, NodeError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let shown = self.shown.lock().unwrap().clone();
        if shown.hangs {
            return std::future::pending().await;
        }
        shown.error.clone().map_or_else(|| Ok(tell(&shown)), Err)
    }
}

impl Shown {
    fn hash(&self, number: u64) -> B256 {
        let branch = u8::from(self.fork.is_some_and(|fork| number >= fork));
        let genesis = if number == 0 { self.genesis } else { 0 };
        keccak256([&number.to_be_bytes()[..], &[branch, genesis]].concat())
    }

    fn block(&self, number: u64) -> Option<Header> {
        let parent_hash = number.checked_sub(1).map_or(B256::ZERO, |parent| self.hash(parent));
        let there = number <= self.head && !(self.pruned && number < self.head.saturating_sub(50));
        there.then(|| Header { number, hash: self.hash(number), parent_hash, timestamp: number })
    }

    /// One log in each block that it shows.
    fn logs(&self, number: u64) -> Vec<Log> {
        let log = |transaction: B256| Log {
            contract: CONTRACT,
            content: LogData::new_unchecked(vec![TOPIC], Default::default()),
            transaction,
            block_number: number,
            block_hash: self.hash(number),
            block_timestamp: self.omits.then_some(1),
        };
        let real = (!self.omits).then(|| log(keccak256(self.hash(number))));
        real.into_iter().chain(self.invents.then(|| log(B256::repeat_byte(0xba)))).collect()
    }
}

#[async_trait]
impl Node for Fake {
    async fn chain_id(&self) -> Result<u64, NodeError> {
        self.answer(|shown| shown.chain_id).await
    }

    async fn header(&self, at: At) -> Result<Option<Header>, NodeError> {
        self.answer(|shown| match at {
            At::Latest => shown.block(shown.head),
            At::Number(number) => shown.block(number),
            At::Hash(hash) => (0..=shown.head).find(|n| shown.hash(*n) == hash).and_then(|n| shown.block(n)),
        })
        .await
    }

    async fn logs(&self, _: &LogQuery, span: Span) -> Result<Vec<Log>, NodeError> {
        self.answer(|shown| match span {
            Span::Blocks { from, to } => (from..=to).flat_map(|number| shown.logs(number)).collect(),
            Span::Block(hash) => {
                (0..=shown.head).filter(|n| shown.hash(*n) == hash).flat_map(|n| shown.logs(n)).collect()
            }
        })
        .await
    }

    async fn receipt(&self, transaction: B256) -> Result<Option<Receipt>, NodeError> {
        self.answer(|shown| {
            shown.knows_receipts.then(|| Receipt {
                transaction,
                block_number: 50,
                block_hash: shown.hash(50),
                success: !shown.invents,
                from: Address::ZERO,
                to: None,
                logs: shown.logs(50),
            })
        })
        .await
    }

    async fn transaction(&self, _: B256) -> Result<Option<Transaction>, NodeError> {
        self.answer(|_| None).await
    }

    async fn heads(&self) -> Result<Option<BoxStream<'static, ()>>, NodeError> {
        self.answer(|_| Some(stream::pending().boxed())).await
    }

    fn profile(&self) -> &Profile {
        &self.profile
    }
}

fn pool_of(nodes: &[&Arc<Fake>], agree: usize) -> Pool {
    let nodes = nodes.iter().enumerate().map(|(index, node)| {
        let node: Arc<dyn Node> = Arc::<Fake>::clone(node);
        (format!("node-{index}"), Role::Primary, node)
    });
    Pool::new(nodes.collect(), PoolOptions { agree, ..PoolOptions::of(&profile()) }).unwrap()
}

async fn pin(pool: &Pool) -> Result<Arc<dyn Node>, NodeError> {
    Ok(pool.pin(Work::Head).await?.unwrap())
}

fn state(pool: &Pool, index: usize) -> NodeState {
    pool.reports()[index].state
}

fn gone() -> NodeError {
    NodeError::Unreachable { node: "http://node".into(), reason: "gone".into() }
}

/// Lets the pool look after its nodes for so long.
async fn watch(pool: &Pool, time: Duration) {
    let _ = tokio::time::timeout(time, pool.watch()).await;
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_unit_of_work_stays_with_its_node_and_the_next_goes_to_another_after_a_failure() {
    let (one, two) = (Fake::new(), Fake::new());
    let pool = pool_of(&[&one, &two], 1);
    let step = pin(&pool).await.unwrap();
    (one.asked(), two.asked());
    step.header(At::Latest).await.unwrap();
    step.logs(&query(), Span::Blocks { from: 1, to: 2 }).await.unwrap();
    assert_eq!((one.asked(), two.asked()), (2, 0));
    one.set(|shown| shown.error = Some(gone()));
    assert_eq!(step.header(At::Latest).await, Err(gone()));
    one.set(|shown| shown.error = None);
    // A step that is under way never changes over.
    step.header(At::Latest).await.unwrap();
    assert_eq!(two.asked(), 0);

    one.set(|shown| shown.error = Some(gone()));
    assert_eq!(step.header(At::Latest).await, Err(gone()));
    let next = pin(&pool).await.unwrap();
    assert_eq!(next.header(At::Latest).await.unwrap().unwrap().number, 100);
    assert!(two.asked() > 0);
    assert_eq!((state(&pool, 0), state(&pool, 1)), (NodeState::Resting, NodeState::Ready));
    assert!(pool.reports()[0].reason.as_ref().unwrap().contains("gone"));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_recovers_is_found_out_by_a_look_and_asked_when_the_other_fails() {
    let (one, two) = (Fake::new(), Fake::new());
    let pool = pool_of(&[&one, &two], 1);
    one.set(|shown| shown.error = Some(gone()));
    pin(&pool).await.unwrap();
    watch(&pool, 60 * SECOND).await;
    assert!(pool.reports()[1].serving);
    one.set(|shown| shown.error = None);
    watch(&pool, 200 * SECOND).await;
    two.set(|shown| shown.error = Some(gone()));
    let step = pin(&pool).await.unwrap();
    let _ = step.header(At::Latest).await;
    pin(&pool).await.unwrap().header(At::Latest).await.unwrap();
    assert!(pool.reports()[0].serving, "{:?}", pool.reports());
}

#[tokio::test(start_paused = true)]
async fn a_node_on_another_chain_is_put_out_until_it_is_back_and_the_others_serve() {
    type Change = fn(&mut Shown);
    let wrong: [(Change, Change, &str); 2] = [
        (|shown| shown.chain_id = 1, |shown| shown.chain_id = 40204, "eip155:1 "),
        (|shown| shown.genesis = 9, |shown| shown.genesis = 0, "block 0"),
    ];
    for (spoil, mend, about) in wrong {
        let (one, two) = (Fake::new(), Fake::new());
        let pool = pool_of(&[&one, &two], 1);
        pool.expect_genesis(two.shown.lock().unwrap().hash(0));
        one.set(spoil);
        for _ in 0..3 {
            pin(&pool).await.unwrap().header(At::Latest).await.unwrap();
        }
        let report = &pool.reports()[0];
        assert_eq!((report.state, report.serving), (NodeState::Ejected, false));
        assert!(report.reason.as_ref().unwrap().contains(about), "{report:?}");
        watch(&pool, 60 * SECOND).await;
        assert_eq!(state(&pool, 0), NodeState::Ejected);
        one.set(mend);
        watch(&pool, 60 * SECOND).await;
        assert_eq!(state(&pool, 0), NodeState::Ready);
    }
}

#[tokio::test(start_paused = true)]
async fn with_all_nodes_on_another_chain_the_error_is_that() {
    let (one, two) = (Fake::new(), Fake::new());
    let pool = pool_of(&[&one, &two], 1);
    one.set(|shown| shown.chain_id = 1);
    two.set(|shown| shown.chain_id = 1);
    for _ in 0..3 {
        let error = pin(&pool).await.err().unwrap();
        assert!(matches!(error, NodeError::WrongChain { found: 1, .. }), "{error:?}");
    }
    // One that is merely down is no proof of anything.
    let (one, two) = (Fake::new(), Fake::new());
    let pool = pool_of(&[&one, &two], 1);
    one.set(|shown| shown.genesis = 1);
    pool.expect_genesis(two.shown.lock().unwrap().hash(0));
    two.set(|shown| shown.error = Some(gone()));
    for _ in 0..2 {
        assert_eq!(pin(&pool).await.err(), Some(gone()));
    }
}

#[tokio::test(start_paused = true)]
async fn at_first_contact_nodes_that_differ_about_block_0_are_not_chosen_between() {
    let (one, two) = (Fake::new(), Fake::new());
    two.set(|shown| shown.genesis = 1);
    let pool = pool_of(&[&one, &two], 1);
    let error = pin(&pool).await.err().unwrap();
    assert!(matches!(&error, NodeError::Disagreed { what } if what.contains("node-1")), "{error:?}");
    // A word of the operator settles it.
    pool.expect_genesis(two.shown.lock().unwrap().hash(0));
    pin(&pool).await.unwrap();
    assert!(pool.reports()[1].serving);
}

#[tokio::test(start_paused = true)]
async fn a_pruned_node_is_let_in_if_it_shows_a_block_that_the_others_show() {
    let (one, two) = (Fake::new(), Fake::new());
    let pool = pool_of(&[&one, &two], 1);
    pin(&pool).await.unwrap().header(At::Latest).await.unwrap();
    watch(&pool, 25 * SECOND).await;
    two.set(|shown| (shown.pruned, shown.fork, shown.error) = (true, Some(60), Some(gone())));
    watch(&pool, 25 * SECOND).await;
    two.set(|shown| shown.error = None);
    watch(&pool, 120 * SECOND).await;
    assert_eq!(state(&pool, 1), NodeState::Ejected, "{:?}", pool.reports());
    two.set(|shown| shown.fork = None);
    watch(&pool, 120 * SECOND).await;
    assert_eq!(state(&pool, 1), NodeState::Ready, "{:?}", pool.reports());
}

#[tokio::test(start_paused = true)]
async fn a_head_that_stands_still_or_lags_makes_another_node_be_asked() {
    let (one, two) = (Fake::new(), Fake::new());
    let pool = pool_of(&[&one, &two], 1);
    let look = async || pin(&pool).await.unwrap().header(At::Latest).await.unwrap().unwrap().number;
    assert_eq!(look().await, 100);
    watch(&pool, 30 * SECOND).await;
    assert_eq!(look().await, 100);
    assert!(pool.reports()[0].serving, "a chain without blocks is no reason to change");
    two.set(|shown| shown.head = 105);
    watch(&pool, 25 * SECOND).await;
    assert_eq!(state(&pool, 0), NodeState::Suspect, "its head stands still, and the other's does not");
    assert_eq!(look().await, 105);
    two.set(|shown| shown.head = 120);
    assert_eq!(look().await, 120);
    watch(&pool, SECOND).await;
    assert_eq!(state(&pool, 0), NodeState::Lagging);
    one.set(|shown| shown.head = 120);
    watch(&pool, 15 * SECOND).await;
    assert_ne!(state(&pool, 0), NodeState::Lagging);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_is_asked_only_while_no_primary_is_ready() {
    let (primary, fallback) = (Fake::new(), Fake::new());
    let nodes: Vec<(String, Role, Arc<dyn Node>)> = vec![
        ("fallback".into(), Role::Fallback, fallback.clone()),
        ("primary".into(), Role::Primary, primary.clone()),
    ];
    let pool = Pool::new(nodes, PoolOptions::of(&profile())).unwrap();
    let look = async || pin(&pool).await.unwrap().header(At::Latest).await;
    look().await.unwrap();
    assert!(pool.reports()[1].serving);
    primary.set(|shown| shown.error = Some(gone()));
    look().await.unwrap_err();
    look().await.unwrap();
    assert!(pool.reports()[0].serving);
    primary.set(|shown| shown.error = None);
    watch(&pool, 120 * SECOND).await;
    look().await.unwrap();
    assert!(pool.reports()[1].serving, "{:?}", pool.reports());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_hangs_is_left_after_the_limit() {
    let (one, two) = (Fake::new(), Fake::new());
    let pool = pool_of(&[&one, &two], 1);
    let step = pin(&pool).await.unwrap();
    one.set(|shown| shown.hangs = true);
    let error = step.header(At::Latest).await.unwrap_err();
    assert!(matches!(error, NodeError::Timeout { .. }), "{error:?}");
    pin(&pool).await.unwrap().header(At::Latest).await.unwrap();
    assert!(pool.reports()[1].serving);
}

#[tokio::test(start_paused = true)]
async fn ticks_come_from_any_node_that_gives_them() {
    let (one, two) = (Fake::new(), Fake::new());
    let pool = pool_of(&[&one, &two], 1);
    one.set(|shown| shown.error = Some(gone()));
    assert!(pool.heads().await.unwrap().is_some());
    two.set(|shown| shown.error = Some(gone()));
    assert_eq!(pool.heads().await.err(), Some(gone()));
}

#[tokio::test(start_paused = true)]
async fn a_rejected_node_is_out_until_it_shows_the_others_blocks_and_the_last_one_stays() {
    let (one, two) = (Fake::new(), Fake::new());
    let pool = pool_of(&[&one, &two], 1);
    let step = pin(&pool).await.unwrap();
    assert!(step.reject("reorganized too deep"));
    assert_eq!(state(&pool, 0), NodeState::Ejected);
    let other = pin(&pool).await.unwrap();
    other.header(At::Latest).await.unwrap();
    assert!(!other.reject("so is this"), "the last node was put out");
    assert_eq!(state(&pool, 1), NodeState::Ready);
    one.set(|shown| shown.fork = Some(50));
    watch(&pool, 60 * SECOND).await;
    assert_eq!(state(&pool, 0), NodeState::Ejected);
    one.set(|shown| shown.fork = None);
    watch(&pool, 60 * SECOND).await;
    assert_ne!(state(&pool, 0), NodeState::Ejected);
}

#[tokio::test(start_paused = true)]
async fn most_nodes_decide_who_is_on_a_fork_where_blocks_are_final_and_two_do_not() {
    let nodes = [Fake::new(), Fake::new(), Fake::new()];
    let pool = pool_of(&[&nodes[0], &nodes[1], &nodes[2]], 1);
    nodes[0].set(|shown| shown.fork = Some(95));
    pin(&pool).await.unwrap().header(At::Latest).await.unwrap();
    watch(&pool, 60 * SECOND).await;
    assert_eq!(state(&pool, 0), NodeState::Ready, "a fork near the head is no crime");
    nodes[0].set(|shown| shown.fork = Some(50));
    watch(&pool, 15 * SECOND).await;
    assert_ne!(state(&pool, 0), NodeState::Ejected, "once may be chance");
    watch(&pool, 60 * SECOND).await;
    assert_eq!(state(&pool, 0), NodeState::Ejected);

    let pool = pool_of(&[&nodes[0], &nodes[1]], 1);
    pin(&pool).await.unwrap().header(At::Latest).await.unwrap();
    watch(&pool, 120 * SECOND).await;
    for index in 0..2 {
        assert_ne!(state(&pool, index), NodeState::Ejected, "one word against another");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_counts_when_enough_nodes_show_it_and_the_one_below_until_then() {
    let (one, two) = (Fake::new(), Fake::new());
    let pool = pool_of(&[&one, &two], 2);
    let look = async || pin(&pool).await.unwrap().header(At::Latest).await;
    one.set(|shown| shown.head = 103);
    assert_eq!(look().await.unwrap().unwrap().number, 100, "the other lags a little");
    two.set(|shown| shown.head = 103);
    assert_eq!(look().await.unwrap().unwrap().number, 103);
    // A fork of the newest block: the last one in common counts.
    one.set(|shown| shown.fork = Some(103));
    assert_eq!(look().await.unwrap().unwrap().number, 102);
    // A deep one: nothing does.
    one.set(|shown| shown.fork = Some(20));
    assert!(matches!(look().await, Err(NodeError::Disagreed { .. })));
    tokio::time::sleep(60 * SECOND).await;
    one.set(|shown| shown.fork = None);
    look().await.unwrap();
    // A node that is far behind does not hold the index back in silence.
    two.set(|shown| shown.head = 50);
    watch(&pool, 25 * SECOND).await;
    let error = look().await.unwrap_err();
    assert!(matches!(&error, NodeError::Disagreed { what } if what.contains("103")), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn no_log_that_one_node_makes_up_or_leaves_out_passes_where_two_must_agree() {
    for spoil in [|shown: &mut Shown| shown.invents = true, |shown: &mut Shown| shown.omits = true] {
        for liar in 0..2 {
            let nodes = [Fake::new(), Fake::new()];
            let pool = pool_of(&[&nodes[0], &nodes[1]], 2);
            let hash = nodes[0].shown.lock().unwrap().hash(90);
            nodes[liar].set(spoil);
            for span in [Span::Block(hash), Span::Blocks { from: 80, to: 90 }] {
                let answer = pin(&pool).await.unwrap().logs(&query(), span).await;
                assert!(matches!(answer, Err(NodeError::Disagreed { .. })), "{answer:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_third_node_tells_who_lies_and_the_liar_is_left() {
    let nodes = [Fake::new(), Fake::new(), Fake::new()];
    let pool = pool_of(&[&nodes[0], &nodes[1], &nodes[2]], 2);
    let hash = nodes[0].shown.lock().unwrap().hash(90);
    nodes[0].set(|shown| shown.invents = true);
    let answer = pin(&pool).await.unwrap().logs(&query(), Span::Block(hash)).await;
    assert!(matches!(&answer, Err(NodeError::Lied { what }) if what.contains("node-0")), "{answer:?}");
    for _ in 0..3 {
        let logs = pin(&pool).await.unwrap().logs(&query(), Span::Block(hash)).await.unwrap();
        assert_eq!(logs.len(), 1);
    }
    assert_eq!(state(&pool, 0), NodeState::Resting);
    // As a witness it is outvoted too.
    let nodes = [Fake::new(), Fake::new(), Fake::new()];
    let pool = pool_of(&[&nodes[0], &nodes[1], &nodes[2]], 2);
    nodes[1].set(|shown| shown.omits = true);
    assert_eq!(pin(&pool).await.unwrap().logs(&query(), Span::Block(hash)).await.unwrap().len(), 1);
    assert_eq!(state(&pool, 1), NodeState::Resting);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_counts_when_two_nodes_give_it() {
    let (one, two) = (Fake::new(), Fake::new());
    let pool = pool_of(&[&one, &two], 2);
    let hash = B256::repeat_byte(1);
    let look = async || pin(&pool).await.unwrap().receipt(hash).await;
    assert!(look().await.unwrap().is_some());
    two.set(|shown| shown.knows_receipts = false);
    assert_eq!(look().await, Ok(None), "the other may not have it yet");
    two.set(|shown| (shown.knows_receipts, shown.invents) = (true, true));
    assert!(matches!(look().await, Err(NodeError::Disagreed { .. })));
}

#[test]
fn more_nodes_cannot_agree_than_there_are() {
    let one = Fake::new();
    let nodes = || -> Vec<(String, Role, Arc<dyn Node>)> { vec![("one".into(), Role::Primary, one.clone())] };
    for agree in [0, 2] {
        let error = Pool::new(nodes(), PoolOptions { agree, ..PoolOptions::of(&profile()) }).err().unwrap();
        assert!(error.to_string().contains("expected 1 to 1"), "{error}");
    }
    assert!(Pool::new(Vec::new(), PoolOptions::of(&profile())).is_err());
}
