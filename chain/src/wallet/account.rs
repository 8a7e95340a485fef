//! A paying account: a key, and the transactions it signs.

use std::fmt;

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::{Address, B256, Signature, TxKind, hex};
use k256::ecdsa::SigningKey;
use k256::elliptic_curve::zeroize::Zeroizing;
use tokio::sync::Mutex;

use crate::error::NodeError;
use crate::node::{Call, Fees, Node, Prepared};
use crate::profile::Profile;
use crate::rpc::node::RpcNode;
use crate::rpc::questions;
use crate::rpc::wire::Quantity;
use crate::wallet::market::{Market, afford};

/// A private key and its address.
///
/// `Debug` shows only the address. The key is erased from memory on drop.
pub struct Account {
    key: SigningKey,
    address: Address,
    /// Held from choosing a nonce until the node has the transaction, so that two payments never share a nonce. It is
    /// an async mutex, because requests are awaited meanwhile.
    sending: Mutex<()>,
}

/// Why a text is not a private key. The error never contains the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not 32 bytes of hexadecimal.
    #[error(
        "this is not a private key: give 32 bytes as 64 hexadecimal digits, with or without 0x before them"
    )]
    Hex,
    /// Zero, or not below the order of the curve.
    #[error("this is not a private key: the number is outside the range of secp256k1")]
    Range,
}

