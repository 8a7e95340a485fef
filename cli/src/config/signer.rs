//! `keys` of the facilitator: the private keys that send settlements, from the environment, a file or an encrypted keystore.

use std::path::{Path, PathBuf};

use eth_keystore::{EthKeystore, KdfparamsType};
use salt402_chain::Account;
use salt402_protocol::B256;
use serde::Deserialize;

use super::error::ConfigError;
use super::secret;

/// The longest key of a keystore that is derived, in bytes of memory: scrypt takes 128 × n × r of them.
const MOST_MEMORY: u64 = 1 << 30;
/// The most rounds of PBKDF2. Wallets use 262144.
const MOST_ROUNDS: u32 = 10_000_000;

/// A private key that sends settlements: one of `env`, `file` and `keystore`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyConfig {
    /// The environment variable that holds it, as 64 hexadecimal digits.
    #[serde(default)]
    env: Option<String>,
    /// A file that holds it, as 64 hexadecimal digits. Relative to this file.
    #[serde(default)]
    file: Option<PathBuf>,
    /// A file that holds it encrypted, as `cast wallet import` and geth write it. Relative to this file.
    #[serde(default)]
    keystore: Option<PathBuf>,
    /// A file with the passphrase of `keystore`. Relative to this file.
    #[serde(default)]
    passphrase_file: Option<PathBuf>,
    /// The environment variable with the passphrase of `keystore`.
    #[serde(default)]
    passphrase_env: Option<String>,
}

impl KeyConfig {
    /// The environment variable `name` as a key.
    pub(crate) fn of_environment(name: &str) -> Self {
        Self {
            env: Some(name.to_owned()),
            file: None,
            keystore: None,
            passphrase_file: None,
            passphrase_env: None,
        }
    }

    /// Checks that it names one place, without a look at it.
    pub(crate) fn check(&self, key: &str) -> Result<(), ConfigError> {
        let places = [self.env.is_some(), self.file.is_some(), self.keystore.is_some()];
        if places.into_iter().filter(|given| *given).count() != 1 {
            let what = "expected one of env, file and keystore: where is the private key?";
            return Err(ConfigError::value(key, what));
        }
        let passphrases = [self.passphrase_file.is_some(), self.passphrase_env.is_some()];
        match (self.keystore.is_some(), passphrases.into_iter().filter(|given| *given).count()) {
            (true, 1) | (false, 0) => Ok(()),
            (true, _) => {
                let what = "expected one of passphrase_file and passphrase_env: what opens the keystore?";
                Err(ConfigError::value(format!("{key}.keystore"), what))
            }
            (false, _) => {
                let what = "a passphrase is for a keystore: leave it out, or name the keystore";
                Err(ConfigError::value(key, what))
            }
        }
    }

    /// Reads the key. Paths are below `folder`. No error holds anything of it.
    pub(crate) fn account(&self, key: &str, folder: &Path) -> Result<Account, ConfigError> {
        self.check(key)?;
        let (source, text) = if let Some(name) = &self.env {
            let text = secret::variable(&format!("{key}.env"), name)?;
            (format!("{key}.env ({name})"), text)
        } else if let Some(file) = &self.file {
            let source = format!("{key}.file");
            let text = secret::text(&source, &folder.join(file))?;
            (source, text)
        } else {
            let source = format!("{key}.keystore");
            let text = self.decrypted(key, folder).map_err(|what| ConfigError::value(&source, what))?;
            (source, text)
        };
        Account::from_key(&text).map_err(|error| ConfigError::value(source, error.to_string()))
    }

    fn decrypted(&self, key: &str, folder: &Path) -> Result<String, String> {
        let path = folder.join(self.keystore.as_deref().unwrap_or(Path::new("")));
        let passphrase = match (&self.passphrase_env, &self.passphrase_file) {
            (Some(name), _) => secret::variable(&format!("{key}.passphrase_env"), name),
            (None, file) => {
                let file = folder.join(file.as_deref().unwrap_or(Path::new("")));
                secret::text(&format!("{key}.passphrase_file"), &file)
            }
        };
        let passphrase = passphrase.map_err(|error| error.to_string())?;
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        bearable(&text).map_err(|what| format!("{}: {what}", path.display()))?;
        let bytes = eth_keystore::decrypt_key(&path, passphrase).map_err(|error| {
            let what = match error {
                eth_keystore::KeystoreError::MacMismatch => "the passphrase does not open it".to_owned(),
                other => other.to_string(),
            };
            format!("{}: {what}", path.display())
        })?;
        match <[u8; 32]>::try_from(bytes) {
            Ok(bytes) => Ok(format!("{:x}", B256::from(bytes))),
            Err(_) => Err(format!("{}: expected a private key of 32 bytes in it", path.display())),
        }
    }
}

