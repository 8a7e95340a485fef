//! Proof and requirement into a verdict and a claim, with its HTTP API.
