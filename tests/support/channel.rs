//! A channel with a session key: funded, exited and closed on a real chain, with vouchers signed off chain.

use alloy_primitives::{Bytes, U256, hex};
use alloy_sol_types::{SolCall, sol};
use k256::ecdsa::SigningKey;
use salt402_protocol::contracts::ISaltChannels;
use salt402_protocol::edition::channel_id;
use salt402_protocol::{Address, Amount, Asset, B256, ChainId, Voucher};
use serde_json::{Value, json};

use crate::payer::TestPayer;
use crate::{Anvil, Deployment, PAYEE, signing};

/// Anvil's publicly known fifth key: the session key.
const SESSION_KEY: &str = "0x47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a";

sol! {
    function approve(address spender, uint256 amount) external returns (bool);
    function balanceOf(address account) external view returns (uint256);
}

/// A channel from anvil's second account to its third. Anvil's fifth key signs its vouchers.
#[derive(Clone)]
pub struct TestChannel {
    /// The channel contract.
    pub contract: Address,
    /// The domain of its channels' identifiers.
    pub domain: B256,
    /// The channel's parameters.
    pub channel: ISaltChannels::Channel,
    /// The channel's id.
    pub id: B256,
}

/// A channel's state in its contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelStanding {
    /// The total ever deposited.
    pub deposit: u64,
    /// The total ever claimed.
    pub claimed: u64,
    /// The time of the payer's exit, or zero.
    pub exit_at: u64,
}

impl TestChannel {
    /// A channel in an asset that is not open yet.
    pub fn new(deployment: &Deployment, asset: Asset, salt: u8) -> Self {
        Self::to(deployment, PAYEE.parse().expect("anvil's account"), asset, salt)
    }

    /// The same with another payee.
    pub fn to(deployment: &Deployment, payee: Address, asset: Asset, salt: u8) -> Self {
        let mut channel = signing::channel(payee, salt);
        channel.asset = asset.address();
        channel.signer = Address::from_private_key(&session_key());
        let (contract, domain) = (deployment.salt_channels, deployment.channel_domain);
        Self { contract, domain, id: channel_id(domain, &channel), channel }
    }

    /// The same with an operator.
    pub fn operated_by(mut self, operator: Address) -> Self {
        self.channel.operator = operator;
        self.id = channel_id(self.domain, &self.channel);
        self
    }

    /// The same with another exit delay, in seconds.
    pub fn leaving_after(mut self, exit_delay: u32) -> Self {
        self.channel.exitDelay = exit_delay;
        self.id = channel_id(self.domain, &self.channel);
        self
    }

    /// The same with another salt.
    pub fn salted(mut self, salt: B256) -> Self {
        self.channel.salt = salt;
        self.id = channel_id(self.domain, &self.channel);
        self
    }

    /// A voucher signed by the session key.
    pub fn voucher(&self, ceiling: u64) -> Voucher {
        let ceiling = amount(ceiling);
        let unsigned = Voucher { channel: self.id, ceiling, signature: [0; 65] };
        let terms = unsigned.terms(self.channel.payee, Asset::from_address(self.channel.asset));
        let digest = terms.digest(ChainId::CITRATE, self.contract);
        Voucher { signature: session_signature(digest), ..unsigned }
    }

    /// The voucher as `X-Payment-Proof`.
    pub fn proof(&self, ceiling: u64) -> String {
        self.voucher(ceiling).to_string()
    }

    /// The payee's call to claim up to a total.
    pub fn claim_call(&self, voucher: &Voucher, total: u64) -> Bytes {
        ISaltChannels::claimCall {
            channel: self.channel.clone(),
            ceiling: voucher.ceiling.0,
            total: U256::from(total),
            voucher: voucher.signature.to_vec().into(),
        }
        .abi_encode()
        .into()
    }

    /// The payee's call to claim up to a total and close the channel.
    pub fn close_call(&self, voucher: &Voucher, total: u64) -> Bytes {
        ISaltChannels::closeCall {
            channel: self.channel.clone(),
            ceiling: voucher.ceiling.0,
            total: U256::from(total),
            voucher: voucher.signature.to_vec().into(),
        }
        .abi_encode()
        .into()
    }

    /// The payer's call to request an exit.
    pub fn exit_call(&self) -> Bytes {
        ISaltChannels::requestExitCall { channel: self.channel.clone() }.abi_encode().into()
    }
}

impl TestPayer {
    /// Opens the channel or adds to its deposit. Also approves the contract for the payer's tokens.
    pub async fn fund_channel(&self, channel: &TestChannel, deposit: u64, more: bool) -> B256 {
        if !channel.channel.asset.is_zero() {
            let approve = approveCall { spender: channel.contract, amount: U256::MAX };
            self.call(channel.channel.asset, approve.abi_encode().into(), Amount::ZERO).await;
        }
        self.deposit(channel.contract, channel.channel.clone(), amount(deposit), more).await
    }
}

impl Anvil {
    /// The channel's state in its contract.
    pub async fn standing(&self, channel: &TestChannel) -> ChannelStanding {
        let ask = ISaltChannels::stateOfCall { channel: channel.id };
        let answer = self.view(channel.contract, &ask).await;
        let number = |value: U256| u64::try_from(value).expect("a small number");
        ChannelStanding {
            deposit: number(U256::from(answer.deposit)),
            claimed: number(U256::from(answer.claimed)),
            exit_at: number(U256::from(answer.exitAt)),
        }
    }

    /// An account's balance of an asset, in base units.
    pub async fn balance(&self, account: Address, asset: Asset) -> U256 {
        match asset {
            Asset::Native => quantity(&self.ask("eth_getBalance", json!([account, "latest"])).await),
            Asset::Token(token) => self.view(token, &balanceOfCall { account }).await,
        }
    }

    /// Whether a mined transaction succeeded, and the cost of its gas.
    pub async fn outcome(&self, transaction: B256) -> (bool, U256) {
        let receipt = self.ask("eth_getTransactionReceipt", json!([transaction])).await;
        let cost = quantity(&receipt["gasUsed"]) * quantity(&receipt["effectiveGasPrice"]);
        (receipt["status"] == "0x1", cost)
    }

    /// The domain of a contract's channel identifiers.
    pub async fn channel_domain(&self, contract: Address) -> B256 {
        self.view(contract, &ISaltChannels::CHANNEL_DOMAIN_SEPARATORCall {}).await
    }

    /// What a contract answers.
    pub async fn view<C: SolCall>(&self, contract: Address, call: &C) -> C::Return {
        let data = hex::encode_prefixed(call.abi_encode());
        let answer = self.ask("eth_call", json!([{ "to": contract, "data": data }, "latest"])).await;
        let bytes = hex::decode(answer.as_str().expect("bytes")).expect("bytes");
        C::abi_decode_returns(&bytes).expect("an answer of the contract")
    }
}

/// The session key's signature of a digest: r, s and v.
pub fn session_signature(digest: B256) -> [u8; 65] {
    let (signature, recovery) =
        session_key().sign_prehash_recoverable(digest.as_slice()).expect("a signature");
    let mut bytes = [0; 65];
    bytes[..64].copy_from_slice(&signature.to_bytes());
    bytes[64] = 27 + recovery.to_byte();
    bytes
}

/// Anvil's fifth key.
pub fn session_key() -> SigningKey {
    SigningKey::from_slice(&hex::decode(SESSION_KEY).expect("anvil's key")).expect("anvil's key")
}

fn amount(value: u64) -> Amount {
    Amount(U256::from(value))
}

fn quantity(value: &Value) -> U256 {
    value.as_str().and_then(|text| text.parse().ok()).expect("a quantity")
}
