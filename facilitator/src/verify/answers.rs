//! What is asked of a chain about an authorization, and how the answers are read.

use std::sync::Arc;

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{SolCall, sol};
use salt402_chain::{Call, NodeError, StateQuestion};
use salt402_protocol::typed_data::PERMIT2;
use salt402_protocol::x402::digest::Domain;
use salt402_protocol::{B256, SignedNonce};

use crate::authorization::Authorization;
use crate::calls::deploying;
use crate::verify::facts::{Facts, FactsError, Nonce, PayerFacts, Question, TokenFacts};
use crate::verify::judge::is_permit2;
use crate::verify::packed::IPacking;

sol! {
    /// What is asked of tokens, of Permit2 and of payers' contracts.
    interface IAsked {
        function balanceOf(address account) external view returns (uint256 balance);
        function allowance(address owner, address spender) external view returns (uint256 remaining);
        function authorizationState(address authorizer, bytes32 nonce) external view returns (bool isUsed);
        function nonceBitmap(address owner, uint256 word) external view returns (uint256 bits);
        function isValidSignature(bytes32 hash, bytes signature) external view returns (bytes4 magic);
        function name() external view returns (string text);
        function version() external view returns (string text);
        function DOMAIN_SEPARATOR() external view returns (bytes32 separator);
    }
}

/// The most gas that a view of a token may use.
const VIEW_GAS: u64 = 300_000;
/// What nodes say of code that failed otherwise than by a revert, in lower case.
const CODE_FAILED: [&str; 10] =
    ["gas", "evm", "halt", "opcode", "instruction", "stack", "jump", "execution", "out of bounds", "depth"];

/// What nodes say that did not run it to its end.
const GAVE_UP: [&str; 3] = ["timeout", "timed out", "deadline"];

/// What is remembered of a payer.
#[derive(Clone, Copy)]
pub(super) struct Payer {
    pub(super) facts: PayerFacts,
    pub(super) has_allowance: bool,
}

/// What one answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    PayerCode,
    Balance,
    Allowance,
    Nonce,
    TokenCode,
    Name,
    Version,
    Domain,
    ProxyCode,
    ContractSignature,
    Simulation,
    Height,
}

impl Part {
    /// Whether the answer needs code of the payer to run.
    pub(super) const fn runs_payers_code(self) -> bool {
        matches!(self, Self::ContractSignature | Self::Simulation)
    }
}

/// What is known so far.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) payer: Option<Payer>,
    pub(super) token: Option<TokenFacts>,
    pub(super) is_token_young: bool,
    pub(super) has_proxy: Option<bool>,
    pub(super) nonce: Option<Nonce>,
    pub(super) contract_signature: Option<bool>,
    pub(super) deploys: Option<bool>,
    pub(super) simulation: Option<Result<(), String>>,
    pub(super) height: Option<u64>,
}

