//! What a request costs, by what it reads and writes at most: prices, conditions that change them, and a rate for those in dollars.

mod condition;
mod cost;
mod price;
mod rate;
mod unpriced;

pub use condition::{Adjustment, ConditionError, Multiplier, MultiplierError};
pub(crate) use cost::reduced;
pub use cost::{Applied, Cost};
pub use price::{Part, Price, Quantities, Used};
pub use rate::{Rate, USD_DECIMALS};
pub use unpriced::Unpriced;
