//! The decision, as a function of what was signed and what is known.

use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use salt402_protocol::X402Reason;
use salt402_protocol::typed_data::{TransferWithAuthorization, TransferWithFeeAuthorization, exact, upto};
use salt402_protocol::x402::digest::Domain;

use crate::authorization::{Authorization, Method};
use crate::policy::{SignatureRule, Simulation};
use crate::read::{Read, Refusal, refuse};
use crate::verify::facts::{Facts, Nonce};
use crate::verify::signature::{Forms, KeySignature};

/// The digest that the payer signed, and the forms in which the contract takes a key's signature.
///
/// The spender of a Permit2 permit was compared with the proxy before.
pub(crate) fn digest(authorization: &Authorization, proxy: Option<Address>) -> (B256, Forms) {
    let Authorization { chain, token, payer, payee, amount, nonce, valid_after, valid_before, .. } =
        authorization;
    let spender = proxy.unwrap_or_default();
    match &authorization.method {
        Method::Eip3009 { name, version, .. } => {
            let message = TransferWithAuthorization {
                from: *payer,
                to: *payee,
                value: *amount,
                validAfter: *valid_after,
                validBefore: *valid_before,
                nonce: B256::from(*nonce),
            };
            let domain = Domain::of_token(name, version, *chain, *token);
            (domain.authorization(&message), Forms::Full)
        }
        Method::Permit2Exact { .. } => {
            let message = exact::PermitWitnessTransferFrom {
                permitted: exact::TokenPermissions { token: *token, amount: *amount },
                spender,
                nonce: *nonce,
                deadline: *valid_before,
                witness: exact::Witness { to: *payee, validAfter: *valid_after },
            };
            (Domain::of_permit2(*chain).exact(&message), Forms::FullOrCompact)
        }
        Method::Permit2Upto { facilitator, .. } => {
            let message = upto::PermitWitnessTransferFrom {
                permitted: upto::TokenPermissions { token: *token, amount: *amount },
                spender,
                nonce: *nonce,
                deadline: *valid_before,
                witness: upto::Witness { to: *payee, facilitator: *facilitator, validAfter: *valid_after },
            };
            (Domain::of_permit2(*chain).upto(&message), Forms::FullOrCompact)
        }
        Method::CitrateFee { treasury, fee, name, version, .. } => {
            let message = TransferWithFeeAuthorization {
                from: *payer,
                to: *payee,
                value: *amount,
                treasury: *treasury,
                fee: *fee,
                validAfter: *valid_after,
                validBefore: *valid_before,
                nonce: B256::from(*nonce),
            };
            (Domain::of_token(name, version, *chain, *token).fee_authorization(&message), Forms::Full)
        }
    }
}

/// Whether an authorization is settled by Permit2.
pub(crate) fn is_permit2(authorization: &Authorization) -> bool {
    matches!(authorization.method, Method::Permit2Exact { .. } | Method::Permit2Upto { .. })
}

/// The permit of the token that was sent along, if any.
fn has_permit(authorization: &Authorization) -> bool {
    matches!(
        &authorization.method,
        Method::Permit2Exact { permit: Some(_) } | Method::Permit2Upto { permit: Some(_), .. }
    )
}

/// Whether an allowance has to be there, and is not.
fn lacks_allowance(read: &Read, facts: &Facts, promised: U256) -> bool {
    is_permit2(&read.authorization)
        && facts.payer.allowance.is_some_and(|it| left(it, promised) < read.charge)
}

/// Whether the payer's contract is created by the transaction that settles.
pub(crate) fn deploys(authorization: &Authorization, facts: &Facts) -> bool {
    !facts.payer.has_code && authorization.deployment().is_some()
}

/// Whether the payer has code when it is settled.
fn is_contract(read: &Read, facts: &Facts) -> bool {
    facts.payer.has_code || deploys(&read.authorization, facts)
}

/// Whether the payer's own word (ERC-1271) has to be known.
pub(crate) fn needs_contract(read: &Read, facts: &Facts, key: &KeySignature) -> bool {
    let by_key = !is_permit2(&read.authorization) && read.token.signatures == SignatureRule::Key;
    is_contract(read, facts) && !(by_key && is_of(key, read.authorization.payer))
}

/// Whether a settlement has to be simulated.
pub(crate) fn needs_simulation(read: &Read, facts: &Facts, promised: U256, policy: Simulation) -> bool {
    let unknown = !is_permit2(&read.authorization)
        && facts.payer.has_code
        && read.token.signatures == SignatureRule::Unknown;
    let by_permit = has_permit(&read.authorization) && lacks_allowance(read, facts, promised);
    // Its fee and its role are the contract's to know.
    let by_citrate = matches!(read.authorization.method, Method::CitrateFee { .. });
    unknown
        || deploys(&read.authorization, facts)
        || by_permit
        || by_citrate
        || match policy {
            Simulation::Never => false,
            Simulation::Contracts => facts.payer.has_code || !is_enough(&read.authorization, facts),
            Simulation::Always => true,
        }
}

