//! A payment from what was read of it to a verdict, with as few questions as that takes.

use alloy_primitives::{Address, U256};

use crate::authorization::{Authorization, Method};
use crate::calls::settle_call;
use crate::policy::{NetworkPolicy, Policy};
use crate::read::{Read, Refusal};
use crate::settler::{SettleFault, Settler};
use crate::verify::facts::{Facts, FactsError, KnowsAccounts, Question};
use crate::verify::judge::{self, digest, judge, needs_contract, needs_simulation};
use crate::verify::signature::{KeySignature, recover};

/// Why there is no verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoVerdict {
    /// The payment is not valid.
    #[error("{}", .0.detail)]
    Refused(Refusal),
    /// The chain or the index cannot be asked.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// What is promised cannot be read.
    #[error(transparent)]
    Settler(#[from] SettleFault),
}

impl From<Refusal> for NoVerdict {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Whether a payment would settle now. Returns what is known of its accounts.
///
/// `held` is what other payments hold of the payer's balance beside what the settler promised, in base units.
///
/// A payment that is refused by what was remembered is judged again by what is asked anew: memory never refuses.
pub(crate) async fn verify(
    read: &Read,
    policy: &Policy,
    accounts: &dyn KnowsAccounts,
    settler: &dyn Settler,
    held: U256,
    is_fresh: bool,
) -> Result<Facts, NoVerdict> {
    let authorization = &read.authorization;
    let network = policy.network(authorization.chain).ok_or(FactsError::Chain(authorization.chain))?;
    let proxy = proxy(network, authorization);
    let (digest, forms) = digest(authorization, proxy);
    let key = recover(digest, &authorization.signature, forms);
    let has_code = if is_fresh { None } else { accounts.has_code(authorization) };
    without_questions(read, has_code, &key)?;
    let promised = settler.promised(authorization.chain, authorization.token, authorization.payer).await?;
    let promised = promised.saturating_add(held);
    let most_gas = policy.gas_caps.of(&authorization.method);
    let mut question = Question { authorization, proxy, is_fresh, most_gas, digest: None, simulate: None };
    if key != KeySignature::Of(authorization.payer) {
        question.digest = Some(digest);
    }
    loop {
        let facts = accounts.facts(&question).await?;
        let wants_contract = question.digest.is_none() && needs_contract(read, &facts, &key);
        let wants_simulation =
            question.simulate.is_none() && needs_simulation(read, &facts, promised, policy.simulation);
        let wants_more = wants_contract || wants_simulation;
        // What is wrong already needs no more questions about it, and the more is asked together.
        let verdict = judge(read, &facts, &key, promised);
        let is_final = facts.is_fresh && !wants_more;
        match verdict {
            Ok(()) if !wants_more => return Ok(facts),
            Err(refusal) if is_final => return Err(refusal.into()),
            _ => {}
        }
        question.is_fresh = question.is_fresh || !wants_more;
        if wants_contract {
            question.digest = Some(digest);
        }
        if wants_simulation {
            // A charge of 0 needs no transaction; that the rest is good is shown by any other.
            let charge = read.charge.max(U256::ONE);
            let Some(mut simulated) = settle_call(&network.contracts(), authorization, charge) else {
                let detail = "the signature has not the 65 bytes that this way of settling takes";
                return Err(judge::unfit_signature(authorization, detail).into());
            };
            simulated.gas_limit = Some(most_gas);
            let sender = sender(authorization, settler);
            question.simulate = Some((sender, simulated));
        }
    }
}

/// What can be refused without asking anybody: a wrong signature of an account that is known to have no code, or one
/// that comes with another fault.
fn without_questions(read: &Read, has_code: Option<bool>, key: &KeySignature) -> Result<(), Refusal> {
    let authorization = &read.authorization;
    if *key == KeySignature::Of(authorization.payer) {
        return read.after_signature.clone().map_or(Ok(()), Err);
    }
    if read.is_wrapped {
        return Ok(());
    }
    match (has_code, &read.after_signature) {
        (Some(false), _) => Err(judge::wrong_signature(authorization, key)),
        (Some(true), Some(refusal)) => Err(refusal.clone()),
        (None, Some(other)) => {
            let mut refusal = judge::wrong_signature(authorization, key);
            refusal.detail = format!("{}. Besides: {}", refusal.detail, other.detail).into();
            Err(refusal)
        }
        (_, None) => Ok(()),
    }
}

/// The proxy that would settle.
fn proxy(network: &NetworkPolicy, authorization: &Authorization) -> Option<Address> {
    match authorization.method {
        Method::Permit2Exact { .. } => network.exact_proxy,
        Method::Permit2Upto { .. } => network.upto_proxy,
        Method::Eip3009 { .. } | Method::CitrateFee { .. } => None,
    }
}

/// Who would send the transaction.
fn sender(authorization: &Authorization, settler: &dyn Settler) -> Option<Address> {
    match authorization.method {
        Method::Permit2Upto { facilitator, .. } => Some(facilitator),
        _ => settler.signers(authorization.chain).first().copied(),
    }
}
