//! `salt402 pay`: one paid request, from the payer's side.

mod attempt;
mod log;
mod output;

use std::process::ExitCode;

use anyhow::anyhow;
use salt402_client::{Paid, PayError, Step};
use salt402_protocol::{Code, Problem};
use tokio::signal::unix::{SignalKind, signal};

use self::attempt::PaymentAttempt;
use self::log::StepLog;
use crate::args::PayArgs;

/// Nothing was paid, and there is no answer.
const UNPAID: u8 = 1;
/// There is an answer, and it is not a success.
const NO_SUCCESS: u8 = 2;
/// Money may have moved, and what it paid for was not received. The receipt says how to go on.
const UNFINISHED: u8 = 3;

/// Sends, pays and prints. The exit code says what became of the money.
pub(crate) async fn pay(args: &PayArgs) -> anyhow::Result<ExitCode> {
    let attempt = PaymentAttempt::of(args)?;
    let log = StepLog::new(args.json, attempt.coin.clone(), attempt.receipt_path());
    let done = tokio::select! {
        done = run(args, &attempt, &log) => done,
        name = interrupted() => Err(anyhow!("ended by {name}")),
    };
    Ok(ExitCode::from(done.unwrap_or_else(|error| {
        log.fail(&format!("{error:#}"));
        let unpaid = matches!(
            error.downcast_ref(),
            Some(PayError::Replaced { .. } | PayError::DeadlinePassed { .. } | PayError::Reverted { .. })
        );
        if log.may_have_paid() && !unpaid { UNFINISHED } else { UNPAID }
    })))
}

async fn run(args: &PayArgs, attempt: &PaymentAttempt, log: &StepLog) -> anyhow::Result<u8> {
    let watch = |step: Step<'_>| log.take(&step);
    let _lock = attempt.lock(log).await?;
    let mut paid = attempt.run(args.again, log, &watch).await?;
    let most = args.max_answer_mib.saturating_mul(1 << 20);
    let refunded = is_refunded(&paid);
    output::write(&mut paid.answer, args.output.as_deref(), most).await?;
    // Only now, after the answer was written: after a crash before this, the answer is asked for again and nothing is
    // paid.
    if let Err(error) = attempt.got(&paid).await {
        log.note(&format!("the receipt could not be marked as answered: {error}"));
    }
    log.end(&paid);
    if paid.status.is_success() {
        return Ok(0);
    }
    if !log.may_have_paid() || paid.status.is_redirection() {
        return Ok(NO_SUCCESS);
    }
    if refunded {
        log.how_to_pay_again();
    } else {
        log.how_to_resume();
    }
    Ok(UNFINISHED)
}

/// Whether the payment was given back. Then it is of no use to show it again.
fn is_refunded(paid: &Paid) -> bool {
    paid.status.as_u16() == Code::PaymentRefunded.status()
        && serde_json::from_slice::<Problem>(paid.answer.head())
            .is_ok_and(|problem| problem.code == Code::PaymentRefunded)
}

/// Waits for SIGINT or SIGTERM.
async fn interrupted() -> &'static str {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    }
}