/// Whether what is known is enough to judge by: a token need not tell its balances or its domain.
fn is_enough(authorization: &Authorization, facts: &Facts) -> bool {
    let token = &facts.token;
    let has_domain = token.domain.is_some() || (token.name.is_some() && token.version.is_some());
    facts.payer.balance.is_some() && (is_permit2(authorization) || has_domain)
}

fn is_of(key: &KeySignature, payer: Address) -> bool {
    *key == KeySignature::Of(payer)
}

fn left(there: U256, promised: U256) -> U256 {
    // Without a limit nothing is used up.
    if there == U256::MAX { there } else { there.saturating_sub(promised) }
}

/// The refusal of a signature that has not the form in which it could be settled.
pub(crate) fn unfit_signature(authorization: &Authorization, detail: &'static str) -> Refusal {
    wrong_signature(authorization, &KeySignature::None(detail))
}

/// The refusal of a signature.
pub(crate) fn wrong_signature(authorization: &Authorization, key: &KeySignature) -> Refusal {
    let reason =
        if is_permit2(authorization) { X402Reason::Permit2Signature } else { X402Reason::ExactSignature };
    match key {
        KeySignature::None(detail) => refuse(reason, *detail),
        KeySignature::Of(other) => {
            let detail = format!(
                "the signature is not the payer's ({}) for these terms; for them, {other} would have signed it: compare \
                 chain, asset, domain name, version and each member with what was signed",
                authorization.payer
            );
            refuse(reason, detail)
        }
    }
}

/// Whether an authorization would settle.
///
/// `promised` is what is promised of the payer's balance to others, in base units of the token.
pub(crate) fn judge(read: &Read, facts: &Facts, key: &KeySignature, promised: U256) -> Result<(), Refusal> {
    if is_permit2(&read.authorization) {
        by_permit2(read, facts, key, promised)
    } else {
        by_token(read, facts, key, promised)
    }
}

fn by_token(read: &Read, facts: &Facts, key: &KeySignature, promised: U256) -> Result<(), Refusal> {
    let authorization = &read.authorization;
    exists(read, facts)?;
    signature(read, facts, key)?;
    read.after_signature.clone().map_or(Ok(()), Err)?;
    token_exists(authorization, facts)?;
    match facts.nonce {
        Nonce::New => {}
        Nonce::Used => {
            let detail = "the authorization's nonce was used or cancelled: it pays nothing any more";
            return Err(refuse(X402Reason::NonceAlreadyUsed, detail));
        }
        Nonce::Unsupported => {
            let detail = "the asset does not say whether an authorization was used: it has no EIP-3009";
            return Err(refuse(X402Reason::Eip3009NotSupported, detail));
        }
    }
    domain(authorization, facts)?;
    balance(read, facts, promised, X402Reason::InsufficientBalance)?;
    // Nothing else is wrong, and the payer's code does not stand behind the signature: so it is that.
    let is_doubtful = is_contract(read, facts) && facts.contract_signature != Some(true);
    let reason = if is_doubtful && read.token.signatures == SignatureRule::Unknown {
        X402Reason::ExactSignature
    } else {
        X402Reason::ExactSimulationFailed
    };
    simulated(facts, reason)
}

fn by_permit2(read: &Read, facts: &Facts, key: &KeySignature, promised: U256) -> Result<(), Refusal> {
    let authorization = &read.authorization;
    token_exists(authorization, facts)?;
    exists(read, facts)?;
    signature(read, facts, key)?;
    read.after_signature.clone().map_or(Ok(()), Err)?;
    if !facts.has_proxy || facts.nonce == Nonce::Unsupported {
        let detail = "x402's proxy or Permit2 has no code on this chain";
        return Err(refuse(X402Reason::Permit2ProxyNotDeployed, detail));
    }
    balance(read, facts, promised, X402Reason::Permit2InsufficientBalance)?;
    if lacks_allowance(read, facts, promised) {
        let permitted = has_permit(authorization) && facts.simulation.as_ref().is_some_and(Result::is_ok);
        if !permitted {
            let detail = if has_permit(authorization) {
                "Permit2 may not move the amount, and the token refuses the permit that was sent along"
            } else {
                "Permit2 may not move the amount: the payer must approve 0x000000000022D473030F116dDEE9F6B43aC78BA3 at \
                 the token first"
            };
            return Err(refuse(X402Reason::Permit2AllowanceRequired, detail));
        }
    }
    if facts.nonce == Nonce::Used {
        let detail = "the permit's nonce was used or invalidated: it pays nothing any more";
        return Err(refuse(X402Reason::Permit2InvalidNonce, detail));
    }
    simulated(facts, X402Reason::Permit2SimulationFailed)
}

