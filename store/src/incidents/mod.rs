//! Incidents: what an operator must know of, and the outbox that tells of it. Each is written in the transaction of what it is
//! about. Nothing here tells anybody: that is done by whoever reads the outbox.

pub(crate) mod channel_risk;
pub(crate) mod disagreement;
pub(crate) mod incident;
pub(crate) mod notices;
pub(crate) mod orphaned_grant;
pub(crate) mod outbox;
pub(crate) mod replay;
