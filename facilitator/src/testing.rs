//! For tests: payers with keys, their requests, a chain's accounts as values, and a settler that remembers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{Eip712Domain, SolStruct};
use async_trait::async_trait;
use k256::ecdsa::SigningKey;
use salt402_protocol::typed_data::{
    PERMIT2, TransferWithAuthorization, TransferWithFeeAuthorization, X402_EXACT_PROXY, X402_UPTO_PROXY,
    exact, permit2_domain, upto,
};
use salt402_protocol::x402::digest::Domain;
use salt402_protocol::{ChainId, PaymentId};
use salt402_store::{CalledValid, KeptFor, Told, ValidCall};
use serde_json::{Value, json};

use crate::authorization::Authorization;
use crate::policy::{NetworkPolicy, Policy, TokenPolicy};
use crate::settler::{Approved, Known, Recorded, SettleFault, Settled, Settler};
use crate::verify::facts::{Facts, FactsError, KnowsAccounts, Nonce, PayerFacts, Question, TokenFacts};

pub(crate) const TOKEN: Address = Address::repeat_byte(0x70);
pub(crate) const PAYEE: Address = Address::repeat_byte(0x71);
pub(crate) const FACILITATOR: Address = Address::repeat_byte(0x72);
pub(crate) const TREASURY: Address = Address::repeat_byte(0x73);
pub(crate) const CITRATE_FACILITATOR: Address = Address::repeat_byte(0x74);
pub(crate) const PRICE: u64 = 1000;
pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const BASE_SEPOLIA: u64 = 84532;

/// Sets the clock of the test's thread.
pub(crate) fn set_clock() {
    salt402_http::clock::set(std::time::Duration::from_secs(NOW));
}

pub(crate) fn policy() -> Policy {
    let network = |id| NetworkPolicy::new(ChainId::new(id).unwrap(), vec![TokenPolicy::new(TOKEN)]);
    Policy::new(vec![network(40_204), network(BASE_SEPOLIA)])
}

/// The same payer in every run.
pub(crate) struct Payer(SigningKey);

impl Payer {
    pub(crate) fn new(number: u8) -> Self {
        Self(SigningKey::from_slice(&[number; 32]).unwrap())
    }

    pub(crate) fn account(&self) -> Address {
        Address::from_public_key(self.0.verifying_key())
    }

    fn sign(&self, message: &impl SolStruct, domain: &Eip712Domain) -> String {
        let digest = message.eip712_signing_hash(domain);
        let (signature, id) = self.0.sign_prehash_recoverable(digest.as_slice()).unwrap();
        let mut bytes = signature.to_bytes().to_vec();
        bytes.push(27 + id.to_byte());
        alloy_primitives::hex::encode_prefixed(bytes)
    }

    /// The payload of an EIP-3009 authorization.
    pub(crate) fn authorize(&self, nonce: u8) -> Value {
        self.authorize_on(40_204, nonce)
    }

    pub(crate) fn authorize_on(&self, chain: u64, nonce: u8) -> Value {
        let message = TransferWithAuthorization {
            from: self.account(),
            to: PAYEE,
            value: U256::from(PRICE),
            validAfter: U256::ZERO,
            validBefore: U256::from(NOW + 300),
            nonce: B256::repeat_byte(nonce),
        };
        json!({
            "signature": self.sign(&message, &token_domain(chain)),
            "authorization": {
                "from": message.from, "to": message.to, "value": message.value.to_string(), "validAfter": "0",
                "validBefore": message.validBefore.to_string(), "nonce": message.nonce
            }
        })
    }

    /// The payload of an authorization for Citrate's own facilitator.
    pub(crate) fn authorize_with_fee(&self, fee: u64) -> Value {
        let message = TransferWithFeeAuthorization {
            from: self.account(),
            to: PAYEE,
            value: U256::from(PRICE),
            treasury: TREASURY,
            fee: U256::from(fee),
            validAfter: U256::ZERO,
            validBefore: U256::from(NOW + 300),
            nonce: B256::repeat_byte(1),
        };
        json!({
            "signature": self.sign(&message, &token_domain(40_204)),
            "authorization": {
                "from": message.from, "to": message.to, "value": message.value.to_string(), "validAfter": "0",
                "validBefore": message.validBefore.to_string(), "nonce": message.nonce, "treasury": TREASURY,
                "fee": fee.to_string()
            }
        })
    }

