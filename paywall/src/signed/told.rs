//! What whoever signed is told.

use axum::http::{HeaderName, HeaderValue};
use salt402_protocol::api::PaymentView;
use salt402_protocol::x402::required::{RESPONSE_HEADER, to_header};
use salt402_protocol::x402::response::SettleResponse;
use salt402_protocol::{Amount, Problem};

/// The status of a refusal that time may turn into an answer.
const TOO_EARLY: u16 = 425;
/// The status of a refusal that time changes nothing about.
const FORBIDDEN: u16 = 403;

/// The same refusal for whoever has shown a signed payment, which may have moved money. Clients of x402 and of model servers sign
/// again after a 402, 408, 409, 429 and any 5xx: three different payments for one request.
#[must_use]
pub fn after_signature(mut problem: Problem) -> Problem {
    if matches!(problem.status, 402 | 408 | 409 | 429 | 500..) {
        problem.status = if problem.retry_after_ms.is_some() { TOO_EARLY } else { FORBIDDEN };
    }
    problem
}

/// The header that tells a client of x402 that its payment was settled.
pub fn settled_header(payment: &PaymentView) -> Option<(HeaderName, HeaderValue)> {
    charged_header(payment, payment.amount)
}

/// The same where this much was charged of it, in base units. 0 needs no transaction.
pub fn charged_header(payment: &PaymentView, amount: Amount) -> Option<(HeaderName, HeaderValue)> {
    let settled = SettleResponse {
        success: true,
        error_reason: None,
        error_message: None,
        payer: Some(payment.payer),
        transaction: Some(payment.transaction).filter(|_| !amount.is_zero()),
        network: payment.chain.to_string(),
        amount: Some(amount),
    };
    let value = to_header(&settled).ok().and_then(|text| HeaderValue::from_str(&text).ok())?;
    Some((HeaderName::from_static(RESPONSE_HEADER), value))
}

#[cfg(test)]
mod tests {
    use salt402_protocol::Code;

    use super::*;

    #[test]
    fn no_refusal_after_a_signature_has_a_status_that_clients_sign_again_for() {
        for code in Code::ALL {
            for pause in [None, Some(1000)] {
                let mut problem = Problem::new(*code, "why");
                problem.retry_after_ms = pause;
                let status = after_signature(problem).status;
                assert!((400..500).contains(&status), "{code}: {status}");
                assert!(![402, 408, 409, 429].contains(&status), "{code}: {status}");
            }
        }
    }
}
