//! No more questions than a node can bear, whoever asks: one answer for all who ask at once, and so many a second. It asks
//! nothing itself.

pub(crate) mod memo;
