//! `Server-Timing` (W3C): what verification, claim and the rest took, for whoever paid.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};

const HEADER: &str = "server-timing";

/// From the question whether a request was paid to the claim that is on disk.
pub const PAYMENT: &str = "payment;desc=\"verify and claim\"";

/// Says what took how long. A name may carry a description, as [`PAYMENT`] does. What another layer said stays.
pub fn server_timing(headers: &mut HeaderMap, parts: &[(&'static str, Duration)]) {
    let part = |(name, time): &(&'static str, Duration)| format!("{name};dur={}", milliseconds(*time));
    let text = parts.iter().map(part).collect::<Vec<_>>().join(", ");
    if let Ok(text) = HeaderValue::from_str(&text) {
        headers.append(HEADER, text);
    }
}

/// Milliseconds with three decimal places, as `Server-Timing` has them.
fn milliseconds(time: Duration) -> String {
    format!("{}.{:03}", time.as_millis(), time.subsec_micros() % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_milliseconds_and_stand_beside_those_of_others() {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_static("cache;dur=1"));
        let parts = [(PAYMENT, Duration::from_micros(1_005)), ("model", Duration::from_secs(2))];
        server_timing(&mut headers, &parts);
        let told: Vec<_> = headers.get_all(HEADER).iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(told, ["cache;dur=1", "payment;desc=\"verify and claim\";dur=1.005, model;dur=2000.000"]);
    }
}
