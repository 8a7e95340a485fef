//! Which payments are valid, and why others are not.

use alloy_primitives::{Address, U256};
use salt402_protocol::typed_data::X402_EXACT_PROXY;
use salt402_protocol::x402::digest::Domain;
use serde_json::{Value, json};

use crate::policy::{CallerRules, CitratePolicy, Payees, SignatureRule, Simulation};
use crate::testing::{
    CITRATE_FACILITATOR, FACILITATOR, NOW, PAYEE, PRICE, Payer, TOKEN, TREASURY, first_request, policy,
    request,
};
use crate::tests::{Stand, with};
use crate::verify::facts::{Facts, Nonce};

const SIGNED: &str = "/paymentPayload/payload/authorization";
const PERMIT: &str = "/paymentPayload/payload/permit2Authorization";

fn by_token() -> Value {
    request("exact", Payer::new(1).authorize(1))
}

fn by_permit() -> Value {
    request("exact", Payer::new(1).permit(1))
}

fn upto() -> Value {
    request("upto", Payer::new(1).permit_upto(1))
}

/// Both copies of the requirements with a member replaced.
fn offered(request: &Value, member: &str, value: impl Into<Value> + Clone) -> Value {
    let accepted = with(request, &format!("/paymentPayload/accepted/{member}"), value.clone());
    with(&accepted, &format!("/paymentRequirements/{member}"), value)
}

#[tokio::test]
async fn what_is_signed_as_asked_is_valid_and_takes_one_question() {
    for good in [by_token(), by_permit(), upto(), first_request(Payer::new(1).authorize_on(84532, 1))] {
        let stand = Stand::new();
        assert_eq!(stand.verdict(&good).await, "valid", "{good}");
        let asked = stand.accounts.asked();
        assert_eq!((asked.questions, asked.contracts, asked.simulations, asked.fresh), (1, 0, 0, 0));
    }
}