/// What is not known yet, as questions.
pub(super) fn ask(question: &Question<'_>, known: &Parts) -> Vec<(Part, StateQuestion)> {
    let authorization = question.authorization;
    let Authorization { token, payer, .. } = *authorization;
    let view = |to: Address, data: Vec<u8>| {
        let call = Call { to, value: U256::ZERO, data: data.into(), gas_limit: Some(VIEW_GAS) };
        StateQuestion::View { from: None, call }
    };
    let mut asked = Vec::new();
    if known.payer.is_none() {
        asked.push((Part::PayerCode, StateQuestion::Code(payer)));
        asked.push((Part::Balance, view(token, IAsked::balanceOfCall { account: payer }.abi_encode())));
        if is_permit2(authorization) {
            let allowance = IAsked::allowanceCall { owner: payer, spender: PERMIT2 };
            asked.push((Part::Allowance, view(token, allowance.abi_encode())));
        }
    }
    if known.nonce.is_none() {
        asked.push((
            Part::Nonce,
            match authorization.signed_nonce() {
                SignedNonce::Eip3009 { token, authorizer, nonce } => {
                    view(token, IAsked::authorizationStateCall { authorizer, nonce }.abi_encode())
                }
                SignedNonce::Permit2 { owner, nonce } => {
                    view(PERMIT2, IAsked::nonceBitmapCall { owner, word: nonce >> 8 }.abi_encode())
                }
            },
        ));
    }
    if known.token.is_none() {
        asked.push((Part::TokenCode, StateQuestion::Code(token)));
        asked.push((Part::Name, view(token, IAsked::nameCall {}.abi_encode())));
        asked.push((Part::Version, view(token, IAsked::versionCall {}.abi_encode())));
        asked.push((Part::Domain, view(token, IAsked::DOMAIN_SEPARATORCall {}.abi_encode())));
    }
    if let (None, Some(proxy)) = (known.has_proxy, question.proxy) {
        asked.push((Part::ProxyCode, StateQuestion::Code(proxy)));
    }
    if let Some(hash) = question.digest {
        let signature = authorization.signature.clone();
        let data = IAsked::isValidSignatureCall { hash, signature }.abi_encode().into();
        let call = Call { to: payer, value: U256::ZERO, data, gas_limit: Some(question.most_gas) };
        let call = match authorization.deployment() {
            Some(deployment) => deploying(deployment, &call, true),
            None => call,
        };
        asked.push((Part::ContractSignature, StateQuestion::View { from: None, call }));
    }
    if let Some((from, call)) = &question.simulate {
        asked.push((Part::Simulation, StateQuestion::View { from: *from, call: call.clone() }));
    }
    if question.wants_height {
        // Behind the others: a block that comes meanwhile makes it higher than they are, and not lower.
        asked.push((Part::Height, StateQuestion::Height));
    }
    asked
}

impl Parts {
    /// Adds the answers.
    pub(super) fn read(
        mut self,
        question: &Question<'_>,
        answers: impl Iterator<Item = (Part, Result<Bytes, NodeError>)>,
    ) -> Result<Self, FactsError> {
        let mut payer = self.payer.unwrap_or(Payer {
            facts: PayerFacts { has_code: false, balance: None, allowance: None },
            has_allowance: false,
        });
        let mut token = self.token.clone().unwrap_or_default();
        for (part, answer) in answers {
            match part {
                Part::PayerCode => {
                    payer.facts.has_code = has_code(answer)?;
                    self.payer = Some(payer);
                }
                Part::Balance => payer.facts.balance = number(said(answer)?),
                Part::Allowance => {
                    payer.facts.allowance = number(said(answer)?);
                    payer.has_allowance = true;
                }
                Part::Nonce => self.nonce = Some(nonce(question.authorization, said(answer)?)),
                Part::TokenCode => {
                    token.has_code = has_code(answer)?;
                    self.token = Some(TokenFacts::default());
                }
                Part::Name => token.name = text::<IAsked::nameCall>(ran(answer)?.ok()),
                Part::Version => token.version = text::<IAsked::versionCall>(ran(answer)?.ok()),
                Part::Domain => token.domain = word(ran(answer)?.ok()).map(Domain),
                Part::ProxyCode => self.has_proxy = Some(has_code(answer)?),
                Part::ContractSignature => {
                    let said = ran(answer)?.ok();
                    let said = if question.authorization.deployment().is_some() {
                        let said = after_deployment(said.as_ref());
                        self.deploys = Some(said.is_some());
                        said.and_then(|answer| answer.success.then_some(answer.returnData))
                    } else {
                        said
                    };
                    self.contract_signature = Some(said.is_some_and(|bytes| is_magic(&bytes)));
                }
                Part::Simulation => self.simulation = Some(ran(answer)?.map(drop)),
                Part::Height => self.height = number(said(answer)?).map(|height| height.saturating_to()),
            }
        }
        self.payer = self.payer.map(|_| payer);
        self.token = self.token.map(|_| token);
        Ok(self)
    }

    pub(super) fn into_facts(self, is_fresh: bool) -> Result<Facts, FactsError> {
        let missing = || FactsError::Node("the node left answers out".to_owned());
        Ok(Facts {
            payer: self.payer.ok_or_else(missing)?.facts,
            token: self.token.ok_or_else(missing)?,
            has_proxy: self.has_proxy.ok_or_else(missing)?,
            nonce: self.nonce.ok_or_else(missing)?,
            contract_signature: self.contract_signature,
            deploys: self.deploys,
            is_fresh,
            simulation: self.simulation,
            height: self.height,
        })
    }
}

