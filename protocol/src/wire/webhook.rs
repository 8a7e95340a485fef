//! What an operator's own server is told of incidents. It is signed as the Standard Webhooks specification says.

use serde::{Deserialize, Serialize};

use crate::wire::api::incidents::IncidentView;

/// What a webhook is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebhookEvent {
    /// The number of what is told, ascending: the same when it is told again, so that a receiver can tell.
    pub id: u64,
    /// `opened` when something lasting went wrong, `resolved` when it came right, `noted` for what does not last.
    pub event: String,
    /// When that was, in milliseconds since 1970 UTC.
    pub at_ms: u64,
    /// The incident as it is now, which may be later than the event.
    pub incident: IncidentView,
}