/// Each fault alone, with the reason of x402's own facilitator. What was signed is signed for what it says.
#[tokio::test]
async fn each_fault_has_its_reason() {
    let other = Address::repeat_byte(9).to_string();
    let permit_of = |changes: &[(&str, Value)]| {
        changes.iter().fold(by_permit(), |request, (path, value)| with(&request, path, value.clone()))
    };
    let later = (NOW + 1000).to_string();
    let soon = (NOW + 5).to_string();
    for (faulty, reason) in [
        (with(&by_token(), "/paymentPayload/accepted/scheme", "upto"), "invalid_exact_evm_scheme"),
        (
            with(&by_token(), "/paymentPayload/accepted/network", "eip155:1"),
            "invalid_exact_evm_network_mismatch",
        ),
        (offered(&by_token(), "network", "eip155:5"), "invalid_network"),
        (offered(&by_token(), "network", "solana:mainnet"), "invalid_network"),
        (offered(&by_token(), "scheme", "deferred"), "unsupported_scheme"),
        (offered(&by_token(), "extra", Value::Null), "invalid_exact_evm_missing_eip712_domain"),
        (
            offered(&by_token(), "extra", json!({"name": "", "version": "1"})),
            "invalid_exact_evm_missing_eip712_domain",
        ),
        (offered(&by_token(), "asset", other.clone()), "invalid_payment_requirements"),
        (
            offered(&by_token(), "extra", json!({"name": "Other", "version": "1"})),
            "invalid_exact_evm_signature",
        ),
        (with(&by_token(), &format!("{SIGNED}/value"), "999"), "invalid_exact_evm_signature"),
        (with(&by_token(), &format!("{SIGNED}/to"), other.clone()), "invalid_exact_evm_signature"),
        (with(&by_token(), &format!("{SIGNED}/validBefore"), later.clone()), "invalid_exact_evm_signature"),
        (offered(&by_token(), "payTo", other.clone()), "invalid_exact_evm_recipient_mismatch"),
        (offered(&by_token(), "amount", "999"), "invalid_exact_evm_payload_authorization_value_mismatch"),
        (with(&by_token(), "/paymentPayload/accepted/payTo", other.clone()), "invalid_payment_requirements"),
        (with(&by_token(), "/paymentPayload/accepted/amount", "1"), "invalid_payment_requirements"),
        (with(&by_token(), "/paymentPayload/accepted/extra", Value::Null), "invalid_payment_requirements"),
        (
            offered(
                &by_token(),
                "extra",
                json!({"name": "Test", "version": "1", "assetTransferMethod": "permit2"}),
            ),
            "unsupported_payload_type",
        ),
        (offered(&by_token(), "scheme", "upto"), "unsupported_payload_type"),
        (with(&by_permit(), "/paymentPayload/accepted/scheme", "upto"), "unsupported_payload_type"),
        (
            with(&by_permit(), "/paymentPayload/accepted/network", "eip155:1"),
            "invalid_exact_evm_network_mismatch",
        ),
        (with(&upto(), "/paymentPayload/accepted/scheme", "exact"), "invalid_upto_evm_scheme"),
        (with(&upto(), "/paymentPayload/accepted/network", "eip155:1"), "invalid_upto_evm_network_mismatch"),
        (with(&by_permit(), &format!("{PERMIT}/spender"), other.clone()), "invalid_permit2_spender"),
        (
            with(&upto(), &format!("{PERMIT}/spender"), X402_EXACT_PROXY.to_string()),
            "invalid_permit2_spender",
        ),
        (offered(&by_permit(), "payTo", other.clone()), "invalid_permit2_recipient_mismatch"),
        (with(&upto(), &format!("{PERMIT}/witness/facilitator"), other.clone()), "upto_facilitator_mismatch"),
        (with(&by_permit(), &format!("{PERMIT}/deadline"), soon.clone()), "permit2_deadline_expired"),
        (with(&by_permit(), &format!("{PERMIT}/witness/validAfter"), later.clone()), "permit2_not_yet_valid"),
        (offered(&by_permit(), "amount", "999"), "permit2_amount_mismatch"),
        (with(&by_permit(), &format!("{PERMIT}/permitted/token"), other.clone()), "permit2_token_mismatch"),
        (with(&by_permit(), &format!("{PERMIT}/nonce"), "2"), "invalid_permit2_signature"),
        (with(&upto(), &format!("{PERMIT}/nonce"), "2"), "invalid_permit2_signature"),
        // Several faults: the first that x402 would find.
        (
            permit_of(&[
                ("/paymentPayload/payload/permit2Authorization/deadline", soon.clone().into()),
                ("/paymentPayload/payload/permit2Authorization/spender", other.clone().into()),
            ]),
            "invalid_permit2_spender",
        ),
        (
            offered(&with(&by_token(), &format!("{SIGNED}/value"), "999"), "payTo", other.clone()),
            "invalid_exact_evm_signature",
        ),
    ] {
        let stand = Stand::new();
        assert_eq!(stand.verdict(&faulty).await, reason, "{faulty}");
        assert_eq!(stand.accounts.asked().simulations, 0);
    }
}

#[tokio::test]
async fn a_payment_that_ends_before_it_can_be_settled_is_refused() {
    let stand = Stand::new();
    let at = |now| salt402_http::clock::set(std::time::Duration::from_secs(now));
    for (seconds, token, permit) in [(294, "valid", "valid"), (295, "ended", "ended")] {
        at(NOW + seconds);
        let ended = |verdict: &'static str| match verdict {
            "invalid_exact_evm_payload_authorization_valid_before" | "permit2_deadline_expired" => "ended",
            other => other,
        };
        assert_eq!(ended(stand.verdict(&by_token()).await), token);
        assert_eq!(ended(stand.verdict(&by_permit()).await), permit);
        assert_eq!(ended(stand.verdict(&upto()).await), permit);
    }
}

type Change = fn(&mut Facts);

