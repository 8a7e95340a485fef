//! A socket in the file system beside a TCP port, and addresses that name such a socket.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;

/// The permissions of a socket, as octal digits in a string: `"0660"`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Mode(pub(crate) u32);

impl Default for Mode {
    fn default() -> Self {
        Self(0o660)
    }
}

impl TryFrom<String> for Mode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.strip_prefix("0o").unwrap_or(&text);
        let octal =
            (1..=4).contains(&digits.len()) && digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        match u32::from_str_radix(digits, 8) {
            Ok(mode) if octal && mode <= 0o777 => Ok(Self(mode)),
            _ => Err(format!("expected permissions in octal such as \"0660\", found {text:?}")),
        }
    }
}

/// The path in an address such as `unix:/run/salt402.sock`. `None` for another kind of address.
pub(crate) fn unix_path(address: &Url) -> Option<PathBuf> {
    (address.scheme() == "unix").then(|| PathBuf::from(address.path()))
}

/// The address to ask behind a socket. Its name is in the `Host` header, and nobody reads it.
pub(crate) fn behind_socket() -> Result<Url, url::ParseError> {
    Url::parse("http://localhost/")
}

/// Whether an address can be a verifier's.
pub(crate) fn is_verifier(address: &Url) -> bool {
    match unix_path(address) {
        Some(path) => path != Path::new("") && path != Path::new("/") && !address.has_host(),
        None => matches!(address.scheme(), "http" | "https") && address.has_host(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_octal_digits_and_nothing_else() {
        let mode = |text: &str| Mode::try_from(text.to_owned()).map(|mode| mode.0).ok();
        assert_eq!((mode("0660"), mode("600"), mode("0o666")), (Some(0o660), Some(0o600), Some(0o666)));
        for bad in ["", "0o", "rw-rw----", "0888", "660 ", "-660", "+660", "10000", "7777"] {
            assert_eq!(mode(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_verifier_is_behind_http_or_a_socket() {
        for (good, path) in [
            ("http://127.0.0.1:4020", None),
            ("unix:/run/salt402.sock", Some("/run/salt402.sock")),
            ("unix:data/salt402.sock", Some("data/salt402.sock")),
        ] {
            let url = Url::parse(good).unwrap();
            assert!(is_verifier(&url), "{good}");
            assert_eq!(unix_path(&url).as_deref(), path.map(Path::new));
        }
        for bad in ["ftp://x", "unix:", "unix:/", "unix://host/path", "file:///run/salt402.sock"] {
            assert!(!is_verifier(&Url::parse(bad).unwrap()), "{bad}");
        }
    }
}
