//! The incident notices to an operator's webhook, signed by the Standard Webhooks specification.

use serde::{Deserialize, Serialize};

use crate::wire::api::incidents::IncidentView;

/// The body of a webhook request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebhookEvent {
    /// The notice's number, ascending. A repeated notice keeps its number, so receivers can recognize it.
    pub id: u64,
    /// `opened` when a lasting incident began, `resolved` when it ended, `noted` for one that does not last.
    pub event: String,
    /// The time of the event, in milliseconds since 1970 UTC.
    pub at_ms: u64,
    /// The incident as it is now, which may be later than the event.
    pub incident: IncidentView,
}
