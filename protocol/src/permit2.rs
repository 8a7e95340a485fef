//! Settlements over Permit2 as calldata tells them: what x402's own proxies were asked, whose events say nothing.

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall;

use crate::contracts::{IX402ExactPermit2Proxy as Exact, IX402UptoPermit2Proxy as Upto};
use crate::foreign::{IMulticall3, MULTICALL3};
use crate::source::ProxyScheme;

/// The call that a transaction is.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// What it called; `None` where it created a contract.
    pub to: Option<Address>,
    /// Its calldata.
    pub input: &'a [u8],
}

/// What a proxy was asked to settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) owner: Address,
    pub(crate) payee: Address,
    pub(crate) token: Address,
    pub(crate) amount: U256,
    pub(crate) nonce: U256,
    pub(crate) with_permit: bool,
}

/// What a transaction asked of a proxy, in the order of its calls; `None` where that cannot be told, because something
/// that is not known to leave proxies alone was called too, and may have asked them for more.
///
/// `harmless` says of which contracts it is known: tokens that the operator trusts. What a proxy itself is asked to move may
/// be anything: while it does, the proxy lets nobody in.
pub(crate) fn asked(
    call: Call<'_>,
    proxy: Address,
    scheme: ProxyScheme,
    harmless: impl Fn(Address) -> bool,
) -> Option<Vec<Asked>> {
    let to = call.to?;
    if to == proxy {
        return settlement(call.input, scheme).map(|one| vec![one]);
    }
    if to != MULTICALL3 {
        return None;
    }
    let mut asked: Vec<Asked> = Vec::new();
    for (target, data) in multicall(call.input)? {
        if target == proxy {
            // A call that is none of these settled nothing, and the same call again is refused for its used nonce.
            asked.extend(settlement(&data, scheme).filter(|one| !asked.contains(one)));
        } else if !harmless(target) {
            return None;
        }
    }
    Some(asked)
}

/// Reads one call. Whatever stands behind the arguments is passed over: facilitators put their mark there (ERC-8021).
fn settlement(input: &[u8], scheme: ProxyScheme) -> Option<Asked> {
    let selector: [u8; 4] = input.get(..4)?.try_into().ok()?;
    match (scheme, selector) {
        (ProxyScheme::Exact, Exact::settleCall::SELECTOR) => {
            let call = Exact::settleCall::abi_decode(input).ok()?;
            Some(Asked {
                owner: call.owner,
                payee: call.witness.to,
                token: call.permit.permitted.token,
                amount: call.permit.permitted.amount,
                nonce: call.permit.nonce,
                with_permit: false,
            })
        }
        (ProxyScheme::Exact, Exact::settleWithPermitCall::SELECTOR) => {
            let call = Exact::settleWithPermitCall::abi_decode(input).ok()?;
            Some(Asked {
                owner: call.owner,
                payee: call.witness.to,
                token: call.permit.permitted.token,
                amount: call.permit.permitted.amount,
                nonce: call.permit.nonce,
                with_permit: true,
            })
        }
        (ProxyScheme::Upto, Upto::settleCall::SELECTOR) => {
            let call = Upto::settleCall::abi_decode(input).ok()?;
            Some(Asked {
                owner: call.owner,
                payee: call.witness.to,
                token: call.permit.permitted.token,
                amount: call.amount,
                nonce: call.permit.nonce,
                with_permit: false,
            })
        }
        (ProxyScheme::Upto, Upto::settleWithPermitCall::SELECTOR) => {
            let call = Upto::settleWithPermitCall::abi_decode(input).ok()?;
            Some(Asked {
                owner: call.owner,
                payee: call.witness.to,
                token: call.permit.permitted.token,
                amount: call.amount,
                nonce: call.permit.nonce,
                with_permit: true,
            })
        }
        _ => None,
    }
}

/// The calls of a Multicall3.
fn multicall(input: &[u8]) -> Option<Vec<(Address, Bytes)>> {
    use IMulticall3 as M;
    let selector: [u8; 4] = input.get(..4)?.try_into().ok()?;
    let plain = |calls: Vec<M::Call>| calls.into_iter().map(|call| (call.target, call.callData)).collect();
    Some(match selector {
        M::aggregateCall::SELECTOR => plain(M::aggregateCall::abi_decode(input).ok()?.calls),
        M::blockAndAggregateCall::SELECTOR => plain(M::blockAndAggregateCall::abi_decode(input).ok()?.calls),
        M::tryAggregateCall::SELECTOR => plain(M::tryAggregateCall::abi_decode(input).ok()?.calls),
        M::tryBlockAndAggregateCall::SELECTOR => {
            plain(M::tryBlockAndAggregateCall::abi_decode(input).ok()?.calls)
        }
        M::aggregate3Call::SELECTOR => {
            let calls = M::aggregate3Call::abi_decode(input).ok()?.calls;
            calls.into_iter().map(|call| (call.target, call.callData)).collect()
        }
        M::aggregate3ValueCall::SELECTOR => {
            let calls = M::aggregate3ValueCall::abi_decode(input).ok()?.calls;
            calls.into_iter().map(|call| (call.target, call.callData)).collect()
        }
        _ => return None,
    })
}
