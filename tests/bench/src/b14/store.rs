//! What the one writer does: vouchers by channels, incidents by payments, lost grants, and what adds them up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use salt402_protocol::{
    Address, Amount, Asset, B256, ChainId, ChannelChange, ChannelEvent, ChannelEventId, Descriptor, Payment,
    RequestDigest, U256, Voucher,
};
use salt402_store::{
    Batch, Block, ClaimResult, Cursor, NewClaim, NewVoucher, Options, Placed, Replays, SourceKey, Store,
    VoucherResult,
};

use super::{Row, costs};
use crate::claims::{blocks_for, fill};
use crate::figures::{at_least, at_most};

const CHAIN: ChainId = ChainId::CITRATE;
const CONTRACT: Address = Address::repeat_byte(0xcc);
const SIGNER: Address = Address::repeat_byte(3);
const PAYEE: Address = Address::repeat_byte(2);
/// Claims of each channel.
const CLAIMS: u64 = 10;
/// Channels whose events are in one block.
const IN_A_BLOCK: u64 = 500;
const AT_ONCE: usize = 64;
/// Channels of a page.
const PAGE: u32 = 1_000;

pub(crate) async fn run() -> anyhow::Result<()> {
    channels().await?;
    incidents().await?;
    lost().await
}

/// A store whose clock of the chain is not asked.
async fn open() -> anyhow::Result<(tempfile::TempDir, Store)> {
    let folder = tempfile::tempdir()?;
    let store = Store::open(Options::new(folder.path().join("growth.db"))).await?;
    store.pin_chain(CHAIN, B256::ZERO).await?;
    Ok((folder, store))
}

/// Vouchers, one a channel; then what the status tells of them, a page of the list, and a payer that leaves.
async fn channels() -> anyhow::Result<()> {
    let (mut vouchers, mut totals, mut pages, mut exits) =
        (Row::default(), Row::default(), Row::default(), Row::default());
    let mut last = Last::default();
    for count in [100, 1_000, 10_000, 100_000_u64] {
        let (_folder, store) = open().await?;
        let source = SourceKey { contract: CONTRACT, question: B256::ZERO };
        store.follow_sources(CHAIN, vec![(source, 0)]).await?;
        let mut top = open_channels(&store, count).await?;
        let shown = vouchers_of(&store, count, 1).await?;
        vouchers.add(count as usize, shown.0);
        last.rate = count as f64 / shown.1.as_secs_f64();
        last.voucher = shown.0.as_secs_f64() * 1e6 / count as f64;
        // Totals are asked for as often as there are hundreds of channels, so that what is flat has the exponent 1.
        let asked = count / 100;
        let (cost, ()) = costs(async {
            for _ in 0..asked {
                anyhow::ensure!(!store.voucher_totals(CHAIN).await?.is_empty(), "there are no totals");
            }
            Ok(())
        })
        .await?;
        totals.add(count as usize, cost);
        last.totals = cost.as_secs_f64() * 1000.0 / asked as f64;
        let begun = Instant::now();
        let (cost, ()) = costs(list(&store, count)).await?;
        pages.add(count as usize, cost);
        last.list = begun.elapsed().as_secs_f64() * f64::from(PAGE) / count as f64;
        // One payer in a hundred leaves, in one block.
        let leaving: Vec<_> = (0..count).step_by(100).map(|channel| (channel, exit())).collect();
        let (cost, ()) = costs(block(&store, &mut top, &leaving)).await?;
        exits.add(count as usize, cost);
        last.exit = cost.as_secs_f64() * 1000.0 / leaving.len() as f64;
        store.close().await;
    }
    vouchers.tell("vouchers", "a voucher of each channel, ten claims of each before");
    at_least("B14", last.rate, "vouchers/s", 5_000.0, "with 100,000 channels, 64 at once");
    at_most("B14", last.voucher, "us", 200.0, "processor time of one of them");
    totals.tell("status", "what is accepted and not claimed, asked once for a hundred channels");
    at_most("B14", last.totals, "ms", 1.0, "one of them, with 100,000 channels");
    pages.tell("list", "all channels, page by page");
    at_most("B14", last.list, "s", 0.5, "a page of 1,000 of 100,000 channels");
    exits.tell("exits", "one payer in a hundred leaves");
    at_most("B14", last.exit, "ms", 0.2, "one of them, of 1,000 in one block");
    Ok(())
}

