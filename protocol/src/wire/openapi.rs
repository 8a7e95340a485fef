//! OpenAPI schemas of types that are strings on the wire. Schemas of objects are derived from their types; those here
//! describe hand-written serialization.

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::payment::PaymentId;
use crate::proof::Proof;
use crate::quote::key::QuoteId;
use crate::values::asset::Asset;
use crate::values::money::Amount;
use crate::values::network::ChainId;
use crate::values::request::RequestDigest;
use crate::wire::code::Code;
use crate::wire::reason::{Subcode, X402Reason};

/// An address: forty hexadecimal digits, with an EIP-55 checksum if in mixed case.
#[derive(Debug)]
pub struct Address;

/// Thirty-two bytes in hexadecimal digits.
#[derive(Debug)]
pub struct Hash;

macro_rules! text {
    ($($kind:ident: $pattern:literal, $example:literal, $description:literal;)+) => {
        $(
            impl PartialSchema for $kind {
                fn schema() -> RefOr<Schema> {
                    ObjectBuilder::new()
                        .schema_type(Type::String)
                        .pattern(Some($pattern))
                        .description(Some($description))
                        .examples([serde_json::json!($example)])
                        .into()
                }
            }

            impl ToSchema for $kind {
                fn name() -> Cow<'static, str> {
                    Cow::Borrowed(stringify!($kind))
                }
            }
        )+
    };
}

text! {
    Amount: "^(0|[1-9][0-9]{0,77})$", "1000000000000000",
        "Base units, at most 2^256 - 1, in decimal digits: no sign, fraction, exponent or leading zero, and no JSON number.";
    Asset: "^(native|0x[0-9a-fA-F]{40})$", "native", "The chain's native coin, or the address of an ERC-20 token.";
    ChainId: "^eip155:[1-9][0-9]{0,18}$", "eip155:40204", "A chain by CAIP-2.";
    Proof: "^(0x[0-9a-fA-F]{64}(:(0|[1-9][0-9]{0,9}))?|voucher:0x[0-9a-fA-F]{64}:(0|[1-9][0-9]{0,77}):0x[0-9a-fA-F]{130}|eip3009:0x[0-9a-fA-F]{40}:0x[0-9a-fA-F]{40}:0x[0-9a-fA-F]{64}|permit2:0x[0-9a-fA-F]{40}:(0x[0-9a-fA-F]{64}|0|[1-9][0-9]{0,77}))$",
        "0x6285000000000000000000000000000000000000000000000000000000000000",
        "The hash of the transaction that paid; where it holds several payments, \":\" and the place of one may follow, from 0. Or a channel's voucher, with its channel, its ceiling in base units and its signature. Or the nonce of what was signed and somebody settled: token, authorizer and nonce of an EIP-3009 authorization, or owner and nonce of a Permit2 permit.";
    QuoteId: "^[A-Za-z0-9_-]{264}([A-Za-z0-9_-]{24})?$", "AQEAAAAAAACdDAxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "A quote's id, as it came with the 402.";
    RequestDigest: "^0x[0-9a-fA-F]{64}$", "0x4232a2e04835f924ac718eeb850c91941263446e6cae3274f9891ee1c573ab3c",
        "SHA-256 over \"salt402-request-v1\\n\", method, \"\\n\", target with query, \"\\n\" and the body's SHA-256 in lower-case hexadecimal digits.";
    PaymentId: "^0x[0-9a-fA-F]{64}$", "0xc8fd000000000000000000000000000000000000000000000000000000000000",
        "A payment's name: a function of what is on chain.";
    Address: "^0x[0-9a-fA-F]{40}$", "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
        "An address, with the right EIP-55 checksum where it is in mixed case.";
    Hash: "^0x[0-9a-fA-F]{64}$", "0xc8fd000000000000000000000000000000000000000000000000000000000000",
        "Thirty-two bytes.";
}

macro_rules! names {
    ($($kind:ident: $description:literal;)+) => {
        $(
            impl PartialSchema for $kind {
                fn schema() -> RefOr<Schema> {
                    ObjectBuilder::new()
                        .schema_type(Type::String)
                        .description(Some($description))
                        .enum_values(Some($kind::ALL.iter().map(|name| name.as_str())))
                        .into()
                }
            }

            impl ToSchema for $kind {
                fn name() -> Cow<'static, str> {
                    Cow::Borrowed(stringify!($kind))
                }
            }
        )+
    };
}

names! {
    Code: "Why something was refused, or not granted yet. Stable.";
    Subcode: "The kind of refusal of a payment, as a number below 402.";
    X402Reason: "What x402 calls it.";
}
