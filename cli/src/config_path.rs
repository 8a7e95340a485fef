//! Where the configuration is, as each command is told.

use std::path::PathBuf;

use clap::Args as Group;

#[derive(Debug, Group)]
pub(crate) struct ConfigPath {
    /// The configuration; any value can come from the environment instead, as SALT402__SECTION__KEY
    #[arg(long, short, env = "SALT402_CONFIG", default_value = "salt402.toml", value_name = "FILE")]
    pub(crate) config: PathBuf,
}
