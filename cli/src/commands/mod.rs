//! What each command does.

mod check;
mod pay;
mod run;
mod status;

pub(crate) use check::{check, example};
pub(crate) use pay::pay;
pub(crate) use run::run;
pub(crate) use status::status;
