//! A seller whose every answer is the same at each run: a clock that stands still, a verifier and a facilitator that say what they are
//! told. Signatures are verified for real.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, Response};
use axum::routing::post;
use salt402_http::clock;
use salt402_paywall::{
    Dialects, FacilitatorClient, PaidLayer, Paywall, Rule, SettleFault, Settlement, SignedMethod, SignedWay,
    Tariff, VerifierClient,
};
use salt402_protocol::api::{
    CaptureRequest, CaptureResponse, ClaimView, LeaseRequest, LeaseResponse, PaymentView, QuoteRequest,
    QuoteResponse, Reservation, ReservationOutcome, ReserveRequest, Verdict, VerifyRequest,
};
use salt402_protocol::details::Names;
use salt402_protocol::quote::QuoteClock;
use salt402_protocol::recovery::signer;
use salt402_protocol::typed_data::TransferWithAuthorization;
use salt402_protocol::x402::digest::Domain;
use salt402_protocol::x402::request::{self, Signed};
use salt402_protocol::{
    Address, Amount, Asset, B256, ChainId, Code, PaymentId, Problem, Proof, QuoteId, QuoteKey, Terms, U256,
};
use tower::ServiceExt as _;

/// Second of 1970 at which everything happens: the first of February 2026.
pub(crate) const NOW: u64 = 1_769_904_000;
/// The payee.
pub(crate) const PAYEE: Address = Address::repeat_byte(0xaa);
/// The price: 0.0015 of a coin.
const PRICE: u64 = 1_500_000_000_000_000;
/// The transaction that a payer has sent.
pub(crate) const PAID: B256 = B256::repeat_byte(0x77);

/// How a payment that is shown stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stands {
    /// The money moved.
    Paid,
    /// It is on its way.
    Pending,
    /// No money moved, and none will.
    Unpaid,
    /// It was used for something else.
    Used,
}

/// In what is sold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sale {
    pub(crate) chain: ChainId,
    pub(crate) network: &'static str,
    pub(crate) dialects: Dialects,
    /// The token's address, and whether prices are in it. Else they are in the coin, and it is its wrapped form.
    pub(crate) token: (Address, bool),
}

struct Script {
    sale: Sale,
    stands: Stands,
}

impl Script {
    fn quote_id(&self, asked: &QuoteRequest) -> (QuoteId, u64) {
        let terms = Terms {
            chain: asked.chain,
            contract: Address::repeat_byte(0xc0),
            payee: asked.payee,
            asset: asked.asset,
            amount: asked.amount,
            request: asked.request_digest,
            service: None,
        };
        let quote = QuoteClock::living(300).derived(terms, NOW);
        (QuoteKey::new(&[7; 32]).unwrap().seal(&quote), quote.expires_at)
    }
}

#[async_trait]
impl VerifierClient for Script {
    async fn quote(&self, asked: &QuoteRequest) -> Result<QuoteResponse, Problem> {
        let (quote_id, expires_at) = self.quote_id(asked);
        Ok(QuoteResponse {
            reference: quote_id.reference(),
            quote_id,
            payment_contract: Address::repeat_byte(0xc0),
            channels_contract: None,
            channels_exit_delay: None,
            network: self.sale.network.into(),
            symbol: "SALT".into(),
            decimals: 18,
            issued_at: NOW,
            expires_at,
        })
    }

    async fn verify(&self, asked: &VerifyRequest) -> Result<Verdict, Problem> {
        let (transaction, payer) = match asked.proof {
            Proof::Transaction { hash, .. } => (hash, Address::repeat_byte(0xbb)),
            Proof::Nonce(nonce) => (PAID, payer_of(&nonce.to_string())),
            Proof::Voucher(_) => return Err(Problem::new(Code::VoucherNotAccepted, "no vouchers are taken")),
        };
        match self.stands {
            Stands::Paid => {}
            Stands::Pending => {
                let detail =
                    "no transaction of this hash has been seen yet: show the same proof again".to_owned();
                return Ok(Verdict::Pending { code: Code::PaymentNotSeen, detail, retry_after_ms: 1000 });
            }
            Stands::Unpaid => {
                let detail = "the transaction was reverted and paid nothing".to_owned();
                return Ok(Verdict::Rejected { code: Code::TransactionReverted, detail });
            }
            Stands::Used => {
                let detail = "the payment was used for another request".to_owned();
                return Ok(Verdict::Rejected { code: Code::AlreadyClaimed, detail });
            }
        }
        let payment = PaymentView {
            payment_id: PaymentId(transaction),
            chain: asked.requirement.chain,
            transaction,
            contract: Address::repeat_byte(0xc0),
            reference: B256::repeat_byte(1),
            payer,
            payee: asked.requirement.payee,
            asset: asked.requirement.asset,
            amount: asked.requirement.amount,
            block_number: 1,
            block_hash: B256::repeat_byte(2),
            block_timestamp: NOW,
            confirmations: 2,
            canonical: true,
            claimed: true,
            refunded: None,
        };
        let claim = ClaimView {
            first: true,
            claimed_at_ms: NOW * 1000,
            by_use: false,
            tab: None,
            exit_delay_s: None,
        };
        Ok(Verdict::Accepted { payment: Box::new(payment), claim: Some(claim) })
    }

