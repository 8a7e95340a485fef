//! What an answer tells of its payment.

use alloy_primitives::B256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use crate::mpp::credential::Shown;
use crate::mpp::{EVM, TRANSACTION};

/// The header of an answer that tells what was paid.
pub const RECEIPT_HEADER: &str = "payment-receipt";

/// What an answer tells of its payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Receipt<'a> {
    /// The method that was paid by.
    method: &'static str,
    /// The transaction.
    reference: B256,
    status: &'static str,
    /// When it was told, as RFC 3339 has it.
    timestamp: &'a str,
}

impl<'a> Receipt<'a> {
    /// Of a payment that a credential showed.
    pub const fn new(shown: &Shown, transaction: B256, timestamp: &'a str) -> Self {
        let method = match shown {
            Shown::Hash(_) => TRANSACTION,
            Shown::Authorization(_) => EVM,
        };
        Self { method, reference: transaction, status: "success", timestamp }
    }

    /// The header's value.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn to_header(&self) -> Result<String, serde_json::Error> {
        serde_json::to_vec(self).map(|json| URL_SAFE_NO_PAD.encode(json))
    }
}
