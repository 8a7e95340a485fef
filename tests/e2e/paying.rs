//! `salt402 pay` against nodes that lose answers, and against its own sudden end: whatever happens, one request costs one
//! payment, and what was paid for can be had.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use alloy_sol_types::{SolCall, sol};
use salt402_protocol::{Address, Amount, Asset};
use salt402_tests::{Fault, NodeProxy, PAYEE, Stack, StackOptions, inference};
use serde_json::Value;
use tempfile::TempDir;

use crate::SALT402;

const KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
/// How many blocks make a payment final on the local network.
const FINAL: u64 = 8;

sol! {
    interface IMockToken {
        function mint(address to, uint256 amount) external;
        function approve(address spender, uint256 amount) external;
        function allowance(address owner, address spender) external view returns (uint256);
    }
}

/// A payer's machine: its receipts, and the node that it asks.
struct Payer {
    receipts: TempDir,
    node: NodeProxy,
    url: String,
}

impl Payer {
    async fn of(stack: &Stack) -> Self {
        Self {
            receipts: tempfile::tempdir().unwrap(),
            node: NodeProxy::before(stack.anvil.http()).await,
            url: format!("{}/v1/inference", stack.gateway),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(SALT402);
        command
            .arg("pay")
            .args(arguments)
            .env("SALT402_RECEIPTS", self.receipts.path())
            .env("SALT402_RPC_URL", self.node.http())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn pays(&self, prompt: &str, more: &[&str]) -> Command {
        let body = inference(prompt).to_string();
        let max: &[&str] = if more.contains(&"--max") { &[] } else { &["--max", "0.01 SALT"] };
        let own = [self.url.as_str(), "--network", "local", "--data", body.as_str()];
        let mut command = self.command(&[&own, max, more].concat());
        command.env("SALT402_KEY", KEY);
        command
    }

    async fn pay(&self, prompt: &str, more: &[&str]) -> Told {
        run(self.pays(prompt, more)).await
    }

    /// Goes on with a receipt, without a key.
    async fn resume(&self, receipt: &Path) -> Told {
        let mut command = self.command(&["--resume", receipt.to_str().unwrap()]);
        command.env_remove("SALT402_KEY");
        run(command).await
    }

    /// The receipts there are, the newest last.
    fn receipts(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.receipts.path()).unwrap().map(|file| file.unwrap().path());
        let mut found: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|kind| kind == "json")).collect();
        found.sort_by_key(|path| std::fs::metadata(path).unwrap().modified().unwrap());
        found
    }

    fn receipt(&self) -> Value {
        let receipts = self.receipts();
        assert_eq!(receipts.len(), 1, "{receipts:?}");
        serde_json::from_slice(&std::fs::read(&receipts[0]).unwrap()).unwrap()
    }
}

struct Told {
    code: Option<i32>,
    out: String,
    err: String,
}

async fn run(mut command: Command) -> Told {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    told(&output)
}

