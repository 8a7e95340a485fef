//! Accounts with money.

use std::time::{Duration, Instant};

use alloy_primitives::Bytes;
use alloy_sol_types::SolCall;
use salt402_chain::{Account, Call, Node as _, Prepared, RpcNode};
use salt402_protocol::contracts::{ISaltPay, IWrappedSalt};
use salt402_protocol::details::PaymentDetails;
use salt402_protocol::{Address, Amount, B256};
use serde_json::{Value, json};

use crate::Anvil;

/// Anvil's publicly known second key.
pub(crate) const PAYER_KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
/// Anvil's publicly known fourth key.
const SUBMITTER_KEY: &str = "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6";
/// Anvil's publicly known third key.
pub const PAYEE_KEY: &str = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a";
/// The payee: anvil's third account.
pub const PAYEE: &str = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";

/// Pays through the payment contract in the native coin, without any checks.
pub struct TestPayer {
    node: RpcNode,
    account: Account,
    client: reqwest::Client,
    anvil: String,
}

impl TestPayer {
    /// A payer with anvil's second key.
    pub fn new(anvil: &Anvil) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let account = Account::from_key(PAYER_KEY).expect("anvil's key");
        Self { node: anvil.node(), account, client, anvil: anvil.http() }
    }

    /// Anvil's fourth account. It submits what payers sign.
    pub fn submitter(anvil: &Anvil) -> Self {
        let mut somebody = Self::new(anvil);
        somebody.account = Account::from_key(SUBMITTER_KEY).expect("anvil's key");
        somebody
    }

    /// Anvil's third account: the payee, who claims.
    pub fn payee(anvil: &Anvil) -> Self {
        let mut somebody = Self::new(anvil);
        somebody.account = Account::from_key(PAYEE_KEY).expect("anvil's key");
        somebody
    }

    /// The account's address.
    pub fn address(&self) -> Address {
        self.account.address()
    }

    /// Sends a call with a value.
    pub async fn call(&self, to: Address, data: Bytes, value: Amount) -> B256 {
        let prepared = self.prepare_call(to, data, value).await;
        self.send(&prepared).await
    }

    /// Signs a call without sending it.
    pub async fn prepare_call(&self, to: Address, data: Bytes, value: Amount) -> Prepared {
        let call = Call { to, value: value.0, data, gas_limit: Some(300_000) };
        self.account.prepare(&self.node, &call).await.expect("a signed call")
    }

    /// Signs a payment without sending it.
    pub async fn prepare(
        &self,
        contract: Address,
        reference: B256,
        payee: Address,
        amount: Amount,
    ) -> Prepared {
        let data = ISaltPay::payCall { paymentReference: reference, payee }.abi_encode();
        let call = Call { to: contract, value: amount.0, data: data.into(), gas_limit: Some(200_000) };
        self.account.prepare(&self.node, &call).await.expect("a signed payment")
    }

    /// Wraps native coins.
    pub async fn wrap(&self, token: Address, amount: Amount) {
        let data = IWrappedSalt::depositCall {}.abi_encode();
        let call = Call { to: token, value: amount.0, data: data.into(), gas_limit: Some(100_000) };
        let prepared = self.account.prepare(&self.node, &call).await.expect("a signed deposit");
        self.send(&prepared).await;
    }

    /// Sends a signed payment. If anvil mines by itself, waits for the block, because anvil returns the hash before it
    /// mines.
    pub async fn send(&self, prepared: &Prepared) -> B256 {
        let hash = self.node.broadcast(prepared).await.expect("the node takes the payment");
        if self.mines_by_itself().await {
            let give_up = Instant::now() + Duration::from_secs(10);
            while self.node.receipt(hash).await.expect("a receipt").is_none() {
                assert!(Instant::now() < give_up, "anvil does not mine {hash}");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        hash
    }

    async fn mines_by_itself(&self) -> bool {
        let ask = json!({ "jsonrpc": "2.0", "id": 1, "method": "anvil_getAutomine", "params": [] });
        let answer = self.client.post(&self.anvil).json(&ask).send().await.expect("anvil answers");
        let answer: Value = answer.json().await.expect("JSON");
        answer["result"].as_bool().expect("whether anvil mines by itself")
    }

    /// Pays the price of a 402.
    pub async fn pay(&self, details: &PaymentDetails) -> B256 {
        self.pay_as(details, details.amount, details.recipient).await
    }

    /// Pays another amount or another payee with a 402's reference.
    pub async fn pay_as(&self, details: &PaymentDetails, amount: Amount, payee: Address) -> B256 {
        let prepared = self.prepare(details.payment_contract, details.reference, payee, amount).await;
        self.send(&prepared).await
    }
}
