//! What the operator decides about settling.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use salt402_chain::{Account, Node};
use salt402_protocol::ChainId;
use salt402_store::GasBudgets;

use crate::calls::SettleContracts;
use crate::policy::GasCaps;

/// How settlements are sent, on all chains.
#[derive(Clone, Debug)]
pub struct SettleOptions {
    /// How long a caller waits for the outcome before it is told that the settlement is pending. Official clients give up after
    /// 90 seconds.
    pub wait: Duration,
    /// The most settlements of a chain that may wait to be sent. More are refused.
    pub queue: usize,
    /// How long a settlement may wait for others to go with it, while another is on its way. One that comes alone never waits.
    pub batch_delay: Duration,
    /// The most settlements in one transaction. 1: each has its own.
    pub batch: usize,
    /// The most transactions of one account that may be on their way. Nodes hold few of an account.
    pub open: usize,
    /// After how long without a receipt a transaction is sent again, and after that replaced by one with a higher fee.
    pub stall: Duration,
    /// The most gas of one settlement, by the way it is settled.
    pub gas_caps: GasCaps,
    /// The most gas of a day.
    pub budgets: GasBudgets,
    /// For how long attempts are kept.
    pub keep_attempts: Duration,
    /// Where the files stand that keep two processes from one key: the same place for all processes of a machine.
    pub locks: PathBuf,
}

impl Default for SettleOptions {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(60),
            queue: 1024,
            batch_delay: Duration::ZERO,
            batch: 50,
            open: 16,
            stall: Duration::from_secs(15),
            gas_caps: GasCaps::default(),
            budgets: GasBudgets::default(),
            keep_attempts: Duration::from_secs(30 * 24 * 60 * 60),
            locks: std::env::temp_dir(),
        }
    }
}

/// A chain on which is settled.
#[derive(Clone)]
pub struct SettleChain {
    /// The chain.
    pub chain: ChainId,
    /// Its node.
    pub node: Arc<dyn Node>,
    /// The contracts.
    pub contracts: SettleContracts,
    /// The accounts that send.
    pub accounts: Vec<Arc<Account>>,
}

impl fmt::Debug for SettleChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettleChain")
            .field("chain", &self.chain)
            .field("contracts", &self.contracts)
            .field("accounts", &self.accounts)
            .finish_non_exhaustive()
    }
}
