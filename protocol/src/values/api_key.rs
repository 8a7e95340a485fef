//! API keys, and the accounts that they draw from.

use std::fmt;

use alloy_primitives::{B128, B256, keccak256};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The shortest and the longest key, in characters.
const LENGTHS: std::ops::RangeInclusive<usize> = 39..=200;

/// How many of its characters make a text a part of a key.
const LEAST_OF_SECRET: usize = 8;

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// The id of an account with a prepaid balance. It is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccountId(pub B128);

impl AccountId {
    /// The id of the account that a payment with this id made.
    ///
    /// ```text
    /// the first 16 bytes of keccak256( "salt402-account-v1" ‖ payment id (32 bytes) )
    /// ```
    pub fn made_by(payment: B256) -> Self {
        let whole = keccak256([b"salt402-account-v1".as_slice(), payment.as_slice()].concat());
        Self(B128::from_slice(&whole[..16]))
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for AccountId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = text.strip_prefix("0x").filter(|digits| digits.len() == 32).and_then(|_| text.parse().ok());
        id.map(Self).ok_or_else(|| "an account's id is 0x and 32 hexadecimal digits".to_owned())
    }
}

/// An API key: `sk-402-` and 32 to 193 letters, digits, `-` and `_`. It is a secret, and no log shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// How every key begins.
    pub const PREFIX: &str = "sk-402-";

    /// A key of 32 secret bytes.
    pub fn of_secret(secret: B256) -> Self {
        Self(format!("{}{}", Self::PREFIX, alloy_primitives::hex::encode(secret)))
    }

    /// Whether a text claims to be a key of this kind.
    pub fn is_claimed_by(text: &str) -> bool {
        text.starts_with(Self::PREFIX)
    }

    /// A key from its text, if it has the form of one.
    pub fn read(text: &str) -> Option<Self> {
        let fits = Self::is_claimed_by(text) && LENGTHS.contains(&text.len()) && text.bytes().all(is_plain);
        fits.then(|| Self(text.to_owned()))
    }

    /// Whether something holds what may be a key, as a word of its own, or a part of one.
    pub fn is_within(bytes: &[u8]) -> bool {
        let prefix = Self::PREFIX.as_bytes();
        bytes.windows(prefix.len()).enumerate().any(|(at, part)| {
            let before = at.checked_sub(1).and_then(|at| bytes.get(at));
            let secret = bytes.iter().skip(at + prefix.len()).take_while(|byte| is_plain(**byte)).count();
            part.eq_ignore_ascii_case(prefix)
                && before.is_none_or(|byte| !is_plain(*byte))
                && secret >= LEAST_OF_SECRET
        })
    }

    /// Its SHA-256, which is all that is kept of it.
    pub fn hash(&self) -> B256 {
        B256::new(Sha256::digest(self.0.as_bytes()).into())
    }

    /// The key itself, to be told to whoever owns it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_form_and_shows_itself_to_nobody() {
        let key = ApiKey::of_secret(B256::repeat_byte(7));
        assert_eq!(ApiKey::read(key.reveal()), Some(key.clone()));
        assert_eq!(key.reveal().len(), 7 + 64);
        assert_eq!(format!("{key:?}"), "ApiKey(secret)");
        for bad in ["sk-402-", "sk-402-short", "sk-proj-0123456789012345678901234567890123456789", "unused"] {
            assert_eq!(ApiKey::read(bad), None, "{bad}");
        }
        for sign in [" ", "é", "\n", "."] {
            assert_eq!(ApiKey::read(&format!("sk-402-{}{sign}", "a".repeat(40))), None);
        }
        // What clients compute when they bring a key of their own.
        let own = ApiKey::read("sk-402-0123456789abcdef0123456789abcdef").unwrap();
        assert_eq!(own.hash(), B256::new(Sha256::digest(b"sk-402-0123456789abcdef0123456789abcdef").into()));
    }

    #[test]
    fn a_key_is_found_in_whatever_holds_it() {
        let key = format!("{}{}", ApiKey::PREFIX, "a".repeat(32));
        for text in [&key, &key.to_uppercase(), &key[..20], &format!("Bearer {key}"), &format!("k={key}; b")]
        {
            assert!(ApiKey::is_within(text.as_bytes()), "{text}");
        }
        for text in ["", "sk-402-", "sk-402-x y", "task-402-0123456789", "sk-401-0123456789"] {
            assert!(!ApiKey::is_within(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn an_accounts_id_is_read_as_it_is_written() {
        let id = AccountId::made_by(B256::repeat_byte(1));
        assert_eq!(id.to_string().parse::<AccountId>(), Ok(id));
        for bad in
            ["", "0x", "0x00", "00000000000000000000000000000000", "0x0000000000000000000000000000000g"]
        {
            assert!(bad.parse::<AccountId>().is_err(), "{bad}");
        }
    }
}
