//! The newcomer's walk of README.md, by its very commands: `make up`, a file server, Caddy, and a paying client.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use salt402_tests::{free_port, root};

use crate::SALT402;

/// Commands and whatever they started, ended with the test.
struct Terminal(Child);

impl Terminal {
    /// Runs commands in the folder of the repository, with what they say in a file.
    fn run(commands: &str, said: &Path, variables: &[(&str, &str)]) -> Self {
        let file = File::create(said).unwrap();
        let mut command = Command::new("bash");
        command.args(["-ec", commands]).current_dir(root()).envs(variables.iter().copied()).process_group(0);
        command.stdin(Stdio::null()).stderr(file.try_clone().unwrap()).stdout(file);
        Self(command.spawn().unwrap())
    }

    fn signal(&self, name: &str) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args([name, "--", &group]).stderr(Stdio::null()).status();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.signal("-TERM");
        let give_up = Instant::now() + Duration::from_secs(10);
        while Instant::now() < give_up && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.signal("-KILL");
        let _ = self.0.wait();
    }
}

/// The blocks of commands in README's section, one for each terminal.
fn blocks() -> Vec<String> {
    let page = std::fs::read_to_string(root().join("README.md")).unwrap();
    let section = page.split_once("\n## Put it before a server you have\n").unwrap().1;
    let section = section.split_once("\n## ").unwrap().0;
    let blocks = section.split("```sh\n").skip(1);
    blocks.map(|block| block.split_once("```").unwrap().0.to_owned()).collect()
}

fn until(what: &str, said: &Path, terminal: &mut Terminal, done: impl Fn() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(120);
    while !done() {
        let ended = !matches!(terminal.0.try_wait(), Ok(None));
        let text = std::fs::read_to_string(said).unwrap_or_default();
        assert!(!ended && Instant::now() < give_up, "{what} did not start:\n{text}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn listens(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

#[test]
fn the_readmes_walk_puts_a_paid_path_before_a_file_server() {
    let [up, server, caddy, client] = &blocks()[..] else { panic!("four terminals") };
    let ports = [free_port(), free_port(), free_port(), free_port(), free_port()];
    let [chain, verifier, _, files, proxy] = ports;
    // Below scratch, where alone the deploying script may write.
    let home = root().join(format!("scratch/tests/walk-{proxy}"));
    std::fs::create_dir_all(&home).unwrap();
    let folder = home.display().to_string();
    // Cargo may be told to build to another folder than target.
    let built = Path::new(SALT402).strip_prefix(root()).unwrap_or(Path::new(SALT402)).display().to_string();
    let here = |commands: &str| {
        let replaced = [("8545", chain), ("4020", verifier), ("8000", files), ("8080", proxy)]
            .iter()
            .fold(commands.to_owned(), |text, (known, port)| {
                text.replace(&format!(":{known}"), &format!(":{port}"))
            });
        let replaced = replaced.replace(" 8000\n", &format!(" {files}\n"));
        let replaced = replaced.replace("PORT=8080", &format!("PORT={proxy}"));
        replaced
            .replace("target/debug/salt402", &built)
            .replace("scratch/files", &format!("{folder}/files"))
            .replace("scratch/paid.json", &format!("{folder}/paid.json"))
    };

    // `make up` builds, which the test has done, and runs this.
    assert_eq!(up, "make up\n");
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    assert!(makefile.contains("\nup: build curl") && makefile.contains("\n\t@tools/local.sh up\n"));
    let said = home.join("up.log");
    let lock = File::create(root().join("scratch/tests/forge.lock")).unwrap();
    // One forge at a time in one project: two spoil each other's build.
    lock.lock().unwrap();
    let listed = ports.map(|port| port.to_string()).join(" ");
    let variables = [("LOCAL_PORTS", listed.as_str()), ("LOCAL_HOME", &format!("{folder}/up"))];
    let mut up = Terminal::run("exec tools/local.sh up", &said, &variables);
    let told = || std::fs::read_to_string(&said).unwrap();
    until("make up", &said, &mut up, || told().contains("Ctrl-C stops everything."));
    drop(lock);
    // The configuration that docs/proxy.md has for another chain is whole.
    let page = std::fs::read_to_string(root().join("docs/proxy.md")).unwrap();
    let documented = page.split("```toml\n").find(|block| block.starts_with("data = ")).unwrap();
    let config = home.join("up/documented.toml");
    std::fs::write(&config, documented.split_once("```").unwrap().0).unwrap();
    let checked = Command::new(SALT402).args(["config", "check", "--config"]).arg(&config).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));

    // It prints the same commands, with the ports that it has.
    for line in here(server).lines().chain(here(caddy).lines().skip(1)).chain(here(client).lines().take(3)) {
        let line = line.replace(&format!("{folder}/files"), "scratch/files");
        assert!(told().contains(&format!("\n  {line}\n")), "{line}\n{}", told());
    }

    let (server_said, caddy_said) = (home.join("server.log"), home.join("caddy.log"));
    let mut server = Terminal::run(&here(server), &server_said, &[]);
    until("the file server", &server_said, &mut server, || listens(files));
    let homes = [("HOME", folder.as_str()), ("XDG_DATA_HOME", &folder), ("XDG_CONFIG_HOME", &folder)];
    let mut caddy = Terminal::run(&here(caddy), &caddy_said, &homes);
    until("Caddy", &caddy_said, &mut caddy, || listens(proxy));

    // Each answer after the other; the client's commands have no other output.
    let output: Output = Command::new("bash")
        .args(["-ec", &here(client)])
        .current_dir(root())
        .env_remove("SALT402_RPC_URL")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let heads: Vec<_> = text.lines().filter(|line| line.starts_with("HTTP/1.1 ")).collect();
    assert_eq!(heads.len(), 3, "{text}");
    assert!(heads[0].contains("200") && heads[1].contains("402") && heads[2].contains("402"), "{heads:?}");
    assert!(text.contains("a free file") && text.contains("\"payment_required\""), "{text}");
    assert_eq!(text.matches("a paid file\n").count(), 1, "served once: {text}");
    assert!(text.rsplit("HTTP/1.1 ").next().unwrap().contains("\"already_claimed\""), "{text}");
    let served = std::fs::read_to_string(&server_said).unwrap();
    assert_eq!(served.matches("GET /paid/file.txt").count(), 1, "{served}");
    drop((client, caddy, server, up));
    std::fs::remove_dir_all(&home).unwrap();
}
