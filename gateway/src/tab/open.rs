//! The streams under way that are paid as they go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use salt402_paywall::{Begun, Paywall};
use salt402_protocol::api::TabView;
use salt402_protocol::{Amount, PaymentId};
use salt402_store::Store;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::tab::{Shared, Standing, Tab};

/// All of them. Clones share one state.
#[derive(Clone, Debug)]
pub(crate) struct Tabs {
    shared: Arc<Shared>,
    /// A std mutex, because nothing is awaited while it is held.
    open: Arc<Mutex<HashMap<PaymentId, Weak<Tab>>>>,
}

impl Tabs {
    /// None yet. One stream waits for vouchers for as long as `patience`, in all its pauses together.
    pub(crate) fn new(store: Store, paywall: Paywall, patience: Duration) -> Self {
        let shared = Shared { store, paywall, patience, ending: CancellationToken::new() };
        Self { shared: Arc::new(shared), open: Arc::default() }
    }

    /// Ends all pauses, now and later.
    pub(crate) fn finish(&self) {
        self.shared.ending.cancel();
    }

    /// The stream of a payment, as it is under way, or a new one, which may cost so much at first.
    pub(crate) fn open(&self, begun: Begun, allowed: Amount, channel: TabView) -> Arc<Tab> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let payment = begun.payment;
        if let Some(tab) = open.get(&payment).and_then(Weak::upgrade).filter(|tab| tab.goes_on()) {
            return tab;
        }
        open.retain(|_, tab| tab.strong_count() > 0);
        let tab = Arc::new(Tab {
            begun,
            standing: watch::Sender::new(Standing::new(allowed, channel)),
            raising: tokio::sync::Mutex::default(),
            shared: Arc::clone(&self.shared),
        });
        open.insert(payment, Arc::downgrade(&tab));
        metrics::counter!("salt402_gateway_streams_as_it_goes_total").increment(1);
        tab
    }

    /// The stream of a payment, if it is under way.
    pub(crate) fn of(&self, payment: PaymentId) -> Option<Arc<Tab>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&payment).and_then(Weak::upgrade)
    }
}

impl Standing {
    fn new(allowed: Amount, channel: TabView) -> Self {
        Self {
            allowed,
            channel,
            charged: Amount::ZERO,
            given: false,
            waiting: None,
            pauses: 0,
            waited: Duration::ZERO,
            end: None,
            cut: false,
        }
    }
}
