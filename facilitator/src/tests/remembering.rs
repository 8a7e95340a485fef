//! What is asked of a node, and what is remembered of its answers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall as _, SolValue as _};
use async_trait::async_trait;
use futures::stream::BoxStream;
use salt402_chain::{
    At, Call, Header, Log, LogQuery, Node, NodeError, Profile, Receipt, Span, StateQuestion, Transaction,
};
use salt402_protocol::ChainId;
use salt402_protocol::foreign::{IMulticall3, MULTICALL3};
use salt402_protocol::typed_data::X402_EXACT_PROXY;
use salt402_protocol::x402::digest::Domain;
use salt402_store::{Options, Store};
use tokio::sync::watch;

use crate::authorization::{Authorization, Deployment, Method};
use crate::policy::NonceCheck;
use crate::testing::{PAYEE, TOKEN, policy};
use crate::verify::facts::{Facts, FactsError, KnowsAccounts as _, Nonce, Question};
use crate::verify::node_facts::NodeFacts;

/// A node that answers from values, and counts.
struct Values {
    profile: Profile,
    asked: Mutex<Vec<Vec<StateQuestion>>>,
    used: Mutex<bool>,
    fault: Mutex<Option<NodeError>>,
    /// How the payer's code fails.
    failure: Mutex<Option<NodeError>>,
    /// What the payer's code says of a signature.
    word: Mutex<Bytes>,
    has_multicall: Mutex<bool>,
}

#[async_trait]
impl Node for Values {
    async fn chain_id(&self) -> Result<u64, NodeError> {
        Ok(40_204)
    }
    async fn header(&self, _: At) -> Result<Option<Header>, NodeError> {
        Ok(None)
    }
    async fn logs(&self, _: &LogQuery, _: Span) -> Result<Vec<Log>, NodeError> {
        Ok(Vec::new())
    }
    async fn receipt(&self, _: B256) -> Result<Option<Receipt>, NodeError> {
        Ok(None)
    }
    async fn transaction(&self, _: B256) -> Result<Option<Transaction>, NodeError> {
        Ok(None)
    }
    async fn heads(&self) -> Result<Option<BoxStream<'static, ()>>, NodeError> {
        Ok(None)
    }
    fn profile(&self) -> &Profile {
        &self.profile
    }
    async fn state(&self, questions: &[StateQuestion]) -> Result<Vec<Result<Bytes, NodeError>>, NodeError> {
        self.asked.lock().unwrap().push(questions.to_vec());
        if let Some(fault) = self.fault.lock().unwrap().clone() {
            return Err(fault);
        }
        Ok(questions.iter().map(|question| self.answer(question)).collect())
    }
}

fn reverted() -> NodeError {
    NodeError::Rpc { code: -32000, message: "execution reverted".into() }
}

impl Values {
    fn answer(&self, question: &StateQuestion) -> Result<Bytes, NodeError> {
        if *question == StateQuestion::Height {
            return Ok(U256::from(77).abi_encode().into());
        }
        let StateQuestion::View { call, .. } = question else {
            let is_contract =
                [StateQuestion::Code(TOKEN), StateQuestion::Code(X402_EXACT_PROXY)].contains(question);
            return Ok(if is_contract { vec![1].into() } else { Bytes::new() });
        };
        if let Some(calls) = inside(question) {
            let view = |call| StateQuestion::View { from: None, call };
            let answers = calls.into_iter().map(|call| self.answer(&view(call)));
            let answers = answers.map(|answer| (answer.is_ok(), answer.unwrap_or_default()));
            return match *self.has_multicall.lock().unwrap() {
                true => Ok(answers.collect::<Vec<_>>().abi_encode().into()),
                false => Ok(Bytes::new()),
            };
        }
        let selector = alloy_primitives::hex::encode(&call.data[..4]);
        match selector.as_str() {
            "70a08231" => Ok(U256::from(500).abi_encode().into()),
            "dd62ed3e" => Ok(U256::from(7).abi_encode().into()),
            "e94a0102" => Ok(U256::from(u8::from(*self.used.lock().unwrap())).abi_encode().into()),
            // Bit 5 of the first word.
            "4fe02b44" => Ok(U256::from(32).abi_encode().into()),
            "06fdde03" => Ok("Test".to_owned().abi_encode().into()),
            "3644e515" => Ok(Domain::of_token("Test", "1", ChainId::CITRATE, TOKEN).0.abi_encode().into()),
            "1626ba7e" => {
                let word = self.word.lock().unwrap().clone();
                self.failure.lock().unwrap().clone().map_or(Ok(word), Err)
            }
            // Of wrapped SALT, which has no version.
            _ => Err(reverted()),
        }
    }
}

