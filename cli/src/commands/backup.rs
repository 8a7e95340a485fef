//! `salt402 backup` and `salt402 restore`.

use std::process::ExitCode;

use salt402_store::Store;

use crate::args::{BackupArgs, RestoreArgs};
use crate::config::Config;
use crate::out::say;
use crate::progress;

/// Copies the database of a configuration.
pub(crate) async fn backup(args: &BackupArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.at.config)?;
    let bar = progress::bytes("backup");
    let told = |done, of| {
        bar.set_length(of);
        bar.set_position(done);
        if !progress::shown() {
            tracing::info!(bytes = done, of, "copying");
        }
    };
    let made = salt402_store::backup(&config.database(), &args.file, told).await?;
    bar.finish_and_clear();
    say!("{}: {} bytes, checked and on disk", args.file.display(), made.bytes);
    say!("  keep the quote key too: it is not in it");
    Ok(ExitCode::SUCCESS)
}

/// Puts a copy in the place of the database of a configuration.
pub(crate) async fn restore(args: &RestoreArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.at.config)?;
    let database = config.database();
    // A service that runs on a database whose file was replaced would go on writing to the old file.
    let _alone = Store::reserve_indexing(&database)?;
    // A used payment may be in a block that is not final, and may be mined again this much later.
    let clock_skew = config.verifier.policy().clock_skew;
    let skew = clock_skew + config.finality_time()?;
    let restored = salt402_store::restore(&args.file, &database, skew).await?;
    say!("{}: restored", database.display());
    say!(
        "  payments in blocks before {} (seconds since 1970 UTC) that have no claim are refused as \
         payment_before_restore, as they may have been used after the backup was taken",
        restored.refuse_before
    );
    say!("  {} claims had no answer in the backup and count as answered", restored.closed);
    say!(
        "  that is {} s from now, in which a reorganization may move payments of before to later blocks; quotes are given \
         again from {} s from now on, as the chain's clock may be behind; start salt402",
        skew.as_secs(),
        (skew + clock_skew).as_secs()
    );
    Ok(ExitCode::SUCCESS)
}