fn told(output: &Output) -> Told {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Told { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

async fn wait_until(what: &str, wished: impl Fn() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(30);
    while !wished() {
        assert!(Instant::now() < give_up, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn kill(mut child: Child) {
    child.kill().unwrap();
    tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
}

/// Of `SaltPay`, as the index has them.
async fn payments(stack: &mut Stack) -> u64 {
    stack.indexed(stack.anvil.height().await).await;
    stack.status().await["chains"][0]["payments"].as_u64().unwrap()
}

fn lost(how: Fault) -> impl Fn(&str) -> Option<Fault> {
    move |method| (method == "eth_sendRawTransaction").then(|| how.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn f31_a_payment_whose_answer_is_lost_is_shown_and_not_made_again() {
    let mut stack = Stack::start(SALT402).await;
    let payer = Payer::of(&stack).await;
    let error = |code, text: &str| Fault::Error(code, text.to_owned());
    let faults = [
        Fault::Status(502),
        Fault::Closed,
        Fault::Status(429),
        error(-32603, "internal error"),
        error(-32000, "nonce too low"),
        error(-32000, "already known"),
        error(-32010, "Known transaction"),
        error(-32602, "InvalidNonce { expected: 2, got: 1 }"),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        payer.node.loses(lost(fault.clone()));
        let prompt = format!("lost {number}");
        let told = payer.pay(&prompt, &[]).await;
        assert_eq!(told.code, Some(0), "{fault:?}: {}", told.err);
        assert!(told.out.contains(&format!("answer {}", number + 1)), "{}", told.out);
        assert!(!told.err.contains("not sent") && !told.err.contains("nothing was paid"), "{}", told.err);
        assert!(told.err.contains("payment 0x") && told.err.contains("quote id "), "{}", told.err);
        assert_eq!(payments(&mut stack).await, number as u64 + 1, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f31_a_payer_that_is_killed_at_any_moment_pays_once_and_is_answered() {
    let mut stack = Stack::start(SALT402).await;
    let payer = Payer::of(&stack).await;
    // Before the node has it, and after.
    for (number, taken) in [false, true].into_iter().enumerate() {
        let prompt = format!("killed {number}");
        let before = payer.receipts().len();
        if taken {
            payer.node.loses(lost(Fault::Silence));
        } else {
            payer.node.refuses(lost(Fault::Silence));
        }
        let asked = payer.node.asked("eth_sendRawTransaction");
        let child = payer.pays(&prompt, &[]).spawn().unwrap();
        wait_until("it sends", || payer.node.asked("eth_sendRawTransaction") > asked).await;
        // It was written before.
        let receipts = payer.receipts();
        assert_eq!(receipts.len(), before + 1);
        let receipt = receipts.last().unwrap().clone();
        kill(child).await;
        let text = std::fs::read_to_string(&receipt).unwrap();
        assert_eq!(std::fs::metadata(&receipt).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!text.contains(&KEY[2..]) && !text.contains(&KEY[2..].to_uppercase()), "no key");
        let kept: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(kept["stage"], "unfinished");

        payer.node.loses(|_| None);
        payer.node.refuses(|_| None);
        // The same command, or the receipt without a key.
        let again = if taken { payer.resume(&receipt).await } else { payer.pay(&prompt, &[]).await };
        assert_eq!(again.code, Some(0), "{}", again.err);
        assert!(again.out.contains(&format!("answer {}", number + 1)), "{}", again.out);
        assert!(again.err.contains(kept["payment"]["transaction"].as_str().unwrap()), "{}", again.err);
        assert_eq!(payments(&mut stack).await, number as u64 + 1);
        let kept: Value = serde_json::from_slice(&std::fs::read(&receipt).unwrap()).unwrap();
        assert_eq!((&kept["stage"], &kept["status"]), (&Value::from("answered"), &Value::from(200)));
    }
    // What was answered may be asked and paid for anew, and no record is lost.
    assert_eq!(payer.pay("killed 0", &[]).await.code, Some(0));
    assert_eq!((payments(&mut stack).await, payer.receipts().len()), (3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn f31_a_payment_that_no_node_took_is_told_with_its_receipt_and_goes_on_from_it() {
    let mut stack = Stack::start(SALT402).await;
    let payer = Payer::of(&stack).await;
    payer.node.refuses(lost(Fault::Status(502)));
    for _ in 0..2 {
        let told = payer.pay("later", &["--timeout", "1"]).await;
        assert_eq!(told.code, Some(3), "{}", told.err);
        let (kept, path) = (payer.receipt(), payer.receipts()[0].display().to_string());
        for part in [
            kept["payment"]["transaction"].as_str().unwrap(),
            kept["details"]["quoteId"].as_str().unwrap(),
            &format!("salt402 pay --resume {path}"),
            "no node says that it has the transaction",
        ] {
            assert!(told.err.contains(part), "{part}: {}", told.err);
        }
        assert!(!told.err.contains("nothing was paid"), "{}", told.err);
    }
    // Machines are told the same.
    let told = payer.pay("later", &["--timeout", "1", "--json"]).await;
    let report: Value = serde_json::from_str(told.err.trim()).unwrap();
    assert_eq!((told.code, &report["transaction"]), (Some(3), &payer.receipt()["payment"]["transaction"]));
    assert!(report["error"].is_string() && report["receipt"].is_string(), "{report}");
    assert_eq!(payments(&mut stack).await, 0);
    // Through another node it goes.
    let nodes = format!("{},{}", payer.node.http(), stack.anvil.http());
    let receipt = payer.receipts().remove(0);
    let told = run(payer.command(&["--resume", receipt.to_str().unwrap(), "--rpc", &nodes])).await;
    assert_eq!(told.code, Some(0), "{}", told.err);
    assert_eq!((payments(&mut stack).await, stack.upstream.asked()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn f31_a_payment_whose_nonce_went_to_another_transaction_is_given_up_when_that_is_final() {
    let mut stack = Stack::start(SALT402).await;
    let payer = Payer::of(&stack).await;
    payer.node.refuses(lost(Fault::Status(502)));
    assert_eq!(payer.pay("replaced", &["--timeout", "1"]).await.code, Some(3));
    stack.payer().call(Address::repeat_byte(0x77), Default::default(), Amount::ZERO).await;
    payer.node.refuses(|_| None);
    // It may come back as long as a reorganization may take the other away.
    let told = payer.pay("replaced", &["--timeout", "1"]).await;
    assert_eq!(told.code, Some(3), "{}", told.err);
    assert!(told.err.contains("another transaction of the account"), "{}", told.err);
    stack.anvil.mine(FINAL).await;
    let told = payer.pay("replaced", &["--timeout", "5"]).await;
    assert_eq!(told.code, Some(1), "{}", told.err);
    assert!(told.err.contains("paid nothing and never will"), "{}", told.err);
    assert_eq!(payments(&mut stack).await, 0);
    let told = payer.pay("replaced", &[]).await;
    assert_eq!((told.code, payments(&mut stack).await), (Some(0), 1), "{}", told.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn f31_without_a_place_for_the_receipt_nothing_is_paid() {
    let mut stack = Stack::start(SALT402).await;
    let payer = Payer::of(&stack).await;
    let file = payer.receipts.path().join("a-file");
    std::fs::write(&file, "in the way").unwrap();
    let below = file.join("receipt.json");
    let told = payer.pay("nowhere", &["--receipt", below.to_str().unwrap()]).await;
    assert_eq!(told.code, Some(1), "{}", told.err);
    // What may be the record of a payment is not written over, nor is another request's.
    let told = payer.pay("nowhere", &["--receipt", file.to_str().unwrap()]).await;
    assert!(
        told.code == Some(1) && told.err.contains("not a receipt that this version can read"),
        "{}",
        told.err
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "in the way");
    payer.node.refuses(lost(Fault::Status(502)));
    let mine = payer.receipts.path().join("mine.json");
    let mine = ["--receipt", mine.to_str().unwrap(), "--timeout", "1"];
    assert_eq!(payer.pay("one", &mine).await.code, Some(3));
    payer.node.refuses(|_| None);
    let told = payer.pay("another", &mine).await;
    assert!(told.code == Some(1) && told.err.contains("another request"), "{}", told.err);
    assert_eq!(payments(&mut stack).await, 0);
    // --again is the payer's word.
    let told = payer.pay("one", &[&mine[..2], &["--again"]].concat()).await;
    assert_eq!((told.code, payments(&mut stack).await), (Some(0), 1), "{}", told.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn f31_the_same_request_at_once_is_paid_by_one_after_the_other() {
    let mut stack = Stack::start(SALT402).await;
    let payer = Payer::of(&stack).await;
    stack.upstream.delay(Duration::from_millis(300));
    let both = futures::future::join_all([payer.pay("twice", &[]), payer.pay("twice", &[])]).await;
    assert!(both.iter().all(|told| told.code == Some(0)), "{} {}", both[0].err, both[1].err);
    assert!(both.iter().any(|told| told.err.contains("waiting for it to end")));
    assert_eq!((payments(&mut stack).await, payer.receipts().len()), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn f31_commands_at_once_from_one_account_do_not_take_each_others_place() {
    let mut stack = Stack::start(SALT402).await;
    let payer = Payer::of(&stack).await;
    let prompts: Vec<_> = (0..4).map(|number| format!("beside {number}")).collect();
    let all = futures::future::join_all(prompts.iter().map(|prompt| payer.pay(prompt, &[]))).await;
    for told in &all {
        assert_eq!(told.code, Some(0), "{}", told.err);
    }
    assert_eq!((payments(&mut stack).await, payer.receipts().len()), (4, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn f33_an_allowance_that_is_left_is_set_to_zero_first_and_a_node_that_stumbles_aborts_nothing() {
    // The token's address is that of its creator's next contract.
    let payment = "asset = \"TOKEN\"\nasset_symbol = \"USDT\"\nasset_decimals = 6";
    let mut stack = Stack::start_with(SALT402, StackOptions { idle: true, ..Default::default() }).await;
    let token = stack.anvil.create("GuardedApprovalToken", &[]).await;
    let config = stack.config();
    let text = std::fs::read_to_string(&config).unwrap();
    let lines = payment.replace("TOKEN", &token.to_string());
    std::fs::write(&config, text.replace("[payment]", &format!("[payment]\n{lines}"))).unwrap();
    stack.up().await;
    let payer = Payer::of(&stack).await;
    let owner = stack.payer().address();
    let mint = IMockToken::mintCall { to: owner, amount: "9000".parse::<Amount>().unwrap().0 };
    stack.payer().call(token, mint.abi_encode().into(), Amount::ZERO).await;
    let left = IMockToken::approveCall {
        spender: stack.deployment.salt_pay,
        amount: "7".parse::<Amount>().unwrap().0,
    };
    stack.payer().call(token, left.abi_encode().into(), Amount::ZERO).await;

    // The first time that it is asked, each of these fails after the node did it.
    let stumbled = std::sync::Mutex::new(std::collections::BTreeSet::new());
    payer.node.loses(move |method| {
        let stumbles = [
            "eth_getTransactionReceipt",
            "eth_sendRawTransaction",
            "eth_call",
            "eth_getCode",
            "eth_gasPrice",
        ];
        let first = stumbles.contains(&method) && stumbled.lock().unwrap().insert(method.to_owned());
        first.then_some(Fault::Status(502))
    });
    let token = token.to_string();
    let told = payer.pay("in dollars", &["--max", "2000", "--token", &token]).await;
    assert_eq!(told.code, Some(0), "{}", told.err);
    assert!(told.out.contains("answer 1"), "{}", told.out);
    assert_eq!(payments(&mut stack).await, 1);
}

/// The transaction is stuck until its quote has ended: the money stays where it is, and the payer learns so.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_is_mined_after_its_quote_pays_nothing_and_can_be_made_again() {
    let options = StackOptions { verifier: "quote_lifetime_s = 14".into(), ..Default::default() };
    let mut stack = Stack::start_with(SALT402, options).await;
    let payer = Payer::of(&stack).await;
    let payee: Address = PAYEE.parse().unwrap();
    let before = stack.anvil.balance(payee, Asset::Native).await;
    stack.anvil.automine(false).await;
    let told = payer.pay("stuck", &["--timeout", "1"]).await;
    assert_eq!(told.code, Some(3), "{}", told.err);
    let deadline = payer.receipt()["payment"]["deadline"].as_u64().unwrap();
    assert_eq!(payer.receipt()["details"]["expiresAt"], deadline);
    while now() <= deadline + 1 {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    stack.anvil.mine(1).await;
    assert_eq!(stack.anvil.balance(payee, Asset::Native).await, before, "it reverted");
    // Another block may include it as long as this one may be replaced.
    let told = payer.pay("stuck", &["--timeout", "1"]).await;
    assert_eq!(told.code, Some(3), "{}", told.err);
    stack.anvil.mine(FINAL).await;
    let told = payer.pay("stuck", &["--timeout", "5"]).await;
    assert_eq!(told.code, Some(1), "{}", told.err);
    assert!(told.err.contains("DeadlinePassed") && told.err.contains("can be paid again"), "{}", told.err);
    assert_eq!(payer.receipt()["stage"], "reverted");
    assert_eq!(payments(&mut stack).await, 0);
    let receipt = payer.receipts().remove(0);
    assert!(payer.resume(&receipt).await.err.contains("paid nothing"));
    stack.anvil.automine(true).await;
    let told = payer.pay("stuck", &[]).await;
    assert_eq!((told.code, payments(&mut stack).await), (Some(0), 1), "{}", told.err);
}

/// Coins that are sent to an address without code stay there.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_paid_where_there_is_no_contract_or_one_that_knows_no_deadline() {
    let stack = Stack::start(SALT402).await;
    let payer = Payer::of(&stack).await;
    let (contract, token) = (stack.deployment.salt_pay, stack.deployment.wrapped_salt);
    // The server believes that it is there: no block has left the chain.
    let other = stack.anvil.ask("eth_getCode", serde_json::json!([token, "latest"])).await;
    for (code, said) in [(Value::from("0x"), "there is no contract at"), (other, "pays until a deadline")] {
        stack.anvil.ask("anvil_setCode", serde_json::json!([contract, code])).await;
        let told = payer.pay("nowhere", &[]).await;
        assert!(told.code == Some(1) && told.err.contains(said), "{}", told.err);
        assert!(payer.receipts().is_empty(), "nothing was signed");
    }
    assert_eq!(stack.anvil.balance(contract, Asset::Native).await, salt402_protocol::U256::ZERO);
    assert_eq!(payer.node.asked("eth_sendRawTransaction"), 0);
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
