//! Vouchers as proofs: one look at the index and, if asked, the grant.

use salt402_http::clock::now_ms;
use salt402_protocol::api::{ClaimView, Verdict, VerifyRequest};
use salt402_protocol::voucher::VoucherFigures;
use salt402_protocol::{Address, Amount, Code, Problem, Quote, Voucher};
use salt402_store::{NewVoucher, NotCurrent, Stretch, VoucherAccount, VoucherResult};
use tokio::time::Instant;

use crate::verify::claimant_lease::held_elsewhere;
use crate::verify::grant::{limited, withdraw};
use crate::verify::inner::Inner;
use crate::verify::judge::terms::{before_database, is_below, quoted};
use crate::verify::keys::{account_closed, new_credit};
use crate::verify::payment_view::{granted_view, tab_view};
use crate::verify::policy::ChainPolicy;
use crate::verify::refusals::{before_restore, halted_meanwhile, internal, pending};
use crate::verify::second_node::unconfirmed_channel;
use crate::verify::voucher_by_contract::{contradicted_by_contract, held_by_contract};

/// On a chain with steady blocks: how many may be missing before the chain is said to stand still.
const SKIPPED_BLOCKS: u32 = 5;

/// One look at a voucher and, if asked, the grant.
pub(crate) async fn attempt_voucher(
    verifier: &Inner,
    request: &VerifyRequest,
    voucher: &Voucher,
    quote: Option<&Quote>,
    chain: &ChainPolicy,
) -> Result<Verdict, Problem> {
    let new = match new_voucher(verifier, request, voucher, quote, chain) {
        Ok(new) => new,
        Err((code @ Code::QuoteNotHonoured, detail)) => return Err(Problem::new(code, detail)),
        Err((code, detail)) => return Ok(Verdict::Rejected { code, detail }),
    };
    let seen = verifier.store.look_at_voucher(&new).await.map_err(internal)?;
    if let VoucherResult::HeldElsewhere(lease) = seen {
        verifier.leases.note(&request.claimant, lease);
    }
    let VoucherResult::Granted(grant) = seen else {
        let held =
            if request.again_only { None } else { held_by_contract(verifier, &seen, &new, chain).await? };
        return Ok(held.unwrap_or_else(|| refused(&seen, &new, chain)));
    };
    if request.again_only && grant.first {
        let detail = "the voucher was not used for this request yet, and is not now".into();
        return Ok(pending(chain, 1, Code::AddressLimited, detail));
    }
    if grant.first
        && let Some(verdict) = contradicted_by_contract(verifier, &new, &grant, chain).await?
    {
        return Ok(verdict);
    }
    if grant.first
        && let Some(verdict) = unconfirmed_channel(verifier, &new, &grant, chain).await?
    {
        return Ok(verdict);
    }
    if !request.claim {
        return Ok(Verdict::Accepted { payment: Box::new(granted_view(&new, &grant)), claim: None });
    }
    // The same request is always answered, whatever the limits.
    let account = (chain.chain, grant.descriptor.payer);
    // What raises a grant is no payment of its own.
    let admission = if grant.first && new.raises.is_none() {
        let admitted = verifier.accounts.admit(account, grant.payment, Instant::now());
        admitted.map_err(|(code, wait)| limited(code, wait))?
    } else {
        None
    };
    let bought = (grant.descriptor.payer, grant.price);
    let new = NewVoucher { credit: new_credit(verifier, request, grant.payment, bought), ..new };
    let result = verifier.store.accept_voucher(new.clone()).await;
    if !matches!(&result, Ok(VoucherResult::Granted(grant)) if grant.first) {
        withdraw(verifier, admission);
    }
    let result = result.map_err(internal)?;
    metrics::counter!("salt402_voucher_grants_total", "chain" => chain.chain.to_string(), "outcome" => outcome(&result, new.raises.is_some()))
        .increment(1);
    let VoucherResult::Granted(grant) = result else { return Ok(refused(&result, &new, chain)) };
    if grant.first && new.raises.is_none() {
        metrics::counter!("salt402_claims_total").increment(1);
    }
    let (first, by_use, tab) = (grant.first, grant.by_use, tab_view(&grant));
    let exit_delay_s = by_use.then_some(grant.descriptor.exit_delay);
    let claim = grant.claimed_at_ms.map(|claimed_at_ms| ClaimView {
        first,
        claimed_at_ms,
        by_use,
        tab,
        exit_delay_s,
    });
    Ok(Verdict::Accepted { payment: Box::new(granted_view(&new, &grant)), claim })
}

