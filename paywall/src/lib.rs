//! What stands before a paid request: an offer, a proof that is presented, and the decision between them. It never runs what
//! is sold, and knows a verifier only by what it asks of it ([`VerifierClient`]).
//!
//! [`Paywall::decide`] returns a [`Decision`] as data. Writing it as an answer is done at the edge: by [`offer_response`], or
//! in the words of another dialect.
//!
//! Files, each of which imports only those before it: `order`, `offer`, `shown`, `presented`, `client`; `tariff`, `dialects`, `response`, `page`; `signed`, which settles what
//! payers sign; `paywall`; `as_it_goes`, `probe`;
//! `layer`, [`forward_auth`]. [`openapi`] and `browsers` stand alone.

mod as_it_goes;
mod browsers;
mod client;
mod dialects;
pub mod forward_auth;
mod layer;
mod offer;
pub mod openapi;
mod order;
mod page;
mod paywall;
mod presented;
mod probe;
mod response;
mod shown;
mod signed;
mod tariff;

pub use as_it_goes::{Allowed, Begun};
pub use browsers::{OriginError, browsers};
pub use client::{RemoteError, RemoteVerifier, VerifierClient};
pub use forward_auth::{ForwardAuth, asked_for};
pub use layer::{Paid, PaidLayer, Payer};
pub use offer::{Dialects, Offer};
pub use order::{Order, Sold};
pub use page::offer_answer;
pub use paywall::{Decision, Paywall, quote_required};
pub use presented::{Presented, asked_base};
pub use probe::Probe;
pub use response::{PaymentProblem, offer_response, offer_response_with};
pub use shown::{ReceiptForm, SignedPayment, pays_again, rfc3339, shows_payment};
pub use signed::{
    Authorized, Capture, FacilitatorClient, Granted, Moved, RemoteFacilitator, SettleFault, Settlement,
    SignedMethod, SignedWay, after_signature, asked_once,
};
pub use tariff::{AnswerPrice, Rule, Tariff};
pub use tower_http::cors::CorsLayer;
