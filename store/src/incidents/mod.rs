//! Incidents: what an operator must know, and the outbox that tells of it. Each is written in the transaction of its
//! cause. Nothing here sends anything; the reader of the outbox does that.

pub(crate) mod channel_risk;
pub(crate) mod disagreement;
pub(crate) mod incident;
pub(crate) mod notices;
pub(crate) mod orphaned_grant;
pub(crate) mod outbox;
pub(crate) mod refund_lost;
pub(crate) mod replay;
pub(crate) mod strange_operator;
