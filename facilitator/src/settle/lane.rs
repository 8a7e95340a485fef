//! One chain on which is settled: its accounts, how they stand, and its task, which is started again if it breaks.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Address;
use futures::FutureExt as _;
use salt402_store::Store;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::metrics::settling as metrics;
use crate::settle::lock::SignerLock;
use crate::settle::options::{SettleChain, SettleOptions};
use crate::settle::signer::Signer;
use crate::settle::standing::Standing;
use crate::settle::task::Task;
use crate::settle::waiters::Waiters;

/// The pause before a task that broke is started again. It doubles up to the longest, until one has run for that long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What callers are told meanwhile.
const BROKE: &str = "settling on this chain ended unexpectedly and is started again";
const ENDED: &str = "settling on this chain has ended, since its database was closed";

/// One chain, as callers see it. Its task ends when this is dropped.
pub(super) struct Lane {
    pub(super) accounts: Vec<Address>,
    pub(super) wake: Arc<Notify>,
    pub(super) standing: Arc<Standing>,
    task: JoinHandle<()>,
}

/// All that a chain's task is made of. What it knows besides is in the database.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) chain: SettleChain,
    pub(super) store: Store,
    pub(super) options: Arc<SettleOptions>,
    pub(super) waiters: Arc<Waiters>,
    /// The accounts' locks, in the order of `chain.accounts`. They are held from one task to the next.
    pub(super) locks: Vec<Arc<SignerLock>>,
}

impl Lane {
    /// Starts a chain's task.
    pub(super) fn start(parts: Parts, changes: watch::Receiver<u64>) -> Self {
        let accounts: Vec<Address> = parts.chain.accounts.iter().map(|account| account.address()).collect();
        let (wake, standing) = (Arc::new(Notify::new()), Arc::new(Standing::new(&accounts)));
        let keep = keep_running(parts, Arc::clone(&standing), Arc::clone(&wake), changes);
        Self { accounts, wake, standing, task: tokio::spawn(keep) }
    }

    /// Ends the task, and waits until it has ended.
    pub(super) async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Runs a chain's task, and another one where one broke. A new one goes on from the database, as after a kill.
async fn keep_running(
    parts: Parts,
    standing: Arc<Standing>,
    wake: Arc<Notify>,
    changes: watch::Receiver<u64>,
) {
    let chain = parts.chain.chain;
    let mut pause = FIRST_PAUSE;
    loop {
        let begun = Instant::now();
        let task = parts.task(Arc::clone(&standing), Arc::clone(&wake));
        let Err(panic) = AssertUnwindSafe(task.run(changes.clone())).catch_unwind().await else {
            standing.end(ENDED);
            return;
        };
        standing.end(BROKE);
        metrics::broke(chain);
        let said = panic.downcast_ref::<&str>().copied();
        let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic");
        tracing::error!(%chain, said, "settling broke: nothing is claimed on this chain until it runs again");
        if begun.elapsed() > LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl Parts {
    fn task(&self, standing: Arc<Standing>, wake: Arc<Notify>) -> Task {
        let signers = self.chain.accounts.iter().zip(&self.locks);
        Task::new(
            self.chain.clone(),
            self.store.clone(),
            Arc::clone(&self.options),
            Arc::clone(&self.waiters),
            standing,
            wake,
            signers.map(|(account, lock)| Signer::new(Arc::clone(account), Arc::clone(lock))).collect(),
        )
    }
}
