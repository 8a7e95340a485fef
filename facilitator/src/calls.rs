//! From an authorization to the call that settles it.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall as _, sol};
use salt402_chain::Call;
use salt402_protocol::contracts::{
    IX402ExactPermit2Proxy as Exact, IX402Permit2Proxy as Shared, IX402UptoPermit2Proxy as Upto,
};
use salt402_protocol::foreign::{IMulticall3, MULTICALL3};

use crate::authorization::{Authorization, Deployment, Method, TokenPermit};

sol! {
    interface IEip3009 {
        function transferWithAuthorization(
            address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce,
            uint8 v, bytes32 r, bytes32 s
        ) external;
        function transferWithAuthorization(
            address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce,
            bytes signature
        ) external;
        function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
    }

    interface ICitrateFacilitator {
        function settlePayment(
            address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce,
            uint8 v, bytes32 r, bytes32 s
        ) external;
    }

    interface IPermit2 {
        function nonceBitmap(address owner, uint256 wordPos) external view returns (uint256);
    }
}

/// The contracts of a chain that settlements go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettleContracts {
    /// Permit2.
    pub permit2: Address,
    /// x402's proxy for `exact`.
    pub exact_proxy: Address,
    /// x402's proxy for `upto`.
    pub upto_proxy: Address,
}

impl Default for SettleContracts {
    /// Where x402's clients expect them.
    fn default() -> Self {
        use alloy_primitives::address;
        Self {
            permit2: address!("0x000000000022D473030F116dDEE9F6B43aC78BA3"),
            exact_proxy: address!("0x402085c248EeA27D92E8b30b2C58ed07f9E20001"),
            upto_proxy: address!("0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002"),
        }
    }
}

/// The call that settles an authorization with this charge, in base units of the token, and creates the payer's contract before, if
/// the authorization says by what. `None`: its signature does not fit the way it is settled.
pub fn settle_call(contracts: &SettleContracts, authorization: &Authorization, charge: U256) -> Option<Call> {
    let call = token_call(contracts, authorization, charge)?;
    // Where the settlement fails, the contract is not created either.
    Some(
        authorization
            .deployment()
            .map_or_else(|| call.clone(), |deployment| deploying(deployment, &call, false)),
    )
}

fn token_call(contracts: &SettleContracts, authorization: &Authorization, charge: U256) -> Option<Call> {
    let Authorization { token, payer, payee, amount, nonce, valid_after, valid_before, signature, .. } =
        authorization;
    let nonce_bytes = B256::from(*nonce);
    let (to, data) = match &authorization.method {
        Method::Eip3009 { .. } => {
            let data = match split(signature) {
                Some((r, s, v)) => IEip3009::transferWithAuthorization_0Call {
                    from: *payer,
                    to: *payee,
                    value: *amount,
                    validAfter: *valid_after,
                    validBefore: *valid_before,
                    nonce: nonce_bytes,
                    v,
                    r,
                    s,
                }
                .abi_encode(),
                None => IEip3009::transferWithAuthorization_1Call {
                    from: *payer,
                    to: *payee,
                    value: *amount,
                    validAfter: *valid_after,
                    validBefore: *valid_before,
                    nonce: nonce_bytes,
                    signature: signature.clone(),
                }
                .abi_encode(),
            };
            (*token, data)
        }
        Method::CitrateFee { contract, .. } => {
            let (r, s, v) = split(signature)?;
            let data = ICitrateFacilitator::settlePaymentCall {
                from: *payer,
                to: *payee,
                value: *amount,
                validAfter: *valid_after,
                validBefore: *valid_before,
                nonce: nonce_bytes,
                v,
                r,
                s,
            };
            (*contract, data.abi_encode())
        }
        Method::Permit2Exact { permit } => {
            let transfer = permitted(authorization);
            let witness = Exact::Witness { to: *payee, validAfter: *valid_after };
            let (owner, signature) = (*payer, signature.clone());
            let data = match permit {
                None => Exact::settleCall { permit: transfer, owner, witness, signature }.abi_encode(),
                Some(permit) => Exact::settleWithPermitCall {
                    permit2612: permit_2612(permit)?,
                    permit: transfer,
                    owner,
                    witness,
                    signature,
                }
                .abi_encode(),
            };
            (contracts.exact_proxy, data)
        }
        Method::Permit2Upto { facilitator, permit } => {
            let transfer = permitted(authorization);
            let witness = Upto::Witness { to: *payee, facilitator: *facilitator, validAfter: *valid_after };
            let (owner, signature) = (*payer, signature.clone());
            let data = match permit {
                None => Upto::settleCall { permit: transfer, amount: charge, owner, witness, signature }
                    .abi_encode(),
                Some(permit) => Upto::settleWithPermitCall {
                    permit2612: permit_2612(permit)?,
                    permit: transfer,
                    amount: charge,
                    owner,
                    witness,
                    signature,
                }
                .abi_encode(),
            };
            (contracts.upto_proxy, data)
        }
    };
    Some(Call { to, value: U256::ZERO, data: data.into(), gas_limit: None })
}

