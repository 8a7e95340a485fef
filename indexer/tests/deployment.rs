//! Whether the contract to be paid through is on the chain, as a process without a follower sees it.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, B256, Bytes};
use async_trait::async_trait;
use futures::stream::BoxStream;
use salt402_chain::{At, Header, Log, LogQuery, Node, NodeError, Profile, Receipt, Span, Transaction};
use salt402_indexer::{Deployment, DeploymentCheck, DeploymentFault};
use tokio::sync::watch;

const CONTRACT: Address = Address::repeat_byte(0xc0);
/// The height of the newest block.
const HEAD: u64 = 7;

/// What a node says.
#[derive(Clone)]
struct Says {
    /// Tells its blocks from those of another fork.
    fork: u8,
    /// The code of the contract; `None` where the node refuses to tell.
    code: Option<&'static [u8]>,
}

struct Told {
    says: Mutex<Says>,
    profile: Profile,
}

impl Told {
    fn new(code: Option<&'static [u8]>) -> Arc<Self> {
        let profile = Profile::named("local").unwrap();
        Arc::new(Self { says: Mutex::new(Says { fork: 1, code }), profile })
    }

    fn says(&self, fork: u8, code: Option<&'static [u8]>) {
        *self.says.lock().unwrap() = Says { fork, code };
    }
}

#[async_trait]
impl Node for Told {
    async fn chain_id(&self) -> Result<u64, NodeError> {
        Ok(self.profile.chain_id.get())
    }

    async fn header(&self, at: At) -> Result<Option<Header>, NodeError> {
        let fork = self.says.lock().unwrap().fork;
        let number = match at {
            At::Number(number) if number <= HEAD => number,
            At::Latest => HEAD,
            _ => return Ok(None),
        };
        let hash = B256::from([fork; 32]);
        Ok(Some(Header { number, hash, parent_hash: B256::ZERO, timestamp: 1 }))
    }

    async fn logs(&self, _query: &LogQuery, _span: Span) -> Result<Vec<Log>, NodeError> {
        Ok(Vec::new())
    }

    async fn receipt(&self, _transaction: B256) -> Result<Option<Receipt>, NodeError> {
        Ok(None)
    }

    async fn transaction(&self, _hash: B256) -> Result<Option<Transaction>, NodeError> {
        Ok(None)
    }

    async fn code(&self, contract: Address) -> Result<Bytes, NodeError> {
        assert_eq!(contract, CONTRACT);
        let code = self.says.lock().unwrap().code;
        code.map(Bytes::from_static).ok_or_else(|| NodeError::Rpc {
            code: -32603,
            message: "internal error: the database is closed".into(),
        })
    }

    async fn heads(&self) -> Result<Option<BoxStream<'static, ()>>, NodeError> {
        Ok(None)
    }

    fn profile(&self) -> &Profile {
        &self.profile
    }
}

fn check() -> DeploymentCheck {
    DeploymentCheck { contract: CONTRACT, start_block: 0, channels: None, token: None }
}

#[tokio::test]
async fn code_is_there_where_a_node_shows_it_and_an_error_shows_none() {
    let node = Told::new(Some(&[0x60, 0x01]));
    let nodes: Arc<dyn Node> = node.clone();
    assert_eq!(check().look(&nodes).await.unwrap().unwrap().number, HEAD);
    node.says(1, Some(&[]));
    assert_eq!(check().look(&nodes).await.unwrap().unwrap_err(), DeploymentFault::NoContract(CONTRACT));
    node.says(1, None);
    assert!(matches!(check().look(&nodes).await, Err(NodeError::Rpc { .. })), "nobody saw code");
}

/// Time is the test's: it passes as soon as all wait.
#[tokio::test(start_paused = true)]
async fn what_was_seen_counts_until_a_node_answers_otherwise() {
    let node = Told::new(None);
    let nodes: Arc<dyn Node> = node.clone();
    let (say, mut said) = watch::channel(Deployment::unseen());
    let watching = tokio::spawn(check().watch(nodes, None, say));
    let is_unasked =
        |now: &Deployment| matches!(now, Deployment::Unknown(why) if why.contains("database is closed"));
    said.wait_for(is_unasked).await.unwrap();
    node.says(1, Some(&[0x60, 0x01]));
    said.wait_for(|now| matches!(now, Deployment::Good { .. })).await.unwrap();
    // Another fork, and a node that does not answer: neither says that the contract is gone.
    node.says(2, None);
    said.borrow_and_update();
    let changed = tokio::time::timeout(std::time::Duration::from_secs(60), said.changed()).await;
    assert!(changed.is_err(), "{:?}", *said.borrow());
    node.says(3, Some(&[]));
    said.wait_for(|now| now.missing() == Some(CONTRACT)).await.unwrap();
    watching.abort();
}
