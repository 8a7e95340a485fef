//! What a chain's contracts hold, and what a transaction does to it.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, Bytes, LogData, U256};
use alloy_sol_types::{SolCall as _, SolEvent as _, sol};
use salt402_facilitator::SettleContracts;
use salt402_protocol::contracts::{IX402ExactPermit2Proxy as Exact, IX402UptoPermit2Proxy as Upto};
use salt402_protocol::foreign::{IMulticall3, IToken, IX402Settled, MULTICALL3};

sol! {
    interface ITestToken {
        function transferWithAuthorization(
            address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce,
            uint8 v, bytes32 r, bytes32 s
        ) external;
        function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
    }

    interface ITestPermit2 {
        function nonceBitmap(address owner, uint256 wordPos) external view returns (uint256);
    }
}

pub(crate) const TOKEN: Address = Address::repeat_byte(0x70);
/// A token that uses the nonce, says so, and moves nothing.
pub(crate) const LIAR: Address = Address::repeat_byte(0x71);

/// A token whose calls need more gas than they may use.
pub(crate) const HUNGRY: Address = Address::repeat_byte(0x72);
/// Of its calls the node cannot say what gas they need.
pub(crate) const ENDLESS: Address = Address::repeat_byte(0x75);
/// A contract that hands its calldata on to x402's proxy.
pub(crate) const ROUTER: Address = Address::repeat_byte(0x77);

/// What every block changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) nonces: BTreeMap<Address, u64>,
    pub(crate) balances: BTreeMap<Address, U256>,
    pub(crate) used: BTreeSet<(Address, Address, B256)>,
    /// Nonces of Permit2, used or invalidated.
    pub(crate) permits: BTreeSet<(Address, U256)>,
}

/// A log of a contract.
pub(crate) type Said = (Address, LogData);

impl Ledger {
    /// Runs a call at a time. `None`: it reverts, and nothing changed.
    pub(crate) fn run(&mut self, to: Address, input: &Bytes, time: u64) -> Option<Vec<Said>> {
        if to == MULTICALL3 {
            let calls = IMulticall3::aggregate3Call::abi_decode(input).ok()?.calls;
            let mut said = Vec::new();
            for call in calls {
                let before = self.clone();
                match self.run(call.target, &call.callData, time) {
                    Some(more) => said.extend(more),
                    None if call.allowFailure => *self = before,
                    None => return None,
                }
            }
            return Some(said);
        }
        if to == TOKEN || to == LIAR {
            return self.transfer(to, input, time);
        }
        if to == SettleContracts::default().exact_proxy || to == ROUTER {
            return self.settle(input, time);
        }
        if to == SettleContracts::default().upto_proxy {
            return self.charge(input, time);
        }
        // A plain transfer of coins.
        input.is_empty().then(Vec::new)
    }

    fn transfer(&mut self, token: Address, input: &Bytes, time: u64) -> Option<Vec<Said>> {
        let call = ITestToken::transferWithAuthorizationCall::abi_decode(input).ok()?;
        let time = U256::from(time);
        if time <= call.validAfter
            || time >= call.validBefore
            || self.used.contains(&(token, call.from, call.nonce))
        {
            return None;
        }
        let held = self.balances.get(&call.from).copied().unwrap_or_default();
        let left = held.checked_sub(call.value)?;
        self.used.insert((token, call.from, call.nonce));
        let used = IToken::AuthorizationUsed { authorizer: call.from, nonce: call.nonce }.encode_log_data();
        if token == LIAR {
            return Some(vec![(token, used)]);
        }
        self.balances.insert(call.from, left);
        *self.balances.entry(call.to).or_default() += call.value;
        let moved = IToken::Transfer { from: call.from, to: call.to, value: call.value }.encode_log_data();
        Some(vec![(token, used), (token, moved)])
    }

    /// A payment by Permit2, through the proxy for `exact`.
    fn settle(&mut self, input: &Bytes, time: u64) -> Option<Vec<Said>> {
        let call = Exact::settleCall::abi_decode(input).ok()?;
        let (token, value) = (call.permit.permitted.token, call.permit.permitted.amount);
        if U256::from(time) > call.permit.deadline || !self.permits.insert((call.owner, call.permit.nonce)) {
            return None;
        }
        let left = self.balances.get(&call.owner).copied().unwrap_or_default().checked_sub(value)?;
        self.balances.insert(call.owner, left);
        *self.balances.entry(call.witness.to).or_default() += value;
        let moved = IToken::Transfer { from: call.owner, to: call.witness.to, value };
        let proxy = SettleContracts::default().exact_proxy;
        Some(vec![(token, moved.encode_log_data()), (proxy, IX402Settled::Settled {}.encode_log_data())])
    }

    /// A charge, through the proxy for `upto`.
    fn charge(&mut self, input: &Bytes, time: u64) -> Option<Vec<Said>> {
        let call = Upto::settleCall::abi_decode(input).ok()?;
        let (token, most) = (call.permit.permitted.token, call.permit.permitted.amount);
        let is_new = !self.permits.contains(&(call.owner, call.permit.nonce));
        if !is_new || call.amount > most || U256::from(time) > call.permit.deadline {
            return None;
        }
        let left = self.balances.get(&call.owner).copied().unwrap_or_default().checked_sub(call.amount)?;
        self.permits.insert((call.owner, call.permit.nonce));
        self.balances.insert(call.owner, left);
        *self.balances.entry(call.witness.to).or_default() += call.amount;
        let moved = IToken::Transfer { from: call.owner, to: call.witness.to, value: call.amount };
        let proxy = SettleContracts::default().upto_proxy;
        Some(vec![(token, moved.encode_log_data()), (proxy, IX402Settled::Settled {}.encode_log_data())])
    }

    /// What a question to a contract answers.
    pub(crate) fn view(&self, to: Address, input: &Bytes) -> Option<Bytes> {
        if let Ok(call) = ITestPermit2::nonceBitmapCall::abi_decode(input) {
            let mut word = U256::ZERO;
            for (owner, nonce) in &self.permits {
                if *owner == call.owner && *nonce >> 8_usize == call.wordPos {
                    word.set_bit(usize::from(nonce.byte(0)), true);
                }
            }
            return Some(word.to_be_bytes::<32>().into());
        }
        let call = ITestToken::authorizationStateCall::abi_decode(input).ok()?;
        let used = self.used.contains(&(to, call.authorizer, call.nonce));
        Some(U256::from(u8::from(used)).to_be_bytes::<32>().into())
    }
}

/// The nonces of the authorizations that a transaction carries.
pub(crate) fn carried(to: Address, input: &Bytes) -> Vec<B256> {
    if to == MULTICALL3 {
        let calls = IMulticall3::aggregate3Call::abi_decode(input).map(|call| call.calls).unwrap_or_default();
        return calls.iter().flat_map(|call| carried(call.target, &call.callData)).collect();
    }
    if let Ok(call) = Exact::settleCall::abi_decode(input) {
        return vec![B256::from(call.permit.nonce)];
    }
    if let Ok(call) = Upto::settleCall::abi_decode(input) {
        return vec![B256::from(call.permit.nonce)];
    }
    let call = ITestToken::transferWithAuthorizationCall::abi_decode(input);
    call.map(|call| vec![call.nonce]).unwrap_or_default()
}
