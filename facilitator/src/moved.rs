//! From a receipt's logs to what was moved.

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent as _;
use salt402_chain::Log;
use salt402_protocol::foreign::IToken;

use crate::authorization::{Authorization, Method};

/// What a settlement leaves in the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The token.
    pub token: Address,
    /// Who pays.
    pub from: Address,
    /// Who is paid.
    pub to: Address,
    /// How much arrives, in base units of the token.
    pub value: U256,
    /// The nonce that the token says it used.
    pub nonce: Option<B256>,
}

impl Expected {
    /// What settling an authorization with this charge leaves.
    pub fn of(authorization: &Authorization, charge: U256) -> Self {
        let nonce = B256::from(authorization.nonce);
        let (value, nonce) = match &authorization.method {
            Method::Eip3009 { .. } => (charge, Some(nonce)),
            Method::CitrateFee { fee, .. } => (charge.saturating_sub(*fee), Some(nonce)),
            Method::Permit2Exact { .. } | Method::Permit2Upto { .. } => (charge, None),
        };
        let Authorization { token, payer: from, payee: to, .. } = *authorization;
        Self { token, from, to, value, nonce }
    }

    /// Whether a log is the transfer.
    pub(crate) fn is_transfer(&self, log: &Log) -> bool {
        log.contract == self.token
            && IToken::Transfer::decode_log_data_validate(&log.content).is_ok_and(|transfer| {
                transfer.from == self.from && transfer.to == self.to && transfer.value == self.value
            })
    }

    /// Whether a log says that the nonce was used.
    pub(crate) fn is_use(&self, log: &Log) -> bool {
        log.contract == self.token
            && IToken::AuthorizationUsed::decode_log_data_validate(&log.content)
                .is_ok_and(|used| used.authorizer == self.from && Some(used.nonce) == self.nonce)
    }
}

/// Which settlements the logs of a transaction show. Each transfer shows one.
pub fn moved(expected: &[Expected], logs: &[Log]) -> Vec<bool> {
    let mut used = vec![false; logs.len()];
    let shown = expected.iter().map(|one| {
        if one.nonce.is_some() && !logs.iter().any(|log| one.is_use(log)) {
            return false;
        }
        let place = logs.iter().zip(&used).position(|(log, used)| !used && one.is_transfer(log));
        match place.and_then(|place| used.get_mut(place)) {
            Some(used) => {
                *used = true;
                true
            }
            None => false,
        }
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use alloy_primitives::LogData;

    use super::*;

    fn log(content: LogData) -> Log {
        Log {
            contract: Address::repeat_byte(0x70),
            content,
            transaction: B256::ZERO,
            block_number: 1,
            block_hash: B256::ZERO,
            block_timestamp: None,
        }
    }

    fn transfer(value: u64) -> Log {
        let (from, to) = (Address::repeat_byte(1), Address::repeat_byte(2));
        log(IToken::Transfer { from, to, value: U256::from(value) }.encode_log_data())
    }

    fn used(nonce: u64) -> Log {
        let (authorizer, nonce) = (Address::repeat_byte(1), B256::from(U256::from(nonce)));
        log(IToken::AuthorizationUsed { authorizer, nonce }.encode_log_data())
    }

    #[test]
    fn only_logs_of_exactly_this_movement_show_it_and_each_shows_one() {
        let one = Expected {
            token: Address::repeat_byte(0x70),
            from: Address::repeat_byte(1),
            to: Address::repeat_byte(2),
            value: U256::from(100_u64),
            nonce: Some(B256::from(U256::from(0x0105_u64))),
        };
        let other = Expected { nonce: Some(B256::from(U256::from(6_u64))), ..one };
        assert_eq!(moved(&[one], &[used(0x0105), transfer(100)]), [true]);
        assert_eq!(moved(&[one], &[transfer(100)]), [false], "no nonce was used");
        assert_eq!(moved(&[one], &[used(0x0105)]), [false], "nothing moved");
        assert_eq!(moved(&[one], &[used(0x0105), transfer(99)]), [false], "a fee was taken");
        assert_eq!(moved(&[one, other], &[used(0x0105), transfer(100), used(6)]), [true, false]);
        let elsewhere = Log { contract: Address::repeat_byte(0x71), ..transfer(100) };
        assert_eq!(moved(&[one], &[used(0x0105), elsewhere]), [false], "another token");
    }
}
