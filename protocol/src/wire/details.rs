//! `X-Payment-Details`: the payment terms in a 402.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall as _;
use serde::{Deserialize, Serialize};

use crate::contracts::{IErc20, ISaltPay};
use crate::quote::key::QuoteId;
use crate::quote::terms::Quote;
use crate::values::asset::{Asset, checked_address, maybe_checked_address};
use crate::values::money::Amount;
use crate::values::network::ChainId;
use crate::values::request::RequestDigest;
use crate::wire::object::{self, Object};
#[cfg(feature = "openapi")]
use crate::wire::openapi;

/// The response header that carries [`PaymentDetails`] as one line of ASCII JSON.
pub const DETAILS_HEADER: &str = "x-payment-details";

/// The request header with which a client asks for a quote id that nobody else can get. The client must then present
/// the id. The only value is [`BINDING_QUOTE`].
pub const BINDING_HEADER: &str = "x-payment-binding";
/// See [`BINDING_HEADER`].
pub const BINDING_QUOTE: &str = "quote";

/// The request header with which a client asks to pay a stream as it goes, by vouchers of one channel. The only value is
/// [`STREAM_VOUCHERS`].
pub const STREAM_HEADER: &str = "x-payment-stream";
/// See [`STREAM_HEADER`].
pub const STREAM_VOUCHERS: &str = "vouchers";

/// Everything a payer needs to know to pay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct PaymentDetails {
    /// The version of this object: 1.
    pub version: u8,
    /// The amount to pay, in base units, as a decimal string.
    pub amount: Amount,
    /// The asset to pay: `native`, or the address of an ERC-20 token.
    pub asset: Asset,
    /// The asset's symbol, for people. The contract's address decides.
    pub symbol: String,
    /// The asset's decimal places, for people.
    pub decimals: u8,
    /// The network's name, for people.
    pub network: String,
    /// The chain's EIP-155 id; the same chain as `chain`.
    pub chain_id: u64,
    /// The chain to pay on, as CAIP-2.
    pub chain: ChainId,
    /// The account to pay.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub recipient: Address,
    /// The payment contract to pay through.
    #[serde(with = "checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Address))]
    pub payment_contract: Address,
    /// The `SaltChannels` contract whose vouchers are accepted instead of a payment, if any.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_checked_address")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<openapi::Address>))]
    pub channels_contract: Option<Address>,
    /// The shortest accepted exit delay of a channel, in seconds. Left out if any delay is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels_exit_delay: Option<u64>,
    /// How much a voucher must allow at least for the stream to begin, in base units, where the client asked to pay it as it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_least: Option<Amount>,
    /// The reference to pass to the payment contract.
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Hash))]
    pub reference: B256,
    /// The quote's id. Present it as `X-Payment-Quote` with the proof, and keep it secret.
    pub quote_id: QuoteId,
    /// The last second in which the payment may be mined, in seconds since 1970 UTC.
    pub expires_at: u64,
    /// How to call the payment contract. Left out by servers of before.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
    pub calls: Option<Calls>,
    /// The resource to pay for.
    #[serde(deserialize_with = "object::deserialize")]
    pub resource: Resource,
}

/// The calls of the payment contract that pay, for whoever has only the details. Both follow from the other fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Calls {
    /// The function that pays until `expiresAt` and reverts after it, so that no payment is lost. Use it.
    pub in_time: String,
    /// The function that pays whenever it is mined. A payment that is mined after `expiresAt` is refused and lost.
    pub at_any_time: String,
    /// The argument `deadlineAndPayee` of `in_time`: `expiresAt` in the upper 96 bits, `recipient` in the lower 160 bits.
    #[cfg_attr(feature = "openapi", schema(value_type = openapi::Hash))]
    pub deadline_and_payee: B256,
}

impl Calls {
    /// The calls that pay a payee in an asset until a deadline, in seconds since 1970 UTC.
    pub fn new(asset: Asset, payee: Address, deadline: u64) -> Self {
        let (in_time, at_any_time) = match asset {
            Asset::Native => (ISaltPay::payOnTimeCall::SIGNATURE, ISaltPay::payCall::SIGNATURE),
            Asset::Token(_) => (ISaltPay::payTokenOnTimeCall::SIGNATURE, ISaltPay::payTokenCall::SIGNATURE),
        };
        Self {
            in_time: in_time.to_owned(),
            at_any_time: at_any_time.to_owned(),
            deadline_and_payee: deadline_and_payee(deadline, payee).into(),
        }
    }
}

