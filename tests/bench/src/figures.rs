//! Figures, and how they are printed.

use std::time::Duration;

use anyhow::Context as _;
use rustix::time::{ClockId, clock_gettime};

/// What this machine is, on one line.
pub(crate) fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let model = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| {
            line.strip_prefix("model name").map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned())
        })
        .unwrap_or_else(|| "unknown processor".into());
    let memory = read("/proc/meminfo")
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:").map(|rest| rest.trim().to_owned()))
        .unwrap_or_else(|| "unknown memory".into());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{model}, {cores} cores, {memory}, Linux {}", kernel.trim())
}

/// Times, sorted.
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The time within which `share` of all are, in milliseconds.
    pub(crate) fn within(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        let index = (last as f64 * share).round() as usize;
        self.0.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    }
}

/// A number that should be at most `target`.
pub(crate) fn at_most(name: &str, value: f64, unit: &str, target: f64, what: &str) {
    print(name, value, unit, &format!("<={target}"), value <= target, what);
}

/// A number that should be at least `target`.
pub(crate) fn at_least(name: &str, value: f64, unit: &str, target: f64, what: &str) {
    print(name, value, unit, &format!(">={target}"), value >= target, what);
}

/// A number without a target, beside one that has.
pub(crate) fn told(name: &str, value: f64, unit: &str, what: &str) {
    println!("{name} {value:.2} {unit}  {what}");
}

/// What could be had instead, measured in the same run: indented, without a target.
pub(crate) fn beside(value: f64, unit: &str, what: &str) {
    let value = if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") };
    println!("    {value} {unit}  {what}");
}

/// Processor time of this process so far, of all its threads. Unlike a duration, it does not depend on who else wants the
/// processor.
pub(crate) fn processor() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// User and system time of a process, in seconds, from its `stat`: fields 14 and 15, in hundredths.
pub(crate) fn cpu_seconds(pid: &str) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(") ").next().context("fields of stat")?.split(' ').collect();
    let ticks =
        |field: usize| fields.get(field).context("a time in stat")?.parse::<f64>().context("a number");
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

fn print(name: &str, value: f64, unit: &str, target: &str, good: bool, what: &str) {
    let verdict = if good { "pass" } else { "short" };
    let value = if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") };
    println!("{name} {value} {unit} target {target} {verdict}  {what}");
}
