//! What can go wrong with a store, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use salt402_protocol::{Amount, B256, ChainId, PaymentId};

use crate::rows::block::{Cursor, HaltKind};

/// Why the store did not do what was asked. Nothing of the failed command was stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or directory could not be made or written.
    #[error(
        "{path} cannot be used: {source}; make sure that its directory exists and that this user may write there"
    )]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The database cannot be opened or may not be written.
    #[error(
        "the database {path} cannot be opened for writing ({reason}): make sure that it is a file, that this user may \
         write it and its directory, and that the disk is not mounted read-only"
    )]
    CannotOpen {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        reason: String,
    },
    /// The file is something else than a database.
    #[error("{path} is no SQLite database: configure another path, or move the file away")]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is a database of another program.
    #[error("{path} is a database of another program: configure a path of its own for salt402")]
    ForeignDatabase {
        /// The file.
        path: PathBuf,
    },
    /// The database was written by a newer version.
    #[error(
        "the database {path} is at schema {found}, this program knows schemas up to {known}: start the version of \
         salt402 that wrote it, or a newer one"
    )]
    NewerDatabase {
        /// The database file.
        path: PathBuf,
        /// The newest schema in the database.
        found: i64,
        /// The newest schema of this program.
        known: i64,
    },
    /// The database was written by a build whose schema was never released.
    #[error(
        "schema {version} of the database {path} differs from this program's: it was written by a development build; \
         start that build, or move the database away and index again"
    )]
    ChangedSchema {
        /// The database file.
        path: PathBuf,
        /// The schema that differs.
        version: i64,
    },
    /// Another process does the same work on the same database.
    #[error(
        "another {role} already works on this database (it holds {lock}): stop it, or run one of them only"
    )]
    HeldElsewhere {
        /// Which part: `indexer` or `gateway`.
        role: &'static str,
        /// The lock file that it holds.
        lock: PathBuf,
    },
    /// The database is a backup and must be restored before it is opened.
    #[error(
        "{path} is a backup: claims that were made after it was taken are not in it, and payments could be used twice; \
         move it away and put it back by `salt402 restore`"
    )]
    IsBackup {
        /// The file.
        path: PathBuf,
    },
    /// The file to restore is not a backup.
    #[error(
        "{path} was not made by `salt402 backup`: when it was copied is not known, nor what was claimed since"
    )]
    NoBackup {
        /// The file.
        path: PathBuf,
    },
    /// The file to create exists already.
    #[error("{path} is there already and is left alone: name another place, or move it away")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A database that is damaged.
    #[error("{path} is damaged ({said}): use another backup")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite found.
        said: String,
    },
    /// More was to be charged than the payer authorized, or nothing was authorized.
    #[error(
        "payment {payment} authorizes {ceiling} base units at the most, and {amount} were to be charged: nothing was charged"
    )]
    AboveCeiling {
        /// The payment.
        payment: PaymentId,
        /// The most, in base units. 0 if nothing was authorized.
        ceiling: Amount,
        /// What was to be charged, in base units.
        amount: Amount,
    },
    /// The chain was never pinned.
    #[error("chain {chain} is not in the store: pin its genesis block first")]
    UnknownChain {
        /// The chain.
        chain: ChainId,
    },
    /// The chain is not the one of the stored payments.
    #[error(
        "the genesis block of chain {chain} is {given}, but the database holds a chain that began with {stored}: the \
         node is on another chain, or the chain was reset; correct the node, or index into a new database"
    )]
    OtherGenesis {
        /// The chain.
        chain: ChainId,
        /// The genesis block's hash in the store.
        stored: B256,
        /// The one that was given.
        given: B256,
    },
    /// The chain is halted, and the operator did not accept this.
    #[error(
        "chain {chain} is halted ({kind}): nothing is added to it until the operator acts; `salt402 chain resume` says \
         what happened and what can be done"
    )]
    Halted {
        /// The chain.
        chain: ChainId,
        /// Why it is halted.
        kind: HaltKind,
    },
    /// The index has moved since the batch was computed.
    #[error(
        "the index of chain {chain} stands at {}, not at {}: read the cursor and compute the batch again",
        Cursor::tell(*stored),
        Cursor::tell(*expected)
    )]
    CursorMoved {
        /// The chain.
        chain: ChainId,
        /// Where the batch began.
        expected: Option<Cursor>,
        /// Where the index stands.
        stored: Option<Cursor>,
    },
    /// A batch that contradicts itself or the stored chain.
    #[error("a batch for chain {chain} was refused, nothing of it was stored: {reason}; ask the node again")]
    BadBatch {
        /// The chain.
        chain: ChainId,
        /// What does not fit.
        reason: String,
    },
    /// One payment in two blocks of one chain.
    #[error(
        "a batch for chain {chain} was refused, nothing of it was stored: payment {payment} would be on the chain in \
         block {block} and in block {other}; the node contradicts itself, ask it again or ask another"
    )]
    PaymentTwice {
        /// The chain.
        chain: ChainId,
        /// The payment.
        payment: PaymentId,
        /// The block that the batch puts it in.
        block: B256,
        /// The block it is in already.
        other: B256,
    },
    /// A number that does not fit a database.
    #[error("{what} is {value}, more than 2^63 - 1: no chain has such a value, ask another node")]
    TooLarge {
        /// What the number is.
        what: &'static str,
        /// The number.
        value: u64,
    },
    /// A stored value that this program never writes.
    #[error(
        "the database holds an impossible {column}: it was changed by hand or damaged; restore it, or index again"
    )]
    Corrupt {
        /// The column.
        column: &'static str,
    },
    /// A file of the open database is no longer at its path.
    #[error(
        "{path} was removed or replaced while it was open: nothing is granted, quoted or indexed, as the next process would \
         know nothing of it; stop this process, put the file back or begin anew, and start again"
    )]
    Moved {
        /// The place.
        path: PathBuf,
    },
    /// Another process holds the write lock.
    #[error("another process writes to the database and did not finish in time: try again")]
    Busy,
    /// A read took too long and was broken off.
    #[error(
        "a read took too long and was broken off, so that the write-ahead log can be begun anew: try again; if it lasts, \
         the disk is too slow for what is asked of it"
    )]
    ReadTooLong,
    /// The disk or the file system did not do what was asked.
    #[error(
        "the disk that holds the database failed ({0}): is it read-only, are the files this user's, is there a limit on \
         their size? Mend it, work then goes on by itself"
    )]
    DiskFailed(Arc<dyn std::error::Error + Send + Sync>),
    /// No space is left.
    #[error("the disk that holds the database is full: free some space, writing then goes on by itself")]
    DiskFull,
    /// A fault of this program while the work was written.
    #[error("a fault of ours while this was written; it was logged, and nothing of it is stored: try again")]
    Broke,
    /// The store was closed, or its writer ended.
    #[error("the store is closed: nothing more is written by this process")]
    Closed,
    /// Anything else that the database says.
    #[error("the database failed: {0}")]
    Sql(Arc<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// Whether the same command, or one computed again, may succeed later. Otherwise the operator must act.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::CursorMoved { .. }
            | Self::BadBatch { .. }
            | Self::PaymentTwice { .. }
            | Self::TooLarge { .. }
            | Self::Moved { .. }
            | Self::Busy
            | Self::DiskFull
            | Self::DiskFailed(_)
            | Self::ReadTooLong
            | Self::Broke
            | Self::Sql(_) => true,
            Self::File { .. }
            | Self::CannotOpen { .. }
            | Self::NotADatabase { .. }
            | Self::ForeignDatabase { .. }
            | Self::NewerDatabase { .. }
            | Self::ChangedSchema { .. }
            | Self::HeldElsewhere { .. }
            | Self::IsBackup { .. }
            | Self::NoBackup { .. }
            | Self::Exists { .. }
            | Self::Damaged { .. }
            | Self::UnknownChain { .. }
            | Self::OtherGenesis { .. }
            | Self::Halted { .. }
            | Self::AboveCeiling { .. }
            | Self::Corrupt { .. }
            | Self::Closed => false,
        }
    }
}
