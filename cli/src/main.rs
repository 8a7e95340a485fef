//! The `salt402` command.

fn main() -> std::process::ExitCode {
    salt402_cli::run()
}
