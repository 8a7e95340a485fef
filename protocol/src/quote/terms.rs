//! Quotes and their bytes: what is asked for which request, and until when.

use alloy_primitives::{Address, B256, U256};
use sha2::{Digest as _, Sha256};

use crate::values::asset::Asset;
use crate::values::money::Amount;
use crate::values::network::ChainId;
use crate::values::request::RequestDigest;

/// Bytes of a quote that names no service.
pub(crate) const UNNAMED: usize = 166;
/// Bytes of a quote that names its service.
pub(crate) const NAMED: usize = UNNAMED + SERVICE;
/// Bytes of a service in a quote: a multiple of three, as all of an id is, so that it is written without padding.
const SERVICE: usize = 18;
/// Bytes of the mark of a database. It stands in the second half of the nonce, so that ids have the length that they had.
pub(crate) const MARK: usize = 8;
/// Bits of a quote's second byte.
const RANDOM: u8 = 1;
const MARKED: u8 = 2;
/// Layout versions of the bytes.
const UNNAMED_VERSION: u8 = 1;
const NAMED_VERSION: u8 = 2;

/// Who gives a quote: the beginning of the SHA-256 of the name under which the payment will be claimed.
///
/// Names are chosen by the operator, so nobody looks for two that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Service([u8; SERVICE]);

impl Service {
    /// The service of a name; none of an empty one.
    pub fn named(name: &str) -> Option<Self> {
        let digest = Sha256::digest(name);
        let service = digest.first_chunk().copied().map(Self);
        service.filter(|_| !name.is_empty())
    }
}

/// Which database's server gave a quote: drawn when the database is made. Another one has forgotten what this one granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DatabaseMark(pub [u8; MARK]);

/// What is to be paid, to whom, for which request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The chain to pay on.
    pub chain: ChainId,
    /// The payment contract to pay through.
    pub contract: Address,
    /// Who is to be paid.
    pub payee: Address,
    /// What is to be paid.
    pub asset: Asset,
    /// How much, in base units; never zero in a quote that a server gives.
    pub amount: Amount,
    /// The request that is paid for.
    pub request: RequestDigest,
    /// Whose price this is; `None` where whoever asked for the quote did not say who it is.
    pub service: Option<Service>,
}

/// Terms, their validity, and what makes them unguessable or found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// What is asked.
    pub terms: Terms,
    /// When it was given, in seconds since 1970 UTC.
    pub issued_at: u64,
    /// The last second in which a payment for it may be mined, in seconds since 1970 UTC.
    pub expires_at: u64,
    /// Sixteen random bytes, or `None` for a quote that can be derived again from the request alone. Of those that name a
    /// database the last eight are zero.
    pub nonce: Option<[u8; 16]>,
    /// The database of the server that gave it; `None` where that kept no mark, as none did at first.
    pub database: Option<DatabaseMark>,
}

impl Quote {
    /// Whether a payment mined at `mined_at` came before the quote's end, give or take `skew` seconds.
    ///
    /// There is no beginning to hold it against: nobody knows a reference before it was given, so a payment that carries it and
    /// is dated before it is dated by a chain whose clock is behind.
    pub fn pays_in_time(&self, mined_at: u64, skew: u64) -> bool {
        mined_at <= self.expires_at.saturating_add(skew)
    }

    /// Its bytes, without a code.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let version = if self.terms.service.is_some() { NAMED_VERSION } else { UNNAMED_VERSION };
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        out.extend_from_slice(&[
            version,
            flag(self.nonce.is_some(), RANDOM) | flag(self.database.is_some(), MARKED),
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
            nonce[16 - MARK..].copy_from_slice(mark);
        }
        out.extend_from_slice(&nonce);
        if let Some(Service(service)) = self.terms.service {
            out.extend_from_slice(&service);
        }
    }

    /// The inverse of [`Self::write`]; `None` for bytes of no layout that is known.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (bytes, service) = match (bytes.first()?, bytes.len()) {
            (&UNNAMED_VERSION, UNNAMED) => (bytes, None),
            (&NAMED_VERSION, NAMED) => {
                bytes.split_last_chunk().map(|(rest, name)| (rest, Some(Service(*name))))?
            }
            _ => return None,
        };
        let mut rest = &bytes[1..UNNAMED];
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
        let mark = nonce.last_chunk().copied().map(DatabaseMark).filter(|_| flags & MARKED != 0);
        if mark.is_some() {
            nonce[16 - MARK..].fill(0);
        }
        Some(Self {
            terms: Terms { chain, contract, payee, asset, amount, request, service },
            issued_at,
            expires_at,
            nonce: (flags & RANDOM != 0).then_some(nonce),
            database: mark,
        })
    }
}
