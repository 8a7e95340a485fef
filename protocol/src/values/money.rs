//! Amounts of money: integers in base units.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::U256;

use crate::values::text::serde_as_text;

/// An amount in the base units of its asset (the wei of a native coin, 10⁻¹⁸ SALT; the smallest unit of an ERC-20).
///
/// On the wire it is a string of decimal digits. Signs, fractions, exponents, separators, hexadecimal and JSON numbers
/// are refused, because different software reads them differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(pub U256);

/// Why a text is not an amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// The text is empty.
    #[error("the amount is empty: give a whole number of base units, such as \"1000000000000000\"")]
    Empty,
    /// A character other than `0`–`9` (and, in units, one decimal point).
    #[error("the amount contains {0:?}: only the digits 0 to 9 are allowed, no sign, exponent or separator")]
    NotADigit(char),
    /// A fraction of a base unit, or a fraction where base units are expected.
    #[error("the amount has {given} decimal places, but its asset has only {allowed}")]
    TooManyDecimals {
        /// Decimal places in the text.
        given: usize,
        /// Decimal places of the asset.
        allowed: u8,
    },
    /// More than 2²⁵⁶ − 1 base units.
    #[error("the amount is larger than 2^256 - 1 base units")]
    TooLarge,
}

impl Amount {
    /// No money.
    pub const ZERO: Self = Self(U256::ZERO);
    /// One base unit.
    pub const ONE: Self = Self(U256::ONE);

    /// Parses a whole number of base units: digits only, at most 2²⁵⁶ − 1. Leading zeros are refused, so an amount has
    /// exactly one spelling.
    pub fn from_base_units(text: &str) -> Result<Self, AmountError> {
        if text.is_empty() {
            return Err(AmountError::Empty);
        }
        if let Some(odd) = text.chars().find(|c| !c.is_ascii_digit()) {
            return Err(match odd {
                '.' => AmountError::TooManyDecimals {
                    given: text.len() - 1 - text.find('.').unwrap_or(0),
                    allowed: 0,
                },
                other => AmountError::NotADigit(other),
            });
        }
        if text.len() > 1 && text.starts_with('0') {
            return Err(AmountError::NotADigit('0'));
        }
        U256::from_str_radix(text, 10).map(Self).map_err(|_| AmountError::TooLarge)
    }

    /// Parses a decimal number of whole units, such as `0.001`, exactly. A text with more than `decimals` places is
    /// refused, not rounded.
    pub fn from_units(text: &str, decimals: u8) -> Result<Self, AmountError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if whole.is_empty() || (text.contains('.') && fraction.is_empty()) {
            return Err(AmountError::Empty);
        }
        if let Some(odd) = whole.chars().chain(fraction.chars()).find(|c| !c.is_ascii_digit()) {
            return Err(AmountError::NotADigit(odd));
        }
        if fraction.len() > usize::from(decimals) {
            return Err(AmountError::TooManyDecimals { given: fraction.len(), allowed: decimals });
        }
        let digits = format!("{whole}{fraction:0<width$}", width = usize::from(decimals));
        U256::from_str_radix(&digits, 10).map(Self).map_err(|_| AmountError::TooLarge)
    }

    /// Writes a decimal number of whole units, exact and without trailing zeros. The inverse of [`Self::from_units`].
    pub fn to_units(self, decimals: u8) -> String {
        let places = usize::from(decimals);
        let digits = format!("{:0>width$}", self.0.to_string(), width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        match fraction.trim_end_matches('0') {
            "" => whole.to_owned(),
            rest => format!("{whole}.{rest}"),
        }
    }

    /// The sum, or `None` above 2²⁵⁶ − 1.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The product with a count, or `None` above 2²⁵⁶ − 1.
    pub fn checked_mul(self, count: u64) -> Option<Self> {
        self.0.checked_mul(U256::from(count)).map(Self)
    }

    /// Whether the amount is zero.
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        Self::from_base_units(text)
    }
}

serde_as_text!(Amount);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn base_units_are_digits_and_nothing_else() {
        for bad in ["", "-1", "+1", "1.5", "1.0", "1e3", "0x1", "1_000", " 1", "1 ", "١", "01", "00"] {
            assert!(Amount::from_base_units(bad).is_err(), "{bad:?} was accepted");
        }
        let most = U256::MAX.to_string();
        assert_eq!(Amount::from_base_units(&most), Ok(Amount(U256::MAX)));
        let beyond = format!("{}6", &most[..most.len() - 1]);
        assert_eq!(Amount::from_base_units(&beyond), Err(AmountError::TooLarge));
        assert_eq!(Amount::from_base_units(&"9".repeat(5000)), Err(AmountError::TooLarge));
    }

    #[test]
    fn json_numbers_are_refused() {
        assert!(serde_json::from_str::<Amount>("1").is_err());
        assert!(serde_json::from_str::<Amount>("1.0").is_err());
        assert_eq!(serde_json::from_str::<Amount>("\"1\"").unwrap(), Amount(U256::from(1)));
        assert_eq!(serde_json::to_string(&Amount(U256::from(7))).unwrap(), "\"7\"");
    }

    #[test]
    fn units_are_exact() {
        assert_eq!(Amount::from_units("0.001", 18).unwrap().to_string(), "1000000000000000");
        assert_eq!(Amount::from_units("12", 6).unwrap().to_string(), "12000000");
        assert_eq!(
            Amount::from_units("0.0000001", 6),
            Err(AmountError::TooManyDecimals { given: 7, allowed: 6 })
        );
        for bad in ["", ".", "1.", ".5", "-0.1", "1.2.3", "1,5"] {
            assert!(Amount::from_units(bad, 18).is_err(), "{bad:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn units_and_base_units_are_inverse(limbs: [u64; 4], decimals in 0u8..=77) {
            let amount = Amount(U256::from_limbs(limbs));
            prop_assert_eq!(Amount::from_units(&amount.to_units(decimals), decimals), Ok(amount));
            prop_assert_eq!(amount.to_string().parse(), Ok(amount));
        }
    }
}