    /// The payload of a Permit2 permit for `exact`.
    pub(crate) fn permit(&self, nonce: u64) -> Value {
        let message = exact::PermitWitnessTransferFrom {
            permitted: exact::TokenPermissions { token: TOKEN, amount: U256::from(PRICE) },
            spender: X402_EXACT_PROXY,
            nonce: U256::from(nonce),
            deadline: U256::from(NOW + 300),
            witness: exact::Witness { to: PAYEE, validAfter: U256::ZERO },
        };
        json!({
            "signature": self.sign(&message, &permit2_domain(ChainId::CITRATE)),
            "permit2Authorization": {
                "from": self.account(), "permitted": {"token": TOKEN, "amount": PRICE.to_string()},
                "spender": X402_EXACT_PROXY, "nonce": nonce.to_string(), "deadline": (NOW + 300).to_string(),
                "witness": {"to": PAYEE, "validAfter": "0"}
            }
        })
    }

    /// The payload of a Permit2 permit for `upto`.
    pub(crate) fn permit_upto(&self, nonce: u64) -> Value {
        let message = upto::PermitWitnessTransferFrom {
            permitted: upto::TokenPermissions { token: TOKEN, amount: U256::from(PRICE) },
            spender: X402_UPTO_PROXY,
            nonce: U256::from(nonce),
            deadline: U256::from(NOW + 300),
            witness: upto::Witness { to: PAYEE, facilitator: FACILITATOR, validAfter: U256::ZERO },
        };
        json!({
            "signature": self.sign(&message, &permit2_domain(ChainId::CITRATE)),
            "permit2Authorization": {
                "from": self.account(), "permitted": {"token": TOKEN, "amount": PRICE.to_string()},
                "spender": X402_UPTO_PROXY, "nonce": nonce.to_string(), "deadline": (NOW + 300).to_string(),
                "witness": {"to": PAYEE, "facilitator": FACILITATOR, "validAfter": "0"}
            }
        })
    }

    /// The token's permit for Permit2, as an extension.
    pub(crate) fn sponsoring(&self) -> Value {
        json!({"eip2612GasSponsoring": {"info": {
            "from": self.account(), "asset": TOKEN, "spender": PERMIT2, "amount": PRICE.to_string(), "nonce": "0",
            "deadline": (NOW + 300).to_string(), "signature": format!("0x{}1b", "11".repeat(64)), "version": "1"
        }}})
    }
}

fn token_domain(chain: u64) -> Eip712Domain {
    Eip712Domain {
        name: Some("Test".into()),
        version: Some("1".into()),
        chain_id: Some(U256::from(chain)),
        verifying_contract: Some(TOKEN),
        salt: None,
    }
}

/// A request of version 2 on Citrate's chain, with the same requirements offered and accepted.
pub(crate) fn request(scheme: &str, payload: Value) -> Value {
    let method = if payload.get("permit2Authorization").is_some() { "permit2" } else { "eip3009" };
    let requirements = json!({
        "scheme": scheme, "network": "eip155:40204", "amount": PRICE.to_string(), "asset": TOKEN, "payTo": PAYEE,
        "maxTimeoutSeconds": 300, "extra": {"name": "Test", "version": "1", "assetTransferMethod": method}
    });
    json!({
        "x402Version": 2,
        "paymentPayload": {"x402Version": 2, "accepted": requirements, "payload": payload},
        "paymentRequirements": requirements
    })
}

/// A request of version 1 on Base Sepolia.
pub(crate) fn first_request(payload: Value) -> Value {
    json!({
        "x402Version": 1,
        "paymentPayload": {"x402Version": 1, "scheme": "exact", "network": "base-sepolia", "payload": payload},
        "paymentRequirements": {
            "scheme": "exact", "network": "base-sepolia", "maxAmountRequired": PRICE.to_string(), "asset": TOKEN,
            "payTo": PAYEE, "maxTimeoutSeconds": 300, "resource": "http://localhost/", "description": "",
            "mimeType": "", "extra": {"name": "Test", "version": "1"}
        }
    })
}

