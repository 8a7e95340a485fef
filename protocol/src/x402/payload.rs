//! What a payer signed, as it stands in a payment payload.

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::Deserialize;

use crate::wire::object;
use crate::x402::text::{self, Text};

/// The payload of a scheme. One of the two authorizations is there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SchemePayload {
    #[serde(deserialize_with = "text::signature")]
    pub(crate) signature: Bytes,
    #[serde(default, deserialize_with = "object::optional")]
    pub(crate) authorization: Option<Eip3009>,
    #[serde(default, deserialize_with = "object::optional")]
    pub(crate) permit2_authorization: Option<Permit2>,
}

/// An EIP-3009 authorization.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Eip3009 {
    /// The payer.
    #[serde(deserialize_with = "text::address")]
    pub from: Address,
    /// The payee.
    #[serde(deserialize_with = "text::address")]
    pub to: Address,
    /// The amount in base units of the token.
    #[serde(deserialize_with = "text::number")]
    pub value: U256,
    /// The token takes it only after this second since 1970.
    #[serde(deserialize_with = "text::number")]
    pub valid_after: U256,
    /// The token takes it only before this second since 1970.
    #[serde(deserialize_with = "text::number")]
    pub valid_before: U256,
    /// The nonce.
    #[serde(deserialize_with = "text::word")]
    pub nonce: B256,
    /// The account that gets the fee. Only Citrate's own facilitator has it.
    #[serde(default, deserialize_with = "text::maybe_address")]
    pub treasury: Option<Address>,
    /// The fee in base units of the token, a part of the value. Only Citrate's own facilitator has it.
    #[serde(default, deserialize_with = "text::maybe_number")]
    pub fee: Option<U256>,
}

/// A Permit2 permit with x402's witness.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Permit2 {
    /// The payer.
    #[serde(deserialize_with = "text::address")]
    pub from: Address,
    /// What may be moved.
    #[serde(deserialize_with = "object::deserialize")]
    pub permitted: Permitted,
    /// The proxy that may move it.
    #[serde(deserialize_with = "text::address")]
    pub spender: Address,
    /// The nonce.
    #[serde(deserialize_with = "text::number")]
    pub nonce: U256,
    /// The last second of validity, since 1970.
    #[serde(deserialize_with = "text::number")]
    pub deadline: U256,
    /// What x402 adds.
    #[serde(deserialize_with = "object::deserialize")]
    pub witness: Witness,
}

/// What may be moved.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Permitted {
    /// The token.
    #[serde(deserialize_with = "text::address")]
    pub token: Address,
    /// The amount in base units of the token.
    #[serde(deserialize_with = "text::number")]
    pub amount: U256,
}

/// What x402 adds to a permit.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Witness {
    /// The payee.
    #[serde(deserialize_with = "text::address")]
    pub to: Address,
    /// The account that must settle. Only `upto` has it.
    #[serde(default, deserialize_with = "text::maybe_address")]
    pub facilitator: Option<Address>,
    /// The first second of validity, since 1970.
    #[serde(deserialize_with = "text::number")]
    pub valid_after: U256,
}

/// The extensions that are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Extensions<'a> {
    #[serde(borrow, default, deserialize_with = "object::optional")]
    pub(crate) eip2612_gas_sponsoring: Option<Sponsoring<'a>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Sponsoring<'a> {
    #[serde(borrow, default, deserialize_with = "object::optional")]
    pub(crate) info: Option<PermitTexts<'a>>,
}

/// A permit of the token for Permit2, as texts. A server's offer has the same place, without what the payer adds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PermitTexts<'a> {
    #[serde(borrow, default)]
    from: Option<Text<'a>>,
    #[serde(borrow, default)]
    asset: Option<Text<'a>>,
    #[serde(borrow, default)]
    spender: Option<Text<'a>>,
    #[serde(borrow, default)]
    amount: Option<Text<'a>>,
    #[serde(borrow, default)]
    nonce: Option<Text<'a>>,
    #[serde(borrow, default)]
    deadline: Option<Text<'a>>,
    #[serde(borrow, default)]
    signature: Option<Text<'a>>,
    #[serde(borrow, default)]
    version: Option<Text<'a>>,
}

/// A permit of the token for Permit2 (EIP-2612).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eip2612 {
    /// The account that allows.
    pub from: Address,
    /// The token.
    pub asset: Address,
    /// The account that is allowed.
    pub spender: Address,
    /// The allowance in base units of the token.
    pub amount: U256,
    /// The account's next nonce at the token.
    pub nonce: U256,
    /// The last second of validity, since 1970.
    pub deadline: U256,
    /// The signature, 65 bytes.
    pub signature: Bytes,
}

impl PermitTexts<'_> {
    /// Whether a payer filled it in: every member is there and not empty.
    pub fn is_whole(&self) -> bool {
        self.whole().is_some()
    }

    /// The permit. `None` if a member is missing or has another form.
    pub fn read(&self) -> Option<Eip2612> {
        let [from, asset, spender, amount, nonce, deadline, signature, version] = self.whole()?;
        let number = |text: &str| crate::values::money::Amount::from_base_units(text).ok().map(|it| it.0);
        let dotted =
            version.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
        if !dotted {
            return None;
        }
        Some(Eip2612 {
            from: crate::values::asset::parse_address(from)?,
            asset: crate::values::asset::parse_address(asset)?,
            spender: crate::values::asset::parse_address(spender)?,
            amount: number(amount)?,
            nonce: number(nonce)?,
            deadline: number(deadline)?,
            signature: text::parse_signature(signature).filter(|bytes| bytes.len() == 65)?,
        })
    }

    fn whole(&self) -> Option<[&str; 8]> {
        let members = [
            &self.from,
            &self.asset,
            &self.spender,
            &self.amount,
            &self.nonce,
            &self.deadline,
            &self.signature,
            &self.version,
        ];
        let mut texts = [""; 8];
        for (place, member) in texts.iter_mut().zip(members) {
            *place = member.as_ref().map(|text| &*text.0).filter(|text| !text.is_empty())?;
        }
        Some(texts)
    }
}
