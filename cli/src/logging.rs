//! The log, on standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::args::LogFormat;

/// Starts the log at level `info`, or as `SALT402_LOG` says.
pub(crate) fn start(format: LogFormat) -> anyhow::Result<()> {
    let filter = EnvFilter::builder()
        .with_env_var("SALT402_LOG")
        .with_default_directive(LevelFilter::INFO.into())
        .from_env()
        .map_err(|error| {
            anyhow::anyhow!("SALT402_LOG: {error}; expected levels such as info,salt402=debug")
        })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
