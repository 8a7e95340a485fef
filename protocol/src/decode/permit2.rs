//! Decodes the calldata of Permit2 settlements through x402's own proxies, whose events have no fields.

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolCall;
use alloy_sol_types::abi::token::{PackedSeqToken, WordToken};
use alloy_sol_types::abi::{AbiDecoderConfig, decode_sequence_with_config};

use crate::contracts::{ISalt, IWrappedSalt, IX402ExactPermit2Proxy as Exact, IX402UptoPermit2Proxy as Upto};
use crate::decode::foreign::{IMulticall3, IToken, MULTICALL3};
use crate::decode::source::ProxyScheme;

/// The call of a transaction.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The called contract. `None`: the transaction created a contract.
    pub to: Option<Address>,
    /// The calldata.
    pub input: &'a [u8],
}

/// The arguments of one settle call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SettleCall {
    pub(crate) owner: Address,
    pub(crate) payee: Address,
    pub(crate) token: Address,
    pub(crate) amount: U256,
    pub(crate) nonce: U256,
    pub(crate) with_permit: bool,
}

/// What a proxy's event and the log before it show of one settlement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    /// Token, payer, payee and value of the transfer before it. `None`: there is none of its own.
    pub(crate) moved: Option<(Address, Address, Address, U256)>,
    pub(crate) with_permit: bool,
}

/// The settle call of each settlement of a proxy in a transaction. `None` if they are uncertain: the input is no known
/// call, another call may reach the proxy, or a settlement may be that of several calls.
///
/// Multicall3 may ignore a failed call, and its sender writes any terms. If there are as many settlements as calls, all
/// succeeded, and each settlement belongs to the call at the same position. If there are fewer, some calls failed: then
/// every call must name a trusted token, which shows each of its settlements by a transfer, and there must be one way
/// only to assign the settlements to calls with their terms. One call settles at most once, because the proxy refuses
/// reentrancy while it moves a token.
///
/// `is_token` tells whether the operator trusts a contract as a token.
pub(crate) fn settle_calls(
    call: Call<'_>,
    proxy: Address,
    scheme: ProxyScheme,
    settled: &[Shown],
    is_token: impl Fn(Address) -> bool,
) -> Option<Vec<SettleCall>> {
    let to = call.to?;
    let calls = if to == proxy {
        vec![settle_call(call.input, scheme)?]
    } else {
        calls_together(call, proxy, scheme, &is_token)?
    };
    if calls.len() == settled.len() {
        let same_permit = |(call, shown): (&SettleCall, &Shown)| call.with_permit == shown.with_permit;
        return calls.iter().zip(settled).all(same_permit).then_some(calls);
    }
    if calls.iter().all(|call| is_token(call.token)) { assigned(&calls, settled) } else { None }
}

/// The one way to assign settlements to calls in their order. `None` if there is no way, or another.
fn assigned(calls: &[SettleCall], settled: &[Shown]) -> Option<Vec<SettleCall>> {
    let fits = |(call, shown): (&SettleCall, &Shown)| {
        shown.moved == Some((call.token, call.owner, call.payee, call.amount))
            && call.with_permit == shown.with_permit
    };
    // The earliest calls that fit, and the latest: where these are the same, there is no other way.
    let mut rest = calls.iter().enumerate();
    let earliest: Option<Vec<_>> =
        settled.iter().map(|shown| rest.find(|(_, call)| fits((call, shown)))).collect();
    let mut rest = calls.iter().enumerate().rev();
    let latest: Option<Vec<_>> =
        settled.iter().rev().map(|shown| rest.find(|(_, call)| fits((call, shown)))).collect();
    let (earliest, latest) = (earliest?, latest?);
    let same = earliest.iter().zip(latest.iter().rev()).all(|((one, _), (other, _))| one == other);
    same.then(|| earliest.into_iter().map(|(_, call)| *call).collect())
}

/// The settle calls to a proxy within a call of Multicall3, in order.
fn calls_together(
    call: Call<'_>,
    proxy: Address,
    scheme: ProxyScheme,
    is_token: impl Fn(Address) -> bool,
) -> Option<Vec<SettleCall>> {
    if call.to != Some(MULTICALL3) {
        return None;
    }
    let mut calls: Vec<SettleCall> = Vec::new();
    for (target, data) in multicall(call.input)? {
        if target == proxy {
            calls.push(settle_call(data, scheme)?);
        } else if !(is_token(target) && is_standard_token_call(data)) {
            return None;
        }
    }
    Some(calls)
}

