//! What an operator writes.

use salt402_cli::{check_configuration, parse_price};
use salt402_protocol::Amount;

/// A configuration is understood as a whole or refused with words: a key that nobody knows is never passed over, and a
/// value that is given twice never has two meanings.
pub(crate) fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match check_configuration(text) {
        Ok(()) => {
            assert_eq!(check_configuration(&format!("{text}\n# a comment")), Ok(()));
            for more in ["surprise = 1\n", "data = 1\n", "chains = 1\n"] {
                assert!(check_configuration(&format!("{more}{text}")).is_err(), "{more:?} was passed over");
            }
        }
        Err(told) => {
            assert!(!told.trim().is_empty());
            assert_eq!(check_configuration(text), Err(told));
        }
    }
}

/// A price has its unit, or is a whole number of base units; and is written back as what it was read as.
pub(crate) fn price(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for (symbol, decimals) in [("SALT", 18), ("ETH", 18), ("USDC", 6), ("ONE", 0), ("MANY", 77)] {
        let Ok(amount) = parse_price(text, symbol, decimals) else { continue };
        let units = format!("{} {symbol}", amount.to_units(decimals));
        assert_eq!(parse_price(&units, symbol, decimals), Ok(amount));
        assert_eq!(parse_price(&amount.to_string(), symbol, decimals), Ok(amount));
        match text.trim().split_once(char::is_whitespace) {
            Some((_, unit)) => assert_eq!(unit.trim(), symbol),
            // The same number whatever the coin is called and however it is divided.
            None => assert_eq!(Amount::from_base_units(text.trim()), Ok(amount)),
        }
    }
}

#[cfg(test)]
mod tests {
    /// Seeds that are all refused would show nothing of what is read.
    #[test]
    fn the_seeds_hold_configurations_that_are_accepted() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/config");
        for accepted in ["small", "whole", "forward_auth", "nodes", "example"] {
            let text = std::fs::read_to_string(format!("{seeds}/{accepted}")).unwrap();
            assert_eq!(super::check_configuration(&text), Ok(()), "{accepted}");
        }
        for refused in ["unknown", "empty", "depth", "doubled", "moved"] {
            let text = std::fs::read_to_string(format!("{seeds}/{refused}")).unwrap();
            assert!(super::check_configuration(&text).is_err(), "{refused}");
        }
    }
}
