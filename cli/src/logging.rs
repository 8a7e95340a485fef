//! The log, on standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::args::LogFormat;
use crate::progress::{self, AboveBars};

/// The environment variable with the levels.
const LEVELS: &str = "SALT402_LOG";

/// Starts the log at level `info`, or as `SALT402_LOG` says.
pub(crate) fn start(format: LogFormat) -> anyhow::Result<()> {
    let mut filter = EnvFilter::builder()
        .with_env_var(LEVELS)
        .with_default_directive(LevelFilter::INFO.into())
        .from_env()
        .map_err(|error| anyhow::anyhow!("{LEVELS}: {error}; expected levels such as info,salt402=debug"))?;
    // Where a bar shows the progress of a back-fill, the log need not show it too.
    if progress::shown() && std::env::var_os(LEVELS).is_none() {
        filter = filter.add_directive("salt402_indexer::back_fill=warn".parse()?);
    }
    let builder = tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_writer(|| AboveBars);
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