#[tokio::test]
async fn what_the_chain_says_has_its_reason() {
    let changes: [(Change, &str, &str); 8] = [
        (|facts| facts.nonce = Nonce::Used, "invalid_exact_evm_nonce_already_used", "permit2_invalid_nonce"),
        (
            |facts| facts.nonce = Nonce::Unsupported,
            "invalid_exact_evm_eip3009_not_supported",
            "permit2_proxy_not_deployed",
        ),
        (|facts| facts.token.has_code = false, "asset_not_deployed_contract", "asset_not_deployed_contract"),
        (
            |facts| facts.payer.balance = Some(U256::from(PRICE - 1)),
            "invalid_exact_evm_insufficient_balance",
            "permit2_insufficient_balance",
        ),
        (|facts| facts.payer.allowance = Some(U256::from(PRICE - 1)), "valid", "permit2_allowance_required"),
        (|facts| facts.has_proxy = false, "valid", "permit2_proxy_not_deployed"),
        (
            |facts| {
                facts.token.domain =
                    Some(Domain::of_token("Test", "2", salt402_protocol::ChainId::CITRATE, TOKEN));
                facts.token.version = Some("2".into());
            },
            "invalid_exact_evm_token_version_mismatch",
            "valid",
        ),
        (
            |facts| {
                facts.token.domain = None;
                facts.token.name = Some("Other".into());
            },
            "invalid_exact_evm_token_name_mismatch",
            "valid",
        ),
    ];
    for (change, token, permit) in changes {
        let stand = Stand::new();
        stand.accounts.set(change);
        assert_eq!(stand.verdict(&by_token()).await, token);
        assert_eq!(stand.verdict(&by_permit()).await, permit);
        assert_eq!(stand.verdict(&upto()).await, permit);
    }
}

/// A block took a promised payment off the balance, and the settler has not seen the block: the payment would count twice.
#[tokio::test]
async fn what_a_block_took_already_is_not_promised_any_more() {
    for good in [by_token(), by_permit(), upto()] {
        let stand = Stand::new();
        let behind = || {
            stand.accounts.set(|facts| {
                (facts.payer.balance, facts.height) = (Some(U256::from(PRICE)), Some(8));
            });
            *stand.settler.promised.lock().unwrap() = U256::from(9 * PRICE);
            *stand.settler.height.lock().unwrap() = Some(7);
        };
        behind();
        *stand.settler.promised_next.lock().unwrap() = Some(U256::ZERO);
        assert_eq!(stand.verdict(&good).await, "valid", "{good}");
        assert_eq!(*stand.settler.waited.lock().unwrap(), [8]);
        // The block had another settlement.
        behind();
        *stand.settler.promised_next.lock().unwrap() = Some(U256::from(1));
        assert!(stand.verdict(&good).await.contains("insufficient_balance"));
        assert_eq!(*stand.settler.waited.lock().unwrap(), [8, 8]);
        // It has seen the block, so nothing counts twice.
        behind();
        *stand.settler.height.lock().unwrap() = Some(8);
        assert!(stand.verdict(&good).await.contains("insufficient_balance"));
        assert_eq!(*stand.settler.waited.lock().unwrap(), [8, 8]);
        // It does not see it for long.
        behind();
        assert!(stand.verdict(&good).await.contains("insufficient_balance"));
        assert_eq!(*stand.settler.waited.lock().unwrap(), [8; 4]);
        // The same where it is to be settled.
        behind();
        *stand.settler.promised_next.lock().unwrap() = Some(U256::ZERO);
        assert!(stand.settle(&good).await.success);
    }
}

#[tokio::test]
async fn what_is_promised_to_others_cannot_be_spent_again() {
    let stand = Stand::new();
    *stand.settler.promised.lock().unwrap() = U256::from(9 * PRICE);
    assert_eq!(stand.verdict(&by_token()).await, "valid");
    *stand.settler.promised.lock().unwrap() = U256::from(9 * PRICE + 1);
    assert_eq!(stand.verdict(&by_token()).await, "invalid_exact_evm_insufficient_balance");
    assert_eq!(stand.verdict(&upto()).await, "permit2_insufficient_balance");
    stand.accounts.set(|facts| {
        facts.payer.balance = Some(U256::MAX);
        facts.payer.allowance = Some(U256::from(10 * PRICE));
    });
    assert_eq!(stand.verdict(&upto()).await, "permit2_allowance_required");
}

