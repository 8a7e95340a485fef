//! When to look for a new head.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use salt402_chain::Node;

/// Subscribes to heads if the node can, and polls in any case.
#[derive(Default)]
pub(crate) struct Ticks {
    subscription: Option<BoxStream<'static, ()>>,
}

impl Ticks {
    /// Waits until a head is announced or the poll interval is over.
    ///
    /// If a subscription ends, the rest of the interval is waited for. Otherwise a node that ends each subscription at
    /// once would be asked without a pause.
    pub(crate) async fn next(&mut self, node: &dyn Node) {
        if self.subscription.is_none() {
            self.subscribe(node).await;
        }
        let poll = tokio::time::sleep(Duration::from_millis(node.profile().poll_ms));
        tokio::pin!(poll);
        while let Some(subscription) = &mut self.subscription {
            tokio::select! {
                () = &mut poll => return,
                tick = subscription.next() => match tick {
                    Some(()) => return,
                    None => self.subscription = None,
                },
            }
        }
        poll.await;
    }

    async fn subscribe(&mut self, node: &dyn Node) {
        match node.heads().await {
            Ok(subscription) => self.subscription = subscription,
            Err(error) => {
                tracing::debug!(chain = %node.profile().chain_id, %error, "no head subscription: polling alone");
            }
        }
    }
}
