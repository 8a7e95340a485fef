//! Wires who settles what payers sign: the facilitator of this process, or one elsewhere.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use salt402_facilitator::{Facilitator, FacilitatorError};
use salt402_paywall::{FacilitatorClient, RemoteFacilitator, SettleFault, Settlement, SignedWay};
use salt402_protocol::x402::UPTO;
use salt402_protocol::{Address, ChainId, Code, Problem, X402Reason};
use url::Url;

use crate::config::{Config, ConfigError, PaymentConfig, Signatures};

/// When to ask again where nodes or the database cannot be asked, in milliseconds.
const RETRY_MS: u64 = 2_000;

/// In what signed payments are taken. `None`: none are.
pub(super) fn signed_way(
    config: &Config,
    payment: &PaymentConfig,
    unit: &(String, u8),
    here: Option<Facilitator>,
) -> anyhow::Result<Option<SignedWay>> {
    let (Some(given), Some(signed)) = (&payment.signatures, payment.signed()?) else { return Ok(None) };
    let chain = payment.chain(&config.chains)?;
    let upto = match (signed.upto, signed.upto_facilitator, &here) {
        (false, ..) => None,
        (true, Some(account), _) => Some(account),
        (true, None, here) => Some(here.as_ref().and_then(|here| settles_upto(here, chain)).ok_or_else(|| {
            let what = "expected a facilitator that settles upto on this chain: a token with permit2 in [facilitator], or \
                        upto_facilitator";
            ConfigError::value("payment.signatures.upto", what)
        })?),
    };
    let facilitator: Arc<dyn FacilitatorClient> = match (&given.facilitator, here) {
        (Some(url), _) => Arc::new(RemoteFacilitator::new(url.clone(), given.bearer(&config.folder)?)?),
        (None, Some(here)) => Arc::new(Here(here)),
        (None, None) => {
            let what = "expected the address of a facilitator, as none runs in this process: or add a table [facilitator]";
            return Err(ConfigError::value("payment.signatures.facilitator", what).into());
        }
    };
    let most_open = given.most_unsettled(unit)?;
    let names = payment.signed_names(&config.chains, &signed.domain_name)?;
    let Signatures { token, method, domain_name, domain_version, timeout_s, public_url, .. } = signed;
    Ok(Some(SignedWay {
        facilitator,
        token,
        method,
        domain_name,
        domain_version,
        timeout_s,
        upto,
        most_open,
        public_url,
        names,
        facilitator_url: given.facilitator.as_ref().and_then(told),
    }))
}

/// A facilitator's address as clients may read it: not with what lets somebody in there.
fn told(url: &Url) -> Option<String> {
    let open = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    open.then(|| url.as_str().trim_end_matches('/').to_owned())
}

/// The account of the facilitator of this process that settles what is signed for `upto`.
fn settles_upto(here: &Facilitator, chain: ChainId) -> Option<Address> {
    let chain = chain.to_string();
    let kind =
        here.supported().kinds.into_iter().find(|kind| kind.scheme == UPTO && kind.network == chain)?;
    kind.extra?.facilitator_address
}

/// The facilitator of this process.
struct Here(Facilitator);

#[async_trait]
impl FacilitatorClient for Here {
    async fn verify(&self, question: &Bytes) -> Result<(), SettleFault> {
        let verified = self.0.verify(question, None).await.map_err(fault)?;
        if verified.is_valid {
            return Ok(());
        }
        Err(refused(verified.invalid_reason, verified.invalid_message))
    }

    async fn settle(&self, question: &Bytes, key: &str) -> Result<Settlement, SettleFault> {
        let settled = self.0.settle(question, None, Some(key)).await.map_err(fault)?;
        if settled.success {
            Ok(Settlement::Done)
        } else if settled.error_reason == Some(X402Reason::SettlementPending) {
            Ok(Settlement::Pending)
        } else {
            Err(refused(settled.error_reason, settled.error_message))
        }
    }
}

fn refused(reason: Option<X402Reason>, detail: Option<String>) -> SettleFault {
    SettleFault::refused(
        reason.map(|reason| reason.as_str().to_owned()).unwrap_or_default(),
        detail.unwrap_or_default(),
    )
}

fn fault(error: FacilitatorError) -> SettleFault {
    match error {
        FacilitatorError::Request(error) => SettleFault::Refused {
            reason: X402Reason::InvalidPayload.as_str().to_owned(),
            detail: error.to_string(),
        },
        FacilitatorError::Busy { retry_after_ms, what } => {
            SettleFault::Unavailable(Problem::new(Code::FacilitatorBusy, what).retry_after(retry_after_ms))
        }
        FacilitatorError::Unavailable(what) => {
            tracing::warn!(what, "nothing can be settled now");
            let detail =
                "signed payments cannot be settled now: send the same payment again, and sign no other";
            SettleFault::Unavailable(Problem::new(Code::FacilitatorUnavailable, detail).retry_after(RETRY_MS))
        }
    }
}
