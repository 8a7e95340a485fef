//! `[facilitator.gas]` and `[facilitator.gas_per_day]`: what settling may cost.

use std::ops::RangeInclusive;

use salt402_facilitator::GasCaps;
use salt402_store::GasBudgets;
use serde::Deserialize;

use super::error::ConfigError;

/// The most gas of a settlement, as it may be configured. With less than the first even plain transfers would be called valid and
/// never be settled.
const GAS: RangeInclusive<u64> = 100_000..=10_000_000;

/// The most gas that one settlement may use.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct GasConfig {
    /// Of one by EIP-3009: 100000 to 10000000.
    eip3009: u64,
    /// Of one by Permit2, of the scheme `exact`: 100000 to 10000000.
    permit2_exact: u64,
    /// Of one by Permit2, of the scheme `upto`: 100000 to 10000000.
    permit2_upto: u64,
    /// What creating a payer's wallet may use besides, by one of the `factories` of its chain: 100000 to 10000000.
    deployment: u64,
}

/// The most gas of a day of a chain, which begins at midnight UTC. `0` means no limit.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct GasPerDayConfig {
    /// Of all settlements.
    all: u64,
    /// Of those of one payer.
    payer: u64,
    /// Of those in one token.
    token: u64,
    /// Of those that one caller asked for.
    caller: u64,
}

impl Default for GasConfig {
    fn default() -> Self {
        let GasCaps { eip3009, permit2_exact, permit2_upto, deployment } = GasCaps::default();
        Self { eip3009, permit2_exact, permit2_upto, deployment }
    }
}

impl Default for GasPerDayConfig {
    fn default() -> Self {
        Self { all: 10_000_000_000, payer: 100_000_000, token: 0, caller: 0 }
    }
}

impl GasConfig {
    pub(super) fn caps(&self) -> GasCaps {
        let Self { eip3009, permit2_exact, permit2_upto, deployment } = *self;
        GasCaps { eip3009, permit2_exact, permit2_upto, deployment }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (key, gas) in [
            ("eip3009", self.eip3009),
            ("permit2_exact", self.permit2_exact),
            ("permit2_upto", self.permit2_upto),
            ("deployment", self.deployment),
        ] {
            ConfigError::unless_within(format!("facilitator.gas.{key}"), gas, GAS)?;
        }
        Ok(())
    }
}

impl GasPerDayConfig {
    pub(super) fn budgets(&self) -> GasBudgets {
        let limit = |gas: u64| (gas > 0).then_some(gas);
        GasBudgets {
            all: limit(self.all),
            payer: limit(self.payer),
            token: limit(self.token),
            caller: limit(self.caller),
        }
    }

    /// What the database holds is a signed number of 64 bits.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (key, gas) in
            [("all", self.all), ("payer", self.payer), ("token", self.token), ("caller", self.caller)]
        {
            let key = format!("facilitator.gas_per_day.{key}");
            ConfigError::unless_within(key, gas, 0..=1_000_000_000_000_000)?;
        }
        Ok(())
    }
}
