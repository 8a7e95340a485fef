//! An approved authorization as the database keeps it, so that it can be settled after a restart without its caller.

use alloy_primitives::U256;
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
    /// Whether hashes stand in the places of signatures.
    #[serde(default)]
    is_short: bool,
}

impl Kept {
    /// A row's authorization. `None`: another version wrote it, and it cannot be read.
    pub(super) fn of(row: &SettlementRow) -> Option<Self> {
        let kept: Self = serde_json::from_slice(&row.claimed.payload).ok()?;
        // A row and what is settled for it never differ.
        (kept.authorization.id() == row.claimed.payment).then_some(kept)
    }
}

impl Kept {
    /// What was signed, without its signatures.
    pub(super) fn without_signatures(self) -> Authorization {
        if self.is_short { self.authorization } else { self.authorization.without_signatures() }
    }

    /// The same, and nothing is created for it.
    pub(super) fn without_deployment(self) -> Self {
        Self { authorization: self.authorization.without_deployment(), ..self }
    }

    /// A row with what is left of it when its signatures are not needed any more. One that cannot be read stays as it is.
    pub(super) fn shortened(mut row: SettlementRow) -> SettlementRow {
        if let Some(kept) = Self::of(&row) {
            let payer_has_code = kept.payer_has_code;
            let short = Self { authorization: kept.without_signatures(), payer_has_code, is_short: true };
            row.claimed.payload = serde_json::to_vec(&short).unwrap_or(row.claimed.payload);
        }
        row
    }
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
    let kept =
        Kept { authorization: authorization.clone(), payer_has_code: *payer_has_code, is_short: false };
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
    let signed = Kept::of(row).map(|kept| kept.without_signatures().signature);
    if signed != Some(authorization.without_signatures().signature) {
        return Some("it was first asked to settle this with another signature".to_owned());
    }
    differs("the amount", claimed.amount.0, authorization.amount)
        .or_else(|| differs("the charge", claimed.charge.0, *charge))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Bytes;
    use salt402_store::SettlementState;

    use super::*;
    use crate::authorization::TokenPermit;

    fn approved() -> Approved {
        let mut authorization = crate::tests::some_permit();
        authorization.signature = vec![0xab; 65].into();
        let (amount, nonce, deadline) = (U256::from(1), U256::from(2), U256::from(3));
        let permit = TokenPermit { amount, nonce, deadline, signature: vec![0xcd; 65].into() };
        if let Method::Permit2Upto { permit: place, .. } = &mut authorization.method {
            *place = Some(permit);
        }
        let charge = U256::from(1);
        Approved {
            authorization,
            charge,
            payer_has_code: true,
            caller: None,
            key: None,
            payload: Bytes::new(),
        }
    }

    fn row(approved: &Approved) -> SettlementRow {
        SettlementRow {
            number: 1,
            claimed: new(approved, 1, 1).unwrap(),
            state: SettlementState::Settled,
            reason: None,
            detail: None,
            again: false,
            settled_once: true,
            transaction: None,
            block: None,
            gas_used: 0,
            fee: Amount::ZERO,
            slots: 1,
            made_at_ms: 1,
            changed_at_ms: 1,
        }
    }

    #[test]
    fn a_settlement_without_signatures_knows_a_retry_and_no_other_payment() {
        let approved = approved();
        let whole = row(&approved);
        let short = Kept::shortened(whole.clone());
        for signature in ["abab", "cdcd"] {
            let has = |row: &SettlementRow| String::from_utf8_lossy(&row.claimed.payload).contains(signature);
            assert!(has(&whole) && !has(&short), "{signature}");
        }
        assert!(Kept::of(&short).unwrap().payer_has_code);
        assert_eq!(Kept::shortened(short.clone()), short);
        let mut other = approved.clone();
        other.authorization.signature = vec![0xac; 65].into();
        for row in [&whole, &short] {
            let known = Kept::of(row).unwrap().without_signatures();
            assert_eq!(known, approved.authorization.without_signatures());
            assert_eq!(difference(row, &approved), None);
            assert!(difference(row, &other).is_some());
        }
        // What another version wrote stays as it is.
        let mut unknown = whole;
        unknown.claimed.payload = b"{}".to_vec();
        assert_eq!(Kept::shortened(unknown.clone()), unknown);
    }
}
