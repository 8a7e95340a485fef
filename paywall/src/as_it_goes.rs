//! Streams that are paid as they go: one voucher begins a stream, and further ones of its channel raise what it may cost.

use salt402_protocol::api::{ClaimView, Requirement, TabView, Verdict, VerifyRequest};
use salt402_protocol::{Amount, Code, PaymentId, Problem, Proof, RequestDigest, Voucher};

use crate::paywall::Paywall;
use crate::presented::Presented;

/// A stream that a voucher has begun.
#[derive(Clone, Debug)]
pub struct Begun {
    /// The payment of the voucher that began it.
    pub payment: PaymentId,
    /// That voucher.
    pub voucher: Voucher,
    /// The request.
    pub request: RequestDigest,
    /// What it may cost at the most, in base units.
    pub most: Amount,
}

/// What a stream may cost now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// With the vouchers that were taken so far, in base units.
    pub amount: Amount,
    /// How its channel stands.
    pub tab: TabView,
}

impl Paywall {
    /// Raises what a stream may cost by the next voucher of its channel, to `least` or more. Durable when this returns.
    pub async fn raise(
        &self,
        begun: &Begun,
        voucher: Voucher,
        least: Amount,
        presented: &Presented,
    ) -> Result<Allowed, Problem> {
        let request = VerifyRequest {
            proof: Proof::Voucher(voucher),
            at_least: Some(least),
            raises: Some(begun.payment),
            client: presented.client,
            wait_ms: u64::try_from(self.wait.as_millis()).unwrap_or(u64::MAX),
            ..self.about(begun)
        };
        self.told(&request).await
    }

    /// What a stream may cost, and how its channel stands.
    pub async fn standing(&self, begun: &Begun) -> Result<Allowed, Problem> {
        let request = VerifyRequest { again_only: true, at_least: Some(begun.most), ..self.about(begun) };
        self.told(&request).await
    }

    /// The question that its first voucher was.
    fn about(&self, begun: &Begun) -> VerifyRequest {
        VerifyRequest {
            proof: Proof::Voucher(begun.voucher),
            quote_id: None,
            requirement: Requirement {
                chain: self.chain,
                payee: self.payee,
                asset: self.asset,
                amount: begun.most,
                request_digest: begun.request,
                confirmations: None,
            },
            claim: true,
            claimant: self.claimant.clone(),
            wait_ms: 0,
            usage: None,
            by_use: true,
            at_least: None,
            raises: None,
            again_only: false,
            instance: self.instance,
            client: None,
            credit: None,
        }
    }

    async fn told(&self, request: &VerifyRequest) -> Result<Allowed, Problem> {
        match self.verifier.verify(request).await? {
            Verdict::Accepted { payment, claim: Some(ClaimView { tab: Some(tab), .. }) } => {
                Ok(Allowed { amount: payment.amount, tab: *tab })
            }
            Verdict::Accepted { .. } => Err(Problem::new(
                Code::VerifierUnavailable,
                "the verifier accepted the voucher and did not say what it allows",
            )),
            Verdict::Pending { code, detail, retry_after_ms } => {
                Err(Problem::new(code, detail).retry_after(retry_after_ms))
            }
            Verdict::Rejected { code, detail } => Err(Problem::new(code, detail)),
        }
    }
}
