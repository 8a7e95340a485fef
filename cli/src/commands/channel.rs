//! `salt402 channel`: lists what was accepted by vouchers, and claims it.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use salt402_chain::{Endpoint, RpcNode};
use salt402_client::{ClaimBatch, ClaimPlan, Claimable, Claimer, NotClaimed};
use salt402_protocol::request::parse_hash;
use salt402_protocol::{Address, Amount, Asset, B256, SourceKind};
use salt402_store::{ChannelAccount, Store};
use serde_json::{Value, json};

use super::chain::choose;
use crate::args::{ChannelClaimArgs, ChannelListArgs, ChannelShowArgs};
use crate::config::{Config, ResolvedChain, parse_price, payer_key};
use crate::out::say;
use crate::visible::visible_line;

/// The channels' contracts of one chain, and its database.
struct Channels {
    chain: ResolvedChain,
    contracts: Vec<Address>,
    /// The payee of our own channels.
    payee: Option<Address>,
    store: Store,
}

/// How many channels are read at once.
const PAGE: u32 = 500;

/// Prints channels with their accounts. The database may be in use.
pub(crate) async fn list(args: &ChannelListArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.at.config)?;
    let after = args.after.as_deref().map(identifier).transpose()?;
    let channels = Channels::open(&config, args.chain.as_deref()).await?;
    let (accounts, next) = channels.page(args.all, after, args.limit).await?;
    channels.store.close().await;
    let chain = &channels.chain;
    if args.json {
        let shown = accounts.iter().map(|account| json!(account.view(chain.profile.chain_id)));
        say!("{}", Value::from_iter(shown));
        return Ok(ExitCode::SUCCESS);
    }
    if accounts.is_empty() {
        let more = if after.is_some() { "more " } else { "" };
        say!(
            "no {more}channels{}",
            if args.all { "" } else { " that pay this server; --all lists the others too" }
        );
    }
    for account in &accounts {
        say!("{}", line(chain, account));
    }
    if let Some(next) = next {
        say!("there may be more: --after {next}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints everything about one channel.
pub(crate) async fn show(args: &ChannelShowArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.at.config)?;
    let id = identifier(&args.id)?;
    let channels = Channels::open(&config, args.chain.as_deref()).await?;
    let account = channels.one(id).await;
    channels.store.close().await;
    let shown = json!(account?.view(channels.chain.profile.chain_id));
    if args.json {
        say!("{shown}");
        return Ok(ExitCode::SUCCESS);
    }
    for (name, value) in shown.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        say!("{name:>12}  {}", value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned));
    }
    Ok(ExitCode::SUCCESS)
}

/// Claims with the last voucher of each channel. Fails if a named channel cannot be claimed from, or if a transaction
/// fails.
pub(crate) async fn claim(args: &ChannelClaimArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.at.config)?;
    let named = args.which.ids.iter().map(|id| identifier(id)).collect::<anyhow::Result<Vec<_>>>()?;
    let channels = Channels::open(&config, args.chain.as_deref()).await?;
    let claimed = claim_from(args, &channels, &named).await;
    channels.store.close().await;
    claimed.map(|()| ExitCode::SUCCESS)
}

async fn claim_from(args: &ChannelClaimArgs, channels: &Channels, named: &[B256]) -> anyhow::Result<()> {
    let chain = &channels.chain;
    let wanted = if args.which.all { channels.unclaimed().await? } else { named.to_vec() };
    let claimer = claimer(args, chain)?;
    let least = parse_price(&args.min, &chain.profile.native_symbol, chain.profile.native_decimals)
        .map_err(|what| anyhow!("--min: {what}"))?;
    let most = args.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    // Some at a time: the first are claimed before the last are asked about.
    let (mut sum, mut asked) = (ClaimPlan::default(), 0);
    let mut failures = 0;
    while asked < wanted.len() {
        let room = most.saturating_sub(claims(&sum)).min(PAGE as usize).min(wanted.len() - asked);
        if room == 0 {
            break;
        }
        let page = &wanted[asked..asked + room];
        asked += room;
        let plan = claimer.plan(channels.claimable(page, args.which.all).await?, least).await?;
        for (channel, why) in &plan.left {
            say!("{channel}: {why}");
        }
        // If the claims of one asset could not be sent, the others are sent all the same.
        for batch in &plan.batches {
            if let Err(error) = claim_batch(args, chain, &claimer, batch).await {
                let why = format!("{}: {error:#}", of(chain, batch.asset, batch.amount()));
                say!("{}", visible_line(&why));
                failures += 1;
            }
        }
        sum.batches.extend(plan.batches);
        sum.left.extend(plan.left);
    }
    if sum.batches.is_empty() {
        say!("nothing is to be claimed; nothing was sent");
    }
    if asked < wanted.len() {
        say!(
            "{} more channels have something that is not claimed, and were not asked about",
            wanted.len() - asked
        );
    }
    if failures > 0 {
        bail!("{failures} of {} claims failed", sum.batches.len());
    }
    refuse_what_was_named(named, &sum)
}

/// How many channels are claimed from.
fn claims(plan: &ClaimPlan) -> usize {
    plan.batches.iter().map(|batch| batch.rows.len()).sum()
}

