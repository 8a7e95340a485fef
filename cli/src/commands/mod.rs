//! The commands.

mod backup;
mod chain;
mod channel;
mod charges;
mod check;
mod explain;
mod explain_prices;
mod explain_settling;
mod incidents;
mod keys;
mod pay;
mod price;
mod refund;
mod run;
mod settlements;
mod status;
mod unserved;
mod watching;

pub(crate) use backup::{backup, restore};
pub(crate) use chain::resume;
pub(crate) use channel::{
    claim as claim_channels, close as close_channels, list as list_channels, refund as refund_channel,
    set_operator, show as show_channel, show_operators, withdraw as withdraw_credit,
};
pub(crate) use charges::{list as charges, show as show_charge, write_off as write_charge_off};
pub(crate) use check::{check, example};
pub(crate) use incidents::{list as incidents, settle};
pub(crate) use keys::keys;
pub(crate) use pay::pay;
pub(crate) use price::price;
pub(crate) use refund::refund;
pub(crate) use run::run;
pub(crate) use settlements::{list as settlements, retry as retry_settlement, show as show_settlement};
pub(crate) use status::status;
pub(crate) use unserved::{list as unserved, retry as retry_unserved, settle as settle_unserved};

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use salt402_store::{Options, Store};

use crate::config::Config;

/// Opens a database, which may be in use. No payment is looked up in it.
async fn open(path: PathBuf) -> anyhow::Result<Store> {
    if !path.exists() {
        bail!("{}: there is no database here yet; name the configuration by --config", path.display());
    }
    let store = Store::open(Options { memory: 0, ..Options::new(&path) }).await;
    store.with_context(|| format!("{} cannot be opened", path.display()))
}

/// Opens the databases in which a gateway may keep its own: the one of all parts, and its own if it runs alone.
async fn open_gateways(config: &Config) -> anyhow::Result<Vec<Store>> {
    let mut paths = vec![config.database(), config.gateway_database()];
    paths.retain(|path| path.exists());
    if paths.is_empty() {
        // Opening it reports that it does not exist.
        paths.push(config.database());
    }
    let mut stores = Vec::with_capacity(paths.len());
    for path in paths {
        stores.push(open(path).await?);
    }
    Ok(stores)
}
