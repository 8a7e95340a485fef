//! The 402s of smaller peers: how each says what is asked, and what its clients send back.
//!
//! One file a dialect. What is signed in them is what x402 has signed, so all of them become a [`SignedHeader`] or a proof:
//! there is no second way to pay.
//!
//! [`SignedHeader`]: crate::x402::required::SignedHeader

pub mod masken;
pub mod nested_body;
pub mod payment_headers;
pub mod requirements_header;
pub mod x_payment;

#[cfg(test)]
mod tests;
