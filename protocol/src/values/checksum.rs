//! Addresses as texts with their checksum (EIP-55).
//!
//! The checksum is a hash. The same few tokens and payees stand in most requests, and of those it is remembered.

use std::cell::RefCell;

use alloy_primitives::{Address, AddressChecksumBuffer};

/// How many addresses each thread remembers.
const REMEMBERED: usize = 64;

thread_local! {
    static KNOWN: RefCell<[Option<(Address, AddressChecksumBuffer)>; REMEMBERED]> =
        const { RefCell::new([const { None }; REMEMBERED]) };
}

/// The text of an address with its checksum.
pub(crate) fn checksummed(address: Address) -> AddressChecksumBuffer {
    let [.., last] = address.0.0;
    KNOWN.with_borrow_mut(|known| {
        let Some(place) = known.get_mut(usize::from(last) % REMEMBERED) else {
            return address.to_checksum_buffer(None);
        };
        match place {
            Some((of, text)) if *of == address => text.clone(),
            other => {
                let text = address.to_checksum_buffer(None);
                *other = Some((address, text.clone()));
                text
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Also where another address had the place.
        #[test]
        fn what_is_remembered_is_what_is_computed(accounts in proptest::collection::vec(any::<[u8; 20]>(), 1..40)) {
            for account in accounts.iter().chain(&accounts) {
                let address = Address::from(*account);
                let text = checksummed(address);
                prop_assert_eq!(text.as_str(), address.to_checksum(None));
            }
        }
    }
}
