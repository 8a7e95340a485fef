//! Signatures of contracts that may not exist yet (ERC-6492).

use alloy_primitives::{Address, B256, Bytes, b256};
use alloy_sol_types::SolValue as _;

use crate::authorization::Deployment;

/// What ends a wrapped signature.
const MAGIC: B256 = b256!("6492649264926492649264926492649264926492649264926492649264926492");

/// The signature without what would create its signer, and that. What is wrapped wrongly, or names no factory, stays as it is.
pub(crate) fn unwrap(signature: &Bytes) -> (Bytes, Option<Deployment>) {
    let unwrapped = signature
        .strip_suffix(MAGIC.as_slice())
        .and_then(|wrapped| <(Address, Bytes, Bytes)>::abi_decode_params(wrapped).ok())
        .filter(|(factory, _, _)| !factory.is_zero());
    match unwrapped {
        Some((factory, calldata, inner)) => (inner, Some(Deployment { factory, calldata })),
        None => (signature.clone(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_signature_is_found_and_any_other_stays() {
        let (inner, calldata) = (Bytes::from(vec![7; 65]), Bytes::from(vec![1, 2, 3]));
        let wrap = |factory: Address| {
            let mut bytes = (factory, calldata.clone(), inner.clone()).abi_encode_params();
            bytes.extend_from_slice(MAGIC.as_slice());
            Bytes::from(bytes)
        };
        let factory = Address::repeat_byte(1);
        let deployment = Deployment { factory, calldata: calldata.clone() };
        assert_eq!(unwrap(&wrap(factory)), (inner.clone(), Some(deployment)));
        assert_eq!(unwrap(&wrap(Address::ZERO)), (wrap(Address::ZERO), None));
        assert_eq!(unwrap(&inner), (inner.clone(), None));
        let broken = Bytes::from([&[9; 40], MAGIC.as_slice()].concat());
        assert_eq!(unwrap(&broken), (broken.clone(), None));
    }
}