impl Account {
    /// An account from its private key: 64 hexadecimal digits, with or without `0x`. White space around it is ignored,
    /// because files end with a line break.
    ///
    /// # Errors [`KeyError`], which never contains the text.
    pub fn from_key(text: &str) -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        hex::decode_to_slice(text.trim(), bytes.as_mut_slice()).map_err(|_| KeyError::Hex)?;
        let key = SigningKey::from_slice(bytes.as_slice()).map_err(|_| KeyError::Range)?;
        let address = Address::from_private_key(&key);
        Ok(Self { key, address, sending: Mutex::new(()) })
    }

    /// The account's address.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Prepares and sends a transaction. Returns its hash once the node has it, before it is mined.
    ///
    /// # Errors As [`Account::prepare`] and [`RpcNode::broadcast`]. Call these two instead if the hash must survive a
    /// lost answer.
    pub async fn send(&self, node: &RpcNode, call: &Call) -> Result<B256, NodeError> {
        let _turn = self.sending.lock().await;
        let prepared = self.prepare(node, call).await?;
        node.broadcast(&prepared).await
    }

    /// Signs a transaction without sending it. It uses the account's next nonce, so two transactions prepared before
    /// either is sent share a nonce, and only one of them can be mined.
    ///
    /// # Errors [`NodeError::WrongChain`], [`NodeError::Unaffordable`], [`NodeError::GasTooHigh`],
    /// [`NodeError::FeeTooHigh`], [`NodeError::is_revert`] if the estimate shows that the call would fail, or any other
    /// error of the node.
    pub async fn prepare(&self, node: &RpcNode, call: &Call) -> Result<Prepared, NodeError> {
        self.prepare_after(node, call, 0).await
    }

    /// Like [`Account::prepare`], with a minimum nonce. A lagging node may not know a transaction that another node has
    /// mined already.
    ///
    /// # Errors As [`Account::prepare`].
    pub async fn prepare_after(
        &self,
        node: &RpcNode,
        call: &Call,
        least_nonce: u64,
    ) -> Result<Prepared, NodeError> {
        let profile = node.profile();
        let market = Market::of(node, self.address).await?;
        if market.chain_id != profile.chain_id.get() {
            return Err(NodeError::WrongChain { expected: profile.chain_id, found: market.chain_id });
        }
        let fees = market.fees(profile)?;
        afford(call.value, market.balance)?;
        let gas_limit = match call.gas_limit {
            Some(limit) => limit,
            None => self.estimate(node, call).await?,
        };
        let call = Call { gas_limit: Some(gas_limit), ..call.clone() };
        let prepared = self.prepare_at(profile, &call, market.nonce.max(least_nonce), fees)?;
        afford(call.value.saturating_add(prepared.max_fee()), market.balance)?;
        Ok(prepared)
    }

    /// Signs a transaction with a given nonce and given fees, without asking a node.
    ///
    /// # Errors [`NodeError::FeeTooHigh`] if the fees are above the profile's `max_fee_per_gas`. [`NodeError::GasTooHigh`] if
    /// the call has no gas limit: nobody can say what it may cost.
    pub fn prepare_at(
        &self,
        profile: &Profile,
        call: &Call,
        nonce: u64,
        fees: Fees,
    ) -> Result<Prepared, NodeError> {
        let limit = profile.max_fee_per_gas;
        if fees.max_fee_per_gas > limit {
            return Err(NodeError::FeeTooHigh { asked: fees.max_fee_per_gas, limit });
        }
        let Some(gas_limit) = call.gas_limit else {
            return Err(NodeError::GasTooHigh { needed: u64::MAX, limit: profile.max_gas_limit });
        };
        self.sign(TxEip1559 {
            chain_id: profile.chain_id.get(),
            nonce,
            gas_limit,
            max_fee_per_gas: fees.max_fee_per_gas.into(),
            max_priority_fee_per_gas: fees.tip.min(fees.max_fee_per_gas).into(),
            to: TxKind::Call(call.to),
            value: call.value,
            access_list: Default::default(),
            input: call.data.clone(),
        })
    }

    async fn estimate(&self, node: &RpcNode, call: &Call) -> Result<u64, NodeError> {
        let needed = node.http().ask::<Quantity>(&questions::gas(self.address, call)).await?.0;
        let limit = node.profile().max_gas_limit;
        if needed > limit {
            return Err(NodeError::GasTooHigh { needed, limit });
        }
        // The contract's storage may change before the transaction is mined.
        Ok(needed.saturating_add(needed / 4).min(limit))
    }

    fn sign(&self, transaction: TxEip1559) -> Result<Prepared, NodeError> {
        let digest = transaction.signature_hash();
        let signature = self
            .key
            .sign_prehash_recoverable(digest.as_slice())
            .map(Signature::from)
            // No valid key and digest cause this error.
            .map_err(|error| NodeError::Malformed {
                what: format!("the transaction cannot be signed: {error}"),
            })?;
        let (nonce, value, gas_limit) = (transaction.nonce, transaction.value, transaction.gas_limit);
        let max_fee_per_gas = u64::try_from(transaction.max_fee_per_gas).unwrap_or(u64::MAX);
        let signed = transaction.into_signed(signature);
        let mut raw = Vec::with_capacity(signed.eip2718_encoded_length());
        signed.eip2718_encode(&mut raw);
        Ok(Prepared {
            hash: *signed.hash(),
            raw: raw.into(),
            from: self.address,
            nonce,
            value,
            gas_limit,
            max_fee_per_gas,
        })
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("address", &self.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Bytes, U256};

    use super::*;

    /// The first account of every development node.
    const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

    #[test]
    fn a_key_is_read_with_and_without_its_prefix_and_never_shown() {
        for text in [KEY.to_owned(), format!("0x{KEY}"), format!(" 0x{KEY}\n"), KEY.to_uppercase()] {
            let account = Account::from_key(&text).unwrap();
            assert_eq!(account.address().to_string(), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
            assert!(!format!("{account:?}").to_lowercase().contains(&KEY[..8]));
        }
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_repeated() {
        let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
        let zero = "0".repeat(64);
        let long = format!("{KEY}00");
        for (text, error) in [
            ("", KeyError::Hex),
            ("0x", KeyError::Hex),
            (&KEY[..63], KeyError::Hex),
            (&long, KeyError::Hex),
            ("correct horse battery staple", KeyError::Hex),
            (&zero, KeyError::Range),
            (order, KeyError::Range),
        ] {
            let refused = Account::from_key(text).unwrap_err();
            assert_eq!(refused, error, "{text:?}");
            assert!(text.len() < 8 || !refused.to_string().contains(text));
        }
    }

    #[test]
    fn a_transaction_is_signed_as_every_other_wallet_signs_it() {
        let account = Account::from_key(KEY).unwrap();
        let transaction = TxEip1559 {
            chain_id: 40204,
            nonce: 7,
            gas_limit: 21_000,
            max_fee_per_gas: 3_000_000_000,
            max_priority_fee_per_gas: 1_000_000_000,
            to: TxKind::Call(Address::repeat_byte(0x11)),
            value: U256::from(1_u64),
            access_list: Default::default(),
            input: Bytes::new(),
        };
        let digest = transaction.signature_hash();
        let prepared = account.sign(transaction).unwrap();
        assert_eq!(prepared.raw[0], 2, "not an EIP-1559 transaction");
        assert_eq!(prepared.hash, alloy_primitives::keccak256(&prepared.raw));
        assert_eq!(prepared.max_fee(), U256::from(63_000_000_000_000_u64));
        // The signature (y, r, s) ends the transaction and must recover to this account.
        let raw = &prepared.raw[prepared.raw.len() - 67..];
        let signature = Signature::from_bytes_and_parity(&[&raw[2..34], &raw[35..67]].concat(), raw[0] == 1);
        assert_eq!(signature.recover_address_from_prehash(&digest).ok(), Some(account.address()));
        assert!(signature.normalize_s().is_none(), "the signature is malleable");
    }
}
