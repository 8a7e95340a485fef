//! Streams that are paid as they go, and that another process has left behind: what was given of them is their answer, and is charged.

use salt402_protocol::{PaymentId, Problem};

use crate::charging::{Charging, PAGE, failed};

impl Charging {
    /// Ends a stream that is paid as it goes, and that nobody runs any more. Returns whether anything was given of it, which is charged.
    pub(super) async fn end_delivery(&self, payment: PaymentId) -> Result<bool, Problem> {
        let given = self.store.end_delivery(payment).await.map_err(failed)?;
        if given {
            tracing::info!(%payment, "a stream was interrupted: what was given of it is charged");
            self.charged.notify_one();
        }
        Ok(given)
    }

    /// Ends the streams that another process has left behind.
    pub(super) async fn end_interrupted(&self) {
        let mut after = None;
        loop {
            let open = match self.store.open_deliveries(after, PAGE).await {
                Ok(open) => open,
                Err(error) => return tracing::warn!(%error, "interrupted streams could not be read"),
            };
            let Some(last) = open.last() else { return };
            after = Some(*last);
            for payment in open {
                let _turn = self.beginning.wait(payment).await;
                if !self.under_way.has(payment)
                    && let Err(error) = self.end_delivery(payment).await
                {
                    tracing::warn!(detail = error.detail, %payment, "an interrupted stream could not be ended");
                }
            }
        }
    }
}