/// Figures at the largest size.
#[derive(Default)]
struct Last {
    rate: f64,
    voucher: f64,
    totals: f64,
    list: f64,
    exit: f64,
}

/// All channels, as they are listed.
async fn list(store: &Store, count: u64) -> anyhow::Result<()> {
    let mut after = None;
    let mut seen = 0;
    loop {
        let page = store.channel_page(CHAIN, CONTRACT, None, after, PAGE).await?;
        seen += page.accounts.len() as u64;
        after = page.next;
        if after.is_none() {
            anyhow::ensure!(seen == count, "{seen} of {count} channels were listed");
            return Ok(());
        }
    }
}

/// Used proofs that are shown again, one in a thousand payments.
async fn incidents() -> anyhow::Result<()> {
    let (mut replays, mut last) = (Row::default(), 0.0);
    for count in [10_000, 100_000, 1_000_000] {
        let (_folder, store) = open().await?;
        let payments = fill(&store, count).await?;
        let used: Vec<&Payment> = payments.iter().step_by(1000).collect();
        for payment in &used {
            claim(&store, payment).await?;
        }
        let shown: Vec<Replays> = used
            .iter()
            .map(|payment| Replays { chain: CHAIN, transaction: payment.transaction, attempts: 1 })
            .collect();
        let (cost, ()) = costs(async { Ok(store.note_replays(shown).await?) }).await?;
        replays.add(count, cost);
        last = cost.as_secs_f64() * 1000.0 / used.len() as f64;
        store.close().await;
    }
    replays.tell("incidents", "one used proof in a thousand payments is shown again");
    at_most("B14", last, "ms", 0.2, "processor time of one of 1,000 incidents among a million payments");
    Ok(())
}

/// Grants whose payments leave the chain in one reorganization.
async fn lost() -> anyhow::Result<()> {
    let (mut row, mut last) = (Row::default(), 0.0);
    for count in [2_000, 6_000, 12_000] {
        let (_folder, store) = open().await?;
        let payments = fill(&store, count).await?;
        for payment in &payments {
            claim(&store, payment).await?;
        }
        let top = blocks_for(count);
        let (cost, applied) = costs(async { Ok(store.apply(fork(top)).await?) }).await?;
        anyhow::ensure!(applied.incidents == count as u64, "{applied:?}");
        row.add(count, cost);
        last = cost.as_secs_f64();
        store.close().await;
    }
    row.tell("lost", "grants that leave the chain in one reorganization");
    at_most("B14", last, "s", 1.0, "processor time of 12,000");
    Ok(())
}

/// Replaces all blocks by one that is empty.
fn fork(top: u64) -> Batch {
    let hash = |number: u64| B256::left_padding_from(&number.to_be_bytes());
    let block = Block { number: 1, hash: B256::repeat_byte(0xfe), parent_hash: B256::ZERO, timestamp: 1 };
    Batch {
        chain: CHAIN,
        expected: Some(Cursor { number: top, hash: hash(top) }),
        keep_through: Some(0),
        blocks: vec![block],
        payments: Vec::new(),
        cursor: Cursor { number: 1, hash: block.hash },
        head: Some(1),
        extras: Default::default(),
        undecoded: Vec::new(),
        prune_below: None,
    }
}

async fn claim(store: &Store, payment: &Payment) -> anyhow::Result<()> {
    let claim = NewClaim {
        payment: payment.id,
        chain: CHAIN,
        transaction: payment.transaction,
        request: RequestDigest(payment.transaction),
        claimant: "bench".into(),
        holder: Default::default(),
        confirmations: 1,
        limits: Default::default(),
        usage: None,
        now_ms: 1,
        credit: None,
    };
    let claimed = store.claim(claim).await?;
    anyhow::ensure!(matches!(claimed, ClaimResult::First { .. }), "{claimed:?}");
    Ok(())
}

fn channel(number: u64) -> B256 {
    alloy_primitives::keccak256(number.to_be_bytes())
}

fn amount(value: u64) -> Amount {
    Amount(U256::from(value))
}