/// The question to the store, or what is wrong with the voucher whatever the store holds.
fn new_voucher(
    verifier: &Inner,
    request: &VerifyRequest,
    voucher: &Voucher,
    quote: Option<&Quote>,
    chain: &ChainPolicy,
) -> Result<NewVoucher, (Code, String)> {
    let Some(contract) = chain.channels else {
        return Err((
            Code::VoucherNotAccepted,
            format!("no vouchers are taken on {}: pay on chain", chain.chain),
        ));
    };
    if request.usage.is_some() {
        let detail = "one payment pays for several requests here, and a voucher for one: pay on chain".into();
        return Err((Code::VoucherNotAccepted, detail));
    }
    let asked = &request.requirement;
    let Some(signer) = voucher.signer(asked.payee, asked.asset, chain.chain, contract) else {
        let detail = format!(
            "this is no signature that {contract} takes: r, s and v in 65 bytes, with a low s and v of 27 or 28"
        );
        return Err((Code::VoucherInvalid, detail));
    };
    // Of which edition each was is not asked: a signature is right in one of them at the most.
    let past = chain.past_channels.iter().flat_map(|past| {
        let signers = [
            voucher.signer_in_first(chain.chain, *past),
            voucher.signer(asked.payee, asked.asset, chain.chain, *past),
        ];
        signers.into_iter().flatten().map(|signer| (*past, signer))
    });
    let now = now_ms();
    let limits = chain.claim_limits(asked.asset);
    let depth = chain.confirmations_for(asked.asset, voucher.ceiling);
    // If there is a limit on what is granted before it is final, the deposit must be final.
    let capped = if limits.exposure.is_some() { chain.rules.final_at } else { 0 };
    Ok(NewVoucher {
        chain: chain.chain,
        contract,
        past: past.collect(),
        voucher: *voucher,
        signer,
        payee: asked.payee,
        asset: asked.asset,
        price: price(verifier, request, quote, chain, now / 1000)?,
        by_use: request.by_use,
        at_least: request.at_least.filter(|_| request.by_use),
        raises: request.raises.filter(|_| request.by_use),
        request: asked.request_digest,
        claimant: request.claimant.clone(),
        holder: verifier.leases.holder(&request.claimant, request.instance),
        confirmations: depth.max(asked.confirmations.unwrap_or(0)).max(capped),
        after_loss: limits.after_loss,
        opened_from: verifier.store.origin().made_at,
        operators: chain.operators.clone(),
        least_exit_delay: chain.least_exit_delay.map_or(0, |delay| delay.as_secs()),
        late_ms: chain.steady_blocks.then(|| late_ms(verifier, chain)),
        now_ms: now,
        credit: None,
    })
}

/// How late the newest block may be on a chain with steady blocks: its clock may differ from ours, and a few blocks may
/// be missing.
fn late_ms(verifier: &Inner, chain: &ChainPolicy) -> u64 {
    let late = verifier.policy.clock_skew.saturating_add(chain.block_time.saturating_mul(SKIPPED_BLOCKS));
    u64::try_from(late.as_millis()).unwrap_or(u64::MAX)
}

/// The quote's price while the quote is valid, else the present price.
fn price(
    verifier: &Inner,
    request: &VerifyRequest,
    quote: Option<&Quote>,
    chain: &ChainPolicy,
    now: u64,
) -> Result<Amount, (Code, String)> {
    // A quote of another database does not set a price here.
    let Some(quote) = quote.filter(|quote| verifier.policy.clock.gave(quote)) else {
        return Ok(request.requirement.amount);
    };
    let terms = quoted(&request.requirement, &request.claimant, quote, chain)?;
    let lives = now <= quote.expires_at.saturating_add(verifier.policy.clock_skew.as_secs());
    let counts = lives && !is_below(&request.requirement, &terms);
    Ok(if counts { terms.amount } else { request.requirement.amount })
}