fn permitted(authorization: &Authorization) -> Shared::PermitTransferFrom {
    Shared::PermitTransferFrom {
        permitted: Shared::TokenPermissions { token: authorization.token, amount: authorization.amount },
        nonce: authorization.nonce,
        deadline: authorization.valid_before,
    }
}

fn permit_2612(permit: &TokenPermit) -> Option<Shared::EIP2612Permit> {
    let (r, s, v) = split(&permit.signature)?;
    Some(Shared::EIP2612Permit { value: permit.amount, deadline: permit.deadline, r, s, v })
}

/// A signature of 65 bytes as r, s and v. The parity is given as 27 or 28, which is what tokens take.
fn split(signature: &Bytes) -> Option<(B256, B256, u8)> {
    let [rs @ .., v] = signature.as_ref() else { return None };
    let (r, s) = rs.split_at_checked(32)?;
    let v = if *v < 27 { v.checked_add(27)? } else { *v };
    Some((B256::try_from(r).ok()?, B256::try_from(s).ok()?, v))
}

/// One call of Multicall3 that makes others, of which each may fail alone.
pub fn together<'a>(calls: impl IntoIterator<Item = &'a Call>, gas_limit: u64) -> Call {
    let calls = calls.into_iter().map(|call| IMulticall3::Call3 {
        target: call.to,
        allowFailure: true,
        callData: call.data.clone(),
    });
    let data = IMulticall3::aggregate3Call { calls: calls.collect() }.abi_encode();
    Call { to: MULTICALL3, value: U256::ZERO, data: data.into(), gas_limit: Some(gas_limit) }
}

/// One call of Multicall3 that creates a contract first, which may be there by then, and makes another call then.
pub(crate) fn deploying(deployment: &Deployment, call: &Call, may_fail: bool) -> Call {
    let Deployment { factory, calldata } = deployment;
    let create = IMulticall3::Call3 { target: *factory, allowFailure: true, callData: calldata.clone() };
    let then = IMulticall3::Call3 { target: call.to, allowFailure: may_fail, callData: call.data.clone() };
    let data = IMulticall3::aggregate3Call { calls: vec![create, then] }.abi_encode();
    Call { to: MULTICALL3, value: U256::ZERO, data: data.into(), gas_limit: call.gas_limit }
}

/// The question whether an authorization's nonce was used: the contract, and the calldata.
pub fn is_used_call(contracts: &SettleContracts, authorization: &Authorization) -> Call {
    let (to, data) = match authorization.method {
        Method::Eip3009 { .. } | Method::CitrateFee { .. } => {
            let nonce = B256::from(authorization.nonce);
            let call = IEip3009::authorizationStateCall { authorizer: authorization.payer, nonce };
            (authorization.token, call.abi_encode())
        }
        Method::Permit2Exact { .. } | Method::Permit2Upto { .. } => {
            let word = authorization.nonce >> 8_usize;
            let call = IPermit2::nonceBitmapCall { owner: authorization.payer, wordPos: word };
            (contracts.permit2, call.abi_encode())
        }
    };
    Call { to, value: U256::ZERO, data: data.into(), gas_limit: None }
}

/// What the answer to [`is_used_call`] says. `None`: it cannot be read.
pub fn is_used(authorization: &Authorization, answer: &[u8]) -> Option<bool> {
    let word = U256::try_from_be_slice(answer.get(..32)?)?;
    Some(match authorization.method {
        Method::Eip3009 { .. } | Method::CitrateFee { .. } => !word.is_zero(),
        Method::Permit2Exact { .. } | Method::Permit2Upto { .. } => {
            let bit = authorization.nonce.as_le_slice().first().copied().unwrap_or_default();
            word.bit(usize::from(bit))
        }
    })
}

#[cfg(test)]
mod tests {
    use salt402_protocol::ChainId;

    use super::*;

    fn authorization(method: Method) -> Authorization {
        Authorization {
            chain: ChainId::CITRATE,
            token: Address::repeat_byte(0x70),
            payer: Address::repeat_byte(1),
            payee: Address::repeat_byte(2),
            amount: U256::from(100_u64),
            nonce: U256::from(0x0105_u64),
            valid_after: U256::ZERO,
            valid_before: U256::from(9_u64),
            signature: [[3; 32].as_slice(), &[4; 32], &[1]].concat().into(),
            method,
        }
    }

