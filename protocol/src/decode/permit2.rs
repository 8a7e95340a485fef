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

/// The settle calls to a proxy in a transaction, in order. `None` if they are uncertain: their number is not `settled`,
/// the input is no known call, or another call may reach the proxy.
///
/// Multicall3 may ignore a failed call, and its sender writes any terms. So all calls succeeded only if there are as
/// many settlements as calls; then each settlement belongs to the call at the same position. One call settles at most
/// once, because the proxy refuses reentrancy while it moves a token.
///
/// `is_token` tells whether the operator trusts a contract as a token.
pub(crate) fn settle_calls(
    call: Call<'_>,
    proxy: Address,
    scheme: ProxyScheme,
    settled: usize,
    is_token: impl Fn(Address) -> bool,
) -> Option<Vec<SettleCall>> {
    let to = call.to?;
    if to == proxy {
        return (settled == 1).then(|| settle_call(call.input, scheme).map(|one| vec![one]))?;
    }
    if to != MULTICALL3 {
        return None;
    }
    let mut calls: Vec<SettleCall> = Vec::new();
    for (target, data) in multicall(call.input)? {
        if target == proxy {
            if calls.len() == settled {
                return None;
            }
            calls.push(settle_call(data, scheme)?);
        } else if !(is_token(target) && is_standard_token_call(data)) {
            return None;
        }
    }
    (calls.len() == settled).then_some(calls)
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
