//! Secrets. They come from the environment or a file, never from an argument, and are in no message.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use salt402_chain::Account;
use salt402_protocol::{QuoteKey, QuoteKeys};
use salt402_verifier::WebhookKey;

use super::error::ConfigError;
use super::verifier::VerifierConfig;
use super::webhook::WebhookConfig;

/// The environment variable with the secret that authenticates quotes.
const QUOTE_KEY: &str = "SALT402_QUOTE_KEY";
/// The environment variable with earlier quote secrets, separated by white space.
const OLD_QUOTE_KEYS: &str = "SALT402_OLD_QUOTE_KEYS";
/// The environment variable with the token of the verifier's callers.
const VERIFIER_TOKEN: &str = "SALT402_VERIFIER_TOKEN";
/// The environment variable with the secret that signs webhook messages.
const WEBHOOK_KEY: &str = "SALT402_WEBHOOK_KEY";
/// The environment variable with a payer's private key.
pub(crate) const PAYER_KEY: &str = "SALT402_KEY";

/// The key that authenticates quotes, and the earlier ones: from `verifier.old_quote_key_files` and
/// `SALT402_OLD_QUOTE_KEYS`.
pub(crate) fn quote_keys(
    folder: &Path,
    data: &Path,
    verifier: &VerifierConfig,
) -> Result<QuoteKeys, ConfigError> {
    let mut old = Vec::new();
    for (index, path) in verifier.old_quote_key_files.iter().enumerate() {
        let key = format!("verifier.old_quote_key_files[{index}]");
        let secret = read(&folder.join(path)).map_err(|what| ConfigError::value(&key, what))?;
        old.push(make(&key, &secret)?);
    }
    if let Some(secrets) = std::env::var_os(OLD_QUOTE_KEYS) {
        for secret in secrets.to_string_lossy().split_whitespace() {
            old.push(make(OLD_QUOTE_KEYS, secret.as_bytes())?);
        }
    }
    Ok(QuoteKeys::new(quote_key(folder, data, verifier)?, old))
}

/// The key that authenticates quotes: from `verifier.quote_key_file`, else from `SALT402_QUOTE_KEY`, else from
/// `quote.key` beside the database, which is created with random bytes the first time.
fn quote_key(folder: &Path, data: &Path, verifier: &VerifierConfig) -> Result<QuoteKey, ConfigError> {
    if let Some(path) = &verifier.quote_key_file {
        let path = folder.join(path);
        let secret = read(&path).map_err(|what| ConfigError::value("verifier.quote_key_file", what))?;
        return make("verifier.quote_key_file", &secret);
    }
    if let Some(secret) = std::env::var_os(QUOTE_KEY) {
        return make(QUOTE_KEY, secret.to_string_lossy().trim().as_bytes());
    }
    let path = folder.join(data).join("quote.key");
    let secret = match read(&path) {
        Ok(secret) => secret,
        Err(_) if !path.exists() => create(&path)
            .map_err(|error| ConfigError::value("data", format!("{}: {error}", path.display())))?,
        Err(what) => return Err(ConfigError::value("data", what)),
    };
    make("data", &secret)
}

/// The key that signs webhook messages: from `webhook.key_file`, else from `SALT402_WEBHOOK_KEY`.
pub(crate) fn webhook_key(folder: &Path, webhook: &WebhookConfig) -> Result<WebhookKey, ConfigError> {
    let (source, secret) = match &webhook.key_file {
        Some(path) => {
            let key = "webhook.key_file";
            (key, read(&folder.join(path)).map_err(|what| ConfigError::value(key, what))?)
        }
        None => match std::env::var_os(WEBHOOK_KEY) {
            Some(secret) => (WEBHOOK_KEY, secret.to_string_lossy().trim().as_bytes().to_vec()),
            None => {
                let what =
                    format!("expected key_file, or the environment variable {WEBHOOK_KEY}: what signs?");
                return Err(ConfigError::value("webhook", what));
            }
        },
    };
    let secret = std::str::from_utf8(&secret).map_err(|_| ConfigError::value(source, "expected text"))?;
    WebhookKey::new(secret).map_err(|error| ConfigError::value(source, error.to_string()))
}

