//! When to look for a new head.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use salt402_chain::Node;

/// A subscription to heads where there is one, and polling always.
#[derive(Default)]
pub(crate) struct Ticks {
    subscription: Option<BoxStream<'static, ()>>,
}

impl Ticks {
    /// Until a head is announced or the poll interval is over.
    ///
    /// A subscription that ends says nothing of the head, and the rest of the interval is waited for: a node that ends
    /// each one at once would otherwise be asked without a pause.
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