/// Why not, in words.
fn refused(result: &VoucherResult, new: &NewVoucher, chain: &ChainPolicy) -> Verdict {
    let no = |code, detail: String| Verdict::Rejected { code, detail };
    match result {
        VoucherResult::Granted(_) | VoucherResult::UnknownChannel => pending(
            chain,
            1,
            Code::ChannelNotSeen,
            format!("no channel {} of {} has been seen on {} yet", new.voucher.channel, new.contract, chain.chain),
        ),
        VoucherResult::PastContract(past) => no(
            Code::VoucherNotAccepted,
            format!(
                "the channel is of {past}, and vouchers are taken of {} now: open a channel there; what is left in this \
                 one comes back by requestExit of {past} and, after the exit delay, exit",
                new.contract
            ),
        ),
        VoucherResult::StrangeOperator(operator) => no(Code::OperatorNotAccepted, strange_operator(*operator, new)),
        VoucherResult::NoSigner => no(
            Code::SignerRequired,
            "the channel names no key that signs its vouchers, and a payer can be a contract that changes its mind: open \
             one with a signer"
                .into(),
        ),
        VoucherResult::WrongSigner(signer) => no(
            Code::VoucherInvalid,
            format!("the voucher was signed by {}, the channel's vouchers are signed by {signer}", new.signer),
        ),
        VoucherResult::WrongPayee(payee) => {
            no(Code::WrongPayee, format!("the channel pays {payee}, not {}", new.payee))
        }
        VoucherResult::WrongAsset(asset) => {
            no(Code::WrongAsset, format!("the channel is in {asset}, not {}", new.asset))
        }
        VoucherResult::LeavesTooSoon(delay) => no(
            Code::VoucherNotAccepted,
            format!(
                "the channel's exit delay is {delay} s, and of channels with less than {} s no new vouchers are taken: open \
                 another, or pay on chain",
                new.least_exit_delay
            ),
        ),
        VoucherResult::HeldElsewhere(_) => held_elsewhere(),
        VoucherResult::AccountClosed => {
            let Problem { code, detail, .. } = account_closed();
            no(code, detail)
        }
        VoucherResult::Halted => halted_meanwhile(),
        VoucherResult::BeforeRestore => before_restore("the channel was opened", "open another"),
        VoucherResult::BeforeDatabase => no(
            Code::BeforeDatabase,
            format!("{}; or open another channel", before_database("the channel")),
        ),
        VoucherResult::NotCurrent(why) => not_current(*why, new, chain),
        VoucherResult::Closed => no(Code::ChannelClosed, "the channel is closed: open another".into()),
        VoucherResult::Closing => no(
            Code::ChannelClosed,
            "the server is closing the channel, and what is left goes back to its payer: open another".into(),
        ),
        VoucherResult::Exiting(exit_at) => no(
            Code::ChannelExiting,
            format!(
                "the channel's payer leaves at {exit_at}: call topUp as the payer, which cancels the exit, or open another"
            ),
        ),
        VoucherResult::AboveDeposit(deposit) => no(
            Code::VoucherAboveDeposit,
            format!("{} is signed and {deposit} was deposited: top the channel up", new.voucher.ceiling),
        ),
        VoucherResult::TooShallow { needed, .. } if *needed == u64::MAX => {
            let detail = "a payment of this payer was granted on and left the chain; nothing of it is granted until it \
                          is back, or the operator has settled it; do not sign again"
                .into();
            pending(chain, u64::MAX, Code::PayerRefused, detail)
        }
        VoucherResult::TooShallow { confirmations, needed } => pending(
            chain,
            needed.saturating_sub(*confirmations),
            Code::AwaitingConfirmations,
            format!(
                "the deposits that cover the voucher need {needed} confirmations, the channel's opening has \
                 {confirmations}: do not sign again, show the same voucher"
            ),
        ),
        VoucherResult::Used(account) => {
            no(Code::VoucherUsed, format!("the voucher was used for another request; {}", next(account, new)))
        }
        VoucherResult::TooLow(account) => {
            no(Code::VoucherTooLow, format!("{} is signed; {}", new.voucher.ceiling, next(account, new)))
        }
        VoucherResult::AllowsTooLittle { account, more } => {
            let figures = VoucherFigures::new(account.ceiling, account.used(), *more);
            no(Code::VoucherTooLow, format!("{} is signed; {figures}", new.voucher.ceiling))
        }
        VoucherResult::OtherChannel(channel) => no(
            Code::WrongChannel,
            format!("the stream is paid from channel {channel}, and the voucher is of {}", new.voucher.channel),
        ),
        VoucherResult::NotUnderWay => no(
            Code::StreamEnded,
            "no stream of this request is under way that the voucher could pay more of: nothing was taken of it".into(),
        ),
    }
}

