//! Wallets that pay before they exist (ERC-6492).

use std::time::Duration;

use alloy_primitives::{Bytes, U256, hex};
use alloy_sol_types::{SolCall as _, SolValue as _, sol};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;
use salt402_protocol::foreign::MULTICALL3;
use salt402_protocol::{Address, B256};
use salt402_tests::x402::{FACILITATOR, Terms, X402Payer};
use salt402_tests::{Facilitating, FacilitatorOptions, PAYEE, StackOptions, inference};
use serde_json::{Value, json};

use crate::SALT402;
use crate::signed::{is_final, required};

/// Anvil's first account.
const SOMEBODY: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

sol! {
    function create(address owner, bytes32 salt) returns (address wallet);
    function createSlowly(address owner, bytes32 salt, uint256 rounds) returns (address wallet);
    function addressOf(address owner, bytes32 salt) view returns (address);
    function transfer(address to, uint256 amount) external returns (bool);
}

fn payee() -> Address {
    PAYEE.parse().unwrap()
}

/// A payment of a wallet, with what creates the wallet.
fn wrapped(mut body: Value, factory: Address, calldata: &[u8]) -> Value {
    let signature = body["paymentPayload"]["payload"]["signature"].as_str().unwrap();
    let inner: Bytes = signature.parse().unwrap();
    let mut bytes = (factory, Bytes::copy_from_slice(calldata), inner).abi_encode_params();
    bytes.extend(std::iter::repeat_n([0x64, 0x92], 16).flatten());
    body["paymentPayload"]["payload"]["signature"] = json!(hex::encode_prefixed(bytes));
    body
}

/// A stand whose facilitator calls one factory of two.
struct Wallets {
    stand: Facilitating,
    factory: Address,
    other: Address,
    owner: X402Payer,
}

impl Wallets {
    async fn start() -> Self {
        Self::start_with(StackOptions::default()).await
    }

    async fn start_with(stack: StackOptions) -> Self {
        let options = FacilitatorOptions { stack, ..FacilitatorOptions::default() };
        let mut stand = Facilitating::prepare(SALT402, options.clone()).await;
        let factory = stand.stack.anvil.create("WalletFactory", &[]).await;
        let other = stand.stack.anvil.create("WalletFactory", &[]).await;
        let chain = format!("factories = [\"{factory}\"]");
        stand.configure(&FacilitatorOptions { chain, ..options });
        stand.up().await;
        Self { stand, factory, other, owner: X402Payer::new() }
    }

    /// Where a factory creates the owner's wallet with this salt. It gets some Salt.
    async fn wallet(&self, factory: Address, salt: u8) -> Address {
        let call = addressOfCall { owner: self.owner.address, salt: B256::repeat_byte(salt) };
        let data = hex::encode_prefixed(call.abi_encode());
        let said =
            self.stand.stack.anvil.ask("eth_call", json!([{ "to": factory, "data": data }, "latest"])).await;
        let wallet = Address::from_word(said.as_str().unwrap().parse().unwrap());
        assert!(!self.exists(wallet).await);
        let data = transferCall { to: wallet, amount: U256::from(1000) }.abi_encode();
        self.stand.call_as(self.owner.address, self.stand.salt.address, data, 0).await;
        wallet
    }

    fn create(&self, salt: u8) -> Vec<u8> {
        createCall { owner: self.owner.address, salt: B256::repeat_byte(salt) }.abi_encode()
    }

    fn pays(&self, wallet: Address, number: u64) -> Value {
        X402Payer::wallet(wallet).eip3009(&self.stand.salt, &Terms::new(payee(), 10, number))
    }

    async fn exists(&self, account: Address) -> bool {
        self.stand.stack.anvil.ask("eth_getCode", json!([account, "latest"])).await != json!("0x")
    }

    async fn sent_to(&self, told: &Value) -> Address {
        assert_eq!(told["success"], true, "{told}");
        let hash = told["transaction"].clone();
        let sent = self.stand.stack.anvil.ask("eth_getTransactionByHash", json!([hash])).await;
        sent["to"].as_str().unwrap().parse().unwrap()
    }

