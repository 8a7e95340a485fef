//! A payer signs, a server shows it to the facilitator, and the money moves once. No gas of the payer, no key of the server.

use alloy_primitives::U256;
use reqwest::StatusCode;
use salt402_protocol::{Address, B256};
use salt402_tests::x402::{FACILITATOR, FACILITATOR_KEY, SECOND_FACILITATOR_KEY, Terms, X402Payer, charging};
use salt402_tests::{Facilitating, FacilitatorOptions, PAYEE};
use serde_json::{Value, json};

use crate::SALT402;

fn payee() -> Address {
    PAYEE.parse().unwrap()
}

fn hash(told: &Value) -> B256 {
    assert_eq!(told["success"], true, "{told}");
    told["transaction"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_verified_and_settled_in_every_way() {
    let stand = Facilitating::start(SALT402).await;
    let payer = X402Payer::new();
    let facilitator: Address = FACILITATOR.parse().unwrap();
    stand.approve(payer.address, &stand.wrapped, U256::MAX).await;

    // What there is, without a token on loopback.
    let supported = stand.stack.get(&format!("{}/supported", stand.url)).await.json();
    let kinds = supported["kinds"].as_array().unwrap();
    let upto = kinds.iter().find(|kind| kind["scheme"] == "upto").unwrap();
    assert_eq!(upto["network"], "eip155:40204");
    assert_eq!(
        upto["extra"]["facilitatorAddress"].as_str().unwrap().parse::<Address>().unwrap(),
        facilitator
    );
    assert!(kinds.iter().any(|kind| kind["scheme"] == "exact" && kind["network"] == "eip155:40204"));
    assert!(supported["signers"].to_string().to_lowercase().contains(&FACILITATOR.to_lowercase()));

    // Wrapped SALT takes v, r and s alone; Salt has EIP-2612, so nothing need be approved before.
    let terms = |amount, number| Terms::new(payee(), amount, number);
    let sponsored = payer.permit2(&stand.salt, &terms(300, 3));
    let sponsored = payer.sponsored(sponsored, &stand.salt, &terms(300, 3), 0);
    let mut earned = (0, 0);
    for (what, body, wrapped, salt) in [
        ("EIP-3009 of wrapped SALT", payer.eip3009(&stand.wrapped, &terms(100, 1)), 100, 0),
        ("EIP-3009 of Salt", payer.eip3009(&stand.salt, &terms(150, 1)), 0, 150),
        ("Permit2", payer.permit2(&stand.wrapped, &terms(200, 2)), 200, 0),
        ("Permit2 with EIP-2612", sponsored, 0, 300),
        ("upto", charging(payer.upto(&stand.wrapped, &terms(1000, 4), facilitator), 70), 70, 0),
    ] {
        // Before the work it is not known what will be charged.
        let offered = charging(
            body.clone(),
            body["paymentPayload"]["accepted"]["amount"].as_str().unwrap().parse().unwrap(),
        );
        let verified = stand.verify(&offered).await;
        assert_eq!(verified["isValid"], true, "{what}: {verified}");
        assert_eq!(verified["payer"].as_str().unwrap().parse::<Address>().unwrap(), payer.address);
        assert_eq!((stand.paid(&stand.wrapped).await, stand.paid(&stand.salt).await), earned, "{what}");
        let settled = stand.settle(&body).await;
        let transaction = hash(&settled);
        assert_eq!(settled["network"], "eip155:40204", "{what}");
        assert!(stand.stack.anvil.block_of(transaction).await.is_some(), "{what}: {settled}");
        earned = (earned.0 + wrapped, earned.1 + salt);
        assert_eq!((stand.paid(&stand.wrapped).await, stand.paid(&stand.salt).await), earned, "{what}");
        // A retry gets the first one's result, and sends nothing; a copy buys nothing.
        let nonce = stand.nonce(FACILITATOR).await;
        assert_eq!(stand.settle(&body).await, settled, "{what}");
        let copy = stand.settle_copy(&body).await;
        assert_eq!(
            (&copy["success"], &copy["transaction"]),
            (&json!(false), &settled["transaction"]),
            "{what}: {copy}"
        );
        assert_eq!(stand.nonce(FACILITATOR).await, nonce, "{what}");
        // And what is used up is not valid any more.
        assert_eq!(stand.verify(&body).await["isValid"], false, "{what}");
    }

    // Nothing was used, so nothing is charged, and it is used up.
    let nothing = payer.upto(&stand.wrapped, &terms(1000, 5), facilitator);
    let nonce = stand.nonce(FACILITATOR).await;
    let settled = stand.settle(&charging(nothing.clone(), 0)).await;
    assert_eq!((&settled["success"], &settled["transaction"]), (&json!(true), &json!("")), "{settled}");
    let again = stand.settle(&charging(nothing, 70)).await;
    assert_eq!(again["success"], false, "another charge for the same signature: {again}");
    let above = stand.settle(&charging(payer.upto(&stand.wrapped, &terms(1000, 6), facilitator), 1001)).await;
    assert_eq!(above["errorReason"], "invalid_upto_evm_payload_settlement_exceeds_amount", "{above}");
    assert_eq!(stand.nonce(FACILITATOR).await, nonce, "nothing was sent");
    assert_eq!((stand.paid(&stand.wrapped).await, stand.paid(&stand.salt).await), earned);
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_at_once_and_after_a_restart_get_one_result() {
    let mut stand = Facilitating::start(SALT402).await;
    let body = X402Payer::new().eip3009(&stand.wrapped, &Terms::new(payee(), 5, 1));
    let copies: Vec<_> = (0..16).map(|_| tokio::spawn(stand.try_settle(&body))).collect();
    let mut results = Vec::new();
    for copy in copies {
        results.push(copy.await.unwrap().unwrap());
    }
    let first = hash(&results[0]);
    assert!(results.iter().all(|result| *result == results[0]), "{results:?}");
    let copies: Vec<_> = (0..16).map(|_| stand.settle_copy(&body)).collect();
    let bought =
        futures::future::join_all(copies).await.iter().filter(|copy| copy["success"] == true).count();
    assert_eq!(bought, 0, "it was told before");
    let process = stand.stack.process.take().unwrap();
    assert!(process.terminate().success());
    stand.up().await;
    assert_eq!(hash(&stand.settle(&body).await), first);
    assert_eq!((stand.nonce(FACILITATOR).await, stand.paid(&stand.wrapped).await), (1, 5));
}

/// A resource server serves for each success that it is told.
#[tokio::test(flavor = "multi_thread")]
async fn of_copies_at_once_one_is_told_of_the_success() {
    let stand = Facilitating::start(SALT402).await;
    let payer = X402Payer::new();
    for body in [
        payer.eip3009(&stand.wrapped, &Terms::new(payee(), 5, 1)),
        payer.eip3009(&stand.salt, &Terms::new(payee(), 5, 1)),
    ] {
        let copies = futures::future::join_all((0..16).map(|_| stand.settle_copy(&body))).await;
        let told: Vec<_> = copies.iter().filter(|copy| copy["success"] == true).collect();
        assert_eq!(told.len(), 1, "{copies:?}");
        assert!(copies.iter().all(|copy| copy["transaction"] == told[0]["transaction"]), "{copies:?}");
    }
    assert_eq!((stand.nonce(FACILITATOR).await, stand.paid(&stand.wrapped).await), (2, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_and_nothing_is_sent() {
    let chain = format!("payees = [\"{PAYEE}\"]");
    let stand = Facilitating::start_with(SALT402, FacilitatorOptions { chain, ..Default::default() }).await;
    let payer = X402Payer::new();
    let good = |number| payer.eip3009(&stand.wrapped, &Terms::new(payee(), 5, number));
    let changed = |pointer: &str, value: Value| {
        let mut body = good(1);
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let elsewhere = Terms::new(FACILITATOR.parse().unwrap(), 5, 1);
    let over = Terms { valid_before: 1_700_000_000, ..Terms::new(payee(), 5, 1) };
    let early = Terms { valid_after: 3_000_000_000, ..Terms::new(payee(), 5, 1) };
    let much = Terms::new(payee(), 10_u128.pow(30), 1);
    let unknown =
        salt402_tests::x402::Token { address: stand.stack.deployment.salt_pay, ..stand.wrapped.clone() };
    let cases = [
        ("another payee", payer.eip3009(&stand.wrapped, &elsewhere)),
        ("over", payer.eip3009(&stand.wrapped, &over)),
        ("not yet", payer.eip3009(&stand.wrapped, &early)),
        ("more than there is", payer.eip3009(&stand.wrapped, &much)),
        ("a token that is not listed", payer.eip3009(&unknown, &Terms::new(payee(), 5, 1))),
        ("a changed amount", changed("/paymentPayload/payload/authorization/value", json!("6"))),
        ("another amount", changed("/paymentRequirements/amount", json!("4"))),
        ("another signature", {
            let other = payer.eip3009(&stand.wrapped, &Terms::new(payee(), 5, 2));
            changed(
                "/paymentPayload/payload/signature",
                other["paymentPayload"]["payload"]["signature"].clone(),
            )
        }),
        ("another scheme", changed("/paymentRequirements/scheme", json!("upto"))),
        ("not approved", payer.permit2(&stand.wrapped, &Terms::new(payee(), 5, 9))),
    ];
    for (what, body) in &cases {
        let verified = stand.verify(body).await;
        assert_eq!(verified["isValid"], false, "{what}: {verified}");
        let settled = stand.settle(body).await;
        assert_eq!(settled["success"], false, "{what}: {settled}");
        assert_eq!(settled["transaction"], "", "{what}: {settled}");
        // Both say the same, in words that clients know.
        assert_eq!(verified["invalidReason"], settled["errorReason"], "{what}");
    }
    let not_approved = stand.verify(&cases.last().unwrap().1).await;
    assert_eq!(not_approved["invalidReason"], "permit2_allowance_required");
    for (what, body) in [("no object", json!([])), ("no payload", json!({ "x402Version": 2 }))] {
        for route in ["verify", "settle"] {
            let answer = stand.stack.post(&format!("{}/{route}", stand.url), &body, &[]).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{what}: {}", answer.body);
        }
    }
    assert_eq!((stand.nonce(FACILITATOR).await, stand.paid(&stand.wrapped).await), (0, 0));
    // What was refused was not used up.
    hash(&stand.settle(&good(1)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_have_tokens_and_lists_of_their_own() {
    const SHOP: &str = "shop-token-0123456789";
    const OTHER: &str = "other-token-0123456789";
    let facilitator = "callers.shop = { token_file = \"shop.token\" }\n\
                       callers.other = { token_file = \"other.token\", payees = [\"0x90F79bf6EB2c4f870365E785982E1f101E93b906\"] }";
    let options = FacilitatorOptions { facilitator: facilitator.into(), ..Default::default() };
    let mut stand = Facilitating::prepare(SALT402, options).await;
    for (name, token) in [("shop", SHOP), ("other", OTHER)] {
        std::fs::write(stand.stack.folder().join(format!("{name}.token")), token).unwrap();
    }
    stand.up().await;
    let body = X402Payer::new().eip3009(&stand.wrapped, &Terms::new(payee(), 5, 1));
    let url = format!("{}/settle", stand.url);
    let ask = async |token: &str| stand.stack.post(&url, &body, &[("authorization", token)]).await;
    for bad in ["", "Bearer", "Bearer shop-token-0123456780", &format!("Basic {SHOP}")] {
        assert_eq!(ask(bad).await.status, StatusCode::UNAUTHORIZED, "{bad:?}");
    }
    let other = ask(&format!("Bearer {OTHER}")).await;
    assert_eq!((other.status, &other.json()["success"]), (StatusCode::OK, &json!(false)), "{}", other.body);
    assert_eq!(stand.nonce(FACILITATOR).await, 0);
    hash(&ask(&format!("Bearer {SHOP}")).await.json());
    // Who asked stands in the row.
    let (code, listed) = stand.command(&["settlements", "list", "--json"]);
    assert_eq!(
        (code, &serde_json::from_str::<Value>(&listed).unwrap()[0]["caller"]),
        (0, &json!("shop")),
        "{listed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn settlements_are_listed_shown_and_tried_again_by_command() {
    let mut stand = Facilitating::start(SALT402).await;
    let payer = X402Payer::new();
    let (code, none) = stand.command(&["settlements", "list"]);
    assert_eq!((code, none.trim()), (0, "no settlement"));
    let mut hashes = Vec::new();
    for number in 1..=3 {
        let body = payer.eip3009(&stand.wrapped, &Terms::new(payee(), 5, number));
        hashes.push(hash(&stand.settle(&body).await));
    }
    let listed = |arguments: &[&str], stand: &Facilitating| -> Value {
        let (code, text) = stand.command(&[&["settlements", "list", "--json"], arguments].concat());
        assert_eq!(code, 0, "{text}");
        serde_json::from_str(&text).unwrap()
    };
    let numbers = |rows: &Value| -> Vec<u64> {
        rows.as_array().unwrap().iter().map(|row| row["number"].as_u64().unwrap()).collect()
    };
    let all = listed(&["--chain", "local", "--state", "settled"], &stand);
    assert_eq!(numbers(&all).len(), 3);
    let page = listed(&["--limit", "2"], &stand);
    assert_eq!(numbers(&page), numbers(&all)[..2]);
    let after = numbers(&page)[1].to_string();
    assert_eq!(numbers(&listed(&["--after", &after], &stand)), numbers(&all)[2..]);
    assert_eq!(all[0]["transaction"].as_str().unwrap().parse::<B256>().unwrap(), hashes[2]);
    assert_eq!(listed(&["--state", "failed"], &stand), json!([]));

    let payment = all[0]["payment"].as_str().unwrap().to_owned();
    for stopped in [false, true] {
        if stopped {
            assert!(stand.stack.process.take().unwrap().terminate().success());
        }
        for name in [&payment, &numbers(&all)[0].to_string()] {
            let (code, text) = stand.command(&["settlements", "show", name, "--json"]);
            let shown: Value = serde_json::from_str(&text).unwrap();
            assert_eq!((code, &shown["payment"]), (0, &json!(payment)), "{text}");
            assert_eq!(shown["transactions"][0]["transaction"], all[0]["transaction"], "{text}");
            assert_eq!(shown["transactions"].as_array().unwrap().len(), 1, "{text}");
        }
        let (code, text) = stand.command(&["settlements", "retry", &payment]);
        assert_eq!(code, 1, "{text}");
        assert!(text.contains("is settled: only what failed"), "{text}");
    }
    let (code, text) = stand.command(&["settlements", "show", "77"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("there is no settlement 77"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_facilitator_runs_alone_over_the_database_of_an_indexer() {
    let mut stand = Facilitating::prepare(SALT402, FacilitatorOptions::default()).await;
    let body = X402Payer::new().eip3009(&stand.wrapped, &Terms::new(payee(), 5, 1));
    let index = stand.stack.role("index");
    let url = format!("{}/readyz", stand.stack.verifier);
    stand.stack.until(&url, |answer| answer.status.is_success()).await;
    let alone = stand.stack.role("facilitate");
    stand.ready().await;
    hash(&stand.settle(&body).await);
    assert_eq!(stand.paid(&stand.wrapped).await, 5);

    // Without an indexer nothing is settled, and it says why.
    index.kill();
    let url = format!("{}/health", stand.url);
    let unready = stand.stack.until(&url, |answer| !answer.status.is_success()).await;
    assert!(unready.body.contains("is `salt402 index`"), "{}", unready.body);
    let late = X402Payer::new().eip3009(&stand.wrapped, &Terms::new(payee(), 5, 2));
    let refused = stand.stack.post(&format!("{}/settle", stand.url), &late, &[]).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.body);
    let (code, listed) = stand.command(&["settlements", "list", "--json"]);
    assert_eq!((code, serde_json::from_str::<Value>(&listed).unwrap().as_array().unwrap().len()), (0, 1));
    assert!(alone.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_never_send_with_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let locks = format!("locks = \"{}\"", folder.path().display());
    let options = FacilitatorOptions { facilitator: locks.clone(), ..Default::default() };
    let stand = Facilitating::start_with(SALT402, options).await;
    // Another database, another configuration, the same key.
    let other = FacilitatorOptions {
        facilitator: locks,
        keys: vec![SECOND_FACILITATOR_KEY.into(), FACILITATOR_KEY.into()],
        ..Default::default()
    };
    let other = Facilitating::prepare(SALT402, other).await;
    let said = other.stack.role("up").ends();
    assert!(said.contains(FACILITATOR), "{said}");
    assert!(said.contains("another process"), "{said}");
    assert!(!said.contains(&FACILITATOR_KEY[2..]), "{said}");
    let body = X402Payer::new().eip3009(&stand.wrapped, &Terms::new(payee(), 5, 1));
    hash(&stand.settle(&body).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_says_what_is_settled_and_what_is_wrong_with_it() {
    let stand = Facilitating::prepare(SALT402, FacilitatorOptions::default()).await;
    let (code, said) = stand.command(&["config", "check"]);
    assert_eq!(code, 0, "{said}");
    for part in ["facilitate on", FACILITATOR, &stand.wrapped.address.to_string(), "whoever may ask"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let bad = |facilitator: &str, chain: &str| {
        let options =
            FacilitatorOptions { facilitator: facilitator.into(), chain: chain.into(), ..Default::default() };
        stand.configure(&options);
        stand.command(&["config", "check"])
    };
    for (facilitator, chain, place) in [
        ("settle_wait_ms = 100000", "", "facilitator.settle_wait_ms"),
        ("max_waiting = 0", "", "facilitator.max_waiting"),
        ("callers.a = { token_file = \"a\", token_env = \"A\" }", "", "facilitator.callers.a"),
        ("callers.a = { token_env = \"SALT402_NO_SUCH_TOKEN\" }", "", "facilitator.callers.a.token_env"),
        ("callers.\"a b\" = { token_env = \"A\" }", "", "facilitator.callers"),
        ("simulate = \"often\"", "", "simulate"),
        ("", "payees = []", "facilitator.chains.local.payees"),
        ("", "payees = [\"0x12\"]", "facilitator.chains.local.payees[0]"),
        ("gas = { eip3009 = 5 }", "", "facilitator.gas.eip3009"),
        ("gas_per_day = { payer = -1 }", "", "gas_per_day"),
        ("", "low_water = \"1 ETH\"", "facilitator.chains.local.low_water"),
        ("", "keys = [{ file = \"none.key\" }]", "facilitator.chains.local.keys[0].file"),
        (
            "",
            "keys = [{ file = \"settle0.key\" }, { file = \"settle0.key\" }]",
            "facilitator.chains.local.keys[1]",
        ),
    ] {
        let (code, said) = bad(facilitator, chain);
        assert_eq!(code, 1, "{facilitator} {chain}: {said}");
        assert!(said.contains(place), "{place}: {said}");
        assert!(!said.contains(&FACILITATOR_KEY[2..]), "{said}");
    }
}
