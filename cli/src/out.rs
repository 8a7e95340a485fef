//! What commands print. If the reader stops reading, a command still does its work and prints nothing more.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether nobody reads standard output any more.
static CLOSED: AtomicBool = AtomicBool::new(false);
/// Whether some output was lost for another reason.
static LOST: AtomicBool = AtomicBool::new(false);

/// Prints a line as `println!` does, but does not panic if it cannot be written.
macro_rules! say {
    ($($text:tt)*) => { $crate::out::line(format_args!($($text)*)) };
}

pub(crate) use say;

/// Prints a line to standard output.
pub(crate) fn line(text: Arguments<'_>) {
    write(format_args!("{text}\n"));
}

/// Prints a text to standard output as it is.
pub(crate) fn write(text: Arguments<'_>) {
    if is_closed() {
        return;
    }
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_fmt(text).and_then(|()| out.flush()) {
        CLOSED.store(true, Ordering::Relaxed);
        if error.kind() != ErrorKind::BrokenPipe {
            LOST.store(true, Ordering::Relaxed);
            tell(format_args!("salt402: standard output cannot be written: {error}"));
        }
    }
}

/// Whether nobody reads any more. A command that prints without end then ends.
pub(crate) fn is_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

/// Whether some output was lost that somebody may have waited for.
pub(crate) fn is_lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// Prints a line to standard error. If that fails, nobody can be told.
pub(crate) fn tell(text: Arguments<'_>) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