    async fn lease(&self, _asked: &LeaseRequest) -> Result<LeaseResponse, Problem> {
        Err(Problem::new(Code::NotFound, "there are no leases here"))
    }

    async fn reserve(&self, asked: &ReserveRequest) -> Result<Reservation, Problem> {
        Ok(match &asked.payload {
            None if self.stands == Stands::Used => Reservation::Taken,
            None => Reservation::Unknown,
            Some(payload) => Reservation::Kept { payload: payload.clone(), settled: false },
        })
    }

    async fn conclude_reservation(&self, _outcome: &ReservationOutcome) -> Result<(), Problem> {
        Ok(())
    }

    async fn capture(&self, _asked: &CaptureRequest) -> Result<CaptureResponse, Problem> {
        Err(Problem::new(Code::NotFound, "nothing is charged by use here"))
    }

    async fn ready(&self) -> Result<(), String> {
        Ok(())
    }
}

/// The authorizer that a nonce's text names: `eip3009:<token>:<authorizer>:<nonce>`.
fn payer_of(nonce: &str) -> Address {
    nonce.split(':').nth(2).and_then(|text| text.parse().ok()).unwrap_or_default()
}

#[async_trait]
impl FacilitatorClient for Script {
    async fn verify(&self, question: &Bytes) -> Result<(), SettleFault> {
        let refused = |reason: &str, detail: &str| Err(SettleFault::refused(reason.into(), detail.into()));
        if self.stands == Stands::Unpaid {
            return refused("insufficient_funds", "the payer has less of the token than was signed");
        }
        let request = request::Request::parse(question).unwrap();
        let Signed::Eip3009(signed) = &request.signed else { panic!("{:?}", request.signed) };
        let message = TransferWithAuthorization {
            from: signed.from,
            to: signed.to,
            value: signed.value,
            validAfter: signed.valid_after,
            validBefore: signed.valid_before,
            nonce: signed.nonce,
        };
        let domain = Domain::of_token("Wrapped SALT", "1", self.sale.chain, self.sale.token.0);
        let Ok(bytes) = <[u8; 65]>::try_from(&request.signature[..]) else {
            return refused("invalid_exact_evm_payload_signature", "a signature has 65 bytes");
        };
        let (mut r_and_s, odd) = ([0; 64], bytes[64] == 28);
        r_and_s.copy_from_slice(&bytes[..64]);
        if signer(domain.authorization(&message), &r_and_s, odd) != Ok(signed.from) {
            return refused("invalid_exact_evm_payload_signature", "the signature is not the payer's");
        }
        if signed.to != PAYEE || request.requirements.amount() != signed.value {
            return refused(
                "invalid_exact_evm_payload_recipient_mismatch",
                "another payee or amount was signed",
            );
        }
        Ok(())
    }

    async fn settle(&self, _question: &Bytes, _key: &str) -> Result<Settlement, SettleFault> {
        Ok(if self.stands == Stands::Pending { Settlement::Pending } else { Settlement::Done })
    }
}

/// Asks a seller, where a payment that is shown stands so.
pub(crate) async fn ask(sale: Sale, stands: Stands, request: Request<Body>) -> Response<Body> {
    clock::set(Duration::from_secs(NOW));
    let script = || Script { sale, stands };
    let (token, is_asset) = sale.token;
    let names = Names {
        network: sale.network.into(),
        symbol: if is_asset { "SALT".into() } else { "Wrapped SALT".into() },
        decimals: 18,
    };
    let way = SignedWay {
        facilitator: Arc::new(script()),
        token,
        method: SignedMethod::Eip3009,
        domain_name: "Wrapped SALT".into(),
        domain_version: "1".into(),
        timeout_s: 300,
        upto: None,
        most_open: None,
        public_url: Some("https://shop.example".into()),
        names,
        facilitator_url: Some("https://facilitator.example".into()),
    };
    let paywall = Paywall {
        asset: if is_asset { Asset::Token(token) } else { Asset::Native },
        token_names: is_asset.then(|| ("SALT".to_owned(), 18)),
        keeps_answers: true,
        needs_quote: false,
        signed: Some(way),
        dialects: sale.dialects,
        ..Paywall::new(script(), sale.chain, PAYEE, "shop")
    };
    let rule = Rule::new("/v1/inference", Amount(U256::from(PRICE)), "one answer of demo");
    let answer = async || ([("content-type", "application/json")], "{\"output\":\"Salt is a mineral.\"}");
    let layer = PaidLayer::new(paywall, Tariff::new([rule]));
    let app = Router::new().route("/v1/inference", post(answer)).layer(layer);
    app.oneshot(request).await.unwrap()
}