/// Accounts of a chain, as values.
#[derive(Clone)]
pub(crate) struct Accounts(
    pub(crate) Arc<Mutex<Facts>>,
    pub(crate) Arc<Mutex<Asked>>,
    pub(crate) Arc<Mutex<Option<FactsError>>>,
    pub(crate) Meanwhile,
);

/// What happens while the next question is asked, once.
pub(crate) type Meanwhile = Arc<Mutex<Option<Box<dyn FnOnce(&mut Facts) + Send>>>>;

/// What was asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) questions: usize,
    pub(crate) contracts: usize,
    pub(crate) simulations: usize,
    pub(crate) fresh: usize,
    /// The gas that the payer's code and the simulated call may use, of each question.
    pub(crate) gas: Vec<(u64, Option<u64>)>,
}

impl Accounts {
    /// A payer with a key, enough money and no code.
    pub(crate) fn new() -> Self {
        let facts = Facts {
            payer: PayerFacts {
                has_code: false,
                balance: Some(U256::from(10 * PRICE)),
                allowance: Some(U256::MAX),
            },
            token: TokenFacts {
                has_code: true,
                domain: Some(Domain::of_token("Test", "1", ChainId::CITRATE, TOKEN)),
                name: Some("Test".into()),
                version: Some("1".into()),
            },
            has_proxy: true,
            nonce: Nonce::New,
            contract_signature: Some(false),
            deploys: None,
            is_fresh: true,
            simulation: Some(Ok(())),
            height: None,
        };
        Self(Arc::new(Mutex::new(facts)), Arc::default(), Arc::default(), Arc::default())
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.0.lock().unwrap());
    }

    pub(crate) fn asked(&self) -> Asked {
        self.1.lock().unwrap().clone()
    }
}

#[async_trait]
impl KnowsAccounts for Accounts {
    async fn facts(&self, question: &Question<'_>) -> Result<Facts, FactsError> {
        // As with a node, others are judged meanwhile.
        tokio::task::yield_now().await;
        if let Some(meanwhile) = self.3.lock().unwrap().take() {
            meanwhile(&mut self.0.lock().unwrap());
        }
        let mut asked = self.1.lock().unwrap();
        asked.questions += 1;
        asked.contracts += usize::from(question.digest.is_some());
        asked.simulations += usize::from(question.simulate.is_some());
        asked.fresh += usize::from(question.is_fresh);
        let simulated = question.simulate.as_ref().and_then(|(_, call)| call.gas_limit);
        asked.gas.push((question.most_gas, simulated));
        if let Some(fault) = self.2.lock().unwrap().clone() {
            return Err(fault);
        }
        let mut facts = self.0.lock().unwrap().clone();
        if question.digest.is_none() {
            facts.contract_signature = None;
        }
        if question.simulate.is_none() {
            facts.simulation = None;
        }
        if question.authorization.chain.get() == BASE_SEPOLIA {
            facts.token.domain = None;
        }
        facts.is_fresh |= question.is_fresh;
        facts.height = facts.height.filter(|_| question.wants_height);
        Ok(facts)
    }

    fn has_code(&self, _authorization: &Authorization) -> Option<bool> {
        None
    }

    fn head_time(&self, _chain: ChainId) -> u64 {
        0
    }

    async fn blind(&self, _chain: ChainId) -> Option<String> {
        match &*self.2.lock().unwrap() {
            Some(FactsError::Blind(why)) => Some(why.clone()),
            _ => None,
        }
    }

    async fn complaint(&self, _chain: ChainId) -> Option<String> {
        None
    }
}

/// A settler that remembers, and says of each payment that it is done.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) claimed: Mutex<HashMap<PaymentId, Known>>,
    pub(crate) promised: Mutex<U256>,
    /// The newest block that it has seen, and for which blocks was waited.
    pub(crate) height: Mutex<Option<u64>>,
    pub(crate) waited: Mutex<Vec<u64>>,
    /// What is promised once it has seen the next block.
    pub(crate) promised_next: Mutex<Option<U256>>,
    pub(crate) settled: AtomicU64,
    pub(crate) approved: Mutex<Vec<Approved>>,
    pub(crate) fault: Mutex<Option<SettleFault>>,
    pub(crate) told: Mutex<HashMap<PaymentId, Option<B256>>>,
    pub(crate) valid: Mutex<HashMap<PaymentId, CalledValid>>,
    /// How often something was called valid, and whether that fails.
    pub(crate) commits: AtomicU64,
    pub(crate) forgets: AtomicBool,
    /// The key of the request for which a gateway keeps each payment.
    pub(crate) kept: Mutex<Option<String>>,
    /// Whether what settled has left the chain with its block.
    pub(crate) unsettled: AtomicBool,
    /// Why nothing is settled.
    pub(crate) complaint: Mutex<Option<String>>,
    /// Accounts that send besides.
    pub(crate) others: Mutex<Vec<Address>>,
}