    /// Is refused for this reason by both, and nothing is sent.
    async fn refused(&self, body: &Value, reason: &str) {
        let nonce = self.stand.nonce(FACILITATOR).await;
        let verified = self.stand.verify(body).await;
        assert_eq!(
            (&verified["isValid"], &verified["invalidReason"]),
            (&json!(false), &json!(reason)),
            "{verified}"
        );
        let settled = self.stand.settle(body).await;
        assert_eq!((&settled["success"], &settled["transaction"]), (&json!(false), &json!("")), "{settled}");
        assert_eq!(settled["errorReason"], reason, "{settled}");
        assert_eq!(self.stand.nonce(FACILITATOR).await, nonce);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_pays_before_it_exists_and_is_created_by_the_transaction_that_settles() {
    let wallets = Wallets::start().await;
    let stand = &wallets.stand;
    let wallet = wallets.wallet(wallets.factory, 1).await;
    let first = wrapped(wallets.pays(wallet, 1), wallets.factory, &wallets.create(1));
    let verified = stand.verify(&first).await;
    assert_eq!(verified["isValid"], true, "{verified}");
    assert!(!wallets.exists(wallet).await, "to judge it creates nothing");
    let settled = stand.settle_until_known(&first).await;
    assert_eq!(wallets.sent_to(&settled).await, MULTICALL3);
    assert!(wallets.exists(wallet).await);
    assert_eq!((stand.nonce(FACILITATOR).await, stand.paid(&stand.salt).await), (1, 10));
    // The same again is the same, also without what created it.
    assert_eq!(stand.settle(&first).await, settled);
    let copy = stand.settle_copy(&wallets.pays(wallet, 1)).await;
    assert_eq!((&copy["success"], &copy["transaction"]), (&json!(false), &settled["transaction"]), "{copy}");
    // What is there is not created again, whatever the client sends.
    let second = wrapped(wallets.pays(wallet, 2), wallets.factory, &wallets.create(1));
    assert_eq!(wallets.sent_to(&stand.settle_until_known(&second).await).await, stand.salt.address);
    // Several payments of one that does not exist: each is settled, and it is created once.
    let wallet = wallets.wallet(wallets.factory, 2).await;
    let bodies: Vec<_> =
        (0..4).map(|n| wrapped(wallets.pays(wallet, 10 + n), wallets.factory, &wallets.create(2))).collect();
    let told = futures::future::join_all(bodies.iter().map(|body| stand.settle_until_known(body))).await;
    assert!(told.iter().all(|told| told["success"] == true), "{told:?}");
    assert_eq!((stand.nonce(FACILITATOR).await, stand.paid(&stand.salt).await), (6, 60));
    let metrics = stand.stack.get(&format!("{}/metrics", stand.stack.verifier)).await;
    assert_eq!(metrics.status, StatusCode::OK);
    assert!(!metrics.body.contains("outcome=\"failed\""), "{}", metrics.body);
}

/// What a gateway is paid by a wallet that is created with the payment is seen, claimed and answered as all else is.
#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_does_not_exist_yet_pays_at_a_gateway_and_once() {
    // Wrapped SALT takes signatures of keys alone.
    let asset = "asset = \"SALT_TOKEN\"\nasset_symbol = \"SALT\"\nasset_decimals = 18";
    let signatures = "[payment.signatures]\ndomain_name = \"Salt\"";
    let stack = StackOptions { payment: format!("{asset}\n{signatures}"), ..StackOptions::default() };
    let wallets = Wallets::start_with(stack).await;
    let stand = &wallets.stand;
    let wallet = wallets.wallet(wallets.factory, 1).await;
    let data = transferCall { to: wallet, amount: U256::from(1_000_000) }.abi_encode();
    stand.call_as(wallets.owner.address, stand.salt.address, data, 0).await;

    let shown = async |body: &Value, number: u64| {
        let asked = required(&stand.stack.infer(body, &[]).await);
        let accepted = &asked["accepts"][0];
        let price: u128 = accepted["amount"].as_str().unwrap().parse().unwrap();
        let signed = X402Payer::wallet(wallet).eip3009(&stand.salt, &Terms::new(payee(), price, number));
        let mut sent = wrapped(signed, wallets.factory, &wallets.create(1))["paymentPayload"].take();
        sent["accepted"] = accepted.clone();
        sent["resource"] = asked["resource"].clone();
        (STANDARD.encode(sent.to_string()), price)
    };
    let ask =
        async |body: &Value, signed: &str| stand.stack.infer(body, &[("payment-signature", signed)]).await;

    let (one, two) = (inference("of a new wallet"), inference("of the wallet again"));
    let (signed, price) = shown(&one, 1).await;
    let paid = ask(&one, &signed).await;
    assert_eq!(paid.status, StatusCode::OK, "{}", paid.body);
    assert!(wallets.exists(wallet).await);
    let told = STANDARD.decode(paid.headers["payment-response"].to_str().unwrap()).unwrap();
    let told: Value = serde_json::from_slice(&told).unwrap();
    assert_eq!(told["payer"].as_str().map(str::to_lowercase), Some(wallet.to_string().to_lowercase()));
    assert_eq!(wallets.sent_to(&told).await, MULTICALL3);
    assert_eq!(stand.paid(&stand.salt).await, price);
    // The same again, another signature for the same, and the same for something else.
    assert_eq!(ask(&one, &signed).await.body, paid.body);
    let (again, _) = shown(&one, 2).await;
    assert_eq!(ask(&one, &again).await.body, paid.body);
    is_final(&ask(&two, &signed).await, "signature_used");
    assert_eq!((stand.paid(&stand.salt).await, stand.stack.upstream.asked()), (price, 1));
    // Now it is there, and pays without being created.
    let (signed, _) = shown(&two, 3).await;
    let paid = ask(&two, &signed).await;
    assert_eq!(paid.status, StatusCode::OK, "{}", paid.body);
    assert_eq!((stand.paid(&stand.salt).await, stand.stack.upstream.asked()), (2 * price, 2));
}

/// T9, T14: whoever pays for the gas calls nothing that it was not told to, and nothing that does not pay.
#[tokio::test(flavor = "multi_thread")]
async fn t9_what_creates_no_payer_or_is_not_allowed_is_refused_and_nothing_is_sent() {
    let wallets = Wallets::start().await;
    let stand = &wallets.stand;
    let elsewhere = wallets.wallet(wallets.other, 1).await;
    let body = wrapped(wallets.pays(elsewhere, 1), wallets.other, &wallets.create(1));
    wallets.refused(&body, "eip6492_factory_not_allowed").await;
    let wallet = wallets.wallet(wallets.factory, 1).await;
    // Another's calldata, none at all, and more gas than is allowed.
    let slowly = |rounds: u64| createSlowlyCall {
        owner: wallets.owner.address,
        salt: B256::repeat_byte(1),
        rounds: U256::from(rounds),
    };
    for calldata in [wallets.create(2), Vec::new(), slowly(20_000).abi_encode()] {
        let body = wrapped(wallets.pays(wallet, 2), wallets.factory, &calldata);
        wallets.refused(&body, "smart_wallet_deployment_failed").await;
    }
    // Somebody else's key.
    let mut stranger = X402Payer::numbered(7);
    stranger.address = wallet;
    let body = stranger.eip3009(&stand.salt, &Terms::new(payee(), 10, 3));
    wallets.refused(&wrapped(body, wallets.factory, &wallets.create(1)), "invalid_exact_evm_signature").await;
    // More than the wallet has, and a token that asks no contract.
    let much = X402Payer::wallet(wallet).eip3009(&stand.salt, &Terms::new(payee(), 1001, 4));
    wallets
        .refused(
            &wrapped(much, wallets.factory, &wallets.create(1)),
            "invalid_exact_evm_insufficient_balance",
        )
        .await;
    let data = transferCall { to: wallet, amount: U256::from(10) }.abi_encode();
    stand.call_as(wallets.owner.address, stand.wrapped.address, data, 0).await;
    let by_key = X402Payer::wallet(wallet).eip3009(&stand.wrapped, &Terms::new(payee(), 10, 5));
    let by_key = wrapped(by_key, wallets.factory, &wallets.create(1));
    wallets.refused(&by_key, "invalid_exact_evm_transaction_simulation_failed").await;
    // Permit2 moves nothing of a wallet that could not allow it.
    let permit = X402Payer::wallet(wallet).permit2(&stand.salt, &Terms::new(payee(), 10, 6));
    wallets
        .refused(&wrapped(permit, wallets.factory, &wallets.create(1)), "eip6492_factory_not_allowed")
        .await;
    assert!(!wallets.exists(wallet).await && !wallets.exists(elsewhere).await);
    assert_eq!((stand.nonce(FACILITATOR).await, stand.paid(&stand.salt).await), (0, 0));
    // A payer that has a key needs nothing created, and nothing is.
    let own = wrapped(
        wallets.owner.eip3009(&stand.salt, &Terms::new(payee(), 10, 7)),
        wallets.factory,
        &wallets.create(9),
    );
    assert_eq!(wallets.sent_to(&stand.settle_until_known(&own).await).await, stand.salt.address);
    let within = wrapped(wallets.pays(wallet, 8), wallets.factory, &slowly(100).abi_encode());
    assert_eq!(wallets.sent_to(&stand.settle_until_known(&within).await).await, MULTICALL3);
    assert_eq!((stand.nonce(FACILITATOR).await, stand.paid(&stand.salt).await), (2, 20));
}

/// Creating what is there uses up all the gas. The payment is good all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_somebody_else_creates_meanwhile_pays_too() {
    let wallets = Wallets::start().await;
    let (stand, anvil) = (&wallets.stand, &wallets.stand.stack.anvil);
    let wallet = wallets.wallet(wallets.factory, 1).await;
    let body = wrapped(wallets.pays(wallet, 1), wallets.factory, &wallets.create(1));
    anvil.ask("evm_setAutomine", json!([false])).await;
    let told = tokio::spawn(stand.try_settle(&body));
    let pending = || async { anvil.ask("txpool_status", json!([])).await["pending"] != json!("0x0") };
    for _ in 0..1_000 {
        if pending().await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(pending().await, "it was not sent");
    // Before it in the same block.
    let create = json!([{
        "from": SOMEBODY, "to": wallets.factory, "data": hex::encode_prefixed(wallets.create(1)), "gas": "0x100000",
        "gasPrice": "0x174876e800",
    }]);
    anvil.ask("eth_sendTransaction", create).await;
    anvil.mine(1).await;
    anvil.ask("evm_setAutomine", json!([true])).await;
    assert!(wallets.exists(wallet).await);
    let told = match told.await.unwrap() {
        Some(told) if told["errorReason"] != "settlement_pending" => told,
        _ => stand.settle_until_known(&body).await,
    };
    assert_eq!(wallets.sent_to(&told).await, stand.salt.address, "without creating it");
    assert_eq!((stand.nonce(FACILITATOR).await, stand.paid(&stand.salt).await), (2, 10));
}
