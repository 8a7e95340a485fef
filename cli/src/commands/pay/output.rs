//! Writes the answer to its place.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use salt402_client::Answer;
use tempfile::NamedTempFile;

use crate::visible::VisibleStream;

/// Writes an answer as it arrives, so that a long one needs no memory. It goes to a file, which is complete or missing,
/// or to standard output. There the bytes stay as they are, except those that a terminal would obey.
pub(super) async fn write(answer: &mut Answer, file: Option<&Path>, most: u64) -> anyhow::Result<()> {
    match file {
        Some(path) => to_file(answer, path, most).await,
        None if io::stdout().is_terminal() => to_terminal(answer, most).await,
        None => {
            let mut left = most;
            while let Some(bytes) = next(answer, most, &mut left).await? {
                io::stdout().write_all(&bytes).context("standard output")?;
            }
            io::stdout().flush().context("standard output")
        }
    }
}

async fn to_file(answer: &mut Answer, path: &Path, most: u64) -> anyhow::Result<()> {
    let said = || path.display().to_string();
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut file = NamedTempFile::new_in(folder).with_context(said)?;
    let mut left = most;
    while let Some(bytes) = next(answer, most, &mut left).await? {
        file.write_all(&bytes).with_context(said)?;
    }
    file.as_file().sync_all().with_context(said)?;
    file.persist(path).map_err(|error| error.error).with_context(said)?;
    Ok(())
}

async fn to_terminal(answer: &mut Answer, most: u64) -> anyhow::Result<()> {
    let (mut shown, mut left, mut ended) = (VisibleStream::default(), most, true);
    let print = |text: &str| io::stdout().write_all(text.as_bytes()).context("standard output");
    while let Some(bytes) = next(answer, most, &mut left).await? {
        let text = shown.push(&bytes);
        ended = if text.is_empty() { ended } else { text.ends_with('\n') };
        print(&text)?;
    }
    let rest = shown.end();
    print(&rest)?;
    if !ended || !rest.is_empty() {
        print("\n")?;
    }
    io::stdout().flush().context("standard output")
}

async fn next(answer: &mut Answer, most: u64, left: &mut u64) -> anyhow::Result<Option<bytes::Bytes>> {
    let Some(bytes) = answer.next().await? else { return Ok(None) };
    match left.checked_sub(bytes.len() as u64) {
        Some(rest) => *left = rest,
        None => bail!(
            "the answer is longer than {} MiB and was not taken to its end; what was paid stays good: ask for more by \
             --max-answer-mib",
            most >> 20
        ),
    }
    Ok(Some(bytes))
}
