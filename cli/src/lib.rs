//! The `salt402` command: reads arguments and configuration, connects the parts, and runs them.
//!
//! It is a library beside the binary, so that its configuration parser can be fuzzed like every other parser of outside
//! input.

mod args;
mod commands;
mod config;
mod config_path;
mod listen;
mod logging;
mod out;
mod past_channels;
mod progress;
mod stop;
mod visible;
mod wire;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{
    Args, ChainCommand, ChannelCommand, ChargesCommand, Command, ConfigCommand, IncidentsCommand,
    OperatorCommand, SettlementsCommand, UnservedCommand,
};

pub use config::parse_price;

/// Reads the text of a configuration file and checks it as every command does first, without the environment. Files
/// that chains name are not opened.
///
/// # Errors
/// A text for the operator: the place, what was found and what was expected there.
pub fn check_configuration(text: &str) -> Result<(), String> {
    let told = |error: config::ConfigError| error.to_string();
    let config = config::Config::read(text, Path::new("salt402.toml"), false).map_err(told)?;
    if !config.chains.values().any(config::ChainConfig::names_files) {
        config.chains().map_err(told)?;
    }
    Ok(())
}

/// The command, with the arguments of this process.
pub fn run() -> ExitCode {
    let args = Args::parse();
    if let Err(error) = logging::start(args.log) {
        return fail(&error);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let done = runtime.block_on(async {
        match args.command {
            Command::Up(at) => commands::run(&at.config, wire::Parts::ALL).await,
            Command::Index(at) => commands::run(&at.config, wire::Parts::INDEX).await,
            Command::Verify(at) => commands::run(&at.config, wire::Parts::VERIFY).await,
            Command::Serve(at) => commands::run(&at.config, wire::Parts::SERVE).await,
            Command::Facilitate(at) => commands::run(&at.config, wire::Parts::FACILITATE).await,
            Command::Status(status) => commands::status(&status).await,
            Command::Chain(ChainCommand::Resume(resume)) => commands::resume(&resume).await,
            Command::Channel(ChannelCommand::List(list)) => commands::list_channels(&list).await,
            Command::Channel(ChannelCommand::Show(show)) => commands::show_channel(&show).await,
            Command::Channel(ChannelCommand::Claim(claim)) => commands::claim_channels(&claim).await,
            Command::Channel(ChannelCommand::Close(close)) => commands::close_channels(&close).await,
            Command::Channel(ChannelCommand::Refund(refund)) => commands::refund_channel(&refund).await,
            Command::Channel(ChannelCommand::Operator(OperatorCommand::Set(set))) => {
                commands::set_operator(&set).await
            }
            Command::Channel(ChannelCommand::Withdraw(withdraw)) => {
                commands::withdraw_credit(&withdraw).await
            }
            Command::Channel(ChannelCommand::Operator(OperatorCommand::Show(show))) => {
                commands::show_operators(&show).await
            }
            Command::Backup(backup) => commands::backup(&backup).await,
            Command::Restore(restore) => commands::restore(&restore).await,
            Command::Price(price) => commands::price(&price).await,
            Command::Pay(pay) => commands::pay(&pay).await,
            Command::Refund(refund) => commands::refund(&refund).await,
            Command::Incidents(IncidentsCommand::List(list)) => commands::incidents(&list).await,
            Command::Incidents(IncidentsCommand::Settle(settle)) => commands::settle(&settle).await,
            Command::Unserved(UnservedCommand::List(list)) => commands::unserved(&list).await,
            Command::Unserved(UnservedCommand::Settle(settle)) => commands::settle_unserved(&settle).await,
            Command::Unserved(UnservedCommand::Retry(retry)) => commands::retry_unserved(&retry).await,
            Command::Charges(ChargesCommand::List(list)) => commands::charges(&list).await,
            Command::Charges(ChargesCommand::Show(show)) => commands::show_charge(&show).await,
            Command::Charges(ChargesCommand::WriteOff(off)) => commands::write_charge_off(&off).await,
            Command::Keys(command) => commands::keys(&command).await,
            Command::Settlements(SettlementsCommand::List(list)) => commands::settlements(&list).await,
            Command::Settlements(SettlementsCommand::Show(show)) => commands::show_settlement(&show).await,
            Command::Settlements(SettlementsCommand::Retry(retry)) => {
                commands::retry_settlement(&retry).await
            }
            Command::Config(ConfigCommand::Check(at)) => commands::check(&at.config),
            Command::Config(ConfigCommand::Example) => commands::example(),
        }
    });
    match done {
        Ok(_) if out::is_lost() => ExitCode::FAILURE,
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

/// Writes what went wrong, with its causes, on one line.
fn fail(error: &anyhow::Error) -> ExitCode {
    // A node or a server may have had a say in it.
    out::tell(format_args!("{}", visible::visible(&format!("salt402: {error:#}"))));
    ExitCode::FAILURE
}
