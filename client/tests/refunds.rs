//! What a payee's command asks of nodes before it sends, and before it gives a refund up. The nodes say what they are told.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use salt402_chain::{Account, Endpoint, Profile, RpcNode};
use salt402_client::{RefundOutcome, Refunder, SignedPayment, Standing};
use salt402_protocol::{Address, B256};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

const KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
const REFUND: B256 = B256::repeat_byte(0x4f);
const INDEXED: B256 = B256::repeat_byte(0x07);

/// What a node says; an error where nothing.
#[derive(Clone, Default)]
struct Says {
    head: u64,
    /// The hash of each of its blocks.
    hash: B256,
    /// The mined transactions of the account, and those with the ones that wait.
    counts: (u64, u64),
    /// Whether the refund is in a block; `None`: it does not answer.
    mined: Option<bool>,
    /// Whether it has the refund, in a block or not.
    holds: bool,
}

impl Says {
    fn answer(&self, method: &str, params: &Value) -> Option<Value> {
        let hex = |number: u64| json!(format!("{number:#x}"));
        Some(match method {
            "eth_blockNumber" => hex(self.head),
            "eth_getBlockByNumber" => {
                let number = match params[0].as_str() {
                    Some("latest") => self.head,
                    Some(text) => u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap(),
                    None => return None,
                };
                if number > self.head {
                    return Some(Value::Null);
                }
                json!({ "number": hex(number), "hash": self.hash, "parentHash": B256::ZERO, "timestamp": hex(1) })
            }
            "eth_getTransactionCount" => {
                hex(if params[1] == "pending" { self.counts.1 } else { self.counts.0 })
            }
            "eth_getTransactionReceipt" => match self.mined? {
                false => Value::Null,
                true => json!({
                    "transactionHash": REFUND, "blockNumber": hex(5), "blockHash": self.hash, "status": "0x1",
                    "from": Address::ZERO, "to": Address::ZERO, "logs": [],
                }),
            },
            "eth_getTransactionByHash" if !self.holds => Value::Null,
            "eth_getTransactionByHash" => json!({
                "hash": REFUND, "from": Address::ZERO, "to": Address::ZERO, "value": "0x0", "input": "0x",
            }),
            // A refund that it refuses: its nonce is used.
            _ => return None,
        })
    }
}

/// A node over HTTP, until the test ends.
async fn node(says: Says) -> Arc<RpcNode> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let says = Arc::new(Mutex::new(says));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, Arc::clone(&says)));
        }
    });
    Arc::new(RpcNode::connect(Endpoint::new(url), Profile::named("local").unwrap()).unwrap())
}

async fn serve(socket: TcpStream, says: Arc<Mutex<Says>>) -> Option<()> {
    let mut socket = BufReader::new(socket);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if socket.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        socket.read_exact(&mut body).await.ok()?;
        let asked: Value = serde_json::from_slice(&body).ok()?;
        let method = asked["method"].as_str()?;
        let mut answer = json!({ "jsonrpc": "2.0", "id": asked["id"] });
        match says.lock().ok()?.answer(method, &asked["params"]) {
            Some(result) => answer["result"] = result,
            None => answer["error"] = json!({ "code": -32000, "message": "nonce too low" }),
        }
        let text = answer.to_string();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ";
        socket.write_all(format!("{head}{}\r\n\r\n{text}", text.len()).as_bytes()).await.ok()?;
    }
}

async fn refunder(says: impl IntoIterator<Item = Says>) -> Refunder {
    let mut nodes = Vec::new();
    for says in says {
        nodes.push(node(says).await);
    }
    Refunder::new(nodes, Account::from_key(KEY).unwrap(), std::env::temp_dir().join("unused.lock"))
}

fn at(head: u64, hash: B256) -> Says {
    Says { head, hash, mined: Some(false), ..Says::default() }
}

#[tokio::test]
async fn every_node_that_answers_must_have_the_newest_block_of_the_index() {
    let other = B256::repeat_byte(0x08);
    let standing = async |says: &[Says]| refunder(says.to_vec()).await.standing(7, INDEXED).await.unwrap();
    assert_eq!(standing(&[at(7, INDEXED), at(9, INDEXED)]).await, Standing::On { head: 9 });
    assert_eq!(standing(&[at(7, INDEXED), at(9, other)]).await, Standing::Elsewhere);
    assert_eq!(standing(&[at(6, INDEXED), at(9, INDEXED)]).await, Standing::Below { head: 6 });
}

#[tokio::test]
async fn a_waiting_transaction_of_the_account_is_seen_unless_it_is_known() {
    let says = |counts| Says { counts, ..at(7, INDEXED) };
    let unknown =
        async |says: [Says; 2], known: &[u64]| refunder(says).await.unknown_pending(known).await.unwrap();
    assert_eq!(unknown([says((3, 3)), says((3, 3))], &[]).await, None);
    assert_eq!(unknown([says((3, 3)), says((3, 5))], &[]).await, Some(3));
    assert_eq!(unknown([says((3, 5)), says((3, 3))], &[3]).await, Some(4));
    assert_eq!(unknown([says((3, 5)), says((4, 5))], &[3, 4]).await, None);
}

/// A refund whose nonce is used, by the first node, which was seen long before.
async fn finished(second: Says) -> RefundOutcome {
    let first = Says { counts: (4, 4), ..at(1000, INDEXED) };
    let refunder = refunder([first, second]).await;
    let refund = SignedPayment {
        network: "local".into(),
        payer: refunder.account(),
        transaction: REFUND,
        nonce: 3,
        raw: vec![2].into(),
        deadline: None,
    };
    refunder.finish(&refund, &mut Some(1), Duration::ZERO).await
}

#[tokio::test]
async fn a_refund_is_given_up_only_after_every_node_denied_its_receipt() {
    let second = |mined| Says { mined, counts: (4, 4), ..at(1000, INDEXED) };
    assert!(matches!(finished(second(Some(false))).await, RefundOutcome::Void(_)));
    assert_eq!(finished(second(Some(true))).await, RefundOutcome::Mined { block: 5 });
    match finished(second(None)).await {
        RefundOutcome::Open(why) => assert!(why.contains("does not answer"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_refund_is_unknown_only_where_every_node_says_so() {
    let known = async |says: [Says; 2]| refunder(says).await.is_known(REFUND).await;
    let held = Says { holds: true, ..at(7, INDEXED) };
    let silent = Says { mined: None, ..at(7, INDEXED) };
    assert_eq!(known([at(7, INDEXED), at(7, INDEXED)]).await, Some(false));
    assert_eq!(known([at(7, INDEXED), held.clone()]).await, Some(true));
    assert_eq!(known([silent.clone(), held]).await, Some(true));
    assert_eq!(known([at(7, INDEXED), silent]).await, None);
}
