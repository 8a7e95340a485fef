//! A socket in the file system, whose permissions say who may ask.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// A listening socket. Its file is removed with it, if it is still this one's.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file.
    file: (u64, u64),
}

/// Why a socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum UnixSocketError {
    /// Something else has the name.
    #[error("{} is there and is no socket: it is left alone; choose another path or remove it yourself", .0.display())]
    NoSocket(PathBuf),
    /// A process listens there.
    #[error("somebody listens on {} already: stop it, or choose another path", .0.display())]
    Taken(PathBuf),
    /// The system says no.
    #[error("{}: {source}", path.display())]
    System {
        /// The socket, or its folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl UnixSocket {
    /// Listens on `path`, which gets the permissions `mode` before anybody can connect. A socket that nobody listens on
    /// any more, as a killed process leaves it, is replaced; anything else that has the name is left as it is.
    pub fn bind(path: &Path, mode: u32) -> Result<Self, UnixSocketError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| UnixSocketError::System { path, source }
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Whoever looks at the name and takes it does so alone, or two processes that start at once could both find a
        // dead socket and one take the other's living one away.
        let alone = File::open(folder).map_err(failed(folder))?;
        alone.lock().map_err(failed(folder))?;
        check(path)?;
        // Made under another name: until it has its permissions, nobody finds it.
        let draft = path.with_extension(format!("new-{}", std::process::id()));
        remove_socket(&draft);
        let made = UnixListener::bind(&draft).and_then(|listener| {
            fs::set_permissions(&draft, fs::Permissions::from_mode(mode))?;
            let file = identity(&draft)?;
            fs::rename(&draft, path)?;
            Ok(Self { listener, path: path.to_owned(), file })
        });
        made.map_err(|error| {
            remove_socket(&draft);
            failed(path)(error)
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Fails unless the name is free, or that of a socket that nobody listens on.
fn check(path: &Path) -> Result<(), UnixSocketError> {
    let system = |source| UnixSocketError::System { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(system(error)),
        Ok(found) if !found.file_type().is_socket() => Err(UnixSocketError::NoSocket(path.to_owned())),
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Err(UnixSocketError::Taken(path.to_owned())),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(system(error)),
        },
    }
}

fn remove_socket(path: &Path) {
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        let _ = fs::remove_file(path);
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        let socket = UnixSocket::bind(&path, 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(UnixSocket::bind(&path, 0o600), Err(UnixSocketError::Taken(_))));
        drop(socket);
        assert!(!path.exists(), "it is removed with its listener");

        // As kill -9 leaves it: the file without a listener.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let socket = UnixSocket::bind(&path, 0o660).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        // Somebody put another in its place: that one stays.
        fs::remove_file(&path).unwrap();
        let other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(socket);
        assert!(path.exists());
        drop(other);

        fs::remove_file(&path).unwrap();
        fs::write(&path, "somebody's notes").unwrap();
        assert!(matches!(UnixSocket::bind(&path, 0o660), Err(UnixSocketError::NoSocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "somebody's notes");
        let link = folder.path().join("link.sock");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(UnixSocket::bind(&link, 0o660), Err(UnixSocketError::NoSocket(_))));
        let nowhere = folder.path().join("nowhere/s.sock");
        assert!(matches!(UnixSocket::bind(&nowhere, 0o660), Err(UnixSocketError::System { .. })));
        let left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }
}
