//! Payers whose contract does not exist yet (ERC-6492).

use alloy_primitives::{Address, Bytes, hex};
use alloy_sol_types::SolValue as _;
use serde_json::Value;

use crate::authorization::{Deployment, Method};
use crate::policy::{GasCaps, SignatureRule};
use crate::testing::{Payer, policy, request};
use crate::tests::{Stand, with};

const FACTORY: Address = Address::repeat_byte(1);
const CALLDATA: &[u8] = &[1, 2, 3];
const SIGNATURE: &str = "/paymentPayload/payload/signature";

/// A payment with its signature, and what would create its payer.
fn wrapped(request: &Value, factory: Address) -> Value {
    let inner: Bytes = request["paymentPayload"]["payload"]["signature"].as_str().unwrap().parse().unwrap();
    let mut bytes = (factory, Bytes::from_static(CALLDATA), inner).abi_encode_params();
    bytes.extend(std::iter::repeat_n([0x64, 0x92], 16).flatten());
    with(request, SIGNATURE, hex::encode_prefixed(bytes))
}

/// Signed by another key than the payer's, as contracts' owners do.
fn by_owner() -> Value {
    let signed = request("exact", Payer::new(1).authorize(1));
    with(&signed, SIGNATURE, Payer::new(2).authorize(1)["signature"].clone())
}

fn by_permit() -> Value {
    request("exact", Payer::new(1).permit(1))
}

/// Where the factory is called.
fn allowing(rule: SignatureRule) -> Stand {
    let mut policy = policy();
    policy.networks[0].factories = vec![FACTORY];
    policy.networks[0].tokens[0].signatures = rule;
    Stand::with(policy)
}

fn creates(stand: &Stand, deploys: bool, signed: bool, simulation: Result<(), String>) {
    stand.accounts.set(|facts| {
        facts.deploys = Some(deploys);
        facts.contract_signature = Some(signed);
        facts.simulation = Some(simulation);
    });
}

/// What was settled: whether it creates the payer's contract, and whether it goes alone.
async fn settled(stand: &Stand, payment: &Value) -> (Option<Deployment>, bool) {
    let told = stand.settle(payment).await;
    assert!(told.success, "{told:?}");
    let approved = stand.settler.approved.lock().unwrap().pop().unwrap();
    let Method::Eip3009 { deployment, .. } = approved.authorization.method else { panic!("by EIP-3009") };
    (deployment, approved.payer_has_code)
}

#[tokio::test]
async fn a_contract_that_does_not_exist_yet_cannot_pay() {
    let stand = Stand::new();
    let own = request("exact", Payer::new(1).authorize(1));
    for payment in [&own, &by_owner(), &by_permit()] {
        assert_eq!(stand.verdict(&wrapped(payment, FACTORY)).await, "eip6492_factory_not_allowed");
    }
    // Where it exists, what would create it is left out.
    stand.accounts.set(|facts| {
        facts.payer.has_code = true;
        facts.contract_signature = Some(true);
    });
    assert_eq!(stand.verdict(&wrapped(&own, FACTORY)).await, "valid");
}

#[tokio::test]
async fn t9_t14_a_contract_is_created_by_an_allowed_factory_alone_and_judged_as_if_it_were_there() {
    for rule in [SignatureRule::Contract, SignatureRule::Unknown] {
        let stand = allowing(rule);
        let payment = wrapped(&by_owner(), FACTORY);
        creates(&stand, true, true, Ok(()));
        assert_eq!(stand.verdict(&payment).await, "valid");
        let GasCaps { eip3009, deployment, .. } = GasCaps::default();
        let most = eip3009 + deployment;
        assert_eq!(*stand.accounts.asked().gas.last().unwrap(), (most, Some(most)));
        let created = Deployment { factory: FACTORY, calldata: CALLDATA.into() };
        assert_eq!(settled(&stand, &payment).await, (Some(created), true), "and alone");
    }
    let stand = allowing(SignatureRule::Contract);
    let payment = wrapped(&by_owner(), FACTORY);
    let failed = || Err("execution reverted".to_owned());
    for (deploys, signed, simulation, reason) in [
        (false, false, failed(), "smart_wallet_deployment_failed"),
        (true, false, failed(), "invalid_exact_evm_signature"),
        (true, true, failed(), "invalid_exact_evm_transaction_simulation_failed"),
    ] {
        creates(&stand, deploys, signed, simulation);
        assert_eq!(stand.verdict(&payment).await, reason);
        let told = stand.settle(&payment).await;
        assert_eq!(told.error_reason.map(|reason| reason.as_str()), Some(reason));
    }
    creates(&stand, true, true, Ok(()));
    let other = wrapped(&by_owner(), Address::repeat_byte(2));
    assert_eq!(stand.verdict(&other).await, "eip6492_factory_not_allowed");
    // Permit2 moves nothing of an account that has not allowed it.
    assert_eq!(stand.verdict(&wrapped(&by_permit(), FACTORY)).await, "eip6492_factory_not_allowed");
    // Nobody but a key can sign for such a token.
    let stand = allowing(SignatureRule::Key);
    creates(&stand, true, true, Ok(()));
    assert_eq!(stand.verdict(&payment).await, "invalid_exact_evm_signature");
    assert!(stand.settler.approved.lock().unwrap().is_empty());
}

/// Whoever pays for the gas creates nothing that the payment does not need.
#[tokio::test]
async fn t9_nothing_is_created_for_a_payer_that_is_there_or_has_a_key() {
    let stand = allowing(SignatureRule::Contract);
    stand.accounts.set(|facts| {
        facts.payer.has_code = true;
        facts.contract_signature = Some(true);
    });
    assert_eq!(settled(&stand, &wrapped(&by_owner(), FACTORY)).await, (None, true));
    let eip3009 = GasCaps::default().eip3009;
    assert_eq!(*stand.accounts.asked().gas.last().unwrap(), (eip3009, Some(eip3009)));
    for rule in [SignatureRule::Key, SignatureRule::Contract, SignatureRule::Unknown] {
        let stand = allowing(rule);
        let own = wrapped(&request("exact", Payer::new(1).authorize(1)), FACTORY);
        assert_eq!(stand.verdict(&own).await, "valid", "{rule:?}");
        assert_eq!(settled(&stand, &own).await, (None, false), "{rule:?}");
        assert_eq!(stand.accounts.asked().contracts, 0);
    }
}