/// A deadline, in seconds since 1970 UTC, and a payee in one word, as `SaltPay` takes them.
pub fn deadline_and_payee(deadline: u64, payee: Address) -> U256 {
    (U256::from(deadline) << 160) | U256::from_be_bytes(payee.into_word().0)
}

/// The resource that a payment is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// The request's method.
    pub method: String,
    /// The request's target.
    pub path: String,
    /// A description, for people.
    pub description: String,
    /// The digest of method, path and body. The quote is bound to it.
    pub request_digest: RequestDigest,
}

/// The names of a network and an asset, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The network's name.
    pub network: String,
    /// The asset's symbol.
    pub symbol: String,
    /// The asset's decimal places.
    pub decimals: u8,
}

/// A call of a contract, as wallets take transactions (`eth_sendTransaction`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PayCall {
    /// The contract.
    #[serde(with = "checked_address")]
    pub to: Address,
    /// The native coins that are sent with it, in base units.
    pub value: U256,
    /// The calldata.
    pub data: Bytes,
}

impl PaymentDetails {
    /// The call that pays until `expiresAt`, and reverts after it.
    pub fn pay_call(&self) -> PayCall {
        let deadline = deadline_and_payee(self.expires_at, self.recipient);
        let (value, data) = match self.asset {
            Asset::Native => {
                let pay =
                    ISaltPay::payOnTimeCall { paymentReference: self.reference, deadlineAndPayee: deadline };
                (self.amount.0, pay.abi_encode())
            }
            Asset::Token(asset) => {
                let pay = ISaltPay::payTokenOnTimeCall {
                    asset,
                    amount: self.amount.0,
                    deadlineAndPayee: deadline,
                    paymentReference: self.reference,
                };
                (U256::ZERO, pay.abi_encode())
            }
        };
        PayCall { to: self.payment_contract, value, data: data.into() }
    }

    /// The calls that pay, in order: a token lets the payment contract take the amount first.
    pub fn pay_calls(&self) -> Vec<PayCall> {
        let approval = match self.asset {
            Asset::Native => None,
            Asset::Token(asset) => {
                let approve = IErc20::approveCall { spender: self.payment_contract, amount: self.amount.0 };
                Some(PayCall { to: asset, value: U256::ZERO, data: approve.abi_encode().into() })
            }
        };
        approval.into_iter().chain([self.pay_call()]).collect()
    }

    /// The details of a quote.
    pub fn new(quote: &Quote, id: QuoteId, names: Names, resource: Resource) -> Self {
        Self {
            version: 1,
            amount: quote.terms.amount,
            asset: quote.terms.asset,
            symbol: names.symbol,
            decimals: names.decimals,
            network: names.network,
            chain_id: quote.terms.chain.get(),
            chain: quote.terms.chain,
            recipient: quote.terms.payee,
            payment_contract: quote.terms.contract,
            channels_contract: None,
            channels_exit_delay: None,
            stream_least: None,
            reference: id.reference(),
            quote_id: id,
            expires_at: quote.expires_at,
            calls: Some(Calls::new(quote.terms.asset, quote.terms.payee, quote.expires_at)),
            resource,
        }
    }

