//! A node of the world, which fails as it is told to, and at which a process can end.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256};
use async_trait::async_trait;
use futures::stream::BoxStream;
use salt402_chain::{
    AccountState, At, Header, Log, LogQuery, Mined, Node, NodeError, Profile, Receipt, Span, StateQuestion,
    Transaction,
};
use salt402_protocol::foreign::MULTICALL3;
use tokio::sync::Notify;

use crate::ledger::{ENDLESS, HUNGRY};
use crate::world::World;

/// What one process asks. Another process has another one over the same world.
pub(crate) struct TestNode {
    pub(crate) world: Arc<World>,
    /// How many awaits are left until the process ends. Negative: it does not.
    left: AtomicI64,
    /// Told when it ends.
    pub(crate) ended: Notify,
}

impl TestNode {
    pub(crate) fn new(world: &Arc<World>) -> Arc<Self> {
        Self::ending(world, -1)
    }

    /// Whoever asks it is stopped at that await, before the question was answered or after it.
    pub(crate) fn ending(world: &Arc<World>, after: i64) -> Arc<Self> {
        Arc::new(Self { world: Arc::clone(world), left: AtomicI64::new(after), ended: Notify::new() })
    }

    /// An await, at which the process may end.
    async fn point(&self) {
        if self.left.load(Ordering::SeqCst) >= 0 && self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
            self.left.store(0, Ordering::SeqCst);
            self.ended.notify_one();
            std::future::pending::<()>().await;
        }
        tokio::task::yield_now().await;
    }

    fn fails(&self) -> Result<(), NodeError> {
        let mut state = self.world.state();
        let chance = state.faults.errors;
        if state.happens(chance) { Err(timeout()) } else { Ok(()) }
    }
}

fn timeout() -> NodeError {
    NodeError::Timeout { node: "http://test".to_owned(), after: Duration::from_secs(1) }
}

fn reverted() -> NodeError {
    NodeError::Rpc { code: 3, message: "execution reverted".to_owned() }
}

#[async_trait]
impl Node for TestNode {
    async fn chain_id(&self) -> Result<u64, NodeError> {
        Ok(self.world.profile.chain_id.get())
    }

    async fn header(&self, at: At) -> Result<Option<Header>, NodeError> {
        self.point().await;
        self.fails()?;
        let state = self.world.state();
        Ok(match at {
            At::Latest => Some(state.head()),
            At::Number(number) => {
                state.blocks.iter().map(|made| made.header).find(|header| header.number == number)
            }
            At::Hash(hash) => state.blocks.iter().map(|made| made.header).find(|header| header.hash == hash),
        })
    }

    async fn logs(&self, query: &LogQuery, span: Span) -> Result<Vec<Log>, NodeError> {
        self.point().await;
        self.fails()?;
        let Span::Blocks { from, to } = span else { return Err(timeout()) };
        let state = self.world.state();
        let blocks = state.blocks.iter().filter(|made| (from..=to).contains(&made.header.number));
        let logs =
            blocks.flat_map(|made| made.transactions.iter()).flat_map(|(_, mined)| &mined.receipt.logs);
        Ok(logs.filter(|log| query.matches(log.contract, &log.content)).cloned().collect())
    }

    async fn receipt(&self, transaction: B256) -> Result<Option<Receipt>, NodeError> {
        Ok(self.mined(&[transaction]).await?.into_iter().next().flatten().map(|mined| mined.receipt))
    }

    async fn mined(&self, transactions: &[B256]) -> Result<Vec<Option<Mined>>, NodeError> {
        self.point().await;
        self.fails()?;
        let mined = {
            let mut state = self.world.state();
            let hidden = state.faults.hidden;
            let mut mined = Vec::new();
            for transaction in transactions {
                let is_hidden = state.happens(hidden);
                mined.push(if is_hidden { None } else { state.mined(*transaction) });
            }
            mined
        };
        self.point().await;
        Ok(mined)
    }

