//! The record of a payment, stored before the money can move. It allows to continue after a crash.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use alloy_primitives::{Address, B256, Bytes, hex, keccak256};
use async_trait::async_trait;
use salt402_protocol::Proof;
use salt402_protocol::details::PaymentDetails;
use serde::{Deserialize, Serialize};

use crate::request::{PaymentProof, Request};

/// The layout version of [`Receipt`].
const VERSION: u8 = 1;
/// The longest receipt that is read, in bytes. It contains the request's body.
const MAX_BYTES: u64 = 256 << 20;

/// A signed payment. Sending it several times moves the money once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedPayment {
    /// The network's name in its profile.
    pub network: String,
    /// The account that pays.
    pub payer: Address,
    /// The transaction's hash.
    pub transaction: B256,
    /// The transaction's nonce.
    pub nonce: u64,
    /// The encoded transaction (EIP-2718).
    pub raw: Bytes,
    /// The last second in which it can be mined and pay, since 1970 UTC. After it, it reverts. `None`: it has no deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<u64>,
}

/// The progress of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It may have been sent, and its answer was not received.
    Unfinished,
    /// Its answer was received.
    Answered,
    /// Another transaction finally used its nonce. The payment moved no money and never will.
    Replaced,
    /// It finally reverted, or its deadline finally passed. The payment moved no money and never will.
    Reverted,
}

/// Everything needed to get the paid answer in another process or after a crash. It contains no key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    version: u8,
    /// The progress.
    pub stage: Stage,
    /// The request's method.
    pub method: String,
    /// The request's URL.
    pub url: String,
    /// The request's body.
    pub body: Bytes,
    /// The payment details of the 402, with the quote id.
    pub details: PaymentDetails,
    /// The signed payment.
    pub payment: SignedPayment,
    /// The head when another transaction with the same nonce was first seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overtaken_at: Option<u64>,
    /// The answer's status, after it was received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// Why a receipt cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// The file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// The error.
        error: io::Error,
    },
    /// The file is not a receipt, or has another version.
    #[error("{path}: this is not a receipt that this version can read ({what}); nothing was paid")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// Stores receipts: before the payment is sent, and after each change.
#[async_trait]
pub trait Keep: Send + Sync {
    /// Stores a receipt durably. If this fails, the payment is not sent.
    async fn keep(&self, receipt: &Receipt) -> io::Result<()>;
}

/// Stores nothing. After a crash the payment is lost, and a new request pays again.
#[async_trait]
impl Keep for () {
    async fn keep(&self, _receipt: &Receipt) -> io::Result<()> {
        Ok(())
    }
}

impl Receipt {
    /// The receipt of a payment that will be sent.
    pub fn new(request: &Request, details: PaymentDetails, payment: SignedPayment) -> Self {
        Self {
            version: VERSION,
            stage: Stage::Unfinished,
            method: request.method.to_string(),
            url: request.url.to_string(),
            body: request.body.clone().into(),
            details,
            payment,
            overtaken_at: None,
            status: None,
        }
    }

    /// The paid request. `None` if the receipt was edited and is invalid.
    pub fn request(&self) -> Option<Request> {
        Some(Request {
            method: self.method.parse().ok()?,
            url: self.url.parse().ok()?,
            body: self.body.clone().into(),
        })
    }

    /// The proof of the payment.
    pub fn proof(&self) -> PaymentProof {
        PaymentProof {
            proof: Proof::transaction(self.payment.transaction),
            quote: Some(self.details.quote_id.clone()),
        }
    }

    /// The identity of the payment's request. See [`identity`].
    pub fn identity(&self) -> Option<B256> {
        Some(identity(&self.request()?, &self.payment.network, self.payment.payer))
    }
}

/// A hash that is equal for the same request, payer and network, and for nothing else.
pub fn identity(request: &Request, network: &str, payer: Address) -> B256 {
    let mut parts = Vec::new();
    for part in [
        network.as_bytes(),
        payer.as_slice(),
        request.method.as_str().as_bytes(),
        request.url.as_str().as_bytes(),
        keccak256(&request.body).as_slice(),
    ] {
        parts.extend_from_slice(&(part.len() as u64).to_be_bytes());
        parts.extend_from_slice(part);
    }
    keccak256(parts)
}

/// A receipt in a file that only its owner can read. It is replaced as a whole.
#[derive(Clone, Debug)]
pub struct ReceiptFile {
    path: PathBuf,
}

/// A lock on the receipt against other processes. The system releases it when the process ends.
#[derive(Debug)]
pub struct ReceiptLock(#[expect(dead_code, reason = "the lock is the open file")] File);

impl ReceiptFile {
    /// A file at a path. Its folder is created if missing.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The file for an identity in a folder of receipts.
    pub fn of(folder: &Path, identity: B256) -> Self {
        Self::new(folder.join(format!("{}.json", hex::encode(&identity[..16]))))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Locks the receipt for this process. `None`: another process holds it.
    ///
    /// # Errors [`ReceiptError::File`]. Writing would fail then, too.
    pub fn try_lock(&self) -> Result<Option<ReceiptLock>, ReceiptError> {
        let mut name = self.path.clone().into_os_string();
        name.push(".lock");
        let path = PathBuf::from(name);
        try_lock(&path).map_err(|error| ReceiptError::File { path, error })
    }

    /// Reads the receipt. `None`: there is no file.
    ///
    /// # Errors [`ReceiptError`]. An unreadable file may be the record of a payment.
    pub fn read(&self) -> Result<Option<Receipt>, ReceiptError> {
        let failed = |error| ReceiptError::File { path: self.path.clone(), error };
        let unreadable = |what| ReceiptError::Unreadable { path: self.path.clone(), what };
        match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
            Ok(known) if known.len() > MAX_BYTES => return Err(unreadable("it is too long".into())),
            Ok(_) => {}
        }
        let text = fs::read(&self.path).map_err(failed)?;
        let receipt: Receipt =
            serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
        if receipt.version != VERSION {
            return Err(unreadable(format!("version {}", receipt.version)));
        }
        if receipt.request().is_none() {
            return Err(unreadable("its method or its address is none".into()));
        }
        Ok(Some(receipt))
    }

    /// Writes the receipt atomically. It is on disk when this returns.
    ///
    /// # Errors The system's error.
    pub fn write(&self, receipt: &Receipt) -> io::Result<()> {
        let folder = self.folder();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // `tempfile` creates it with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer_pretty(&mut file, receipt)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        // The folder holds the new name, so it must be synced too.
        File::open(folder)?.sync_all()
    }

    /// Renames the file after its transaction, so that its place is free and nothing is lost.
    ///
    /// # Errors The system's error.
    pub fn set_aside(&self, receipt: &Receipt) -> io::Result<PathBuf> {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        let name = format!("{stem}-{}.json", hex::encode(&receipt.payment.transaction[..8]));
        let aside = self.path.with_file_name(name);
        fs::rename(&self.path, &aside)?;
        File::open(self.folder())?.sync_all()?;
        Ok(aside)
    }

    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }
}

/// Locks a file for this process. Creates it and its folder if missing. `None`: another process holds it.
pub(crate) fn try_lock(path: &Path) -> io::Result<Option<ReceiptLock>> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(ReceiptLock(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[async_trait]
impl Keep for ReceiptFile {
    async fn keep(&self, receipt: &Receipt) -> io::Result<()> {
        let (file, receipt) = (self.clone(), receipt.clone());
        tokio::task::spawn_blocking(move || file.write(&receipt)).await.map_err(io::Error::other)?
    }
}
