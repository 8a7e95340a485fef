//! What a 402 asks for in `WWW-Authenticate`.

use alloy_primitives::{Address, B256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use crate::mpp::{CHARGE, EVM, SCHEME, TRANSACTION};
use crate::quote::key::QuoteId;
use crate::values::asset::checked_address;
use crate::values::money::Amount;
use crate::x402::required::Offered;

/// What a `WWW-Authenticate` challenge asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// The quote.
    pub quote: &'a QuoteId,
    /// The realm: who asks, without quotes and control characters.
    pub realm: &'a str,
    /// When the quote ends, as RFC 3339 has it.
    pub expires: &'a str,
    /// What is asked.
    pub request: ChargeRequest,
}

/// What is to be paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChargeRequest {
    /// In base units of the currency.
    pub amount: Amount,
    /// The token; zero is the native coin.
    #[serde(with = "checked_address")]
    pub currency: Address,
    /// How it is paid.
    pub method_details: MethodDetails,
    /// The payee.
    #[serde(with = "checked_address")]
    pub recipient: Address,
}

/// How a charge is paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MethodDetails {
    /// The chain.
    pub chain_id: u64,
    /// What may be sent as a credential.
    pub credential_types: [CredentialType; 1],
    /// Decimal places, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimals: Option<u8>,
    /// The payment contract, where a transaction is sent through it.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::values::asset::maybe_checked_address::serialize"
    )]
    pub payment_contract: Option<Address>,
    /// The reference that the transaction pays for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<B256>,
}

/// What is sent as a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CredentialType {
    /// An EIP-3009 authorization.
    Authorization,
    /// The hash of a transaction.
    Hash,
}

impl Challenge<'_> {
    /// The value of `WWW-Authenticate`. `None` where the realm cannot be quoted.
    pub fn to_header(&self) -> Option<String> {
        let plain = |text: &str| {
            text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
        };
        if !plain(self.realm) {
            return None;
        }
        let method = match self.request.method_details.credential_types {
            [CredentialType::Authorization] => EVM,
            [CredentialType::Hash] => TRANSACTION,
        };
        // A value of serde_json has its members in the order of their names, as RFC 8785 wants them.
        let request = serde_json::to_value(&self.request).ok()?.to_string();
        let request = URL_SAFE_NO_PAD.encode(request);
        let (quote, realm, expires) = (self.quote.as_str(), self.realm, self.expires);
        Some(format!(
            "{SCHEME} id=\"{quote}\", realm=\"{realm}\", method=\"{method}\", intent=\"{CHARGE}\", expires=\"{expires}\", request=\"{request}\""
        ))
    }
}

impl ChargeRequest {
    /// What is signed for an offer.
    pub fn signed(offered: &Offered, decimals: u8) -> Self {
        Self {
            amount: offered.amount,
            currency: offered.asset,
            method_details: MethodDetails {
                chain_id: offered.network.get(),
                credential_types: [CredentialType::Authorization],
                decimals: Some(decimals),
                payment_contract: None,
                reference: None,
            },
            recipient: offered.pay_to,
        }
    }

    /// What is sent through the payment contract.
    pub fn transaction(details: &crate::details::PaymentDetails) -> Self {
        Self {
            amount: details.amount,
            currency: details.asset.address(),
            method_details: MethodDetails {
                chain_id: details.chain.get(),
                credential_types: [CredentialType::Hash],
                decimals: Some(details.decimals),
                payment_contract: Some(details.payment_contract),
                reference: Some(details.reference),
            },
            recipient: details.recipient,
        }
    }
}