/// Whether a token call is a standard one that cannot call other contracts, except statically to check a signature.
/// Other token functions can: withdrawing coins, or a transfer that notifies its receiver.
fn is_standard_token_call(input: &[u8]) -> bool {
    const SELECTORS: [[u8; 4]; 12] = [
        IToken::transferCall::SELECTOR,
        IToken::transferFromCall::SELECTOR,
        IToken::approveCall::SELECTOR,
        IToken::permit_0Call::SELECTOR,
        IToken::permit_1Call::SELECTOR,
        ISalt::transferWithAuthorization_0Call::SELECTOR,
        ISalt::transferWithAuthorization_1Call::SELECTOR,
        ISalt::receiveWithAuthorization_0Call::SELECTOR,
        ISalt::receiveWithAuthorization_1Call::SELECTOR,
        ISalt::cancelAuthorization_0Call::SELECTOR,
        ISalt::cancelAuthorization_1Call::SELECTOR,
        IWrappedSalt::transferWithFeeAuthorizationCall::SELECTOR,
    ];
    input.get(..4).is_some_and(|selector| SELECTORS.iter().any(|harmless| selector == harmless))
}

/// Decodes one settle call. Trailing bytes are ignored: facilitators append their mark there (ERC-8021).
fn settle_call(input: &[u8], scheme: ProxyScheme) -> Option<SettleCall> {
    let (selector, arguments) = input.split_first_chunk()?;
    let call = |(token, amount): (Address, U256), owner, payee, nonce, with_permit| SettleCall {
        owner,
        payee,
        token,
        amount,
        nonce,
        with_permit,
    };
    Some(match (scheme, *selector) {
        (ProxyScheme::Exact, Exact::settleCall::SELECTOR) => {
            let (((token, amount), nonce, _), owner, (to, _), _) =
                arguments_of::<Exact::settleCall>(arguments)?;
            call((address(token)?, amount.0.into()), address(owner)?, address(to)?, nonce.0.into(), false)
        }
        (ProxyScheme::Exact, Exact::settleWithPermitCall::SELECTOR) => {
            let (_, ((token, amount), nonce, _), owner, (to, _), _) =
                arguments_of::<Exact::settleWithPermitCall>(arguments)?;
            call((address(token)?, amount.0.into()), address(owner)?, address(to)?, nonce.0.into(), true)
        }
        (ProxyScheme::Upto, Upto::settleCall::SELECTOR) => {
            let (((token, _), nonce, _), amount, owner, (to, _, _), _) =
                arguments_of::<Upto::settleCall>(arguments)?;
            call((address(token)?, amount.0.into()), address(owner)?, address(to)?, nonce.0.into(), false)
        }
        (ProxyScheme::Upto, Upto::settleWithPermitCall::SELECTOR) => {
            let (_, ((token, _), nonce, _), amount, owner, (to, _, _), _) =
                arguments_of::<Upto::settleWithPermitCall>(arguments)?;
            call((address(token)?, amount.0.into()), address(owner)?, address(to)?, nonce.0.into(), true)
        }
        _ => return None,
    })
}

/// The calls of a Multicall3 call, borrowed from its calldata. Many calls may share the same bytes, so copies could
/// become much larger than the calldata.
fn multicall(input: &[u8]) -> Option<Vec<(Address, &[u8])>> {
    use IMulticall3 as M;
    let (selector, arguments) = input.split_first_chunk()?;
    let calls: Vec<(WordToken, Data<'_>)> = match *selector {
        M::aggregateCall::SELECTOR => arguments_of::<M::aggregateCall>(arguments)?.0.0,
        M::blockAndAggregateCall::SELECTOR => arguments_of::<M::blockAndAggregateCall>(arguments)?.0.0,
        M::tryAggregateCall::SELECTOR => arguments_of::<M::tryAggregateCall>(arguments)?.1.0,
        M::tryBlockAndAggregateCall::SELECTOR => arguments_of::<M::tryBlockAndAggregateCall>(arguments)?.1.0,
        M::aggregate3Call::SELECTOR => {
            let calls = arguments_of::<M::aggregate3Call>(arguments)?.0.0;
            calls.into_iter().map(|(to, _, data)| (to, data)).collect()
        }
        M::aggregate3ValueCall::SELECTOR => {
            let calls = arguments_of::<M::aggregate3ValueCall>(arguments)?.0.0;
            calls.into_iter().map(|(to, _, _, data)| (to, data)).collect()
        }
        _ => return None,
    };
    calls.into_iter().map(|(to, data)| Some((address(to)?, data.0))).collect()
}

/// Bytes borrowed from the calldata.
type Data<'a> = PackedSeqToken<'a>;

/// The call's arguments as undecoded words and borrowed bytes.
fn arguments_of<C: SolCall>(arguments: &[u8]) -> Option<C::Token<'_>> {
    // Each call takes at least one word of calldata, so memory is bounded by the calldata. The decoder's limit would
    // count borrowed bytes as copies.
    let config = AbiDecoderConfig::new().memory_limit(usize::MAX);
    decode_sequence_with_config(arguments, config).ok()
}

/// An address whose upper bytes are zero. The chain refuses others.
fn address(word: WordToken) -> Option<Address> {
    let address = Address::from_word(word.0);
    (address.into_word() == word.0).then_some(address)
}