/// A payer with code: what its token or Permit2 would say, by whatever was signed.
#[tokio::test]
async fn a_payer_with_code_is_judged_as_the_chain_would() {
    let key_of_other = with(
        &by_token(),
        "/paymentPayload/payload/signature",
        Payer::new(2).authorize(1)["signature"].clone(),
    );
    let permit_of_other =
        with(&by_permit(), "/paymentPayload/payload/signature", Payer::new(2).permit(1)["signature"].clone());
    for (rule, by_contract, simulation, own_key, foreign_key) in [
        // Whoever only recovers keys does not look at code.
        (SignatureRule::Key, false, true, "valid", "invalid_exact_evm_signature"),
        (SignatureRule::Key, true, true, "valid", "invalid_exact_evm_signature"),
        (SignatureRule::Contract, false, true, "invalid_exact_evm_signature", "invalid_exact_evm_signature"),
        (SignatureRule::Contract, true, true, "valid", "valid"),
        (
            SignatureRule::Contract,
            true,
            false,
            "invalid_exact_evm_transaction_simulation_failed",
            "invalid_exact_evm_transaction_simulation_failed",
        ),
        // Where it is not known, the simulation decides.
        (SignatureRule::Unknown, false, true, "valid", "invalid_exact_evm_signature"),
        (SignatureRule::Unknown, false, false, "invalid_exact_evm_signature", "invalid_exact_evm_signature"),
        (SignatureRule::Unknown, true, true, "valid", "valid"),
        (
            SignatureRule::Unknown,
            true,
            false,
            "invalid_exact_evm_transaction_simulation_failed",
            "invalid_exact_evm_transaction_simulation_failed",
        ),
    ] {
        let mut policy = policy();
        policy.networks[0].tokens[0].signatures = rule;
        let stand = Stand::with(policy);
        stand.accounts.set(|facts| {
            facts.payer.has_code = true;
            facts.contract_signature = Some(by_contract);
            facts.simulation = Some(if simulation { Ok(()) } else { Err("execution reverted".into()) });
        });
        let case = format!("{rule:?} {by_contract} {simulation}");
        assert_eq!(stand.verdict(&by_token()).await, own_key, "{case}");
        assert_eq!(stand.verdict(&key_of_other).await, foreign_key, "{case}");
        // Permit2 asks the code, whatever the token does.
        let permit = match (by_contract, simulation) {
            (false, _) => "invalid_permit2_signature",
            (true, true) => "valid",
            (true, false) => "permit2_simulation_failed",
        };
        assert_eq!(stand.verdict(&by_permit()).await, permit, "{case}");
        assert_eq!(stand.verdict(&permit_of_other).await, permit, "{case}");
    }
}

#[tokio::test]
async fn a_token_permit_stands_in_for_an_allowance_if_the_chain_takes_it() {
    let sponsored = with(&by_permit(), "/paymentPayload/extensions", Payer::new(1).sponsoring());
    let info = "/paymentPayload/extensions/eip2612GasSponsoring/info";
    let stand = Stand::new();
    assert_eq!(stand.verdict(&sponsored).await, "valid");
    assert_eq!(stand.accounts.asked().simulations, 0, "there is an allowance already");
    stand.accounts.set(|facts| facts.payer.allowance = Some(U256::ZERO));
    assert_eq!(stand.verdict(&sponsored).await, "valid");
    assert_eq!(stand.accounts.asked().simulations, 1);
    stand.accounts.set(|facts| facts.simulation = Some(Err("execution reverted".into())));
    assert_eq!(stand.verdict(&sponsored).await, "permit2_allowance_required");
    let other = Address::repeat_byte(9).to_string();
    for (member, value, reason) in [
        ("from", other.clone(), "eip2612_from_mismatch"),
        ("asset", other.clone(), "eip2612_asset_mismatch"),
        ("spender", other, "eip2612_spender_not_permit2"),
        ("deadline", (NOW + 5).to_string(), "eip2612_deadline_expired"),
        ("amount", "0x1".to_owned(), "invalid_eip2612_extension_format"),
        ("amount", (PRICE + 1).to_string(), "permit2_2612_amount_mismatch"),
    ] {
        assert_eq!(
            stand.verdict(&with(&sponsored, &format!("{info}/{member}"), value)).await,
            reason,
            "{member}"
        );
    }
    let unfilled = with(
        &by_permit(),
        "/paymentPayload/extensions",
        json!({"eip2612GasSponsoring": {"info": {"version": "1"}}}),
    );
    assert_eq!(stand.verdict(&unfilled).await, "permit2_allowance_required");
}

