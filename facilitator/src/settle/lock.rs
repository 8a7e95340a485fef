//! One process an account: two that send with one key would use the same nonces.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use alloy_primitives::Address;
use salt402_protocol::ChainId;

/// The right to send with an account on a chain. It ends with this value, and with the process.
#[derive(Debug)]
pub(super) struct SignerLock {
    _file: File,
}

/// Why an account cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process sends with it.
    #[error(
        "another process settles with the account {account} on {chain} ({path} is locked): stop that process, or give this \
         one a key of its own"
    )]
    Held {
        /// The account.
        account: Address,
        /// The chain.
        chain: ChainId,
        /// The locked file.
        path: PathBuf,
    },
    /// The file cannot be used.
    #[error(
        "{path} cannot be used: {source}; make sure that its folder exists and that this user may write there"
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Takes the right. The file's name has the chain and the account alone, so that a process with another database sees it.
pub(super) fn take(folder: &Path, chain: ChainId, account: Address) -> Result<SignerLock, LockError> {
    let path = folder.join(format!("salt402-signer-{}-{account:#x}.lock", chain.get()));
    // Processes of different users share it. A link in its place is not followed.
    let opened = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o666)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(&path);
    let file = opened.map_err(|source| LockError::File { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(SignerLock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(LockError::Held { account, chain, path }),
        Err(TryLockError::Error(source)) => Err(LockError::File { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_locked_on_one_chain_until_its_holder_ends() {
        let folder = tempfile::tempdir().unwrap();
        let account = Address::repeat_byte(7);
        let held = take(folder.path(), ChainId::CITRATE, account).unwrap();
        let refused = take(folder.path(), ChainId::CITRATE, account).unwrap_err();
        assert!(matches!(refused, LockError::Held { .. }), "{refused}");
        take(folder.path(), ChainId::CITRATE, Address::repeat_byte(8)).unwrap();
        take(folder.path(), ChainId::new(8453).unwrap(), account).unwrap();
        drop(held);
        take(folder.path(), ChainId::CITRATE, account).unwrap();
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let account = Address::repeat_byte(7);
        let path = folder.path().join(format!("salt402-signer-40204-{account:#x}.lock"));
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &path).unwrap();
        let refused = take(folder.path(), ChainId::CITRATE, account).unwrap_err();
        assert!(matches!(refused, LockError::File { .. }), "{refused}");
        assert!(!folder.path().join("elsewhere").exists());
    }
}