#[async_trait]
impl Settler for Memory {
    async fn known(&self, _: ChainId, id: PaymentId) -> Result<Option<Known>, SettleFault> {
        Ok(self.claimed.lock().unwrap().get(&id).cloned())
    }

    async fn kept_for(&self, _: ChainId, _: PaymentId, key: Option<&str>) -> Result<KeptFor, SettleFault> {
        Ok(match &*self.kept.lock().unwrap() {
            None => KeptFor::Nobody,
            Some(own) if Some(own.as_str()) == key => KeptFor::Key,
            Some(_) => KeptFor::Another,
        })
    }

    async fn call_valid(&self, calls: Vec<ValidCall>) -> Result<Vec<bool>, SettleFault> {
        if self.forgets.load(Ordering::Relaxed) {
            return Err(SettleFault::Storage("a test".to_owned()));
        }
        self.commits.fetch_add(1, Ordering::Relaxed);
        let mut known = self.valid.lock().unwrap();
        let note = |ValidCall { valid, is_exclusive }: ValidCall| {
            let before = known.get(&valid.payment).and_then(|known| known.caller.as_ref());
            if is_exclusive && before.is_some() && before != valid.caller.as_ref() {
                return false;
            }
            known.insert(valid.payment, valid);
            true
        };
        Ok(calls.into_iter().map(note).collect())
    }

    async fn called_valid(&self, _: ChainId, id: PaymentId) -> Result<Option<CalledValid>, SettleFault> {
        Ok(self.valid.lock().unwrap().get(&id).cloned())
    }

    async fn settle(&self, approved: Approved) -> Result<Settled, SettleFault> {
        if let Some(fault) = self.fault.lock().unwrap().clone() {
            return Err(fault);
        }
        self.settled.fetch_add(1, Ordering::Relaxed);
        let transaction = (!approved.charge.is_zero()).then_some(B256::repeat_byte(0xaa));
        let settled = Settled::Done { transaction, amount: approved.charge };
        let authorization = Some(approved.authorization.without_signatures());
        let known = Known { authorization, charge: approved.charge, settled: settled.clone() };
        self.claimed.lock().unwrap().insert(approved.authorization.id(), known);
        self.approved.lock().unwrap().push(approved);
        Ok(settled)
    }

    async fn tell(&self, _: ChainId, id: PaymentId, key: Option<B256>) -> Result<Told, SettleFault> {
        if self.unsettled.load(Ordering::Relaxed) {
            return Ok(Told::Unsettled);
        }
        let mut told = self.told.lock().unwrap();
        let first = !told.contains_key(&id);
        let known = *told.entry(id).or_insert(key);
        Ok(if first || (key.is_some() && known == key) { Told::Now } else { Told::Before })
    }

    fn complaint(&self, _: ChainId) -> Option<String> {
        self.complaint.lock().unwrap().clone()
    }

    async fn recorded(&self, _: &Authorization, id: PaymentId) -> Result<Recorded, SettleFault> {
        let known = self.claimed.lock().unwrap().get(&id).cloned();
        let (promised, height) = (*self.promised.lock().unwrap(), *self.height.lock().unwrap());
        Ok(Recorded { known, is_on_chain: false, promised, height })
    }

    async fn wait_for(&self, _: ChainId, height: u64) {
        self.waited.lock().unwrap().push(height);
        if let Some(next) = self.promised_next.lock().unwrap().take() {
            *self.promised.lock().unwrap() = next;
            *self.height.lock().unwrap() = Some(height);
        }
    }

    fn signers(&self, _: ChainId) -> Vec<Address> {
        [&[FACILITATOR], self.others.lock().unwrap().as_slice()].concat()
    }
}
