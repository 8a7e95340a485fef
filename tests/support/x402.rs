//! Payments that a payer signs for a facilitator, as clients of x402 send them.

use alloy_primitives::{Bytes, Signature, U256, hex, keccak256};
use alloy_sol_types::{Eip712Domain, SolStruct, eip712_domain};
use k256::ecdsa::SigningKey;
use salt402_protocol::typed_data::{
    PERMIT2, Permit, TransferWithAuthorization, X402_EXACT_PROXY, X402_UPTO_PROXY, exact, permit2_domain,
    upto,
};
use salt402_protocol::{Address, B256, ChainId};
use serde_json::{Value, json};

use crate::payer::PAYER_KEY;

/// Anvil's publicly known fifth key: a facilitator's.
pub const FACILITATOR_KEY: &str = "0x47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a";
/// Its address.
pub const FACILITATOR: &str = "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65";
/// Anvil's publicly known sixth key: a facilitator's second.
pub const SECOND_FACILITATOR_KEY: &str = "0x8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba";
/// Its address.
pub const SECOND_FACILITATOR: &str = "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc";

/// A token, as its EIP-712 domain has it.
#[derive(Clone, Debug)]
pub struct Token {
    /// The contract.
    pub address: Address,
    /// The name in the domain.
    pub name: String,
    /// The version in the domain.
    pub version: String,
}

impl Token {
    /// Wrapped SALT.
    pub fn wrapped_salt(address: Address) -> Self {
        Self { address, name: "Wrapped SALT".into(), version: "1".into() }
    }

    /// Salt.
    pub fn salt(address: Address) -> Self {
        Self { address, name: "Salt".into(), version: "1".into() }
    }

    fn domain(&self, chain: ChainId) -> Eip712Domain {
        eip712_domain! {
            name: self.name.clone(),
            version: self.version.clone(),
            chain_id: chain.get(),
            verifying_contract: self.address,
        }
    }
}

/// What a payer signs: who is paid how much, once, and when.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Who is paid.
    pub to: Address,
    /// How much, or the most under `upto`, in base units.
    pub amount: u128,
    /// What the chain takes once.
    pub nonce: B256,
    /// From when on, in seconds since 1970.
    pub valid_after: u64,
    /// Until when, in seconds since 1970.
    pub valid_before: u64,
}

impl Terms {
    /// A payment with the nonce of a number, valid for the next 50 years.
    pub fn new(to: Address, amount: u128, number: u64) -> Self {
        let nonce = keccak256(number.to_be_bytes());
        Self { to, amount, nonce, valid_after: 0, valid_before: 3_350_000_000 }
    }
}

/// Who signs.
pub struct X402Payer {
    key: SigningKey,
    /// The account.
    pub address: Address,
    chain: ChainId,
}

impl X402Payer {
    /// Anvil's second account, which has all of Salt.
    pub fn new() -> Self {
        Self::of_key(PAYER_KEY)
    }

    /// A wallet contract, for which the key of anvil's second account signs (ERC-1271).
    pub fn wallet(address: Address) -> Self {
        Self { address, ..Self::new() }
    }

    /// The account of a key.
    pub fn of_key(key: &str) -> Self {
        let key = SigningKey::from_slice(&hex::decode(key).expect("hexadecimal")).expect("a key");
        Self { address: Address::from_private_key(&key), key, chain: ChainId::CITRATE }
    }

    /// The same on another chain than Citrate.
    #[must_use]
    pub fn on(self, chain: ChainId) -> Self {
        Self { chain, ..self }
    }

    /// An account that nobody else has, by its number. It has nothing.
    pub fn numbered(number: u64) -> Self {
        let key = keccak256(format!("payer {number}"));
        Self::of_key(&hex::encode(key))
    }

    fn sign<T: SolStruct>(&self, message: &T, domain: &Eip712Domain) -> String {
        let digest = message.eip712_signing_hash(domain);
        let signature: Signature =
            self.key.sign_prehash_recoverable(digest.as_slice()).expect("a signature").into();
        hex::encode_prefixed(signature.as_bytes())
    }

    /// The body of `/verify` and `/settle` for `exact` by EIP-3009.
    pub fn eip3009(&self, token: &Token, terms: &Terms) -> Value {
        let message = TransferWithAuthorization {
            from: self.address,
            to: terms.to,
            value: U256::from(terms.amount),
            validAfter: U256::from(terms.valid_after),
            validBefore: U256::from(terms.valid_before),
            nonce: terms.nonce,
        };
        let payload = json!({
            "signature": self.sign(&message, &token.domain(self.chain)),
            "authorization": {
                "from": message.from.to_string(),
                "to": message.to.to_string(),
                "value": message.value.to_string(),
                "validAfter": message.validAfter.to_string(),
                "validBefore": message.validBefore.to_string(),
                "nonce": message.nonce.to_string(),
            },
        });
        self.body("exact", token, terms, &json!({ "name": token.name, "version": token.version }), payload)
    }

