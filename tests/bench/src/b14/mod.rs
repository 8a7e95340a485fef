//! B14: how cost grows. One line a row, with the exponent of what all of it costs over how much there is: 1 is in proportion,
//! 2 is each against every other. Processor time, which noise does not spoil.
//!
//! ```text
//! B14 <row> <exponent> target <=1.2 pass|short  <what it is at the largest size>
//! ```

#![allow(clippy::print_stdout, reason = "the figures are what the command is for")]

mod channels;
mod requests;
mod sources;
mod store;

use std::time::Duration;

use crate::figures::processor;

/// The most that an exponent may be.
const MOST: f64 = 1.2;

pub(crate) async fn run() -> anyhow::Result<()> {
    requests::run().await?;
    sources::run().await?;
    channels::run().await?;
    store::run().await
}

/// What was measured of a row: how much there was, and what all of it cost.
#[derive(Default)]
pub(crate) struct Row(Vec<(f64, Duration)>);

impl Row {
    /// Adds a point.
    pub(crate) fn add(&mut self, size: usize, cost: Duration) {
        self.0.push((size as f64, cost));
    }

    /// Prints the row; `what` says what the figure at the largest size is.
    pub(crate) fn tell(&self, name: &str, what: &str) {
        let exponent = self.exponent();
        let verdict = if exponent <= MOST { "pass" } else { "short" };
        println!("B14 {name} {exponent:.2} target <={MOST} {verdict}  {what}");
        let points: Vec<String> = self
            .0
            .iter()
            .map(|(size, cost)| format!("{size}: {:.1} ms", cost.as_secs_f64() * 1000.0))
            .collect();
        println!("    {}", points.join(", "));
    }

    /// The slope of the line through the logarithms that fits best.
    fn exponent(&self) -> f64 {
        let logs: Vec<(f64, f64)> =
            self.0.iter().map(|(size, cost)| (size.ln(), cost.as_secs_f64().max(1e-9).ln())).collect();
        let count = logs.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / count;
        let (x, y) = (mean(|log| log.0), mean(|log| log.1));
        let along: f64 = logs.iter().map(|log| (log.0 - x) * (log.1 - y)).sum();
        let wide: f64 = logs.iter().map(|log| (log.0 - x).powi(2)).sum();
        along / wide
    }
}

/// What something costs of the processor, and what it gives.
pub(crate) async fn costs<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<(Duration, T)> {
    let before = processor();
    let given = work.await?;
    Ok((processor().saturating_sub(before), given))
}