fn exit() -> ChannelChange {
    ChannelChange::ExitRequested { exit_at: 1 << 40, amount: None }
}

/// Opens channels, and claims from each.
async fn open_channels(store: &Store, count: u64) -> anyhow::Result<u64> {
    let descriptor = |number: u64| Descriptor {
        payer: Address::left_padding_from(&(number + 1).to_be_bytes()),
        payee: PAYEE,
        asset: Asset::Native,
        signer: Some(SIGNER),
        operator: None,
        exit_delay: 1 << 30,
        salt: B256::ZERO,
    };
    let mut top = 0;
    for from in (0..count).step_by(IN_A_BLOCK as usize) {
        let mut events = Vec::new();
        for number in from..count.min(from + IN_A_BLOCK) {
            let deposit = amount(1_000_000);
            events.push((number, ChannelChange::Opened { descriptor: descriptor(number), deposit }));
            for claim in 1..=CLAIMS {
                events.push((number, ChannelChange::Claimed { amount: amount(1), claimed: amount(claim) }));
            }
        }
        block(store, &mut top, &events).await?;
    }
    Ok(top)
}

/// Puts a block with events on top.
async fn block(store: &Store, top: &mut u64, events: &[(u64, ChannelChange)]) -> anyhow::Result<()> {
    let hash = |number: u64| B256::left_padding_from(&number.to_be_bytes());
    let number = *top + 1;
    let block = Block { number, hash: hash(number), parent_hash: hash(*top), timestamp: number };
    let placed = |(place, (of, change)): (usize, &(u64, ChannelChange))| {
        let id = alloy_primitives::keccak256([number.to_be_bytes(), (place as u64).to_be_bytes()].concat());
        let what = ChannelEvent {
            id: ChannelEventId(id),
            chain: CHAIN,
            contract: CONTRACT,
            transaction: id,
            channel: channel(*of),
            change: *change,
        };
        Placed { what, block_number: number, block_hash: block.hash, block_timestamp: number }
    };
    let mut batch = Batch {
        chain: CHAIN,
        expected: (*top > 0).then_some(Cursor { number: *top, hash: block.parent_hash }),
        keep_through: None,
        blocks: vec![block],
        payments: Vec::new(),
        cursor: Cursor { number, hash: block.hash },
        head: Some(number),
        extras: Default::default(),
        undecoded: Vec::new(),
        prune_below: None,
    };
    batch.extras.channels = events.iter().enumerate().map(placed).collect();
    store.apply(batch).await?;
    *top = number;
    Ok(())
}

/// Uses the next voucher of each channel up, so many at once.
async fn vouchers_of(store: &Store, count: u64, round: u64) -> anyhow::Result<(Duration, Duration)> {
    let begun = Instant::now();
    let (cost, ()) = costs(async {
        let next = Arc::new(AtomicUsize::new(0));
        let mut tasks = Vec::new();
        for _ in 0..AT_ONCE {
            let (store, next) = (store.clone(), Arc::clone(&next));
            tasks.push(tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed) as u64;
                    if number >= count {
                        return anyhow::Ok(());
                    }
                    let granted = store.accept_voucher(voucher(number, round)).await?;
                    anyhow::ensure!(matches!(granted, VoucherResult::Granted(_)), "{granted:?}");
                }
            }));
        }
        for task in tasks {
            task.await??;
        }
        Ok(())
    })
    .await?;
    Ok((cost, begun.elapsed()))
}

fn voucher(number: u64, round: u64) -> NewVoucher {
    let ceiling = amount(100 * round);
    NewVoucher {
        chain: CHAIN,
        contract: CONTRACT,
        voucher: Voucher { channel: channel(number), ceiling, signature: [7; 65] },
        signer: SIGNER,
        payee: PAYEE,
        asset: Asset::Native,
        price: amount(100),
        by_use: false,
        at_least: None,
        raises: None,
        request: RequestDigest(channel(number)),
        claimant: "bench".into(),
        holder: Default::default(),
        confirmations: 1,
        after_loss: 0,
        opened_from: 0,
        past: Vec::new(),
        operators: Vec::new(),
        least_exit_delay: 0,
        late_ms: None,
        now_ms: 1,
        credit: None,
    }
}