    /// The header's value: JSON in visible ASCII; other characters are escaped.
    pub fn to_header(&self) -> Result<String, serde_json::Error> {
        let json = serde_json::to_string(self)?;
        let mut ascii = String::with_capacity(json.len());
        for character in json.chars() {
            if matches!(character, ' '..='~') {
                ascii.push(character);
            } else {
                let mut units = [0u16; 2];
                for unit in character.encode_utf16(&mut units) {
                    ascii.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
        Ok(ascii)
    }

    /// Parses the header and checks what a payer relies on: `chain` and `chain_id` agree, and the reference is the hash
    /// of the quote id, and the deadline is that of the quote.
    pub fn from_header(text: &str) -> Result<Self, DetailsError> {
        let Object(details) = serde_json::from_str::<Object<Self>>(text)?;
        if details.version != 1 {
            return Err(DetailsError::Version(details.version));
        }
        if details.chain_id != details.chain.get() {
            return Err(DetailsError::Chain(details.chain_id, details.chain));
        }
        if details.reference != details.quote_id.reference() {
            return Err(DetailsError::Reference);
        }
        let deadline_and_payee = deadline_and_payee(details.expires_at, details.recipient);
        if details
            .calls
            .as_ref()
            .is_some_and(|calls| U256::from_be_bytes(calls.deadline_and_payee.0) != deadline_and_payee)
        {
            return Err(DetailsError::Deadline);
        }
        Ok(details)
    }
}

/// Why a header holds no payable payment details.
#[derive(Debug, thiserror::Error)]
pub enum DetailsError {
    /// Not the expected JSON object.
    #[error("X-Payment-Details is not the expected JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// An unknown version.
    #[error("X-Payment-Details has version {0}, but this client knows only version 1")]
    Version(u8),
    /// `chain` and `chain_id` disagree.
    #[error("X-Payment-Details names two different chains, {0} and {1}: not paid")]
    Chain(u64, ChainId),
    /// The reference is not the hash of the quote id.
    #[error("X-Payment-Details holds a reference that is not the hash of its quote id: not paid")]
    Reference,
    /// The calls name another deadline or payee.
    #[error("X-Payment-Details names two different deadlines or payees: not paid")]
    Deadline,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quote::clock::QuoteClock;
    use crate::quote::key::QuoteKey;
    use crate::quote::terms::Terms;

    fn details() -> PaymentDetails {
        let terms = Terms {
            chain: ChainId::CITRATE,
            contract: Address::repeat_byte(1),
            payee: Address::repeat_byte(2),
            asset: Asset::Native,
            amount: Amount(U256::from(5)),
            request: RequestDigest::of("POST", "/v1/inference", b"{}"),
            service: None,
        };
        let quote = QuoteClock::living(300).derived(terms, 1_000_000);
        let id = QuoteKey::new(&[7; 32]).unwrap().seal(&quote);
        let names = Names { network: "citrate".into(), symbol: "SALT".into(), decimals: 18 };
        let resource = Resource {
            method: "POST".into(),
            path: "/v1/inference".into(),
            description: "Größe: 64 tokens 🧂\n".into(),
            request_digest: terms.request,
        };
        PaymentDetails::new(&quote, id, names, resource)
    }

    #[test]
    fn the_header_is_visible_ascii_and_reads_back() {
        let header = details().to_header().unwrap();
        assert!(header.bytes().all(|b| (b' '..=b'~').contains(&b)), "{header}");
        assert_eq!(PaymentDetails::from_header(&header).unwrap(), details());
        assert!(!header.contains("channelsContract"), "what is not there is left out: {header}");
        assert!(!header.contains("channelsExitDelay"), "what is not there is left out: {header}");
        let with_channels = PaymentDetails {
            channels_contract: Some(Address::repeat_byte(3)),
            channels_exit_delay: Some(172_800),
            ..details()
        };
        let header = with_channels.to_header().unwrap();
        assert!(header.contains("\"channelsContract\":\"0x0303"), "{header}");
        assert!(header.contains("\"channelsExitDelay\":172800"), "{header}");
        assert_eq!(PaymentDetails::from_header(&header).unwrap(), with_channels);
    }

    #[test]
    fn details_that_contradict_themselves_are_not_paid() {
        let mut other_chain = details();
        other_chain.chain_id = 8453;
        let mut other_reference = details();
        other_reference.reference = B256::ZERO;
        let mut other_deadline = details();
        other_deadline.expires_at += 1;
        let mut other_payee = details();
        other_payee.recipient = Address::repeat_byte(9);
        for bad in [other_chain, other_reference, other_deadline, other_payee] {
            assert!(PaymentDetails::from_header(&bad.to_header().unwrap()).is_err());
        }
    }

    #[test]
    fn the_details_say_how_to_pay_in_time_and_those_of_an_older_server_are_read_too() {
        let header = details().to_header().unwrap();
        assert!(header.contains("\"inTime\":\"payOnTime(bytes32,uint256)\""), "{header}");
        assert!(header.contains("\"atAnyTime\":\"pay(bytes32,address)\""), "{header}");
        let calls = details().calls.unwrap();
        let word = calls.deadline_and_payee;
        assert_eq!(
            Address::from_word(B256::from(U256::from_be_bytes(word.0) << 96 >> 96)),
            details().recipient
        );
        assert_eq!(U256::from_be_bytes(word.0) >> 160, U256::from(details().expires_at));
        let token = Calls::new(Asset::Token(Address::repeat_byte(4)), Address::repeat_byte(2), 5);
        assert_eq!(token.in_time, "payTokenOnTime(address,uint256,uint256,bytes32)");
        assert_eq!(token.at_any_time, "payToken(bytes32,address,address,uint256)");
        let older = PaymentDetails { calls: None, ..details() };
        let header = older.to_header().unwrap();
        assert!(!header.contains("calls"), "{header}");
        assert_eq!(PaymentDetails::from_header(&header).unwrap(), older);
    }
}
