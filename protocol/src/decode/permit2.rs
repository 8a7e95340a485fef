//! Settlements over Permit2 as calldata tells them: what x402's own proxies were asked, whose events say nothing.

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolCall;
use alloy_sol_types::abi::token::{PackedSeqToken, WordToken};
use alloy_sol_types::abi::{AbiDecoderConfig, decode_sequence_with_config};

use crate::contracts::{ISalt, IWrappedSalt, IX402ExactPermit2Proxy as Exact, IX402UptoPermit2Proxy as Upto};
use crate::decode::foreign::{IMulticall3, IToken, MULTICALL3};
use crate::decode::source::ProxyScheme;

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

/// What a transaction asked of a proxy, in the order of its settlements, if it settled so often. `None` where that cannot
/// be told: something was called that is not known to leave proxies alone, or a call is none of these, or was refused.
///
/// Through Multicall3 a call may fail and leave no trace, and its terms are whatever its sender wrote into it. Only where
/// there are as many settlements as calls did none fail, and each is of the call at its place. A call settles once at most:
/// while a proxy moves a token, which may be anything, it lets nobody in.
///
/// `is_token` says which contracts are tokens that the operator trusts.
pub(crate) fn asked(
    call: Call<'_>,
    proxy: Address,
    scheme: ProxyScheme,
    settled: usize,
    is_token: impl Fn(Address) -> bool,
) -> Option<Vec<Asked>> {
    let to = call.to?;
    if to == proxy {
        return (settled == 1).then(|| settlement(call.input, scheme).map(|one| vec![one]))?;
    }
    if to != MULTICALL3 {
        return None;
    }
    let mut asked: Vec<Asked> = Vec::new();
    for (target, data) in multicall(call.input)? {
        if target == proxy {
            if asked.len() == settled {
                return None;
            }
            asked.push(settlement(data, scheme)?);
        } else if !(is_token(target) && calls_nobody(data)) {
            return None;
        }
    }
    (asked.len() == settled).then_some(asked)
}

/// Whether a call of a token is one of the standards', which move money, or allow it, and run no code of others but in a
/// static call for a signature. A token may have more: withdrawing its coins, or a transfer that calls whoever receives.
fn calls_nobody(input: &[u8]) -> bool {
    const HARMLESS: [[u8; 4]; 12] = [
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
    input.get(..4).is_some_and(|selector| HARMLESS.iter().any(|harmless| selector == harmless))
}

/// Reads one call. Whatever stands behind the arguments is passed over: facilitators put their mark there (ERC-8021).
fn settlement(input: &[u8], scheme: ProxyScheme) -> Option<Asked> {
    let (selector, arguments) = input.split_first_chunk()?;
    let asked = |(token, amount): (Address, U256), owner, payee, nonce, with_permit| Asked {
        owner,
        payee,
        token,
        amount,
        nonce,
        with_permit,
    };
    Some(match (scheme, *selector) {
        (ProxyScheme::Exact, Exact::settleCall::SELECTOR) => {
            let (((token, amount), nonce, _), owner, (to, _), _) = tokens::<Exact::settleCall>(arguments)?;
            asked((address(token)?, amount.0.into()), address(owner)?, address(to)?, nonce.0.into(), false)
        }
        (ProxyScheme::Exact, Exact::settleWithPermitCall::SELECTOR) => {
            let (_, ((token, amount), nonce, _), owner, (to, _), _) =
                tokens::<Exact::settleWithPermitCall>(arguments)?;
            asked((address(token)?, amount.0.into()), address(owner)?, address(to)?, nonce.0.into(), true)
        }
        (ProxyScheme::Upto, Upto::settleCall::SELECTOR) => {
            let (((token, _), nonce, _), amount, owner, (to, _, _), _) =
                tokens::<Upto::settleCall>(arguments)?;
            asked((address(token)?, amount.0.into()), address(owner)?, address(to)?, nonce.0.into(), false)
        }
        (ProxyScheme::Upto, Upto::settleWithPermitCall::SELECTOR) => {
            let (_, ((token, _), nonce, _), amount, owner, (to, _, _), _) =
                tokens::<Upto::settleWithPermitCall>(arguments)?;
            asked((address(token)?, amount.0.into()), address(owner)?, address(to)?, nonce.0.into(), true)
        }
        _ => return None,
    })
}

/// The calls of a Multicall3, as views of its calldata: many may point at the same bytes, which are large then only if
/// each is copied.
fn multicall(input: &[u8]) -> Option<Vec<(Address, &[u8])>> {
    use IMulticall3 as M;
    let (selector, arguments) = input.split_first_chunk()?;
    let calls: Vec<(WordToken, Data<'_>)> = match *selector {
        M::aggregateCall::SELECTOR => tokens::<M::aggregateCall>(arguments)?.0.0,
        M::blockAndAggregateCall::SELECTOR => tokens::<M::blockAndAggregateCall>(arguments)?.0.0,
        M::tryAggregateCall::SELECTOR => tokens::<M::tryAggregateCall>(arguments)?.1.0,
        M::tryBlockAndAggregateCall::SELECTOR => tokens::<M::tryBlockAndAggregateCall>(arguments)?.1.0,
        M::aggregate3Call::SELECTOR => {
            let calls = tokens::<M::aggregate3Call>(arguments)?.0.0;
            calls.into_iter().map(|(to, _, data)| (to, data)).collect()
        }
        M::aggregate3ValueCall::SELECTOR => {
            let calls = tokens::<M::aggregate3ValueCall>(arguments)?.0.0;
            calls.into_iter().map(|(to, _, _, data)| (to, data)).collect()
        }
        _ => return None,
    };
    calls.into_iter().map(|(to, data)| Some((address(to)?, data.0))).collect()
}

/// Bytes that stand in the calldata.
type Data<'a> = PackedSeqToken<'a>;

/// The arguments of a call, undecoded: words, and views of bytes.
fn tokens<C: SolCall>(arguments: &[u8]) -> Option<C::Token<'_>> {
    // A call of a list takes a word of calldata at least, and a few of memory. The limit counts what views show as if it
    // were copied.
    let config = AbiDecoderConfig::new().memory_limit(usize::MAX);
    decode_sequence_with_config(arguments, config).ok()
}

/// An address whose word holds nothing else. The chain refuses others.
fn address(word: WordToken) -> Option<Address> {
    let address = Address::from_word(word.0);
    (address.into_word() == word.0).then_some(address)
}
