//! `[webhook]`: the server that gets messages about incidents.

use std::path::PathBuf;

use salt402_verifier::Webhook;
use serde::Deserialize;
use url::Url;

use super::error::ConfigError;

/// A server that gets messages about incidents from the process that indexes.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookConfig {
    /// Its address: https, or http on loopback.
    pub(crate) url: Url,
    /// A file with the key that signs the messages: `whsec_` and 24 to 64 bytes in base64. Relative to this file. Left
    /// out: the environment variable `SALT402_WEBHOOK_KEY`.
    #[serde(default)]
    pub(crate) key_file: Option<PathBuf>,
}

impl WebhookConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        Webhook::check(&self.url).map_err(|error| ConfigError::value("webhook.url", error.to_string()))
    }
}