/// Refuses a keystore that cannot be opened without harm: the library trusts the lengths in it.
fn bearable(text: &str) -> Result<(), String> {
    let keystore: EthKeystore = serde_json::from_str(text)
        .map_err(|error| format!("expected a keystore as wallets write it (version 3): {error}"))?;
    let (length, fits) = match &keystore.crypto.kdfparams {
        KdfparamsType::Pbkdf2 { c, dklen, .. } => (*dklen, *c <= MOST_ROUNDS),
        KdfparamsType::Scrypt { dklen, n, p, r, .. } => {
            let memory = u64::from(*n).saturating_mul(u64::from(*r)).saturating_mul(128);
            (*dklen, n.is_power_of_two() && (1..=16).contains(p) && memory <= MOST_MEMORY)
        }
    };
    if length != 32 || keystore.crypto.cipherparams.iv.len() != 16 || keystore.crypto.cipher != "aes-128-ctr"
    {
        return Err("expected a key of 32 bytes, encrypted by aes-128-ctr with 16 bytes of iv".to_owned());
    }
    if keystore.crypto.ciphertext.len() != 32 {
        return Err("expected a private key of 32 bytes in it".to_owned());
    }
    if !fits {
        return Err("its parameters ask for more work or memory than any wallet's: make a new one".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key, as `cast wallet import` has encrypted it, and as the Web3 Secret Storage Definition's test vector has it.
    const SECRET: &str = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";
    const SCRYPT: &str = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"fe3540c2b4c81733e72c655c251cc428"},
        "ciphertext":"35bd40a3af684744f0d981482d4cb3d506afd0c25b2a98acda9ad2f4401c9daf","kdf":"scrypt","kdfparams":{"dklen":32,
        "n":8192,"p":1,"r":8,"salt":"2252835f5272afe5084231132dd0c6bd7c56348b9a4f74933121aa7de3db6022"},
        "mac":"72a277c3b7c9495fb1bccf8c5b7ca3f0925c12b53290316bccad3eee294d0bf7"},
        "id":"7e4d3e82-ce52-4cdb-b217-2f3bb9b3a333","version":3}"#;
    const PBKDF2: &str = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"6087dab2f9fdbbfaddc31a909735c1e6"},
        "ciphertext":"5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46","kdf":"pbkdf2","kdfparams":{"c":262144,
        "dklen":32,"prf":"hmac-sha256","salt":"ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},
        "mac":"517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},
        "id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;

    fn config(lines: &str) -> KeyConfig {
        toml::from_str(lines).unwrap()
    }

    #[test]
    fn a_key_is_read_from_a_file_and_from_keystores_of_both_kinds() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("plain", &format!("0x{SECRET}\n"));
        write("scrypt", SCRYPT);
        write("pbkdf2", PBKDF2);
        write("passphrase", "testpassword\n");
        let account = |lines: &str| config(lines).account("keys[0]", folder.path());
        let plain = account("file = \"plain\"").unwrap().address();
        for name in ["scrypt", "pbkdf2"] {
            let opened =
                account(&format!("keystore = \"{name}\"\npassphrase_file = \"passphrase\"")).unwrap();
            assert_eq!(opened.address(), plain, "{name}");
        }
        write("passphrase", "another");
        let refused =
            account("keystore = \"pbkdf2\"\npassphrase_file = \"passphrase\"").unwrap_err().to_string();
        assert!(refused.contains("the passphrase does not open it"), "{refused}");
        assert!(!refused.contains("another"), "{refused}");
        let missing = account("env = \"SALT402_NO_SUCH_KEY\"").unwrap_err().to_string();
        assert!(missing.contains("keys[0].env") && missing.contains("SALT402_NO_SUCH_KEY"), "{missing}");
        write("plain", "0x1234");
        assert!(!account("file = \"plain\"").unwrap_err().to_string().contains("1234"));
    }

    #[test]
    fn a_keystore_that_could_do_harm_is_refused_before_it_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("passphrase"), "testpassword").unwrap();
        for (from, to) in [
            ("\"n\":8192", "\"n\":1073741824"),
            ("\"n\":8192", "\"n\":8191"),
            ("\"n\":8192", "\"n\":0"),
            ("\"p\":1", "\"p\":4000000000"),
            ("\"dklen\":32", "\"dklen\":16"),
            ("fe3540c2b4c81733e72c655c251cc428", "fe35"),
            ("35bd40a3af684744f0d981482d4cb3d506afd0c25b2a98acda9ad2f4401c9daf", "35bd"),
            ("{\"crypto\"", "{\"Crypt\""),
        ] {
            let text = SCRYPT.replace(from, to);
            assert_ne!(text, SCRYPT, "{from}");
            std::fs::write(folder.path().join("bad"), text).unwrap();
            let key = config("keystore = \"bad\"\npassphrase_file = \"passphrase\"");
            assert!(key.account("keys[0]", folder.path()).is_err(), "{to}");
        }
    }

    #[test]
    fn a_key_is_in_one_place() {
        for lines in [
            "",
            "env = \"A\"\nfile = \"a\"",
            "keystore = \"a\"",
            "keystore = \"a\"\npassphrase_env = \"A\"\npassphrase_file = \"a\"",
            "file = \"a\"\npassphrase_env = \"A\"",
        ] {
            assert!(config(lines).check("keys[0]").is_err(), "{lines}");
        }
        for lines in ["env = \"A\"", "file = \"a\"", "keystore = \"a\"\npassphrase_env = \"A\""] {
            assert!(config(lines).check("keys[0]").is_ok(), "{lines}");
        }
    }
}