/// A payer whose contract does not exist yet can sign only if it is created before it pays.
fn exists(read: &Read, facts: &Facts) -> Result<(), Refusal> {
    match (read.is_wrapped && !facts.payer.has_code, read.authorization.deployment()) {
        (true, None) => Err(not_created()),
        (true, Some(deployment)) if facts.deploys == Some(false) => {
            let detail = format!(
                "the factory {} does not create the payer's contract ({}) with the calldata in the signature",
                deployment.factory, read.authorization.payer
            );
            Err(refuse(X402Reason::SmartWalletDeploymentFailed, detail))
        }
        _ => Ok(()),
    }
}

/// The refusal of a payer whose contract does not exist and is not created here.
pub(crate) fn not_created() -> Refusal {
    let detail = "the payer's contract does not exist yet, and its factory is not called here: factories that the operator allows \
                  are called for exact by EIP-3009 alone. Deploy it first";
    refuse(X402Reason::FactoryNotAllowed, detail)
}

/// The signature as the contract would judge it.
fn signature(read: &Read, facts: &Facts, key: &KeySignature) -> Result<(), Refusal> {
    let authorization = &read.authorization;
    let by_key = is_of(key, authorization.payer);
    let by_contract = facts.contract_signature == Some(true);
    let is_accepted = match (is_contract(read, facts), is_permit2(authorization), read.token.signatures) {
        (false, ..) | (true, false, SignatureRule::Key) => by_key,
        (true, true, _) | (true, false, SignatureRule::Contract) => by_contract,
        // The simulation has the last word. What neither a key nor a contract stands behind needs none.
        (true, false, SignatureRule::Unknown) => by_key || by_contract,
    };
    if is_accepted {
        return Ok(());
    }
    let refusal = wrong_signature(authorization, key);
    if is_contract(read, facts) {
        let detail = "the payer has code, and the asset would not accept this signature: neither the payer's code does \
                      (ERC-1271), nor is it a signature of its key where that is enough";
        return Err(refuse(refusal.reason, detail));
    }
    Err(refusal)
}

fn token_exists(authorization: &Authorization, facts: &Facts) -> Result<(), Refusal> {
    if facts.token.has_code {
        return Ok(());
    }
    let detail = format!("there is no contract at {} on {}", authorization.token, authorization.chain);
    Err(refuse(X402Reason::AssetNotDeployed, detail))
}

/// The domain of the requirements must be the contract's.
fn domain(authorization: &Authorization, facts: &Facts) -> Result<(), Refusal> {
    let (Method::Eip3009 { name, version, .. } | Method::CitrateFee { name, version, .. }) =
        &authorization.method
    else {
        return Ok(());
    };
    let token = &facts.token;
    let same = |known: &Option<Arc<str>>, asked: &str| known.as_deref().is_none_or(|known| known == asked);
    let fits = token.domain.map_or_else(
        || same(&token.name, name) && same(&token.version, version),
        |domain| domain == Domain::of_token(name, version, authorization.chain, authorization.token),
    );
    if fits {
        return Ok(());
    }
    if !same(&token.name, name) {
        let known = token.name.as_deref().unwrap_or_default();
        let detail = format!("extra.name is not the name in the asset's EIP-712 domain, which is {known:?}");
        return Err(refuse(X402Reason::TokenNameMismatch, detail));
    }
    let known = token.version.as_deref().unwrap_or("another one");
    let detail =
        format!("extra.version is not the version in the asset's EIP-712 domain, which is {known:?}");
    Err(refuse(X402Reason::TokenVersionMismatch, detail))
}

/// What is charged must be there: of what was signed under `upto`, no more is moved.
fn balance(read: &Read, facts: &Facts, promised: U256, reason: X402Reason) -> Result<(), Refusal> {
    let Some(balance) = facts.payer.balance else { return Ok(()) };
    if balance.saturating_sub(promised) >= read.charge {
        return Ok(());
    }
    let detail = format!(
        "the payer has {balance} base units of the asset, of which {promised} are promised to other payments, and {} are \
         needed",
        read.charge
    );
    Err(refuse(reason, detail))
}

fn simulated(facts: &Facts, reason: X402Reason) -> Result<(), Refusal> {
    match &facts.simulation {
        Some(Err(why)) => Err(refuse(reason, format!("the settlement would fail: {why}"))),
        _ => Ok(()),
    }
}
