//! Where an answer that was paid for leads its client.

use axum::http::{HeaderMap, Method, StatusCode, header};
use url::Url;

use crate::execution::{Answered, PassedHead};
use crate::services::Services;
use crate::upstream::failure::{Failure, UpstreamError};

/// What was asked for, as its client did.
#[derive(Clone, Debug)]
pub(super) struct From {
    pub(super) method: Method,
    pub(super) target: String,
    /// The host that the client named, if it named one in one way.
    pub(super) host: Option<String>,
}

impl From {
    /// Refuses an answer that leads to where its client would have to pay again. Many follow without being asked, and some pay.
    pub(super) fn checked(&self, services: &Services, answered: Answered) -> Result<Answered, UpstreamError> {
        let (Answered::Whole(head, _) | Answered::Stream(head, ..)) = &answered;
        let Some(target) = self.leads_to(head) else { return Ok(answered) };
        let none = HeaderMap::new();
        let has_price = |method: &Method| {
            services.find(method.as_str(), &target, &none).is_ok_and(|(_, rule)| !rule.amount.is_zero())
        };
        if has_price(&self.method) || has_price(&Method::GET) {
            let path = target.split('?').next().unwrap_or_default();
            tracing::warn!(path, "a service leads whoever has paid to where it has to be paid again");
            return Err(Failure::Refused(head.status.as_u16()).into());
        }
        Ok(answered)
    }

    /// The target here to which an answer leads, if it is here.
    fn leads_to(&self, head: &PassedHead) -> Option<String> {
        const LEADS: [StatusCode; 5] = [
            StatusCode::MOVED_PERMANENTLY,
            StatusCode::FOUND,
            StatusCode::SEE_OTHER,
            StatusCode::TEMPORARY_REDIRECT,
            StatusCode::PERMANENT_REDIRECT,
        ];
        if !LEADS.contains(&head.status) {
            return None;
        }
        let text = head.headers.get(header::LOCATION)?.to_str().ok()?;
        let host = self.host.as_deref().unwrap_or("here.invalid");
        let here = Url::parse(&format!("http://{host}{}", self.target)).ok()?;
        let there = here.join(text).ok()?;
        // Whether this gateway is behind TLS is not known here.
        let of_default = |url: &Url| url.port().filter(|port| ![80, 443].contains(port));
        let is_here = there.host() == here.host() && of_default(&there) == of_default(&here);
        let query = there.query().map(|query| format!("?{query}")).unwrap_or_default();
        is_here.then(|| format!("{}{query}", there.path()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_to_a_target_here_or_elsewhere() {
        let from = |host: Option<&str>| From {
            method: Method::GET,
            target: "/paid/a/b?c".into(),
            host: host.map(str::to_owned),
        };
        let head = |status, location: &str| PassedHead {
            status,
            headers: [(header::LOCATION, location.parse().unwrap())].into_iter().collect(),
        };
        for (location, target) in [
            ("/paid/x?y#z", Some("/paid/x?y")),
            ("d", Some("/paid/a/d")),
            ("../d/", Some("/paid/d/")),
            ("https://shop.example/paid/a/b/", Some("/paid/a/b/")),
            ("//shop.example/paid/d", Some("/paid/d")),
            ("https://cdn.example/paid/d", None),
            ("http://shop.example:8080/paid/d", None),
            ("mailto:a@shop.example", None),
        ] {
            for status in [StatusCode::FOUND, StatusCode::PERMANENT_REDIRECT] {
                let led = from(Some("shop.example")).leads_to(&head(status, location));
                assert_eq!(led.as_deref(), target, "{location}");
            }
            assert_eq!(from(Some("shop.example")).leads_to(&head(StatusCode::CREATED, location)), None);
        }
        assert_eq!(from(None).leads_to(&head(StatusCode::FOUND, "/x")).as_deref(), Some("/x"));
    }
}