#[tokio::test]
async fn only_what_the_operator_and_the_token_allow_is_settled() {
    let mut policy = policy();
    policy.networks[0].payees = Payees::Listed(vec![FACILITATOR]);
    assert_eq!(Stand::with(policy).verdict(&by_token()).await, "invalid_payment_requirements");
    let mut policy = crate::testing::policy();
    policy.networks[0].tokens[0].least = U256::from(PRICE + 1);
    assert_eq!(Stand::with(policy).verdict(&by_token()).await, "invalid_payment_requirements");
    let mut policy = crate::testing::policy();
    policy.networks[0].upto_proxy = None;
    policy.networks[0].tokens[0].eip3009 = false;
    let stand = Stand::with(policy);
    assert_eq!(stand.verdict(&upto()).await, "unsupported_scheme");
    assert_eq!(stand.verdict(&by_token()).await, "invalid_exact_evm_eip3009_not_supported");
    assert_eq!(stand.verdict(&by_permit()).await, "valid");
    let stand = Stand::new();
    for (rules, valid) in [
        (CallerRules { payees: Some(vec![PAYEE]), ..Default::default() }, true),
        (CallerRules { payees: Some(vec![TOKEN]), ..Default::default() }, false),
        (CallerRules { tokens: Some(vec![PAYEE]), ..Default::default() }, false),
        (CallerRules { networks: Some(Vec::new()), ..Default::default() }, false),
    ] {
        let caller = crate::Caller { name: "shop".into(), rules };
        let body = by_token().to_string();
        let answer = stand.facilitator.verify(body.as_bytes(), Some(&caller)).await.unwrap();
        assert_eq!(answer.is_valid, valid, "{caller:?}");
    }
}

#[tokio::test]
async fn memory_never_refuses_and_settling_never_believes_it() {
    let stand = Stand::new();
    stand.accounts.set(|facts| {
        facts.is_fresh = false;
        facts.payer.balance = Some(U256::ZERO);
    });
    assert_eq!(stand.verdict(&by_token()).await, "invalid_exact_evm_insufficient_balance");
    let asked = stand.accounts.asked();
    assert_eq!((asked.questions, asked.fresh), (2, 1), "what was remembered, and then the chain");
    stand.accounts.set(|facts| facts.payer.balance = Some(U256::MAX));
    assert_eq!(stand.verdict(&by_token()).await, "valid");
    assert_eq!(stand.accounts.asked().fresh, 1);
    assert!(stand.settle(&by_token()).await.success);
    assert_eq!(stand.accounts.asked().fresh, 2);
}

#[tokio::test]
async fn simulation_is_a_policy() {
    for (simulation, key, code) in
        [(Simulation::Never, 0, 0), (Simulation::Contracts, 0, 1), (Simulation::Always, 1, 1)]
    {
        let mut policy = policy();
        policy.simulation = simulation;
        policy.networks[0].tokens[0].signatures = SignatureRule::Contract;
        let stand = Stand::with(policy);
        assert_eq!(stand.verdict(&by_token()).await, "valid");
        assert_eq!(stand.accounts.asked().simulations, key, "{simulation:?}");
        stand.accounts.set(|facts| {
            facts.payer.has_code = true;
            facts.contract_signature = Some(true);
        });
        let before = stand.accounts.asked().simulations;
        assert_eq!(stand.verdict(&by_token()).await, "valid");
        assert_eq!(stand.accounts.asked().simulations - before, code.max(key), "{simulation:?}");
    }
}

