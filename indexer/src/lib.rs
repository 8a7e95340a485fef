//! Follows a chain into the store: header chain, reorganizations, decoding, back-fill, head.