/// The calls in a call of Multicall3.
fn inside(question: &StateQuestion) -> Option<Vec<Call>> {
    let StateQuestion::View { call, .. } = question else { return None };
    let calls = IMulticall3::aggregate3Call::abi_decode(&call.data).ok()?.calls;
    let one = |it: IMulticall3::Call3| Call {
        to: it.target,
        value: U256::ZERO,
        data: it.callData,
        gas_limit: None,
    };
    (call.to == MULTICALL3).then(|| calls.into_iter().map(one).collect())
}

/// About a payment, with nothing known of it.
fn question(authorization: &Authorization) -> Question<'_> {
    Question {
        authorization,
        id: authorization.id(),
        is_on_chain: false,
        wants_height: false,
        proxy: None,
        is_fresh: false,
        most_gas: 1,
        digest: None,
        simulate: None,
    }
}

struct Stand {
    node: Arc<Values>,
    facts: NodeFacts,
    indexed: watch::Sender<u64>,
    _folder: tempfile::TempDir,
}

async fn stand(nonces: NonceCheck) -> Stand {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Options::new(folder.path().join("facilitator.db"))).await.unwrap();
    let profile = Profile::named("citrate").unwrap();
    let node = Arc::new(Values {
        profile,
        asked: Mutex::default(),
        used: Mutex::default(),
        fault: Mutex::default(),
        failure: Mutex::default(),
        word: Mutex::default(),
        has_multicall: Mutex::new(true),
    });
    let policy = crate::Policy { nonces, ..policy() };
    let indexed = watch::Sender::new(0);
    let nodes: Vec<(ChainId, Arc<dyn Node>)> = vec![(ChainId::CITRATE, node.clone())];
    let facts = NodeFacts::new(&policy, nodes, store, indexed.subscribe());
    Stand { node, facts, indexed, _folder: folder }
}

fn authorization(nonce: u64, method: Method) -> Authorization {
    Authorization {
        chain: ChainId::CITRATE,
        token: TOKEN,
        payer: Address::repeat_byte(1),
        payee: PAYEE,
        amount: U256::from(1),
        nonce: U256::from(nonce),
        valid_after: U256::ZERO,
        valid_before: U256::MAX,
        signature: vec![1; 65].into(),
        method,
    }
}

fn by_token(nonce: u64) -> Authorization {
    authorization(nonce, Method::Eip3009 { name: "Test".into(), version: "1".into(), deployment: None })
}

fn by_permit(nonce: u64) -> Authorization {
    authorization(nonce, Method::Permit2Exact { permit: None })
}

impl Stand {
    async fn ask(&self, authorization: &Authorization, is_fresh: bool) -> Result<Facts, FactsError> {
        let is_permit = matches!(authorization.method, Method::Permit2Exact { .. });
        let proxy = is_permit.then_some(X402_EXACT_PROXY);
        let question = Question { proxy, is_fresh, ..question(authorization) };
        self.facts.facts(&question).await
    }

