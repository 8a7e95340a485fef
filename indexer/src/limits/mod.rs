//! Limits what nodes are asked, whoever asks: one answer for all who ask at once, and a rate. It asks nothing itself.

pub(crate) mod memo;