    fn eip3009() -> Method {
        Method::Eip3009 { name: "T".to_owned(), version: "1".to_owned(), deployment: None }
    }

    #[test]
    fn a_signature_of_65_bytes_goes_as_v_r_s_and_any_other_as_bytes() {
        let contracts = SettleContracts::default();
        let mut signed = authorization(eip3009());
        let call = settle_call(&contracts, &signed, signed.amount).unwrap();
        let read = IEip3009::transferWithAuthorization_0Call::abi_decode(&call.data).unwrap();
        assert_eq!((read.v, read.r, read.s), (28, B256::repeat_byte(3), B256::repeat_byte(4)));
        signed.signature = vec![7; 96].into();
        let call = settle_call(&contracts, &signed, signed.amount).unwrap();
        let read = IEip3009::transferWithAuthorization_1Call::abi_decode(&call.data).unwrap();
        assert_eq!((read.signature, read.value), (signed.signature.clone(), signed.amount));
        // Citrate's facilitator takes no other.
        signed.method = Method::CitrateFee {
            contract: Address::repeat_byte(9),
            treasury: Address::repeat_byte(8),
            fee: U256::from(1_u64),
            name: String::new(),
            version: String::new(),
        };
        assert_eq!(settle_call(&contracts, &signed, signed.amount), None);
    }

    #[test]
    fn a_wallet_is_created_before_the_call_and_never_without_it() {
        let contracts = SettleContracts::default();
        let plain = authorization(eip3009());
        let call = settle_call(&contracts, &plain, plain.amount).unwrap();
        let mut signed = plain.clone();
        let deployment = Deployment { factory: Address::repeat_byte(0xfa), calldata: vec![7; 36].into() };
        if let Method::Eip3009 { deployment: place, .. } = &mut signed.method {
            *place = Some(deployment.clone());
        }
        let together = settle_call(&contracts, &signed, signed.amount).unwrap();
        let calls = IMulticall3::aggregate3Call::abi_decode(&together.data).unwrap().calls;
        let told: Vec<_> =
            calls.iter().map(|one| (one.target, one.allowFailure, one.callData.clone())).collect();
        assert_eq!(together.to, MULTICALL3);
        assert_eq!(
            told,
            [(deployment.factory, true, deployment.calldata), (plain.token, false, call.data)],
            "somebody may have created it by then, and alone it is not created"
        );
        // What creates it was not signed, and a retry may show the payment without it.
        assert_eq!(signed.without_signatures(), plain.without_signatures());
        assert_eq!(signed.id(), plain.id());
    }

    #[test]
    fn upto_asks_for_the_charge_and_exact_for_all() {
        let contracts = SettleContracts::default();
        let upto = authorization(Method::Permit2Upto { facilitator: Address::repeat_byte(5), permit: None });
        let call = settle_call(&contracts, &upto, U256::from(30_u64)).unwrap();
        let read = Upto::settleCall::abi_decode(&call.data).unwrap();
        assert_eq!(
            (call.to, read.amount, read.permit.permitted.amount),
            (contracts.upto_proxy, U256::from(30_u64), upto.amount)
        );
        let permit = TokenPermit {
            amount: upto.amount,
            nonce: U256::ZERO,
            deadline: U256::from(8_u64),
            signature: upto.signature,
        };
        let exact = authorization(Method::Permit2Exact { permit: Some(permit) });
        let call = settle_call(&contracts, &exact, exact.amount).unwrap();
        let read = Exact::settleWithPermitCall::abi_decode(&call.data).unwrap();
        assert_eq!((call.to, read.permit2612.v, read.owner), (contracts.exact_proxy, 28, exact.payer));
    }

    #[test]
    fn a_nonce_of_permit2_is_one_bit_of_a_word() {
        let permit2 = authorization(Method::Permit2Exact { permit: None });
        let call = is_used_call(&SettleContracts::default(), &permit2);
        let read = IPermit2::nonceBitmapCall::abi_decode(&call.data).unwrap();
        assert_eq!(read.wordPos, U256::from(1_u64));
        let word = |bit: usize| (U256::from(1_u64) << bit).to_be_bytes::<32>();
        assert_eq!(is_used(&permit2, &word(5)), Some(true));
        assert_eq!(is_used(&permit2, &word(4)), Some(false));
        assert_eq!(is_used(&permit2, &[]), None, "an address without code");
        assert_eq!(is_used(&authorization(eip3009()), &word(0)), Some(true));
    }
}
