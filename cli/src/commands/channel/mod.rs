//! `salt402 channel`: what was accepted by vouchers, its claim, and what else a payee does with channels.

mod claim;
mod list;
mod payee;
mod withdraw;

pub(crate) use claim::{claim, close};
pub(crate) use list::{list, show};
pub(crate) use payee::{refund, set_operator, show_operators};
pub(crate) use withdraw::withdraw;

use std::sync::Arc;

use anyhow::{anyhow, bail};
use salt402_chain::{Endpoint, RpcNode};
use salt402_client::{Act, Claimable, Claimer};
use salt402_protocol::edition::ChannelEdition;
use salt402_protocol::request::parse_hash;
use salt402_protocol::{Address, Amount, Asset, B256, SourceKind};
use salt402_store::{ChannelAccount, Store};
use url::Url;

use super::chain::choose;
use crate::args::SendArgs;
use crate::config::{Config, ResolvedChain, payer_key};
use crate::past_channels::follows_all_claimable;

/// The channels' contracts of one chain, and its database.
struct Channels {
    chain: ResolvedChain,
    contracts: Vec<Address>,
    /// Whom channels pay that are ours.
    payee: Option<Address>,
    store: Store,
}

/// Channels that are asked for at once.
const PAGE: u32 = 500;

/// What is asked of the contract about a channel. One without vouchers can be closed.
fn row(act: Act, account: &ChannelAccount) -> anyhow::Result<Claimable> {
    let (id, voucher) = (account.id, account.voucher);
    if voucher.is_none() && act == Act::Claim {
        bail!("{id}: no voucher of it was accepted");
    }
    let descriptor = account.state.as_ref().and_then(|state| state.descriptor);
    let descriptor =
        descriptor.ok_or_else(|| anyhow!("{id}: its opening is not on the chain, as the index has it"))?;
    Ok(Claimable {
        contract: account.contract,
        channel: id,
        descriptor,
        voucher,
        spent: account.account.spent,
    })
}

fn claimer(args: &SendArgs, chain: &ResolvedChain) -> anyhow::Result<Claimer> {
    Ok(Claimer::new(node(args.rpc.as_ref(), chain)?, payer_key(args.key_file.as_deref())?))
}

fn node(rpc: Option<&Url>, chain: &ResolvedChain) -> anyhow::Result<Arc<RpcNode>> {
    let endpoint = match (rpc, chain.nodes.endpoints.first()) {
        (Some(rpc), _) => Endpoint::new(rpc.clone()),
        (None, Some((endpoint, _))) => endpoint.clone(),
        (None, None) => bail!("--rpc: which node is to take the transaction?"),
    };
    Ok(Arc::new(RpcNode::connect(endpoint, chain.profile.clone())?))
}

impl Channels {
    async fn open(config: &Config, chain: Option<&str>) -> anyhow::Result<Self> {
        let (name, chain) = choose(config, chain)?;
        let payee = config.payment().ok().map(|payment| payment.payee()).transpose()?;
        let contracts = chain.sources.iter().filter(|source| source.kind == SourceKind::SaltChannels);
        let contracts: Vec<_> = contracts.map(|source| source.contract).collect();
        if contracts.is_empty() {
            bail!(
                "chains.{name}: no SaltChannels is followed, so no channels are known; see `salt402 config check`"
            );
        }
        let store = super::open(config.database()).await?;
        follows_all_claimable(&store, &chain).await?;
        Ok(Self { chain, contracts, payee, store })
    }

    /// Whether a contract is one whose vouchers are taken no more.
    fn is_past(&self, contract: Address) -> bool {
        self.chain.past_channels.contains(&contract)
    }

    /// The contract whose vouchers are taken, which must be of the second edition.
    async fn second(&self, claimer: &Claimer) -> anyhow::Result<Address> {
        let current = self.contracts.iter().find(|contract| !self.is_past(**contract));
        let contract = *current.ok_or_else(|| anyhow!("only SaltChannels of before are followed"))?;
        match claimer.edition(contract).await? {
            ChannelEdition::Second { .. } => Ok(contract),
            ChannelEdition::First => bail!("{contract} is of the first edition, which has no operators"),
        }
    }

    /// So many channels after one, or the first, and after which more may follow.
    async fn page(
        &self,
        all: bool,
        after: Option<B256>,
        limit: u32,
    ) -> anyhow::Result<(Vec<ChannelAccount>, Option<B256>)> {
        let payee = self.payee.filter(|_| !all);
        let mut after = match after {
            Some(after) => Some(self.one(after).await?),
            None => None,
        };
        let mut found: Vec<ChannelAccount> = Vec::new();
        for contract in &self.contracts {
            if after.as_ref().is_some_and(|after| after.contract != *contract) {
                continue;
            }
            let mut last = after.take().map(|after| after.id);
            loop {
                let room = limit.max(1).saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
                if room == 0 {
                    let next = found.last().map(|account| account.id);
                    return Ok((found, next));
                }
                let chain = self.chain.profile.chain_id;
                let page = self.store.channel_page(chain, *contract, payee, last, room.min(PAGE)).await?;
                found.extend(page.accounts);
                last = page.next;
                if last.is_none() {
                    break;
                }
            }
        }
        Ok((found, None))
    }

    /// One channel, of whatever contract.
    async fn one(&self, id: B256) -> anyhow::Result<ChannelAccount> {
        for contract in &self.contracts {
            let chain = self.chain.profile.chain_id;
            if let Some(account) = self.store.channel_account(chain, *contract, id).await? {
                return Ok(account);
            }
        }
        Err(unknown(id))
    }

    /// The channels that there is something to claim from, as the index has it.
    async fn unclaimed(&self) -> anyhow::Result<Vec<B256>> {
        let mut ids = Vec::new();
        for contract in &self.contracts {
            ids.extend(self.store.unclaimed_channels(self.chain.profile.chain_id, *contract).await?);
        }
        Ok(ids)
    }

    /// What is to be asked of the contract about channels. One that was named must be claimable; of all, those are left
    /// out that a reorganization has taken away since.
    async fn claimable(&self, act: Act, ids: &[B256], all: bool) -> anyhow::Result<Vec<Claimable>> {
        let mut rows = Vec::with_capacity(ids.len());
        for id in ids {
            // Those that are claimed from by the index's account are asked about all the same: the contract decides.
            match self.one(*id).await.and_then(|account| row(act, &account)) {
                Err(_) if all => {}
                found => rows.push(found?),
            }
        }
        Ok(rows)
    }
}

fn identifier(text: &str) -> anyhow::Result<B256> {
    parse_hash(text)
        .ok_or_else(|| anyhow!("{text:?}: a channel's identifier is \"0x\" and 64 hexadecimal digits"))
}

fn unknown(id: B256) -> anyhow::Error {
    anyhow!("{id}: no such channel is in the index; `salt402 channel list --all` names those that are")
}

/// An amount for people: the native coin in its units, tokens in base units.
fn of(chain: &ResolvedChain, asset: Asset, amount: Amount) -> String {
    match asset {
        Asset::Native => {
            format!("{} {}", amount.to_units(chain.profile.native_decimals), chain.profile.native_symbol)
        }
        Asset::Token(token) => format!("{amount} base units of {token}"),
    }
}
