//! Progress bars on a terminal, one per back-fill, below the log. Without a terminal there is only the log.

use std::io::{self, IsTerminal as _, Write};
use std::sync::OnceLock;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use salt402_indexer::{Health, Phase};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often a bar is drawn anew.
const DRAW: Duration = Duration::from_millis(500);

/// All bars of the process, on standard error. `None` if that is no terminal.
fn bars() -> Option<&'static MultiProgress> {
    static BARS: OnceLock<Option<MultiProgress>> = OnceLock::new();
    BARS.get_or_init(|| {
        let target = ProgressDrawTarget::stderr();
        io::stderr().is_terminal().then(|| MultiProgress::with_draw_target(target))
    })
    .as_ref()
}

/// Whether there are bars.
pub(crate) fn shown() -> bool {
    bars().is_some()
}

/// Standard error above the bars. It never fails: if the log's disk is full, the service goes on without the log.
pub(crate) struct AboveBars;

impl Write for AboveBars {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let _ = match bars() {
            Some(bars) => bars.suspend(|| io::stderr().write_all(text)),
            None => io::stderr().write_all(text),
        };
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = io::stderr().flush();
        Ok(())
    }
}

/// A bar that counts bytes. It is hidden if there is no terminal.
pub(crate) fn bytes(what: &str) -> ProgressBar {
    let bar = ProgressBar::new(0).with_prefix(what.to_owned());
    let bar = match bars() {
        Some(bars) => bars.add(bar),
        None => return ProgressBar::hidden(),
    };
    style(&bar, "{prefix} [{bar:30}] {bytes} of {total_bytes}, {eta} left");
    bar
}

/// Shows a chain's back-fills until `stop`.
pub(crate) async fn back_fill(name: String, health: watch::Receiver<Health>, stop: CancellationToken) {
    let Some(bars) = bars() else { return };
    let mut shown: Option<Fill> = None;
    while !stop.is_cancelled() {
        let now = health.borrow().clone();
        match (&now.phase, now.indexed, now.head) {
            (Phase::BackFilling, Some(indexed), Some(head)) => {
                let fill = shown.get_or_insert_with(|| Fill::begin(bars, &name, indexed, now.found));
                fill.draw(indexed, head, now.found);
            }
            // A failed step is tried again. The bar stays where it is.
            (Phase::Failing(_), ..) => {}
            _ => {
                if let Some(fill) = shown.take() {
                    fill.bar.finish_and_clear();
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(DRAW) => {}
            () = stop.cancelled() => {}
        }
    }
    if let Some(fill) = shown {
        fill.bar.finish_and_clear();
    }
}

/// One back-fill.
struct Fill {
    bar: ProgressBar,
    first: u64,
    found: u64,
}

impl Fill {
    fn begin(bars: &MultiProgress, name: &str, first: u64, found: u64) -> Self {
        let bar = bars.add(ProgressBar::new(0).with_prefix(name.to_owned()));
        style(&bar, "{prefix} [{bar:30}] {msg}, {per_sec}, {eta} left");
        Self { bar, first, found }
    }

    fn draw(&self, indexed: u64, head: u64, found: u64) {
        self.bar.set_length(head.saturating_sub(self.first));
        self.bar.set_position(indexed.saturating_sub(self.first));
        let events = (found - self.found) as u128 * 1000 / self.bar.elapsed().as_millis().max(1);
        self.bar.set_message(format!("block {indexed} of {head}, {events} payments/s"));
    }
}

fn style(bar: &ProgressBar, template: &str) {
    // If a template does not parse, the plain bar is used.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
}
