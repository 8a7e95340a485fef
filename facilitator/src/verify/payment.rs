//! A payment from what was read of it to a verdict, with as few questions as that takes.

use alloy_primitives::{Address, U256};
use salt402_protocol::{PaymentId, X402Reason};

use crate::authorization::{Authorization, Method};
use crate::calls::settle_call;
use crate::policy::{NetworkPolicy, Policy};
use crate::read::{Read, Refusal};
use crate::settler::{Recorded, SettleFault, Settler};
use crate::verify::facts::{FactsError, KnowsAccounts, Nonce, Question};
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

/// How often what is promised is read again, where the chain may be ahead of it.
const READ_AGAIN: u32 = 3;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Case<'a> {
    /// The payment.
    pub(crate) read: &'a Read,
    /// Its id.
    pub(crate) id: PaymentId,
    /// What the settler knows of it and of its payer.
    pub(crate) recorded: Recorded,
    /// What other payments hold of the payer's balance beside what the settler promised, in base units.
    pub(crate) held: U256,
    /// Whether the chain is asked anew for all that changes.
    pub(crate) is_fresh: bool,
}

/// How a payment settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    /// Whether the payer has code when it is settled.
    pub(crate) payer_has_code: bool,
    /// Whether the payer's contract is created first.
    pub(crate) deploys: bool,
}

/// Whether a payment would settle now.
///
/// A payment that is refused by what was remembered is judged again by what is asked anew: memory never refuses. And what a
/// block took from the balance may still be counted as promised, where the settler has not seen that block: whoever has too
/// little by both is judged again when it has.
pub(crate) async fn verify(
    case: Case<'_>,
    policy: &Policy,
    accounts: &dyn KnowsAccounts,
    settler: &dyn Settler,
) -> Result<Verified, NoVerdict> {
    let Case { mut read, id, mut recorded, held, is_fresh } = case;
    let mut authorization = &read.authorization;
    let network = policy.network(authorization.chain).ok_or(FactsError::Chain(authorization.chain))?;
    let proxy = proxy(network, authorization);
    let (digest, forms) = digest(authorization, proxy);
    let key = recover(digest, &authorization.signature, forms);
    let has_code = if is_fresh { None } else { accounts.has_code(authorization) };
    without_questions(read, has_code, &key)?;
    // The same, where nothing has to be created for it: the payer's contract is there, or a key of its own signed.
    let plain = authorization.deployment().map(|_| Read {
        authorization: authorization.clone().without_deployment(),
        is_wrapped: false,
        ..read.clone()
    });
    if let Some(plain) = plain.as_ref().filter(|_| key == KeySignature::Of(authorization.payer)) {
        (read, authorization) = (plain, &plain.authorization);
    }
    let mut question = Question {
        authorization,
        id,
        is_on_chain: recorded.is_on_chain,
        wants_height: false,
        proxy,
        is_fresh,
        most_gas: policy.gas_caps.of(&authorization.method),
        digest: None,
        simulate: None,
    };
    // Whether a contract has to be created is to be known before it is asked.
    if key != KeySignature::Of(authorization.payer) && authorization.deployment().is_none() {
        question.digest = Some(digest);
    }
    let mut left = READ_AGAIN;
    loop {
        question.wants_height = question.is_fresh && !recorded.promised.is_zero();
        let promised = recorded.promised.saturating_add(held);
        let facts = accounts.facts(&question).await?;
        if let Some(plain) =
            plain.as_ref().filter(|_| facts.payer.has_code && authorization.deployment().is_some())
        {
            (read, authorization) = (plain, &plain.authorization);
            question.authorization = authorization;
            question.most_gas = policy.gas_caps.of(&authorization.method);
            (question.digest, question.simulate) = (None, None);
        }
        let wants_contract = question.digest.is_none() && needs_contract(read, &facts, &key);
        let wants_simulation =
            question.simulate.is_none() && needs_simulation(read, &facts, promised, policy.simulation);
        let wants_more = wants_contract || wants_simulation;
        // What is wrong already needs no more questions about it, and the more is asked together.
        let verdict = judge(read, &facts, &key, promised);
        let is_final = facts.is_fresh && !wants_more;
        match verdict {
            Ok(()) if !wants_more => {
                let deploys = judge::deploys(authorization, &facts);
                return Ok(Verified { payer_has_code: facts.payer.has_code || deploys, deploys });
            }
            Err(refusal) if is_final => {
                // What was not asked for is not known: it is asked with the next look.
                let is_asked = question.wants_height || recorded.promised.is_zero();
                let is_ahead = !is_asked || facts.height > recorded.height;
                if !is_of_promises(&refusal) || !is_ahead || left == 0 {
                    return Err(refusal.into());
                }
                left -= 1;
                if let Some(height) = facts.height {
                    settler.wait_for(authorization.chain, height).await;
                }
                recorded = settler.recorded(authorization, id).await?;
                question.is_on_chain = recorded.is_on_chain;
                question.is_fresh = true;
                continue;
            }
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
            simulated.gas_limit = Some(question.most_gas);
            let sender = sender(authorization, settler);
            question.simulate = Some((sender, simulated));
        }
    }
}

/// Whether the chain says that a payment was used, whatever else is wrong with it.
pub(crate) async fn is_used(
    authorization: &Authorization,
    accounts: &dyn KnowsAccounts,
) -> Result<bool, NoVerdict> {
    let question = Question {
        authorization,
        id: authorization.id(),
        is_on_chain: false,
        wants_height: false,
        proxy: None,
        is_fresh: true,
        most_gas: 0,
        digest: None,
        simulate: None,
    };
    Ok(accounts.facts(&question).await?.nonce == Nonce::Used)
}

/// Whether what was promised to others counted for a refusal.
fn is_of_promises(refusal: &Refusal) -> bool {
    matches!(
        refusal.reason,
        X402Reason::InsufficientBalance
            | X402Reason::Permit2InsufficientBalance
            | X402Reason::Permit2AllowanceRequired
    )
}

/// What can be refused without asking anybody: a wrong signature of an account that is known to have no code, and another fault of what
/// a key signed.
fn without_questions(read: &Read, has_code: Option<bool>, key: &KeySignature) -> Result<(), Refusal> {
    let authorization = &read.authorization;
    if *key == KeySignature::Of(authorization.payer) {
        return read.after_signature.clone().map_or(Ok(()), Err);
    }
    if read.is_wrapped {
        let is_missing = has_code == Some(false) && authorization.deployment().is_none();
        return if is_missing { Err(judge::not_created()) } else { Ok(()) };
    }
    // A payer with code signs in its own way, which is asked first.
    if has_code == Some(false) { Err(judge::wrong_signature(authorization, key)) } else { Ok(()) }
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
