//! A ceiling that a payer signed, in the place of a payment that was made.

use axum::body::Bytes;
use salt402_protocol::api::{ClaimView, PaymentView, Usage};
use salt402_protocol::typed_data::X402_UPTO_PROXY;
use salt402_protocol::x402::UPTO;
use salt402_protocol::x402::request::{Request, Signed};
use salt402_protocol::{Address, Amount, Asset, B256, ChainId, Code, Problem};

/// What a request was paid for with, and the payment is used up for it; `claim.first` is true once.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The payment.
    pub payment: Box<PaymentView>,
    /// The claim.
    pub claim: ClaimView,
    /// Where the payment's amount is the most that may be charged: how what was used is charged, by `Paywall::capture`.
    pub authorized: Option<Authorized>,
    /// Whether it was shown by what everybody can read off the chain alone.
    pub bare: bool,
    /// Which of several requests it is that the payment was made for. `None` where it was made for one, whatever one pays for now.
    pub usage: Option<Usage>,
}

/// A request that is charged by use: the payment's amount is the most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorized {
    /// What a facilitator settles. `None`: a voucher, whose charge is counted in its channel.
    pub question: Option<Bytes>,
    /// The last second in which it can be settled, in seconds since 1970 UTC. `None`: a voucher, which does not end.
    pub ends_at: Option<u64>,
    /// Whether whoever shows it knows what only its payer was told: the quote id, or a voucher. The chain shows neither nonce nor
    /// signature before it is settled, and the quote id never.
    pub is_secret: bool,
    /// After how long it is given up if nothing was charged and it does not end, in milliseconds.
    pub kept_ms: u64,
}

/// For how long a voucher's authorization is kept that nobody has run: a day, in milliseconds.
pub(crate) const VOUCHER_KEPT_MS: u64 = 24 * 3600 * 1000;

/// The grant for a payment that was kept, if what was signed is a ceiling.
pub(super) fn authorized(
    chain: ChainId,
    payee: Address,
    asset: Asset,
    question: &Bytes,
) -> Result<Option<Granted>, Problem> {
    let request =
        Request::parse(question).map_err(|error| Problem::new(Code::MalformedProof, error.to_string()))?;
    if request.requirements.scheme() != UPTO {
        return Ok(None);
    }
    let nonce = request.signed_nonce();
    let is_secret = request.requirements.quote_id().is_some();
    let ends_at = match &request.signed {
        Signed::Permit2(permit) => u64::try_from(permit.deadline).unwrap_or(u64::MAX),
        Signed::Eip3009(authorization) => u64::try_from(authorization.valid_before).unwrap_or(u64::MAX),
    };
    // Nothing of it is on the chain yet.
    let payment = PaymentView {
        payment_id: nonce.payment_id(chain),
        chain,
        transaction: B256::ZERO,
        contract: X402_UPTO_PROXY,
        reference: B256::ZERO,
        payer: request.signed.payer(),
        payee,
        asset,
        amount: Amount(request.requirements.amount()),
        block_number: 0,
        block_hash: B256::ZERO,
        block_timestamp: 0,
        confirmations: 0,
        canonical: false,
        claimed: false,
        refunded: None,
    };
    let claim = ClaimView { first: false, claimed_at_ms: 0, by_use: true, tab: None, exit_delay_s: None };
    let authorized =
        Authorized { question: Some(question.clone()), ends_at: Some(ends_at), is_secret, kept_ms: 0 };
    Ok(Some(Granted {
        payment: Box::new(payment),
        claim,
        authorized: Some(authorized),
        bare: !is_secret,
        usage: None,
    }))
}
