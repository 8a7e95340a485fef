//! A router on a socket, until the end.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long connections may go on after the end was announced.
const GRACE: Duration = Duration::from_secs(20);

/// Binds `address`; the error says which part wanted it.
pub(crate) async fn bind(part: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{part} cannot listen on {address}: choose another address in [{part}]"))
}

/// Serves until `stop`, then lets open requests end.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let ending = stop.clone();
    // Answers are small and written whole: waiting to fill a packet only costs time.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
    });
    // Who asks is told to limits by address.
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let serving =
        axum::serve(listener, service).with_graceful_shutdown(async move { ending.cancelled().await });
    tokio::select! {
        served = serving.into_future() => Ok(served?),
        () = async { stop.cancelled().await; tokio::time::sleep(GRACE).await } => {
            tracing::warn!("connections were still open after {} s and are cut", GRACE.as_secs());
            Ok(())
        }
    }
}