/// What a contract said. `None`: it reverted. Any other failure is the node's.
fn said(answer: Result<Bytes, NodeError>) -> Result<Option<Bytes>, FactsError> {
    match answer {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_revert() => Ok(None),
        Err(error) => Err(FactsError::Node(error.to_string())),
    }
}

/// What a contract said after it was created. `None`: it was not, and nothing answered.
fn after_deployment(answer: Option<&Bytes>) -> Option<IPacking::Answer> {
    let answers = IPacking::aggregate3Call::abi_decode_returns(answer?).ok()?;
    let [_, said] = <[_; 2]>::try_from(answers).ok()?;
    // Calling an address without code succeeds, and says nothing.
    (!said.success || !said.returnData.is_empty()).then_some(said)
}

fn has_code(answer: Result<Bytes, NodeError>) -> Result<bool, FactsError> {
    answer.map(|code| !code.is_empty()).map_err(|error| FactsError::Node(error.to_string()))
}

/// What code of others did that was run: it may fail in more ways than by a revert, such as without gas. A failure that may
/// pass is the node's.
fn ran(answer: Result<Bytes, NodeError>) -> Result<Result<Bytes, String>, FactsError> {
    match answer {
        Ok(bytes) => Ok(Ok(bytes)),
        Err(error) if error.is_revert() || is_of_the_call(&error) => {
            Ok(Err(error.to_string().chars().take(300).collect()))
        }
        Err(error) => Err(FactsError::Node(error.to_string())),
    }
}

/// Whether a node's own error is about the code that it ran. Of any other, such as an account of a provider that is used up, it
/// is not known what the code would have done.
fn is_of_the_call(error: &NodeError) -> bool {
    let NodeError::Rpc { message, .. } = error else { return false };
    let words = message.to_ascii_lowercase();
    let says = |known: &[&str]| known.iter().any(|word| words.contains(word));
    says(&CODE_FAILED) && !says(&GAVE_UP)
}

/// The first word of an answer. Contracts may add others.
fn word(answer: Option<Bytes>) -> Option<B256> {
    answer.and_then(|bytes| bytes.get(..32).map(B256::from_slice))
}

fn number(answer: Option<Bytes>) -> Option<U256> {
    word(answer).map(|word| U256::from_be_bytes(word.0))
}

fn nonce(authorization: &Authorization, answer: Option<Bytes>) -> Nonce {
    match (number(answer), is_permit2(authorization)) {
        (None, _) => Nonce::Unsupported,
        (Some(bits), true) => {
            let bit = usize::from(authorization.nonce.byte(0));
            if bits.bit(bit) { Nonce::Used } else { Nonce::New }
        }
        (Some(state), false) => {
            if state.is_zero() {
                Nonce::New
            } else {
                Nonce::Used
            }
        }
    }
}

fn text<C: SolCall<Return = String>>(answer: Option<Bytes>) -> Option<Arc<str>> {
    answer.and_then(|bytes| C::abi_decode_returns(&bytes).ok()).map(Arc::from)
}

/// A contract answers with the selector of `isValidSignature`, and zeros after it: tokens and Permit2 compare the whole word.
fn is_magic(answer: &[u8]) -> bool {
    let mut magic = [0; 32];
    let (selector, _) = magic.split_at_mut(4);
    selector.copy_from_slice(&IAsked::isValidSignatureCall::SELECTOR);
    answer.get(..32) == Some(&magic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t14_the_word_of_a_contract_counts_where_the_chain_would_take_it() {
        let word = |text: &str| alloy_primitives::hex::decode(text).unwrap();
        let zeros = "00".repeat(28);
        assert!(is_magic(&word(&format!("1626ba7e{zeros}"))));
        assert!(is_magic(&word(&format!("1626ba7e{zeros}ff"))), "contracts may add words");
        for none in ["", "1626ba7e", &format!("1626ba7e{}01", "00".repeat(27)), &format!("1626ba7f{zeros}")] {
            assert!(!is_magic(&word(none)), "{none}");
        }
    }
}
