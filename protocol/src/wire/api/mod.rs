//! The verifier's requests and answers. Fields are in snake case, amounts are strings.

mod accounts;
pub(crate) mod incidents;
mod reserve;
mod status;
mod verify;

pub use crate::wire::api::accounts::{
    AccountEntry, AccountRequest, AccountView, CreditOfRequest, CreditRequest, CreditView, DrawRequest,
    Drawn, KeyLimits, OpenDrawsRequest, OpenDrawsResponse,
};
pub use crate::wire::api::incidents::{
    AmbiguitiesResponse, AmbiguityView, ChannelRiskView, IncidentView, IncidentsResponse,
};
pub use crate::wire::api::reserve::{
    CaptureRequest, CaptureResponse, Reservation, ReservationOutcome, ReserveRequest,
};
pub use crate::wire::api::status::{
    ChainStatus, ChannelView, CoveredBlocks, NodeStatus, StatusResponse, UnreadBlocks, VouchersStatus,
};
pub use crate::wire::api::verify::{
    ClaimView, LeaseRequest, LeaseResponse, PaymentView, PaymentsResponse, QuoteRequest, QuoteResponse,
    RefundView, Requirement, TabView, Usage, Verdict, VerifyRequest,
};
