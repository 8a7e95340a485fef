//! Quotes and their byte layout.

use alloy_primitives::{Address, B256, U256};
use sha2::{Digest as _, Sha256};

use crate::values::asset::Asset;
use crate::values::money::Amount;
use crate::values::network::ChainId;
use crate::values::request::RequestDigest;

/// The length of a quote that names no service, in bytes.
pub(crate) const BYTES_WITHOUT_SERVICE: usize = 166;
/// The length of a quote that names its service, in bytes.
pub(crate) const BYTES_WITH_SERVICE: usize = BYTES_WITHOUT_SERVICE + SERVICE_BYTES;
/// The length of a service in a quote, in bytes. A multiple of three, like the whole id, so base64url needs no padding.
const SERVICE_BYTES: usize = 18;
/// The length of a database mark, in bytes. The mark is the second half of the nonce, so ids keep their length.
pub(crate) const MARK_BYTES: usize = 8;
/// The flag bits in a quote's second byte.
const HAS_NONCE: u8 = 1;
const HAS_MARK: u8 = 2;
/// The layout versions.
const VERSION_WITHOUT_SERVICE: u8 = 1;
const VERSION_WITH_SERVICE: u8 = 2;

/// The service that a quote is for: the first bytes of the SHA-256 of the claimant's name.
///
/// The operator chooses the names, so nobody searches for two with equal first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Service([u8; SERVICE_BYTES]);

impl Service {
    /// The service of a name. `None` for an empty name.
    pub fn named(name: &str) -> Option<Self> {
        let digest = Sha256::digest(name);
        let service = digest.first_chunk().copied().map(Self);
        service.filter(|_| !name.is_empty())
    }
}

/// Random bytes that a database gets when it is made. They show which database gave a quote: another database does not
/// know what this one has granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DatabaseMark(pub [u8; MARK_BYTES]);

/// What to pay, to whom, and for which request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The chain to pay on.
    pub chain: ChainId,
    /// The payment contract to pay through.
    pub contract: Address,
    /// The account to pay.
    pub payee: Address,
    /// The asset to pay.
    pub asset: Asset,
    /// The amount, in base units. A server's quote is never over zero.
    pub amount: Amount,
    /// The request to pay for.
    pub request: RequestDigest,
    /// The service that set the price. `None`: the caller that asked for the quote did not name itself.
    pub service: Option<Service>,
}

/// The terms, their validity, and the nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The terms.
    pub terms: Terms,
    /// When the quote was given, in seconds since 1970 UTC.
    pub issued_at: u64,
    /// The last second in which a payment may be mined, in seconds since 1970 UTC.
    pub expires_at: u64,
    /// Sixteen random bytes. `None`: the quote can be derived again from the request. The last eight bytes are zero if
    /// the quote carries a database mark.
    pub nonce: Option<[u8; 16]>,
    /// The database of the server that gave the quote. `None`: the database had no mark yet, as in early versions.
    pub database: Option<DatabaseMark>,
}

impl Quote {
    /// Whether a payment mined at `mined_at` came before the quote's end, with a tolerance of `skew` seconds.
    ///
    /// The start is not checked. Nobody knows a reference before its quote is given, so an earlier block time only
    /// means that the chain's clock is behind.
    pub fn pays_in_time(&self, mined_at: u64, skew: u64) -> bool {
        mined_at <= self.expires_at.saturating_add(skew)
    }

    /// Writes the quote's bytes, without the authentication code.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let version =
            if self.terms.service.is_some() { VERSION_WITH_SERVICE } else { VERSION_WITHOUT_SERVICE };
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        out.extend_from_slice(&[
            version,
            flag(self.nonce.is_some(), HAS_NONCE) | flag(self.database.is_some(), HAS_MARK),
        ]);
        out.extend_from_slice(&self.terms.chain.get().to_be_bytes());
        out.extend_from_slice(self.terms.contract.as_slice());
        out.extend_from_slice(self.terms.payee.as_slice());
        out.extend_from_slice(self.terms.asset.address().as_slice());
        out.extend_from_slice(&self.terms.amount.0.to_be_bytes::<32>());
        out.extend_from_slice(&self.issued_at.to_be_bytes());
        out.extend_from_slice(&self.expires_at.to_be_bytes());
        out.extend_from_slice(self.terms.request.0.as_slice());
        let mut nonce = self.nonce.unwrap_or_default();
        if let Some(DatabaseMark(mark)) = &self.database {
            nonce[16 - MARK_BYTES..].copy_from_slice(mark);
        }
        out.extend_from_slice(&nonce);
        if let Some(Service(service)) = self.terms.service {
            out.extend_from_slice(&service);
        }
    }

    /// The inverse of [`Self::write`]. `None` for an unknown layout.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (bytes, service) = match (bytes.first()?, bytes.len()) {
            (&VERSION_WITHOUT_SERVICE, BYTES_WITHOUT_SERVICE) => (bytes, None),
            (&VERSION_WITH_SERVICE, BYTES_WITH_SERVICE) => {
                bytes.split_last_chunk().map(|(rest, name)| (rest, Some(Service(*name))))?
            }
            _ => return None,
        };
        let mut rest = &bytes[1..BYTES_WITHOUT_SERVICE];
        let mut take = |length: usize| {
            let (head, tail) = rest.split_at(length);
            rest = tail;
            head
        };
        let [flags @ 0..=3] = *take(1) else { return None };
        let chain = ChainId::new(u64::from_be_bytes(take(8).try_into().ok()?))?;
        let contract = Address::from_slice(take(20));
        let payee = Address::from_slice(take(20));
        let asset = Asset::from_address(Address::from_slice(take(20)));
        let amount = Amount(U256::from_be_slice(take(32)));
        let issued_at = u64::from_be_bytes(take(8).try_into().ok()?);
        let expires_at = u64::from_be_bytes(take(8).try_into().ok()?);
        let request = RequestDigest(B256::from_slice(take(32)));
        let mut nonce: [u8; 16] = take(16).try_into().ok()?;
        let mark = nonce.last_chunk().copied().map(DatabaseMark).filter(|_| flags & HAS_MARK != 0);
        if mark.is_some() {
            nonce[16 - MARK_BYTES..].fill(0);
        }
        Some(Self {
            terms: Terms { chain, contract, payee, asset, amount, request, service },
            issued_at,
            expires_at,
            nonce: (flags & HAS_NONCE != 0).then_some(nonce),
            database: mark,
        })
    }
}