/// The token that callers of the verifier must send, if one is set: from `verifier.token_file`, else from
/// `SALT402_VERIFIER_TOKEN`.
pub(crate) fn verifier_token(
    folder: &Path,
    verifier: &VerifierConfig,
) -> Result<Option<String>, ConfigError> {
    let key = "verifier.token_file";
    let token = match &verifier.token_file {
        Some(path) => {
            let bytes = read(&folder.join(path)).map_err(|what| ConfigError::value(key, what))?;
            Some(String::from_utf8(bytes).map_err(|_| ConfigError::value(key, "expected text"))?)
        }
        None => verifier_token_of_environment(),
    };
    match token {
        Some(token) if token.len() < 16 => Err(ConfigError::value(key, "expected at least 16 characters")),
        None if !verifier.listen.ip().is_loopback() => {
            let what = format!(
                "{} is not loopback: give the callers a token, in verifier.token_file or {VERIFIER_TOKEN}",
                verifier.listen
            );
            Err(ConfigError::value("verifier.listen", what))
        }
        token => Ok(token),
    }
}

/// The token as a caller has it.
pub(crate) fn verifier_token_of_environment() -> Option<String> {
    std::env::var(VERIFIER_TOKEN).ok().map(|token| token.trim().to_owned()).filter(|token| !token.is_empty())
}

/// A payer's account: from the given file, else from `SALT402_KEY`.
pub(crate) fn payer_key(file: Option<&Path>) -> Result<Account, ConfigError> {
    let (source, text) = match file {
        Some(path) => {
            let bytes = read(path).map_err(|what| ConfigError::value("--key-file", what))?;
            ("--key-file", String::from_utf8_lossy(&bytes).into_owned())
        }
        None => match std::env::var(PAYER_KEY) {
            Ok(text) => (PAYER_KEY, text),
            Err(_) => {
                let what =
                    "expected the payer's private key in this environment variable, or a file by --key-file";
                return Err(ConfigError::value(PAYER_KEY, what));
            }
        },
    };
    Account::from_key(text.trim()).map_err(|error| ConfigError::value(source, error.to_string()))
}

/// A secret in an environment variable that `key` of the configuration names.
pub(crate) fn variable(key: &str, name: &str) -> Result<String, ConfigError> {
    match std::env::var(name) {
        Ok(secret) if !secret.trim().is_empty() => Ok(secret.trim().to_owned()),
        _ => Err(ConfigError::value(key, format!("the environment variable {name} is not set"))),
    }
}

/// A secret in a file that `key` of the configuration names, without white space around it.
pub(crate) fn text(key: &str, path: &Path) -> Result<String, ConfigError> {
    let bytes = read(path).map_err(|what| ConfigError::value(key, what))?;
    match String::from_utf8(bytes) {
        Ok(secret) if !secret.is_empty() => Ok(secret),
        _ => Err(ConfigError::value(key, format!("{}: expected text", path.display()))),
    }
}

/// An upstream's API key, if one is configured.
pub(crate) fn api_key(
    model: &str,
    name: Option<&str>,
    file: Option<PathBuf>,
) -> Result<Option<String>, ConfigError> {
    let key = |field: &str| format!("gateway.models.{model}.{field}");
    if let Some(name) = name {
        return variable(&key("api_key_env"), name).map(Some);
    }
    let Some(path) = file else { return Ok(None) };
    let bytes = read(&path).map_err(|what| ConfigError::value(key("api_key_file"), what))?;
    match String::from_utf8(bytes) {
        Ok(secret) => Ok(Some(secret.trim().to_owned())),
        Err(_) => Err(ConfigError::value(key("api_key_file"), "expected text")),
    }
}

/// A node's bearer token, if one is configured.
pub(crate) fn bearer(
    key: &str,
    name: Option<&str>,
    file: Option<&Path>,
    folder: &Path,
) -> Result<Option<String>, ConfigError> {
    if let Some(name) = name {
        return variable(&format!("{key}.bearer_env"), name).map(Some);
    }
    let Some(file) = file else { return Ok(None) };
    let value = |what: String| ConfigError::value(format!("{key}.bearer_file"), what);
    let secret = String::from_utf8(read(&folder.join(file)).map_err(value)?);
    match secret {
        Ok(secret) if !secret.is_empty() => Ok(Some(secret)),
        _ => Err(value("expected a token in one line of text".to_owned())),
    }
}

fn make(source: &str, secret: &[u8]) -> Result<QuoteKey, ConfigError> {
    QuoteKey::new(secret).map_err(|error| ConfigError::value(source, error.to_string()))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(bytes.trim_ascii().to_vec())
}

/// Writes 64 random hexadecimal digits, readable only by the owner. The file is complete or missing: two processes that
/// start at once get the same key, and a crash in between leaves no short one.
fn create(path: &Path) -> std::io::Result<Vec<u8>> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let secret: String = rand::random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect();
    let draft = path.with_extension(format!("key.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(secret.as_bytes())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    match linked {
        Ok(()) => Ok(secret.into_bytes()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Ok(std::fs::read(path)?.trim_ascii().to_vec())
        }
        Err(error) => Err(error),
    }
}
