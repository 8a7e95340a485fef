//! What was reserved for a request of which this gateway knows nothing: its process ended, or the verifier's answer was lost, before
//! the request was begun. Nothing is charged of it.
//!
//! | a process ends | what is reserved |
//! | --- | --- |
//! | before the verifier has reserved | nothing is |
//! | before the request is written down here | it is free again a minute later, by what is here |
//! | before the answer | it is free again after ten minutes, as `charging` gives up what has ended; an `Idempotency-Key` has it run again until then |
//! | after the answer | what was used is charged, whether or not anybody asks |

use std::time::Duration;

use salt402_protocol::Problem;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::charging::Charging;
use crate::under_way::UnderWay;

/// How often it is looked.
const TICK: Duration = Duration::from_secs(30);
/// How long something is reserved before it is looked for.
const AGE: Duration = Duration::from_secs(60);

/// Looks for them. Clones share one state.
#[derive(Clone)]
pub(super) struct OpenDraws {
    charging: Charging,
    asked: UnderWay,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl OpenDraws {
    pub(super) fn new(charging: Charging, asked: UnderWay) -> Self {
        Self { charging, asked, tasks: TaskTracker::new(), stop: CancellationToken::new() }
    }

    pub(super) fn begin(&self) {
        let this = self.clone();
        self.tasks.spawn(async move {
            let keep = async {
                loop {
                    if let Err(problem) = this.look().await {
                        tracing::warn!(
                            detail = problem.detail,
                            "what is reserved of balances could not be looked at"
                        );
                    }
                    tokio::time::sleep(TICK).await;
                }
            };
            this.stop.run_until_cancelled(keep).await;
        });
    }

    pub(super) async fn finish(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn look(&self) -> Result<(), Problem> {
        for draw in self.charging.open_draws(AGE).await? {
            if self.asked.has(draw) || self.charging.knows(draw).await? {
                continue;
            }
            tracing::info!(%draw, "a request was not begun for which something is reserved: nothing is charged");
            self.charging.let_go(draw).await?;
        }
        Ok(())
    }
}
