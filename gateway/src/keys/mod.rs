//! API keys whose prepaid balances requests draw: what is sold of them, which key a request shows, and what an interrupted process has left
//! reserved.
//!
//! The rooms: `options`, `shown`, `wrong`; `open_draws`.

mod open_draws;
mod options;
mod shown;
mod wrong;

use std::sync::Arc;

pub use options::{KeyOptions, KeyPlan};
pub(crate) use shown::{KeyShown, is_shown, key_refused, strip};

use crate::charging::Charging;
use crate::keys::open_draws::OpenDraws;
use crate::keys::wrong::WrongKeys;
use crate::turns::Turns;

/// The keys of a gateway. Clones share one state.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) options: Arc<KeyOptions>,
    /// Who shows keys that are not good.
    pub(crate) wrong: Arc<WrongKeys>,
    /// Draws that are asked for and not yet written down here, or let go: one of both at a time.
    pub(crate) asked: Turns,
    /// Draws whose several answers are made and charged: one copy of a request at a time.
    pub(crate) several: Turns,
    open: OpenDraws,
}

impl Keys {
    pub(crate) fn new(options: KeyOptions, charging: Charging) -> Self {
        let asked = Turns::default();
        let open = OpenDraws::new(charging, asked.clone());
        Self { options: Arc::new(options), wrong: Arc::default(), asked, several: Turns::default(), open }
    }

    /// Looks after what interrupted processes have left reserved, until [`Keys::finish`].
    pub(crate) fn begin(&self) {
        self.open.begin();
    }

    /// Ends after what is being done.
    pub(crate) async fn finish(&self) {
        self.open.finish().await;
    }
}
