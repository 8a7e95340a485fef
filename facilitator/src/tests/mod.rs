//! A facilitator over accounts that are values.

mod deploying;
mod holding;
mod http;
mod remembering;
mod settling;
mod verdicts;

use std::sync::Arc;

use serde_json::Value;

use crate::facilitator::Facilitator;
use crate::policy::Policy;
use crate::testing::{Accounts, Memory, policy, set_clock};

/// A facilitator, and what stands behind it.
pub(crate) struct Stand {
    pub(crate) facilitator: Facilitator,
    pub(crate) accounts: Accounts,
    pub(crate) settler: Arc<Memory>,
}

impl Stand {
    pub(crate) fn new() -> Self {
        Self::with(policy())
    }

    pub(crate) fn with(policy: Policy) -> Self {
        set_clock();
        let (accounts, settler) = (Accounts::new(), Arc::new(Memory::default()));
        let facilitator = Facilitator::with(policy, Box::new(accounts.clone()), settler.clone());
        Self { facilitator, accounts, settler }
    }

    /// The next process over the settlements of another one.
    pub(crate) fn over(self, other: &Self) -> Self {
        let settler = other.settler.clone();
        let facilitator = Facilitator::with(policy(), Box::new(self.accounts.clone()), settler.clone());
        Self { facilitator, settler, ..self }
    }

    /// The reason why a payment is not valid; `valid` if it is.
    pub(crate) async fn verdict(&self, request: &Value) -> &'static str {
        let answer = self.facilitator.verify(request.to_string().as_bytes(), None).await.unwrap();
        assert_eq!(answer.is_valid, answer.invalid_reason.is_none());
        assert_eq!(answer.is_valid, answer.invalid_message.is_none());
        answer.invalid_reason.map_or("valid", |reason| reason.as_str())
    }

    pub(crate) async fn settle(&self, request: &Value) -> salt402_protocol::x402::response::SettleResponse {
        self.settle_with(request, Some("a key")).await
    }

    /// Settles with the key of a request, or without one.
    async fn settle_with(
        &self,
        request: &Value,
        key: Option<&str>,
    ) -> salt402_protocol::x402::response::SettleResponse {
        self.facilitator.settle(&request.to_string().into_bytes().into(), None, key).await.unwrap()
    }
}

/// A request with the value at a path replaced.
pub(crate) fn with(request: &Value, path: &str, value: impl Into<Value>) -> Value {
    let mut request = request.clone();
    let (parent, name) = path.rsplit_once('/').unwrap();
    request.pointer_mut(parent).unwrap()[name] = value.into();
    request
}

/// A permit of `upto` over the price, which ends in five minutes.
pub(crate) fn some_permit() -> crate::Authorization {
    use alloy_primitives::{Address, U256};
    crate::Authorization {
        chain: salt402_protocol::ChainId::CITRATE,
        token: crate::testing::TOKEN,
        payer: Address::repeat_byte(1),
        payee: crate::testing::PAYEE,
        amount: U256::from(crate::testing::PRICE),
        nonce: U256::from(1),
        valid_after: U256::ZERO,
        valid_before: U256::from(crate::testing::NOW + 300),
        signature: alloy_primitives::Bytes::new(),
        method: crate::Method::Permit2Upto { facilitator: crate::testing::FACILITATOR, permit: None },
    }
}
