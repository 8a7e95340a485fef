//! Many settlements at once, and others who act on the same signatures (T4 to T8).

use alloy_primitives::{U256, hex};
use alloy_sol_types::{SolCall as _, sol};
use futures::future::join_all;
use salt402_protocol::{Address, B256};
use salt402_tests::x402::{FACILITATOR, Terms, X402Payer, charging};
use salt402_tests::{Facilitating, FacilitatorOptions, PAYEE};
use serde_json::{Value, json};

use crate::SALT402;

sol! {
    function transfer(address to, uint256 amount) external returns (bool);
    function transferWithAuthorization(
        address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce,
        uint8 v, bytes32 r, bytes32 s
    ) external;
}

const SOMEBODY: Address = Address::repeat_byte(0x5b);

fn payee() -> Address {
    PAYEE.parse().unwrap()
}

fn hash(told: &Value) -> B256 {
    assert_eq!(told["success"], true, "{told}");
    told["transaction"].as_str().unwrap().parse().unwrap()
}

/// Whoever is paid and asks: settlements that wait for a block, until it is known that they were sent.
async fn sent(stand: &Facilitating, count: usize) {
    for _ in 0..600 {
        let (code, text) = stand.command(&["settlements", "list", "--state", "sent", "--json"]);
        assert_eq!(code, 0, "{text}");
        if serde_json::from_str::<Value>(&text).unwrap().as_array().unwrap().len() >= count {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{count} settlements are not sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_at_once_of_which_one_fails_leave_no_gap_in_the_nonces() {
    const MANY: u64 = 20;
    let stand = Facilitating::start(SALT402).await;
    let payers: Vec<X402Payer> = (0..MANY).map(X402Payer::numbered).collect();
    for payer in &payers {
        stand.fund(payer.address, 1000).await;
    }
    let bodies: Vec<Value> =
        payers.iter().map(|payer| payer.eip3009(&stand.wrapped, &Terms::new(payee(), 1000, 1))).collect();
    stand.stack.anvil.automine(false).await;
    let asked: Vec<_> = bodies.iter().map(|body| tokio::spawn(stand.try_settle(body))).collect();
    sent(&stand, MANY as usize).await;
    // T4: what was verified is gone when it is settled. The payer's own transaction comes first, by its tip.
    let drained = payers[7].address;
    let anvil = &stand.stack.anvil;
    anvil.ask("anvil_impersonateAccount", json!([drained])).await;
    let data = hex::encode_prefixed(transferCall { to: SOMEBODY, amount: U256::from(1000) }.abi_encode());
    let call = json!({
        "from": drained, "to": stand.wrapped.address, "data": data, "gas": "0x186a0",
        "maxFeePerGas": "0x2540be40000", "maxPriorityFeePerGas": "0x2540be40000",
    });
    anvil.ask("eth_sendTransaction", json!([call])).await;
    anvil.mine(1).await;
    anvil.automine(true).await;
    let results: Vec<Value> = join_all(asked).await.into_iter().map(|told| told.unwrap().unwrap()).collect();
    for (index, result) in results.iter().enumerate() {
        if index == 7 {
            assert_eq!(result["success"], false, "{result}");
            assert_ne!(result["errorReason"], "settlement_pending", "{result}");
        } else {
            hash(result);
        }
    }
    assert_eq!(stand.paid(&stand.wrapped).await, 1000 * u128::from(MANY - 1));
    // Nothing waits behind a nonce that is missing.
    for (number, payer) in payers.iter().enumerate().take(3) {
        stand.fund(payer.address, 10).await;
        let body = payer.eip3009(&stand.wrapped, &Terms::new(payee(), 10, 100 + number as u64));
        hash(&stand.settle_until_known(&body).await);
    }
    let pending = stand.stack.anvil.ask("eth_getTransactionCount", json!([FACILITATOR, "pending"])).await;
    assert_eq!(pending.as_str().unwrap(), format!("{:#x}", stand.nonce(FACILITATOR).await));
    // What failed has a reason, in the row too.
    let (code, text) = stand.command(&["settlements", "list", "--state", "failed", "--json"]);
    let failed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, failed.as_array().unwrap().len()), (0, 1), "{text}");
    assert_eq!(failed[0]["payer"].as_str().unwrap().parse::<Address>().unwrap(), drained);
    let (code, _) = stand.command(&["settlements", "show", &failed[0]["number"].to_string()]);
    assert_eq!(code, 2);
}

/// Submits what a payer signed, as anybody may (T5).
async fn submit(stand: &Facilitating, body: &Value) -> B256 {
    let payload = &body["paymentPayload"]["payload"];
    let signed = &payload["authorization"];
    let text = |name: &str| signed[name].as_str().unwrap().to_owned();
    let signature = hex::decode(payload["signature"].as_str().unwrap()).unwrap();
    let call = transferWithAuthorizationCall {
        from: text("from").parse().unwrap(),
        to: text("to").parse().unwrap(),
        value: text("value").parse().unwrap(),
        validAfter: text("validAfter").parse().unwrap(),
        validBefore: text("validBefore").parse().unwrap(),
        nonce: text("nonce").parse().unwrap(),
        v: signature[64],
        r: B256::from_slice(&signature[..32]),
        s: B256::from_slice(&signature[32..64]),
    };
    stand.call_as(SOMEBODY, stand.wrapped.address, call.abi_encode(), 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_settled_first_is_a_success_once() {
    let mut stand = Facilitating::start(SALT402).await;
    let payer = X402Payer::new();
    // What nobody here has called valid pays for what it was shown for elsewhere.
    let elsewhere = payer.eip3009(&stand.wrapped, &Terms::new(payee(), 1, 9));
    submit(&stand, &elsewhere).await;
    let refused = stand.settle(&elsewhere).await;
    assert_eq!(refused["errorReason"], "invalid_exact_evm_nonce_already_used", "{refused}");
    // Between the server's two questions.
    let first = payer.eip3009(&stand.wrapped, &Terms::new(payee(), 7, 1));
    assert_eq!(stand.verify(&first).await["isValid"], true);
    let theirs = submit(&stand, &first).await;
    stand.stack.indexed(stand.stack.anvil.height().await).await;
    let settled = stand.settle_until_known(&first).await;
    assert_eq!(hash(&settled), theirs, "{settled}");
    assert_eq!(stand.settle_copy(&first).await["success"], false, "a copy");
    // While ours waits in the pool: theirs is in the block before it.
    let second = payer.eip3009(&stand.wrapped, &Terms::new(payee(), 8, 2));
    stand.stack.anvil.automine(false).await;
    let asked = tokio::spawn(stand.try_settle(&second));
    sent(&stand, 1).await;
    let pool = stand.stack.anvil.ask("txpool_content", json!([])).await;
    let ours: Vec<String> = pool["pending"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|of| of.as_object().unwrap().values())
        .map(|transaction| transaction["hash"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ours.len(), 1, "{pool}");
    stand.stack.anvil.ask("anvil_dropTransaction", json!([ours[0]])).await;
    let theirs = submit(&stand, &second).await;
    stand.stack.anvil.automine(true).await;
    let settled = asked.await.unwrap().unwrap();
    let settled = if settled["errorReason"] == "settlement_pending" {
        stand.settle_until_known(&second).await
    } else {
        settled
    };
    assert_eq!(hash(&settled), theirs, "{settled}");
    assert_eq!(stand.paid(&stand.wrapped).await, 16);
}

/// T5: killed after a server was told that payments are good. While nothing runs, somebody else submits them.
#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_settled_while_nothing_ran_is_a_success_once() {
    let mut stand = Facilitating::start(SALT402).await;
    let payer = X402Payer::new();
    let newest = stand.stack.anvil.ask("eth_getBlockByNumber", json!(["latest", false])).await;
    let now =
        u64::from_str_radix(newest["timestamp"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    let ending = |number| Terms { valid_before: now + 45, ..Terms::new(payee(), 6, number) };
    let [first, second, third] =
        [1, 2, 3].map(|number| payer.eip3009(&stand.wrapped, &Terms::new(payee(), 7, number)));
    let over = payer.eip3009(&stand.wrapped, &ending(4));
    // What nobody here was shown before it was on the chain, whoever reads it there.
    let strange = payer.eip3009(&stand.wrapped, &Terms::new(payee(), 5, 5));
    for body in [&first, &second, &third, &over] {
        assert_eq!(stand.verify(body).await["isValid"], true);
    }
    stand.stack.kill();
    let mut theirs = Vec::new();
    for body in [&first, &second, &over, &strange] {
        theirs.push(submit(&stand, body).await);
    }
    // The third one is taken back. No money moves.
    let cancel = payer.cancel_call(&stand.wrapped, Terms::new(payee(), 7, 3).nonce);
    stand.call_as(SOMEBODY, stand.wrapped.address, cancel.to_vec(), 0).await;
    stand.stack.anvil.ask("evm_increaseTime", json!([55])).await;
    stand.stack.anvil.mine(1).await;
    stand.up().await;
    stand.stack.indexed(stand.stack.anvil.height().await).await;
    for refused in [&strange, &third] {
        let told = stand.settle_until_known(refused).await;
        assert_eq!(told["success"], false, "{told}");
        assert_eq!(told["errorReason"], "invalid_exact_evm_nonce_already_used", "{told}");
    }
    // Of copies at once, one is told, and whoever shows its key again.
    let copies = join_all((0..8).map(|_| stand.settle_copy(&first))).await;
    let successes: Vec<&Value> = copies.iter().filter(|told| told["success"] == true).collect();
    assert_eq!(successes.len(), 1, "{copies:?}");
    assert_eq!(hash(successes[0]), theirs[0]);
    let settled = stand.settle_until_known(&second).await;
    assert_eq!(hash(&settled), theirs[1], "{settled}");
    assert_eq!(stand.settle(&second).await, settled, "the same key");
    assert_eq!(stand.settle_copy(&second).await["success"], false, "another one");
    // Its time is over, and it was paid before.
    assert_eq!(hash(&stand.settle_until_known(&over).await), theirs[2]);
    assert_eq!(stand.nonce(FACILITATOR).await, 0, "nothing was sent");
    // Nor does the next process tell it once more.
    stand.stack.kill();
    stand.up().await;
    assert_eq!(stand.settle_copy(&first).await["success"], false);
    assert_eq!(stand.settle(&second).await, settled);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_payer_took_back_moves_nothing() {
    let stand = Facilitating::start(SALT402).await;
    let payer = X402Payer::new();
    let terms = Terms::new(payee(), 7, 1);
    let body = payer.eip3009(&stand.wrapped, &terms);
    assert_eq!(stand.verify(&body).await["isValid"], true);
    let cancel = payer.cancel_call(&stand.wrapped, terms.nonce);
    stand.call_as(SOMEBODY, stand.wrapped.address, cancel.to_vec(), 0).await;
    let settled = stand.settle_until_known(&body).await;
    assert_eq!(settled["success"], false, "{settled}");
    assert_eq!(stand.settle(&body).await["success"], false);
    assert_eq!(stand.paid(&stand.wrapped).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_promised_of_a_balance_is_not_promised_again() {
    // T7: each of them is good alone, all of them together are not.
    let stand = Facilitating::start(SALT402).await;
    let facilitator: Address = FACILITATOR.parse().unwrap();
    let payer = X402Payer::numbered(7);
    stand.fund(payer.address, 1000).await;
    stand.approve(payer.address, &stand.wrapped, U256::MAX).await;
    let upto = |number| payer.upto(&stand.wrapped, &Terms::new(payee(), 600, number), facilitator);
    stand.stack.anvil.automine(false).await;
    let first = charging(upto(1), 600);
    let asked = tokio::spawn(stand.try_settle(&first));
    sent(&stand, 1).await;
    let second = charging(upto(2), 600);
    let refused = stand.verify(&upto(2)).await;
    assert_eq!(refused["isValid"], false, "{refused}");
    assert_eq!(refused["invalidReason"], "permit2_insufficient_balance", "{refused}");
    assert_eq!(stand.settle(&second).await["success"], false);
    // What is left can be promised.
    let rest = charging(payer.upto(&stand.wrapped, &Terms::new(payee(), 400, 3), facilitator), 400);
    let last = tokio::spawn(stand.try_settle(&rest));
    sent(&stand, 2).await;
    stand.stack.anvil.mine(1).await;
    stand.stack.anvil.automine(true).await;
    for told in [asked.await.unwrap().unwrap(), last.await.unwrap().unwrap()] {
        hash(&told);
    }
    assert_eq!(stand.paid(&stand.wrapped).await, 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn gas_of_a_payer_and_of_all_has_a_budget() {
    // T9: two of one payer, then no more today.
    let budget = "gas = { eip3009 = 100000 }\ngas_per_day = { payer = 200000 }";
    let options = FacilitatorOptions { facilitator: budget.into(), ..Default::default() };
    let stand = Facilitating::start_with(SALT402, options).await;
    let (payer, other) = (X402Payer::new(), X402Payer::numbered(3));
    stand.fund(other.address, 10).await;
    let body = |payer: &X402Payer, number| payer.eip3009(&stand.wrapped, &Terms::new(payee(), 1, number));
    hash(&stand.settle(&body(&payer, 1)).await);
    hash(&stand.settle(&body(&payer, 2)).await);
    let url = format!("{}/settle", stand.url);
    let refused = stand.stack.post(&url, &body(&payer, 3), &[]).await;
    assert_eq!(refused.code(), "facilitator_busy");
    assert!(!refused.json().get("success").is_some_and(|success| success == true), "{}", refused.body);
    assert!(refused.headers.contains_key("retry-after"), "{:?}", refused.headers);
    hash(&stand.settle(&body(&other, 1)).await);
    assert_eq!((stand.nonce(FACILITATOR).await, stand.paid(&stand.wrapped).await), (3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn wallets_pay_where_the_chain_takes_their_word_and_hostile_ones_cost_nothing() {
    // T9, T14: Salt asks a payer that has code whether it signed.
    let stand = Facilitating::start(SALT402).await;
    let owner = X402Payer::new();
    let word = |value: U256| value.to_be_bytes::<32>();
    let owned = stand
        .stack
        .anvil
        .create("ContractWallet", B256::left_padding_from(owner.address.as_slice()).as_slice())
        .await;
    let data = |to: Address| transferCall { to, amount: U256::from(1000) }.abi_encode();
    stand.call_as(owner.address, stand.salt.address, data(owned), 0).await;
    let good = X402Payer::wallet(owned).eip3009(&stand.salt, &Terms::new(payee(), 10, 1));
    assert_eq!(stand.verify(&good).await["isValid"], true);
    hash(&stand.settle_until_known(&good).await);
    // It changes its mind after the server was told that it is valid.
    let second = X402Payer::wallet(owned).eip3009(&stand.salt, &Terms::new(payee(), 10, 2));
    assert_eq!(stand.verify(&second).await["isValid"], true);
    sol! {
        function close() external;
    }
    stand.call_as(SOMEBODY, owned, closeCall {}.abi_encode(), 0).await;
    let settled = stand.settle_until_known(&second).await;
    assert_eq!(settled["success"], false, "{settled}");
    let nonce = stand.nonce(FACILITATOR).await;
    for way in 0..5_u8 {
        let hostile = stand.stack.anvil.create("HostileWallet", &word(U256::from(way))).await;
        stand.call_as(owner.address, stand.salt.address, data(hostile), 0).await;
        let body = X402Payer::wallet(hostile).eip3009(&stand.salt, &Terms::new(payee(), 10, 3));
        let verified = stand.verify(&body).await;
        assert_eq!(verified["isValid"], false, "{way}: {verified}");
        let settled = stand.settle(&body).await;
        assert_eq!(
            (&settled["success"], &settled["transaction"]),
            (&json!(false), &json!("")),
            "{way}: {settled}"
        );
    }
    assert_eq!(stand.nonce(FACILITATOR).await, nonce, "nothing was sent for them");
    assert_eq!(stand.paid(&stand.salt).await, 10);
}
