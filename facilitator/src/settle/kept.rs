//! An approved authorization as the database keeps it, so that it can be settled after a restart without its caller.

use alloy_primitives::{Bytes, U256};
use salt402_protocol::{Amount, X402Reason};
use salt402_store::{NewSettlement, SettlementRow};
use serde::{Deserialize, Serialize};

use crate::authorization::{Authorization, Method};
use crate::settler::Approved;

/// What the call is built from again.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) authorization: Authorization,
    pub(super) payer_has_code: bool,
}

impl Kept {
    /// A row's authorization. `None`: another version wrote it, and it cannot be read.
    pub(super) fn of(row: &SettlementRow) -> Option<Self> {
        let kept: Self = serde_json::from_slice(&row.claimed.payload).ok()?;
        // A row and what is settled for it never differ.
        (kept.authorization.id() == row.claimed.payment).then_some(kept)
    }
}

/// The signature that was claimed. Empty: another version wrote the row, and it cannot be read.
pub(super) fn signature(row: &SettlementRow) -> Bytes {
    Kept::of(row).map(|kept| kept.authorization.signature).unwrap_or_default()
}

/// How an authorization is settled, as one word.
pub(super) const fn method(method: &Method) -> &'static str {
    match method {
        Method::Eip3009 { .. } => "eip3009",
        Method::Permit2Exact { .. } => "permit2_exact",
        Method::Permit2Upto { .. } => "permit2_upto",
        Method::CitrateFee { .. } => "citrate_fee",
    }
}

/// What is claimed for an approved authorization.
pub(super) fn new(
    approved: &Approved,
    gas: u64,
    since_block: u64,
) -> Result<NewSettlement, serde_json::Error> {
    let Approved { authorization, charge, payer_has_code, caller, .. } = approved;
    let kept = Kept { authorization: authorization.clone(), payer_has_code: *payer_has_code };
    Ok(NewSettlement {
        chain: authorization.chain,
        payment: authorization.id(),
        token: authorization.token,
        payer: authorization.payer,
        payee: authorization.payee,
        amount: Amount(authorization.amount),
        charge: Amount(*charge),
        method: method(&authorization.method).to_owned(),
        payload: serde_json::to_vec(&kept)?,
        sender: match authorization.method {
            Method::Permit2Upto { facilitator, .. } => Some(facilitator),
            _ => None,
        },
        caller: caller.clone(),
        since_block,
        gas,
    })
}

/// The reason of a nonce that was used for something else.
pub(super) const fn used_reason(method: &Method) -> X402Reason {
    match method {
        Method::Eip3009 { .. } | Method::CitrateFee { .. } => X402Reason::NonceAlreadyUsed,
        Method::Permit2Exact { .. } | Method::Permit2Upto { .. } => X402Reason::Permit2InvalidNonce,
    }
}

/// In what a second request differs from the claim, if it does.
pub(super) fn difference(row: &SettlementRow, approved: &Approved) -> Option<String> {
    let Approved { authorization, charge, .. } = approved;
    let claimed = &row.claimed;
    let differs = |what: &str, claimed: U256, asked: U256| {
        (claimed != asked).then(|| {
            format!("{what} was {claimed} when it was first asked to settle this, and is {asked} now")
        })
    };
    if claimed.payee != authorization.payee {
        let (first, now) = (claimed.payee, authorization.payee);
        return Some(format!(
            "the payee was {first} when it was first asked to settle this, and is {now} now"
        ));
    }
    if claimed.token != authorization.token || claimed.method != method(&authorization.method) {
        return Some("it was first asked to settle this for another token or in another way".to_owned());
    }
    if signature(row) != authorization.signature {
        return Some("it was first asked to settle this with another signature".to_owned());
    }
    differs("the amount", claimed.amount.0, authorization.amount)
        .or_else(|| differs("the charge", claimed.charge.0, *charge))
}