    async fn transaction(&self, hash: B256) -> Result<Option<Transaction>, NodeError> {
        self.point().await;
        let state = self.world.state();
        let all = state.blocks.iter().flat_map(|made| made.transactions.iter());
        let found = all.into_iter().find(|(pooled, _)| pooled.hash == hash);
        Ok(found.map(|(pooled, _)| Transaction {
            hash,
            to: Some(pooled.to),
            input: pooled.input.clone(),
            value: U256::ZERO,
        }))
    }

    async fn state(&self, questions: &[StateQuestion]) -> Result<Vec<Result<Bytes, NodeError>>, NodeError> {
        self.point().await;
        self.fails()?;
        let state = self.world.state();
        let (height, ledger) = state.as_seen();
        let time = state.head().timestamp + state.seconds_a_block;
        let answer = |question: &StateQuestion| match question {
            StateQuestion::Code(address) => {
                let there =
                    if *address == MULTICALL3 { state.has_multicall } else { state.coded.contains(address) };
                Ok(if there { Bytes::from_static(&[1]) } else { Bytes::new() })
            }
            StateQuestion::View { call, .. } => match ledger.view(call.to, &call.data) {
                Some(answer) => Ok(answer),
                None => {
                    ledger.clone().run(call.to, &call.data, time).map(|_| Bytes::new()).ok_or_else(reverted)
                }
            },
            StateQuestion::Gas { call, .. } if call.to == HUNGRY => Err(NodeError::Rpc {
                code: -32000,
                message: format!("gas required exceeds allowance ({})", call.gas_limit.unwrap_or(50_000_000)),
            }),
            StateQuestion::Gas { call, .. } if call.to == ENDLESS || state.faults.estimates_nothing => {
                Err(NodeError::Rpc { code: -32000, message: "execution aborted (timeout = 5s)".to_owned() })
            }
            StateQuestion::Gas { call, .. } => {
                let ran = ledger.clone().run(call.to, &call.data, time);
                ran.map(|_| U256::from(60_000_u64).to_be_bytes::<32>().into()).ok_or_else(reverted)
            }
            StateQuestion::Height => Ok(U256::from(height).to_be_bytes::<32>().into()),
            StateQuestion::Balance(_) => Ok(U256::from(1_u64).to_be_bytes::<32>().into()),
        };
        Ok(questions.iter().map(answer).collect())
    }

    async fn account(&self, account: Address) -> Result<AccountState, NodeError> {
        self.point().await;
        self.fails()?;
        let breaks = {
            let mut state = self.world.state();
            let left = state.faults.panics;
            state.faults.panics = left.saturating_sub(1);
            left > 0
        };
        assert!(!breaks, "the test lets this task break");
        let mut state = self.world.state();
        let mined = state.ledger.nonces.get(&account).copied().unwrap_or(0);
        let mut pending = mined;
        while state.pool.contains_key(&(account, pending)) {
            pending += 1;
        }
        let lies = state.faults.lies;
        if state.happens(lies) {
            pending = mined;
        }
        let exponent = if state.faults.poor == Some(account) { 3_u64 } else { 18 };
        let balance = U256::from(10_u64).pow(U256::from(exponent));
        Ok(AccountState { mined, pending, balance, base_fee: state.base_fee, tip: 1 })
    }

    async fn submit(&self, _hash: B256, raw: &Bytes) -> Result<(), NodeError> {
        self.point().await;
        let silent = {
            let mut state = self.world.state();
            state.submitted += 1;
            state.faults.silent
        };
        if let Some(silent) = silent {
            tokio::time::sleep(silent).await;
            return Err(timeout());
        }
        self.fails()?;
        let taken = {
            let mut state = self.world.state();
            let (dropped, failed) = (state.faults.dropped, state.faults.taken_and_failed);
            if state.happens(dropped) {
                Ok(())
            } else {
                state.take(raw);
                if state.happens(failed) {
                    Err(NodeError::Status { node: "http://test".to_owned(), status: 502 })
                } else {
                    Ok(())
                }
            }
        };
        self.point().await;
        taken
    }

    async fn heads(&self) -> Result<Option<BoxStream<'static, ()>>, NodeError> {
        Ok(None)
    }

    fn profile(&self) -> &Profile {
        &self.world.profile
    }
}
