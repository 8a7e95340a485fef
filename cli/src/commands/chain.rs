//! `salt402 chain resume`: the operator's decision about a halted chain.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use salt402_chain::{Node, Work};
use salt402_indexer::{Comparison, IndexError, compare};
use salt402_protocol::ChainId;
use salt402_store::{Above, HaltKind, Options, Store, StoreError};
use tokio::time::Instant;

use crate::args::ResumeArgs;
use crate::config::{Config, ResolvedChain};
use crate::out::say;

/// How many grants are listed one by one.
const NAMED: u32 = 50;
/// How long a running service may take to apply what was accepted. After that the command ends without it.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The exit code where a decision is open.
const OPEN: u8 = 2;

/// Shows what must be decided, and decides if told to.
pub(crate) async fn resume(args: &ResumeArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.at.config)?;
    let (name, chain) = choose(&config, args.chain.as_deref())?;
    let id = chain.profile.chain_id;
    let start_block = chain.sources.iter().map(|source| source.start_block).min().unwrap_or(0);
    let database = config.database();
    if !database.exists() {
        bail!("{}: there is no database yet, so nothing is halted", database.display());
    }
    let store = Store::open(Options::new(&database)).await?;
    let nodes: Arc<dyn Node> = Arc::new(chain.nodes.connect(&chain.profile)?);
    // One node for all questions.
    let node = nodes.pin(Work::LookUp).await?.unwrap_or(nodes);
    let compared = compare(&*node, &store, id, start_block).await;
    if let Err(IndexError::Store(StoreError::OtherGenesis { stored, given, .. })) = &compared {
        say!("{name} ({id}): the node is on another chain than the stored one, or the chain was reset");
        say!("  stored: block 0 is {stored}\n  node:   block 0 is {given}");
        say!("  {}", reset_instructions(&config));
        return Ok(ExitCode::from(OPEN));
    }
    let Some(seen) = compared.context("the node's chain could not be compared with the stored one")? else {
        say!("{name} ({id}): nothing is indexed yet, so nothing is halted");
        return Ok(ExitCode::SUCCESS);
    };
    let halt = store.chain_state(id).await?.and_then(|state| state.halt);
    let code = match halt.map(|halt| halt.kind) {
        None => {
            say!("{name} ({id}): not halted, nothing to decide");
            ExitCode::SUCCESS
        }
        // The node shows the right first block again.
        Some(HaltKind::Genesis) => {
            store.end_halt(id, HaltKind::Genesis).await?;
            say!("{name} ({id}): the node is on the stored chain again; it goes on");
            ExitCode::SUCCESS
        }
        Some(HaltKind::Fork) => decide(&name, id, &store, &*node, seen, args.yes).await?,
    };
    store.close().await;
    Ok(code)
}

async fn decide(
    name: &str,
    id: ChainId,
    store: &Store,
    node: &dyn Node,
    seen: Comparison,
    yes: bool,
) -> anyhow::Result<ExitCode> {
    say!("{name} ({id}): halted");
    say!("  the index stands at block {} ({})", seen.cursor.number, seen.cursor.hash);
    say!("  the node stands at block {} ({})", seen.head.number, seen.head.hash);
    if seen.depth() == 0 {
        say!("  the node's chain holds the index's block: nothing would leave the chain");
        if yes {
            store.end_halt(id, HaltKind::Fork).await?;
            say!("  the halt is ended");
            return Ok(ExitCode::SUCCESS);
        }
        say!("  nothing was changed; --yes ends the halt");
        return Ok(ExitCode::from(OPEN));
    }
    let Some(fork) = seen.fork() else {
        say!(
            "  they are one chain up to block {}, and the node has no block above it yet: wait for one",
            seen.keep_through
        );
        return Ok(ExitCode::from(OPEN));
    };
    say!(
        "  they are one chain up to block {}; {} blocks would leave, and {} ({}) and what follows take their place",
        seen.keep_through,
        seen.depth(),
        seen.keep_through + 1,
        fork.block
    );
    show_loss(node, &store.above(id, seen.keep_through, NAMED).await?).await;
    if !yes {
        say!("  nothing was changed; --yes accepts the node's chain, as it is shown here");
        return Ok(ExitCode::from(OPEN));
    }
    if !store.accept_fork(id, Some(seen.cursor), fork).await? {
        bail!("the index moved meanwhile: look again");
    }
    say!("  accepted");
    match store.lock_indexing() {
        Ok(_) => say!("  no indexer runs on this database: it is applied when one is started"),
        Err(StoreError::HeldElsewhere { .. }) => return wait(store, id).await,
        Err(error) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}

/// What would leave the chain, and whether the node's chain has it too.
async fn show_loss(node: &dyn Node, above: &Above) {
    say!("  {} payments are in those blocks, {} of them granted on", above.payments, above.claimed);
    for grant in &above.grants {
        let there = match node.receipt(grant.transaction).await {
            Ok(Some(receipt)) if receipt.success => {
                format!("in block {} of the node's chain", receipt.block_number)
            }
            Ok(Some(_)) => "reverted on the node's chain".to_owned(),
            Ok(None) => "not on the node's chain".to_owned(),
            Err(error) => format!("unknown to us: {error}"),
        };
        say!(
            "    {}: {} base units of {} in block {}, granted to {:?}; {there}",
            grant.transaction,
            grant.amount,
            grant.asset,
            grant.block_number,
            grant.claimant
        );
    }
    let unnamed = above.claimed.saturating_sub(above.grants.len() as u64);
    if unnamed > 0 {
        say!("    and {unnamed} more");
    }
}

/// Waits until the running indexer has applied it.
async fn wait(store: &Store, id: ChainId) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    while begun.elapsed() < TIMEOUT {
        let state =
            store.chain_state(id).await?.ok_or_else(|| anyhow!("the chain is gone from the database"))?;
        match (state.halt, state.cursor) {
            (None, Some(cursor)) => {
                say!("  applied: the index stands at block {} ({})", cursor.number, cursor.hash);
                return Ok(ExitCode::SUCCESS);
            }
            (Some(halt), _) if halt.accepted.is_none() => {
                say!("  not applied: the node is on another fork by now; look again");
                return Ok(ExitCode::from(OPEN));
            }
            _ => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
    say!("  not applied yet: see the indexer's log");
    Ok(ExitCode::from(OPEN))
}

/// The named chain, or the only one.
pub(super) fn choose(config: &Config, name: Option<&str>) -> anyhow::Result<(String, ResolvedChain)> {
    let names: Vec<&str> = config.chains.keys().map(String::as_str).collect();
    let name = match (name, names.as_slice()) {
        (Some(name), _) => name,
        (None, [only]) => only,
        (None, _) => bail!("--chain says which one; there are {}", names.join(", ")),
    };
    let unknown = || anyhow!("--chain: there is no chain {name:?}; there are {}", names.join(", "));
    let index = names.iter().position(|known| *known == name).ok_or_else(unknown)?;
    let chain = config.chains()?.into_iter().nth(index).ok_or_else(unknown)?;
    Ok((name.to_owned(), chain))
}

/// What to do if the chain is another one. Nothing of it can replace what is stored.
fn reset_instructions(config: &Config) -> String {
    let data = config.path(&config.data);
    format!(
        "if the node is the wrong one, correct its address and start salt402 again; if the chain was reset: stop salt402, \
         move {} away (keep it, it is the record of what was granted), set `deployments` or `contract` and `start_block` \
         to what is deployed on the new chain, and start salt402, which makes a new database and a new quote key",
        data.display()
    )
}
