//! A follower's steps: what each adds and takes back, in one transaction. Nothing here asks a node or decides what to
//! read next.

pub(crate) mod ambiguities;
mod apply;
pub(crate) mod batch;
pub(crate) mod extras;
mod insert;
mod merged;
mod omitted;
pub(crate) mod orphans;
pub(crate) mod past;
mod placed_rows;
mod read_again;
mod refunds;
pub(crate) mod undecoded;
pub(crate) mod unreadable;
