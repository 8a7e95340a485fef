//! What was called valid, and to whom. It is on disk before anybody is told: a server does its work then, and a process that is started
//! again must know it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::B256;
use salt402_http::Recent;
use salt402_protocol::PaymentId;
use salt402_store::{CalledValid, KeptFor, ValidCall};

use crate::authorization::Authorization;
use crate::noting::Noting;
use crate::said::signed;
use crate::settler::{SettleFault, Settler};

/// What was signed, and under `upto` to whom it was called valid.
type Noted = (B256, Option<String>);

/// Knows what was called valid.
pub(crate) struct Valid {
    settler: Arc<dyn Settler>,
    noting: Noting,
    /// What is written down: it is not written again. A std mutex, because nothing is awaited while it is held.
    noted: Mutex<Recent<PaymentId, Noted>>,
}

impl Valid {
    pub(crate) fn new(settler: Arc<dyn Settler>) -> Self {
        Self { noting: Noting::new(Arc::clone(&settler)), settler, noted: Mutex::default() }
    }

    /// Has it on disk that a payment is called valid. `false`: it was called so to another caller, and under `upto` one alone says what
    /// is charged.
    pub(crate) async fn note(
        &self,
        authorization: &Authorization,
        payment: PaymentId,
        caller: Option<&str>,
    ) -> Result<bool, SettleFault> {
        let (signed, chain, caller) = (signed(authorization), authorization.chain, caller.map(str::to_owned));
        let noted = (signed, caller.clone().filter(|_| authorization.is_upto()));
        if self.noted().known(&payment).is_some_and(|known| *known == noted) {
            return Ok(true);
        }
        let valid = CalledValid { chain, payment, signed, caller };
        let is_noted = self.noting.note(ValidCall { valid, is_exclusive: authorization.is_upto() }).await?;
        if is_noted {
            *self.noted().of_key(payment) = noted;
        }
        Ok(is_noted)
    }

    /// Whether a payment was called valid, as it was signed now: to a caller, or to a gateway that has kept it since for the request that
    /// is settled with this key. It keeps what is valid alone.
    pub(crate) async fn was(
        &self,
        authorization: &Authorization,
        key: Option<&str>,
    ) -> Result<bool, SettleFault> {
        let (chain, id) = (authorization.chain, authorization.id());
        let called = self.settler.called_valid(chain, id).await?;
        if called.is_some_and(|called| called.signed == signed(authorization)) {
            return Ok(true);
        }
        Ok(self.settler.kept_for(chain, id, key).await? == KeptFor::Key)
    }

    /// Whether a permit of `upto` was called valid to another caller. Where callers had no names then, it was to any.
    pub(crate) async fn is_of_another(
        &self,
        authorization: &Authorization,
        caller: Option<&str>,
    ) -> Result<bool, SettleFault> {
        if !authorization.is_upto() {
            return Ok(false);
        }
        let called = self.settler.called_valid(authorization.chain, authorization.id()).await?;
        Ok(called.and_then(|called| called.caller).is_some_and(|known| Some(&*known) != caller))
    }

    fn noted(&self) -> MutexGuard<'_, Recent<PaymentId, Noted>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
