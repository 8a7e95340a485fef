//! A running `salt402`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A `salt402` process with its log in a file. It is killed on drop.
#[derive(Debug)]
pub struct Salt402 {
    child: Child,
    log: PathBuf,
}

impl Salt402 {
    /// Starts `salt402 <role> --config <config>`.
    pub fn start(binary: &Path, role: &str, config: &Path) -> Self {
        Self::start_with(binary, role, config, &[])
    }

    /// The same with environment variables and the most detailed log.
    pub fn start_with(binary: &Path, role: &str, config: &Path, variables: &[(&str, &str)]) -> Self {
        let log = config.with_extension(format!("{role}.log"));
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log file");
        let child = Command::new(binary)
            .args([role, "--config"])
            .arg(config)
            .env("SALT402_LOG", if variables.is_empty() { "info,salt402_indexer=debug" } else { "trace" })
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        Self { child, log }
    }

    /// Starts it so that writing beyond a file size limit is an error, like a full disk, instead of a signal. See
    /// [`Salt402::limit_files`].
    pub fn start_limitable(binary: &Path, role: &str, config: &Path) -> Self {
        let log = config.with_extension(format!("{role}.log"));
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log file");
        let child = Command::new("sh")
            // An ignored signal stays ignored after `exec`.
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
            .arg(binary)
            .args([role, "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("a shell");
        Self { child, log }
    }

    /// Limits the size of the process's files in bytes. `None` removes the limit. Needs `prlimit` from Debian's
    /// util-linux.
    pub fn limit_files(&self, bytes: Option<u64>) {
        let limit = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let status = Command::new("prlimit")
            .args(["--pid", &self.child.id().to_string(), &format!("--fsize={limit}:unlimited")])
            .status()
            .unwrap_or_else(|error| panic!("prlimit: {error}; run `make terminal`"));
        assert!(status.success(), "prlimit: {status}");
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it is still running.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until it exits with a failure, and returns its log.
    pub fn ends(mut self) -> String {
        let give_up = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                assert!(!status.success(), "salt402 ended well:\n{}", self.log());
                return self.log();
            }
            assert!(Instant::now() < give_up, "salt402 does not end; its log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// Sends SIGTERM and waits for the exit.
    pub fn terminate(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().expect("kill").success());
        let give_up = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status;
            }
            assert!(Instant::now() < give_up, "salt402 does not stop; its log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Salt402 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {} ---\n{}", self.log.display(), self.log());
        }
    }
}
