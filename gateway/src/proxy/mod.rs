//! Any HTTP service, sold by path: a reverse proxy with prices.
//!
//! What is free streams through unread, in both directions. What has a price is read first, since the payment is bound
//! to method, target and body, and sent to the upstream once per payment. The target that is priced is the target that
//! is sent, byte by byte: whatever two servers may read differently is refused.
//!
//! The rooms. Each imports only those before it: `headers`; `exchange`, `redirects`; `handler`. What is sold is in `services`, below.

mod exchange;
pub(crate) mod handler;
mod headers;
mod redirects;
