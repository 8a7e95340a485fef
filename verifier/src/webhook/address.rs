//! Which addresses messages may be sent to.

use url::{Host, Url};

/// Why messages cannot be sent to a server.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// Messages are not sent to such an address.
    #[error("expected an https address, or http on loopback: what is told is nobody else's business")]
    Address,
    /// The address has a user and a password.
    #[error("expected an address without user and password: deliveries are signed instead")]
    Credentials,
    /// The HTTP client could not be made.
    #[error(transparent)]
    Client(#[from] reqwest::Error),
}

pub(super) fn check(url: &Url) -> Result<(), WebhookError> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(WebhookError::Credentials);
    }
    let loopback = match url.host() {
        // A name can lead anywhere. Only this one is loopback, by RFC 6761.
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" if url.has_host() => Ok(()),
        "http" if loopback => Ok(()),
        _ => Err(WebhookError::Address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_loopback_are_told() {
        for good in
            ["https://example.com/hook", "http://127.0.0.1:9/", "http://localhost/x", "http://[::1]:80/"]
        {
            assert!(check(&Url::parse(good).unwrap()).is_ok(), "{good}");
        }
        for bad in [
            "http://example.com/",
            "http://10.0.0.1/",
            "ftp://127.0.0.1/",
            "unix:/run/x",
            "http://localhost.example.com/",
            "https://user:secret@example.com/",
        ] {
            assert!(check(&Url::parse(bad).unwrap()).is_err(), "{bad}");
        }
    }
}