async fn claim_batch(
    args: &ChannelClaimArgs,
    chain: &ResolvedChain,
    claimer: &Claimer,
    batch: &ClaimBatch,
) -> anyhow::Result<()> {
    let count = batch.rows.len();
    if args.dry_run {
        let amount = claimer.rehearse(batch).await?;
        say!("{} would be claimed of {count} channels; nothing was sent", of(chain, batch.asset, amount));
        for (row, amount) in &batch.rows {
            say!("  {}: {}", row.voucher.channel, of(chain, batch.asset, *amount));
        }
        return Ok(());
    }
    let sent = |transaction: B256| {
        say!("claiming {} of {count} channels by {transaction}", of(chain, batch.asset, batch.amount()));
    };
    let claimed = claimer.claim(batch, Duration::from_secs(args.timeout), &sent).await?;
    for (channel, amount) in &claimed.channels {
        say!("  {channel}: {}", of(chain, batch.asset, *amount));
    }
    say!(
        "{} came in, in block {} by {}",
        of(chain, batch.asset, Amount(claimed.amount().0.saturating_sub(claimed.credited.0))),
        claimed.block_number,
        claimed.transaction
    );
    if claimed.credited > Amount::ZERO {
        say!(
            "{} could not be sent to {} and stands to its credit in {}: withdraw it there",
            of(chain, batch.asset, claimed.credited),
            claimer.account(),
            batch.contract
        );
    }
    Ok(())
}

/// If a channel was named and nothing was claimed from it, the exit code must say so.
fn refuse_what_was_named(named: &[B256], plan: &ClaimPlan) -> anyhow::Result<()> {
    let left = plan.left.iter().filter(|(channel, _)| named.contains(channel)).count();
    if left > 0 {
        bail!("{left} of {} channels that were named were not claimed from", named.len());
    }
    let strange = plan.left.iter().filter(|(_, why)| matches!(why, NotClaimed::NotPayee { .. }));
    let strange = strange.count();
    if strange > 0 && plan.batches.is_empty() {
        bail!("{strange} channels pay other accounts than the key's: nothing was claimed");
    }
    Ok(())
}

fn row(account: &ChannelAccount) -> anyhow::Result<Claimable> {
    let id = account.id;
    let voucher = account.voucher.ok_or_else(|| anyhow!("{id}: no voucher of it was accepted"))?;
    let descriptor = account.state.as_ref().and_then(|state| state.descriptor);
    let descriptor =
        descriptor.ok_or_else(|| anyhow!("{id}: its opening is not on the chain, as the index has it"))?;
    Ok(Claimable { contract: account.contract, descriptor, voucher, spent: account.account.spent })
}

fn claimer(args: &ChannelClaimArgs, chain: &ResolvedChain) -> anyhow::Result<Claimer> {
    let endpoint = match (&args.rpc, chain.nodes.endpoints.first()) {
        (Some(rpc), _) => Endpoint::new(rpc.clone()),
        (None, Some((endpoint, _))) => endpoint.clone(),
        (None, None) => bail!("--rpc: which node is to take the transaction?"),
    };
    let account = payer_key(args.key_file.as_deref())?;
    let node = RpcNode::connect(endpoint, chain.profile.clone())?;
    Ok(Claimer::new(Arc::new(node), account))
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
        Ok(Self { chain, contracts, payee, store })
    }

    /// Channels after the given one, or the first ones, and after which channel more may follow.
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

    /// One channel of any contract.
    async fn one(&self, id: B256) -> anyhow::Result<ChannelAccount> {
        for contract in &self.contracts {
            let chain = self.chain.profile.chain_id;
            if let Some(account) = self.store.channel_account(chain, *contract, id).await? {
                return Ok(account);
            }
        }
        Err(unknown(id))
    }

    /// The channels with something to claim, as the index knows it.
    async fn unclaimed(&self) -> anyhow::Result<Vec<B256>> {
        let mut ids = Vec::new();
        for contract in &self.contracts {
            ids.extend(self.store.unclaimed_channels(self.chain.profile.chain_id, *contract).await?);
        }
        Ok(ids)
    }

    /// The rows to ask the contract about. A named channel must be claimable. Of all, those are left out that a
    /// reorganization has taken away since.
    async fn claimable(&self, ids: &[B256], all: bool) -> anyhow::Result<Vec<Claimable>> {
        let mut rows = Vec::with_capacity(ids.len());
        for id in ids {
            // Those that, by the index, are claimed already are asked about too, because the contract decides.
            match self.one(*id).await.and_then(|account| row(&account)) {
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

fn line(chain: &ResolvedChain, account: &ChannelAccount) -> String {
    let (id, spent, unclaimed) = (account.id, account.account.spent, account.unclaimed());
    let Some((state, known)) = account.state.as_ref().and_then(|state| Some((state, state.descriptor?)))
    else {
        return format!("{id}: {spent} base units accepted, {unclaimed} unclaimed; not on the chain");
    };
    let of = |amount| of(chain, known.asset, amount);
    let status = match state.exit_at {
        _ if state.closed => "; closed".to_owned(),
        Some(at) => format!("; its payer leaves at {at}"),
        None => String::new(),
    };
    format!(
        "{id} from {}: {} deposited, {} claimed, {} accepted, {} unclaimed{status}",
        known.payer,
        of(state.deposit),
        of(state.claimed),
        of(spent),
        of(unclaimed)
    )
}
