//! Amounts as people write them, and example addresses that must be replaced.

use salt402_protocol::{Address, Amount};

use super::error::ConfigError;

/// Refuses an address that repeats one digit. Such an address is an example, and what is paid to it is lost.
pub(crate) fn no_placeholder(key: &str, address: Address) -> Result<Address, ConfigError> {
    let [first, ..] = *address.as_slice() else { return Ok(address) };
    let digit = first & 0x0f;
    if address.iter().any(|byte| *byte != digit << 4 | digit) {
        return Ok(address);
    }
    let what = format!("{address} stands in the example for an address of yours: write that in its place");
    Err(ConfigError::value(key, what))
}

/// Reads `0.001 SALT`, or a whole number of base units. A decimal number without a symbol is refused, since it could be
/// either.
///
/// # Errors
/// What was expected and what was found.
pub fn parse_price(text: &str, symbol: &str, decimals: u8) -> Result<Amount, String> {
    let expected =
        || format!("expected an amount such as \"0.001 {symbol}\", or a whole number of base units");
    let amount = match text.trim().split_once(char::is_whitespace) {
        Some((number, unit)) => {
            let unit = unit.trim();
            if unit != symbol {
                return Err(format!("{}; found the unit {unit:?}", expected()));
            }
            Amount::from_units(number, decimals)
        }
        None => Amount::from_base_units(text.trim()),
    };
    amount.map_err(|error| format!("{}; {error}", expected()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_has_its_unit_or_is_in_base_units() {
        let milli = Amount::from_base_units("1000000000000000").unwrap();
        assert_eq!(parse_price("0.001 SALT", "SALT", 18), Ok(milli));
        assert_eq!(parse_price("1000000000000000", "SALT", 18), Ok(milli));
        for bad in ["0.001", "0.001 ETH", "-1 SALT", "1e3", "", "0.0000000000000000001 SALT", "1 SALT SALT"] {
            assert!(parse_price(bad, "SALT", 18).is_err(), "{bad:?} was accepted");
        }
    }
}