    /// How many questions each round trip had, those in one call of Multicall3 included, and forgets them.
    fn trips(&self) -> Vec<usize> {
        let number = |question: &StateQuestion| inside(question).map_or(1, |inside| inside.len());
        self.node.asked.lock().unwrap().drain(..).map(|asked| asked.iter().map(number).sum()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn all_is_asked_at_once_and_then_remembered_for_a_while() {
    let stand = stand(NonceCheck::Chain).await;
    let facts = stand.ask(&by_token(1), false).await.unwrap();
    assert_eq!(facts.payer.balance, Some(U256::from(500)));
    assert_eq!((facts.payer.has_code, facts.token.has_code, facts.nonce), (false, true, Nonce::New));
    assert_eq!((facts.token.name.as_deref(), facts.token.version), (Some("Test"), None));
    assert!(facts.is_fresh);
    // Code and balance; the nonce; the token's code, name, version and domain. What fails in a call of others is asked alone.
    assert_eq!(stand.trips(), [7, 1]);
    let again = stand.ask(&by_token(1), false).await.unwrap();
    assert!(!again.is_fresh && again.payer == facts.payer);
    assert_eq!(stand.trips(), [0_usize; 0], "a payer that is known costs nothing");
    assert_eq!(stand.facts.has_code(&by_token(1)), Some(false));
    stand.ask(&by_token(2), false).await.unwrap();
    assert_eq!(stand.trips(), [1], "another nonce");
    // Permit2 needs the allowance, and the proxy's code.
    let facts = stand.ask(&by_permit(5), false).await.unwrap();
    assert_eq!(
        (facts.payer.allowance, facts.nonce, facts.has_proxy),
        (Some(U256::from(7)), Nonce::Used, true)
    );
    assert_eq!(stand.trips(), [5]);
    assert_eq!(stand.ask(&by_permit(6), false).await.unwrap().nonce, Nonce::New);
    assert_eq!(stand.trips(), [1]);
    // What is asked besides makes what is remembered no younger.
    tokio::time::advance(Duration::from_millis(1500)).await;
    stand.ask(&by_permit(7), false).await.unwrap();
    assert_eq!(stand.trips(), [1]);
    tokio::time::advance(Duration::from_millis(1500)).await;
    assert_eq!(stand.facts.has_code(&by_token(1)), None);
    stand.ask(&by_token(1), false).await.unwrap();
    assert_eq!(stand.trips(), [3], "no new block was seen for too long");
    stand.indexed.send_modify(|block| *block += 1);
    assert_eq!(stand.facts.has_code(&by_token(1)), None);
    stand.ask(&by_token(1), false).await.unwrap();
    assert_eq!(stand.trips(), [3], "a block was indexed, by whichever process");
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_anew_is_asked_of_the_chain() {
    let stand = stand(NonceCheck::Chain).await;
    stand.ask(&by_token(1), false).await.unwrap();
    *stand.node.used.lock().unwrap() = true;
    assert_eq!(stand.ask(&by_token(1), false).await.unwrap().nonce, Nonce::New, "as remembered");
    let fresh = stand.ask(&by_token(1), true).await.unwrap();
    assert!(fresh.is_fresh && fresh.nonce == Nonce::Used);
    assert_eq!(stand.trips(), [7, 1, 3], "what a token is, is not asked again so soon");
    assert_eq!(stand.ask(&by_token(1), false).await.unwrap().nonce, Nonce::Used, "and is remembered");
    tokio::time::advance(Duration::from_secs(11)).await;
    stand.ask(&by_token(1), true).await.unwrap();
    assert_eq!(stand.trips(), [7, 1], "a token that was refused may have changed");
}

#[tokio::test(start_paused = true)]
async fn with_the_index_a_known_payer_costs_no_question() {
    let stand = stand(NonceCheck::Index).await;
    for nonce in 1..10 {
        assert_eq!(stand.ask(&by_token(nonce), false).await.unwrap().nonce, Nonce::New);
    }
    assert_eq!(stand.trips(), [7, 1], "the first asks for all of it, its nonce too");
    stand.ask(&by_token(20), true).await.unwrap();
    assert_eq!(stand.trips(), [3], "to settle, the chain is asked");
}

/// It is on most chains, and not on every one.
#[tokio::test(start_paused = true)]
async fn without_multicall3_each_view_is_a_question_and_the_answers_are_the_same() {
    let (with, without) = (stand(NonceCheck::Chain).await, stand(NonceCheck::Chain).await);
    *without.node.has_multicall.lock().unwrap() = false;
    for authorization in [by_token(1), by_permit(5), by_permit(6)] {
        let facts = with.ask(&authorization, true).await.unwrap();
        assert_eq!(without.ask(&authorization, true).await.unwrap(), facts);
    }
    let calls = |stand: &Stand| {
        let asked = stand.node.asked.lock().unwrap();
        asked.iter().flatten().filter(|question| inside(question).is_some()).count()
    };
    assert!(calls(&with) > 1);
    assert_eq!(calls(&without), 1, "it is not asked again so soon");
    tokio::time::advance(Duration::from_secs(61)).await;
    *without.node.has_multicall.lock().unwrap() = true;
    without.ask(&by_token(1), true).await.unwrap();
    assert_eq!(calls(&without), 2, "it may have come");
}

#[tokio::test(start_paused = true)]
async fn what_the_index_has_on_the_chain_was_used_and_a_height_is_told_where_it_is_asked_for() {
    let stand = stand(NonceCheck::Chain).await;
    let payment = by_token(1);
    let on_chain = Question { is_on_chain: true, ..question(&payment) };
    assert_eq!(stand.facts.facts(&on_chain).await.unwrap().nonce, Nonce::Used);
    let facts = stand.facts.facts(&question(&payment)).await.unwrap();
    assert_eq!((facts.nonce, facts.height), (Nonce::New, None));
    let wants_height = Question { wants_height: true, is_fresh: true, ..question(&payment) };
    assert_eq!(stand.facts.facts(&wants_height).await.unwrap().height, Some(77));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_fails_is_no_verdict() {
    let stand = stand(NonceCheck::Chain).await;
    *stand.node.fault.lock().unwrap() = Some(NodeError::Behind);
    assert!(matches!(stand.ask(&by_token(1), false).await, Err(FactsError::Node(_))));
    *stand.node.fault.lock().unwrap() = None;
    assert!(stand.ask(&by_token(1), false).await.is_ok());
    let mut elsewhere = by_token(1);
    elsewhere.chain = ChainId::new(5).unwrap();
    assert!(matches!(stand.ask(&elsewhere, false).await, Err(FactsError::Chain(_))));
}

/// Of a node that did not run the code, such as a provider's whose quota is used up, it is not known what the code would have said.
#[tokio::test(start_paused = true)]
async fn a_failure_of_the_node_is_not_one_of_the_payers_code() {
    let stand = stand(NonceCheck::Chain).await;
    let payment = by_token(1);
    let digest = Some(B256::repeat_byte(1));
    let question = Question { is_fresh: true, digest, ..question(&payment) };
    for (message, is_of_the_code) in [
        ("execution reverted", true),
        ("out of gas", true),
        ("EVM error OutOfGas", true),
        ("gas required exceeds allowance (300000)", true),
        ("invalid opcode: opcode 0xfe not defined", true),
        ("stack underflow (0 <=> 1)", true),
        ("execution aborted (timeout = 5s)", false),
        ("monthly capacity limit exceeded for key c0ffee", false),
        ("missing trie node 5ab1 (path )", false),
        ("header not found", false),
        ("project ID is not allowed", false),
    ] {
        // anvil tells of a call that halted as of a fault of its own.
        let code = if message.starts_with("EVM") { -32603 } else { -32000 };
        *stand.node.failure.lock().unwrap() = Some(NodeError::Rpc { code, message: message.into() });
        match stand.facts.facts(&question).await {
            Ok(facts) => {
                assert_eq!((facts.contract_signature, is_of_the_code), (Some(false), true), "{message}");
            }
            Err(FactsError::Node(_)) => assert!(!is_of_the_code, "{message}"),
            Err(other) => panic!("{message}: {other}"),
        }
    }
}

/// The payer's contract is asked in the call that creates it, which nobody else waits for.
#[tokio::test(start_paused = true)]
async fn t14_a_contract_that_is_created_first_is_asked_in_one_call_with_its_factory() {
    let stand = stand(NonceCheck::Chain).await;
    let factory = Address::repeat_byte(0xfa);
    let deployment = Some(Deployment { factory, calldata: vec![9; 36].into() });
    let payment = authorization(7, Method::Eip3009 { name: "Test".into(), version: "1".into(), deployment });
    let question = Question {
        is_fresh: true,
        most_gas: 800_000,
        digest: Some(B256::repeat_byte(1)),
        ..question(&payment)
    };
    let magic = Bytes::from([&[0x16, 0x26, 0xba, 0x7e], [0; 28].as_slice()].concat());
    for (word, failure, has_multicall, deploys, signed) in [
        (magic.clone(), None, true, true, true),
        (vec![0; 32].into(), None, true, true, false),
        (Bytes::new(), Some(reverted()), true, true, false),
        // An address without code says nothing.
        (Bytes::new(), None, true, false, false),
        // Nor does Multicall3 where it is not.
        (magic, None, false, false, false),
    ] {
        *stand.node.word.lock().unwrap() = word;
        *stand.node.failure.lock().unwrap() = failure;
        *stand.node.has_multicall.lock().unwrap() = has_multicall;
        let facts = stand.facts.facts(&question).await.unwrap();
        assert_eq!((facts.deploys, facts.contract_signature), (Some(deploys), Some(signed)));
        let asked = stand.node.asked.lock().unwrap().drain(..).next().unwrap();
        let calls: Vec<_> = asked.iter().filter_map(inside).collect();
        let [calls] = &calls[..] else { panic!("{asked:?}") };
        let targets: Vec<_> = calls.iter().map(|call| call.to).collect();
        assert_eq!(targets, [factory, payment.payer]);
    }
}
