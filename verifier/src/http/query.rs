//! What a request to the verifier says after the `?`.

use axum::http::Uri;
use salt402_http::{malformed_parameter, read_query};
use salt402_protocol::{ChainId, Problem};
use salt402_store::{IncidentFilter, IncidentKind};
use serde::Deserialize;
use utoipa::IntoParams;

/// Of which chain a thing is asked.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PaymentsQuery {
    /// The chain.
    pub chain: ChainId,
}

impl PaymentsQuery {
    /// Reads a request's target.
    pub fn read(uri: &Uri) -> Result<Self, Problem> {
        read_query(uri, "say which chain, as in ?chain=eip155:40204")
    }
}

/// Which incidents are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct IncidentsQuery {
    /// `true`: those that are open; `false`: those that are not.
    open: Option<bool>,
    /// Those of a kind: `payment_lost`, `replay_attempt`, `omitted_log`, `nodes_disagree`, `voucher_at_risk`,
    /// `unreadable_transaction`, `not_served`, `refund_lost` or `operator_set`.
    kind: Option<String>,
    /// Those of a chain.
    chain: Option<ChainId>,
    /// Those that began, happened again or came right at this moment or later, in milliseconds since 1970 UTC.
    since: Option<u64>,
    /// At most so many, from 1 to 1000.
    #[serde(default = "at_once")]
    #[param(minimum = 1, maximum = 1000, default = 100, required = false)]
    limit: u32,
    /// The `next_cursor` of the page before.
    cursor: Option<u64>,
}

impl IncidentsQuery {
    /// Reads from a request's target which incidents are asked for, and how many at most.
    pub fn read(uri: &Uri) -> Result<(IncidentFilter, u32), Problem> {
        let query: Self = read_query(uri, "as in ?open=true&limit=100")?;
        let kind = match query.kind.as_deref() {
            None => None,
            Some(name) => {
                let known: Vec<_> = IncidentKind::ALL.iter().map(|kind| kind.name()).collect();
                let unknown = || {
                    malformed_parameter(format!("kind: there is no {name:?}; there are {}", known.join(", ")))
                };
                Some(IncidentKind::named(name).ok_or_else(unknown)?)
            }
        };
        let filter = IncidentFilter {
            open: query.open,
            kind,
            chain: query.chain,
            since_ms: query.since,
            before: query.cursor,
        };
        Ok((filter, bounded(query.limit)?))
    }
}

/// Which ambiguous transactions are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AmbiguitiesQuery {
    /// The chain.
    pub chain: ChainId,
    /// At most so many, from 1 to 1000.
    #[serde(default = "at_once")]
    #[param(minimum = 1, maximum = 1000, default = 100, required = false)]
    pub limit: u32,
    /// The `next_cursor` of the page before.
    pub cursor: Option<u64>,
}

impl AmbiguitiesQuery {
    /// Reads a request's target.
    pub fn read(uri: &Uri) -> Result<Self, Problem> {
        let query: Self = read_query(uri, "say which chain, as in ?chain=eip155:40204&limit=100")?;
        bounded(query.limit)?;
        Ok(query)
    }
}

fn at_once() -> u32 {
    100
}

fn bounded(limit: u32) -> Result<u32, Problem> {
    if (1..=1000).contains(&limit) {
        Ok(limit)
    } else {
        Err(malformed_parameter("limit: from 1 to 1000".into()))
    }
}
