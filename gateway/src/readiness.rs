//! `GET /readyz`: whether paid requests can be served.

use axum::extract::State;
use salt402_http::Fault;
use salt402_protocol::{Code, Problem};

use crate::gateway::{Gateway, Inner};

/// Whether paid requests can be served
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses((status = 200, description = "They can.", body = String, content_type = "text/plain")))]
pub(crate) async fn ready(State(gateway): State<Gateway>) -> Result<&'static str, Fault> {
    let Inner { paywall, circuits, service_circuits, store, lease, .. } = &*gateway.0;
    let ready = async {
        store.writable().map_err(|error| error.to_string())?;
        lease.check().map_err(|problem| problem.detail)?;
        // It is enough that something can be sold.
        match (circuits.ready(), service_circuits.ready()) {
            (Err(why), _) if service_circuits.is_empty() => return Err(why),
            (_, Err(why)) if circuits.is_empty() => return Err(why),
            (Err(models), Err(services)) => return Err(format!("{models}; {services}")),
            _ => {}
        }
        paywall.verifier.ready().await
    };
    // The reason may name nodes, so it is for the operator.
    let not_ready = |reason: String| {
        tracing::debug!(reason, "not ready");
        let detail = "nothing is sold now: the verifier, and the log, say why";
        Problem::new(Code::NotReady, detail).retry_after(1000).into()
    };
    ready.await.map(|()| "ready\n").map_err(not_ready)
}