/// An operator can close a channel without a voucher.
fn strange_operator(operator: Address, new: &NewVoucher) -> String {
    let ours = match new.operators.as_slice() {
        [] => String::new(),
        ours => format!(" or {}", ours.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    };
    format!(
        "the channel names {operator} as its operator, which could close it before its vouchers are claimed: open one \
         whose operator is zero{ours}"
    )
}

/// It is not known what happened to the channel meanwhile: its payer may have left, or topped it up.
fn not_current(why: NotCurrent, new: &NewVoucher, chain: &ChainPolicy) -> Verdict {
    let (blocks, why) = match why {
        NotCurrent::Old { age_ms: Some(age_ms), most_ms } => (
            u64::MAX,
            format!(
                "the node of {} was last heard of {} s ago, and of this channel at most {} s are waited before nothing \
                 new is granted",
                chain.chain,
                age_ms / 1000,
                most_ms / 1000
            ),
        ),
        NotCurrent::Old { age_ms: None, .. } => {
            (u64::MAX, format!("it is not known when the node of {} was last heard of", chain.chain))
        }
        NotCurrent::StandsStill { age_ms: Some(age_ms), most_ms } => (
            u64::MAX,
            format!(
                "the newest block that the node of {} shows is {} s old, and of this channel at most {} s are waited before \
                 nothing new is granted",
                chain.chain,
                age_ms / 1000,
                most_ms / 1000
            ),
        ),
        NotCurrent::StandsStill { age_ms: None, .. } => (
            u64::MAX,
            format!(
                "the newest block of {} is ahead of the server's clock, or its time is not known",
                chain.chain
            ),
        ),
        NotCurrent::Behind(blocks) => (1, format!("the index of {} is {blocks} blocks behind", chain.chain)),
        NotCurrent::Unread(Stretch { from, to }) => (
            u64::MAX,
            format!(
                "the past of {} is still being read, and of blocks {from} to {to} not all is",
                new.contract
            ),
        ),
        NotCurrent::NotFollowed => (u64::MAX, format!("the index does not follow {} yet", new.contract)),
    };
    let detail = format!("{why}: do not pay again, show the same voucher later");
    pending(chain, blocks, Code::ChannelNotCurrent, detail)
}

/// What to sign next. Clients parse it, so its form must not change.
fn next(account: &VoucherAccount, new: &NewVoucher) -> VoucherFigures {
    VoucherFigures::new(account.ceiling, account.used(), new.price)
}

fn outcome(result: &VoucherResult, raises: bool) -> &'static str {
    match result {
        VoucherResult::Granted(grant) if grant.first && raises => "raised",
        VoucherResult::Granted(grant) if grant.first => "first",
        VoucherResult::Granted(_) => "again",
        VoucherResult::UnknownChannel => "not_on_chain",
        VoucherResult::PastContract(_) => "past_contract",
        VoucherResult::StrangeOperator(_) => "strange_operator",
        VoucherResult::NoSigner
        | VoucherResult::WrongSigner(_)
        | VoucherResult::WrongPayee(_)
        | VoucherResult::WrongAsset(_) => "mismatch",
        VoucherResult::LeavesTooSoon(_) => "leaves_too_soon",
        VoucherResult::HeldElsewhere(_) => "held_elsewhere",
        VoucherResult::AccountClosed => "account_closed",
        VoucherResult::Halted => "halted",
        VoucherResult::BeforeRestore => "before_restore",
        VoucherResult::BeforeDatabase => "before_database",
        VoucherResult::NotCurrent(_) => "not_current",
        VoucherResult::Closed | VoucherResult::Closing => "closed",
        VoucherResult::Exiting(_) => "exiting",
        VoucherResult::AboveDeposit(_) => "above_deposit",
        VoucherResult::TooShallow { .. } => "too_shallow",
        VoucherResult::Used(_) => "used",
        VoucherResult::TooLow(_) | VoucherResult::AllowsTooLittle { .. } => "too_low",
        VoucherResult::OtherChannel(_) => "other_channel",
        VoucherResult::NotUnderWay => "not_under_way",
    }
}