    /// The same for `exact` by Permit2.
    pub fn permit2(&self, token: &Token, terms: &Terms) -> Value {
        let message = exact::PermitWitnessTransferFrom {
            permitted: exact::TokenPermissions { token: token.address, amount: U256::from(terms.amount) },
            spender: X402_EXACT_PROXY,
            nonce: U256::from_be_bytes(terms.nonce.0),
            deadline: U256::from(terms.valid_before),
            witness: exact::Witness { to: terms.to, validAfter: U256::from(terms.valid_after) },
        };
        let signature = self.sign(&message, &permit2_domain(self.chain));
        let witness = json!({ "to": terms.to.to_string(), "validAfter": terms.valid_after.to_string() });
        let payload = self.permit(X402_EXACT_PROXY, token, terms, witness, signature);
        let extra = json!({ "assetTransferMethod": "permit2", "name": token.name, "version": token.version });
        self.body("exact", token, terms, &extra, payload)
    }

    /// The same for `upto`, which one facilitator may settle.
    pub fn upto(&self, token: &Token, terms: &Terms, facilitator: Address) -> Value {
        let message = upto::PermitWitnessTransferFrom {
            permitted: upto::TokenPermissions { token: token.address, amount: U256::from(terms.amount) },
            spender: X402_UPTO_PROXY,
            nonce: U256::from_be_bytes(terms.nonce.0),
            deadline: U256::from(terms.valid_before),
            witness: upto::Witness { to: terms.to, facilitator, validAfter: U256::from(terms.valid_after) },
        };
        let signature = self.sign(&message, &permit2_domain(self.chain));
        let witness = json!({
            "to": terms.to.to_string(),
            "facilitator": facilitator.to_string(),
            "validAfter": terms.valid_after.to_string(),
        });
        let payload = self.permit(X402_UPTO_PROXY, token, terms, witness, signature);
        let extra = json!({
            "assetTransferMethod": "permit2", "name": token.name, "version": token.version,
            "facilitatorAddress": facilitator.to_string(),
        });
        self.body("upto", token, terms, &extra, payload)
    }

    fn permit(
        &self,
        spender: Address,
        token: &Token,
        terms: &Terms,
        witness: Value,
        signature: String,
    ) -> Value {
        json!({
            "signature": signature,
            "permit2Authorization": {
                "from": self.address.to_string(),
                "permitted": { "token": token.address.to_string(), "amount": terms.amount.to_string() },
                "spender": spender.to_string(),
                "nonce": U256::from_be_bytes(terms.nonce.0).to_string(),
                "deadline": terms.valid_before.to_string(),
                "witness": witness,
            },
        })
    }

    /// Adds the token's own permit for Permit2 (EIP-2612), so that no `approve` is needed.
    pub fn sponsored(&self, mut body: Value, token: &Token, terms: &Terms, nonce: u64) -> Value {
        let message = Permit {
            owner: self.address,
            spender: PERMIT2,
            value: U256::from(terms.amount),
            nonce: U256::from(nonce),
            deadline: U256::from(terms.valid_before),
        };
        let info = json!({
            "from": self.address.to_string(),
            "asset": token.address.to_string(),
            "spender": PERMIT2.to_string(),
            "amount": terms.amount.to_string(),
            "nonce": nonce.to_string(),
            "deadline": terms.valid_before.to_string(),
            "signature": self.sign(&message, &token.domain(self.chain)),
            "version": "1",
        });
        body["paymentPayload"]["extensions"] =
            json!({ "eip2612GasSponsoring": { "info": info, "schema": {} } });
        body
    }

    fn body(&self, scheme: &str, token: &Token, terms: &Terms, extra: &Value, payload: Value) -> Value {
        let requirements = json!({
            "scheme": scheme,
            "network": self.chain.to_string(),
            "amount": terms.amount.to_string(),
            "asset": token.address.to_string(),
            "payTo": terms.to.to_string(),
            "maxTimeoutSeconds": 300,
            "extra": extra,
        });
        json!({
            "x402Version": 2,
            "paymentPayload": {
                "x402Version": 2,
                "resource": { "url": "https://example.com/paid", "description": "", "mimeType": "" },
                "accepted": requirements,
                "payload": payload,
            },
            "paymentRequirements": requirements,
        })
    }

    /// The call by which the payer takes an EIP-3009 authorization back.
    pub fn cancel_call(&self, token: &Token, nonce: B256) -> Bytes {
        use alloy_sol_types::SolCall as _;
        use salt402_protocol::contracts::IWrappedSalt;
        use salt402_protocol::typed_data::CancelAuthorization;
        let message = CancelAuthorization { authorizer: self.address, nonce };
        let signature = self.sign(&message, &token.domain(self.chain));
        let bytes = hex::decode(signature).expect("hexadecimal");
        IWrappedSalt::cancelAuthorizationCall {
            authorizer: self.address,
            nonce,
            v: bytes[64],
            r: B256::from_slice(&bytes[..32]),
            s: B256::from_slice(&bytes[32..64]),
        }
        .abi_encode()
        .into()
    }
}

impl Default for X402Payer {
    fn default() -> Self {
        Self::new()
    }
}

/// A settlement with another charge: what a server asks for after the work, under `upto`.
pub fn charging(mut body: Value, charge: u128) -> Value {
    body["paymentRequirements"]["amount"] = json!(charge.to_string());
    body
}
