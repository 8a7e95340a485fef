//! The record of a payment: written before the money can move, and read again by whoever goes on.

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

/// The layout of [`Receipt`].
const VERSION: u8 = 1;
/// Longest receipt that is read, in bytes. A request's body is in it.
const LONGEST: u64 = 256 << 20;

/// A payment that is signed. It can be sent any number of times and moves money once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedPayment {
    /// The network's name, as its profile has it.
    pub network: String,
    /// Who pays.
    pub payer: Address,
    /// The transaction's hash.
    pub transaction: B256,
    /// Its place in the order of the account's transactions.
    pub nonce: u64,
    /// The transaction as it is sent, EIP-2718.
    pub raw: Bytes,
}

/// How far a payment got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It may have been sent, and its answer was not got yet.
    Unfinished,
    /// Its answer was got.
    Answered,
    /// Another transaction of the account took its place for good: it paid nothing and never will.
    Replaced,
}

/// All that is needed to get what was paid for, in another process or after a crash. It holds no key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    version: u8,
    /// How far it got.
    pub stage: Stage,
    /// The request's method.
    pub method: String,
    /// Where it was sent.
    pub url: String,
    /// Its body.
    pub body: Bytes,
    /// What was asked for it, with the quote id.
    pub details: PaymentDetails,
    /// What paid.
    pub payment: SignedPayment,
    /// The block at which another transaction was first seen in the payment's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overtaken_at: Option<u64>,
    /// The answer's status, once it was got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// Why a receipt cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// The file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is no receipt, or one of another version.
    #[error("{path}: this is no receipt that this version can read ({what}); nothing was paid")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

/// Keeps what is known of a payment. It is told before the payment is sent, and whenever more is known.
#[async_trait]
pub trait Keep: Send + Sync {
    /// Puts a receipt where it survives this process. What this returns an error for is not sent.
    async fn keep(&self, receipt: &Receipt) -> io::Result<()>;
}

/// Keeps nothing: whoever crashes has paid for nothing, and whoever asks again pays again.
#[async_trait]
impl Keep for () {
    async fn keep(&self, _receipt: &Receipt) -> io::Result<()> {
        Ok(())
    }
}

impl Receipt {
    /// Of a payment that is about to be sent.
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

    /// The request that was paid for; `None` where the receipt was written by hand and is wrong.
    pub fn request(&self) -> Option<Request> {
        Some(Request {
            method: self.method.parse().ok()?,
            url: self.url.parse().ok()?,
            body: self.body.clone().into(),
        })
    }

    /// What shows the payment.
    pub fn proof(&self) -> PaymentProof {
        PaymentProof {
            proof: Proof::transaction(self.payment.transaction),
            quote: Some(self.details.quote_id.clone()),
        }
    }

    /// What tells this payment's request from others. See [`identity`].
    pub fn identity(&self) -> Option<B256> {
        Some(identity(&self.request()?, &self.payment.network, self.payment.payer))
    }
}

/// The same for the same request, by the same payer, on the same network, and for nothing else.
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

/// A receipt in a file that only its owner can read, replaced as a whole.
#[derive(Clone, Debug)]
pub struct ReceiptFile {
    path: PathBuf,
}

/// While it lives, no other process uses the receipt. The system gives it up when the process ends, however that is.
#[derive(Debug)]
pub struct ReceiptLock(#[expect(dead_code, reason = "the lock is the open file")] File);

impl ReceiptFile {
    /// At a path; its folder is made where it is missing.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// In a folder of receipts, under the name of what it is for.
    pub fn of(folder: &Path, identity: B256) -> Self {
        Self::new(folder.join(format!("{}.json", hex::encode(&identity[..16]))))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes it for this process; `None` while another has it.
    ///
    /// # Errors
    /// [`ReceiptError::File`], where nothing could be written either.
    pub fn try_lock(&self) -> Result<Option<ReceiptLock>, ReceiptError> {
        let mut name = self.path.clone().into_os_string();
        name.push(".lock");
        let path = PathBuf::from(name);
        try_lock(&path).map_err(|error| ReceiptError::File { path, error })
    }

    /// What is in it; `None` where there is no file.
    ///
    /// # Errors
    /// [`ReceiptError`]: a file that cannot be read may be the record of a payment.
    pub fn read(&self) -> Result<Option<Receipt>, ReceiptError> {
        let failed = |error| ReceiptError::File { path: self.path.clone(), error };
        let unreadable = |what| ReceiptError::Unreadable { path: self.path.clone(), what };
        match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
            Ok(known) if known.len() > LONGEST => return Err(unreadable("it is too long".into())),
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

    /// Writes it, whole or not at all: on disk before this returns.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, receipt: &Receipt) -> io::Result<()> {
        let folder = self.folder();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // Made with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer_pretty(&mut file, receipt)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        // The name is in the folder, which is another file.
        File::open(folder)?.sync_all()
    }

    /// Gives it another name, after its transaction, so that its place is free and nothing is lost.
    ///
    /// # Errors
    /// What the system says.
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

/// Takes a file for this process, which is made where it is missing, with its folder; `None` while another has it.
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