#[tokio::test]
async fn citrates_own_facilitator_is_paid_with_the_fee_that_was_signed() {
    let mut policy = policy();
    policy.networks[0].citrate =
        Some(CitratePolicy { contract: CITRATE_FACILITATOR, token: TOKEN, treasury: TREASURY });
    let stand = Stand::with(policy);
    let extra = json!({"name": "Test", "version": "1", "assetTransferMethod": "citrateFee"});
    let good = offered(&request("exact", Payer::new(1).authorize_with_fee(10)), "extra", extra.clone());
    assert_eq!(stand.verdict(&good).await, "valid");
    assert_eq!(stand.accounts.asked().simulations, 1, "the contract knows its fee");
    for (faulty, reason) in [
        (with(&good, &format!("{SIGNED}/fee"), "11"), "invalid_exact_evm_signature"),
        (with(&good, &format!("{SIGNED}/fee"), "1001"), "invalid_payload"),
        (with(&good, &format!("{SIGNED}/treasury"), PAYEE.to_string()), "invalid_payload"),
        (with(&good, &format!("{SIGNED}/fee"), Value::Null), "unsupported_payload_type"),
        // A plain authorization is none of it, and the other way round.
        (offered(&by_token(), "extra", extra), "unsupported_payload_type"),
        (request("exact", Payer::new(1).authorize_with_fee(10)), "unsupported_payload_type"),
    ] {
        assert_eq!(stand.verdict(&faulty).await, reason, "{faulty}");
    }
    stand.accounts.set(|facts| facts.simulation = Some(Err("execution reverted".into())));
    assert_eq!(stand.verdict(&good).await, "invalid_exact_evm_transaction_simulation_failed");
    // Whoever does not offer it settles none.
    assert_eq!(Stand::new().verdict(&good).await, "unsupported_payload_type");
}

/// What could not be settled for its gas is not called valid: a payer's code could be written to need just too much.
#[tokio::test]
async fn a_simulation_has_the_gas_of_a_settlement() {
    let mut policy = policy();
    policy.simulation = Simulation::Always;
    policy.gas_caps = crate::GasCaps {
        eip3009: 110_000,
        permit2_exact: 120_000,
        permit2_upto: 130_000,
        deployment: 100_000,
    };
    let stand = Stand::with(policy);
    for (payment, gas) in [(by_token(), 110_000), (by_permit(), 120_000), (upto(), 130_000)] {
        assert_eq!(stand.verdict(&payment).await, "valid");
        assert_eq!(stand.accounts.asked().gas.last(), Some(&(gas, Some(gas))));
    }
}

/// `/supported` names one kind of version 1.
#[tokio::test]
async fn version_1_has_authorizations_alone() {
    let stand = Stand::new();
    let by_permit = first_request(Payer::new(1).permit(1));
    assert_eq!(stand.verdict(&by_permit).await, "unsupported_scheme");
    let mut upto = first_request(Payer::new(1).permit_upto(1));
    for path in ["/paymentPayload/scheme", "/paymentRequirements/scheme"] {
        upto = with(&upto, path, "upto");
    }
    assert_eq!(stand.verdict(&upto).await, "unsupported_scheme");
    assert_eq!(stand.accounts.asked().questions, 0);
}

/// Its code stands behind the signature, so that is not what is wrong. It is asked about either.
#[tokio::test]
async fn another_fault_of_a_payer_with_code_has_its_own_reason() {
    let other = Address::repeat_byte(9).to_string();
    let key_of_other =
        with(&by_token(), "/paymentPayload/payload/signature", format!("0x{}", "11".repeat(65)));
    let faulty = offered(&key_of_other, "payTo", other);
    let mut policy = policy();
    policy.networks[0].tokens[0].signatures = SignatureRule::Contract;
    for (by_contract, reason) in
        [(true, "invalid_exact_evm_recipient_mismatch"), (false, "invalid_exact_evm_signature")]
    {
        let stand = Stand::with(policy.clone());
        stand.accounts.set(|facts| {
            facts.payer.has_code = true;
            facts.contract_signature = Some(by_contract);
        });
        assert_eq!(stand.verdict(&faulty).await, reason);
        assert!(stand.accounts.asked().contracts > 0, "it was not asked");
    }
    // What has no code signs with its key alone.
    assert_eq!(Stand::with(policy).verdict(&faulty).await, "invalid_exact_evm_signature");
}
