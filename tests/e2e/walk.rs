//! The tutorials, by their very commands: `make up`, then a file server behind Caddy, or a model server, and a paying client.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
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

/// The blocks of commands of a tutorial, in their order.
fn blocks(page: &str) -> Vec<String> {
    let page = std::fs::read_to_string(root().join("docs").join(page)).unwrap();
    let blocks = page.split("```sh\n").skip(1);
    blocks.map(|block| block.split_once("```").unwrap().0.to_owned()).collect()
}

/// A text with other ports in the place of those of the page.
fn with_ports(text: &str, ports: &[(&str, u16)]) -> String {
    let mut parts = text.split(':');
    let mut replaced = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = part.split_at(digits);
        let port = ports.iter().find(|(known, _)| *known == number).map(|(_, port)| port.to_string());
        replaced.extend([":", port.as_deref().unwrap_or(number), rest]);
    }
    replaced
}

/// What `make up` starts, with ports and a folder of its own.
struct Local {
    folder: String,
    home: PathBuf,
    /// Those of the page, and those that are used here.
    ports: [(&'static str, u16); 8],
    up: Terminal,
}

impl Local {
    /// Does what the first block of a tutorial says.
    fn up(block: &str) -> Self {
        let ports = ["8545", "4020", "4021", "8000", "8080", "4023", "8001", "4022"]
            .map(|known| (known, free_port()));
        // Below scratch, where alone the deploying script may write.
        let home = root().join(format!("scratch/tests/walk-{}", ports[0].1));
        std::fs::create_dir_all(&home).unwrap();
        let folder = home.display().to_string();

        // `make up` builds, which the test has done, and runs this.
        assert_eq!(block, "make up\n");
        let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
        assert!(makefile.contains("\nup: build curl") && makefile.contains("\n\t@tools/local.sh up\n"));
        let said = home.join("up.log");
        let lock = File::create(root().join("scratch/tests/forge.lock")).unwrap();
        // One forge at a time in one project: two spoil each other's build.
        lock.lock().unwrap();
        let listed = ports[..6].iter().map(|(_, port)| port.to_string()).collect::<Vec<_>>().join(" ");
        let variables = [("LOCAL_PORTS", listed.as_str()), ("LOCAL_HOME", &format!("{folder}/up"))];
        let up = Terminal::run("exec tools/local.sh up", &said, &variables);
        let mut local = Self { folder, home, ports, up };
        let told = || std::fs::read_to_string(&said).unwrap().contains("Ctrl-C stops everything.");
        until("make up", &said, &mut local.up, told);
        local
    }

    fn told(&self) -> String {
        std::fs::read_to_string(self.home.join("up.log")).unwrap()
    }

    fn port(&self, known: &str) -> u16 {
        self.ports.iter().find(|(name, _)| *name == known).unwrap().1
    }

    /// Commands of the page as they are run here.
    fn here(&self, commands: &str) -> String {
        let (files, proxy, model) = (self.port("8000"), self.port("8080"), self.port("8001"));
        // Cargo may be told to build to another folder than target.
        let built =
            Path::new(SALT402).strip_prefix(root()).unwrap_or(Path::new(SALT402)).display().to_string();
        with_ports(commands, &self.ports)
            .replace("target/debug/salt402", &built)
            .replace(" 8000\n", &format!(" {files}\n"))
            .replace("PORT=8080", &format!("PORT={proxy}"))
            .replace("model.py 8001", &format!("model.py {model}"))
            .replace("../local/up/", "../up/")
            .replace("scratch/files", &format!("{}/files", self.folder))
            .replace("scratch/model", &format!("{}/model", self.folder))
            .replace("scratch/paid.json", &format!("{}/paid.json", self.folder))
    }

    /// Runs commands to their end, one after the other, and says what they printed.
    fn client(&self, commands: &str) -> String {
        let output: Output = Command::new("bash")
            .args(["-ec", &self.here(commands)])
            .current_dir(root())
            .env_remove("SALT402_RPC_URL")
            .env("SALT402_RECEIPTS", self.home.join("receipts"))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        text
    }
}

#[test]
fn the_tutorial_sells_a_file() {
    let blocks = blocks("tutorial-file.md");
    let [up, server, caddy, client @ ..] = &blocks[..] else { panic!("four terminals") };
    let client = client.concat();
    let local = Local::up(up);
    // The configuration that docs/proxy.md has for another chain is whole.
    let page = std::fs::read_to_string(root().join("docs/proxy.md")).unwrap();
    let documented = page.split("```toml\n").find(|block| block.starts_with("data = ")).unwrap();
    let config = local.home.join("up/documented.toml");
    std::fs::write(&config, documented.split_once("```").unwrap().0).unwrap();
    let checked = Command::new(SALT402).args(["config", "check", "--config"]).arg(&config).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));

    // It prints the same commands, with the ports that it has.
    let (told, here) = (local.told(), |commands: &str| local.here(commands));
    for line in here(server).lines().chain(here(caddy).lines().skip(1)).chain(here(&client).lines().take(3)) {
        let line = line.replace(&format!("{}/files", local.folder), "scratch/files");
        assert!(told.contains(&format!("\n  {line}\n")), "{line}\n{told}");
    }

    let (server_said, caddy_said) = (local.home.join("server.log"), local.home.join("caddy.log"));
    let mut server = Terminal::run(&here(server), &server_said, &[]);
    until("the file server", &server_said, &mut server, || listens(local.port("8000")));
    let folder = local.folder.as_str();
    let homes = [("HOME", folder), ("XDG_DATA_HOME", folder), ("XDG_CONFIG_HOME", folder)];
    let mut caddy = Terminal::run(&here(caddy), &caddy_said, &homes);
    until("Caddy", &caddy_said, &mut caddy, || listens(local.port("8080")));

    // Each answer after the other; the client's commands have no other output.
    let text = local.client(&client);
    let heads: Vec<_> = text.lines().filter(|line| line.starts_with("HTTP/1.1 ")).collect();
    assert_eq!(heads.len(), 3, "{text}");
    assert!(heads[0].contains("200") && heads[1].contains("402") && heads[2].contains("402"), "{heads:?}");
    assert!(text.contains("a free file") && text.contains("\"payment_required\""), "{text}");
    assert_eq!(text.matches("a paid file\n").count(), 1, "served once: {text}");
    assert!(text.rsplit("HTTP/1.1 ").next().unwrap().contains("\"already_claimed\""), "{text}");
    let served = std::fs::read_to_string(&server_said).unwrap();
    assert_eq!(served.matches("GET /paid/file.txt").count(), 1, "{served}");
    let home = local.home.clone();
    drop((caddy, server, local));
    std::fs::remove_dir_all(home).unwrap();
}

#[test]
fn the_tutorial_sells_a_model() {
    let blocks = blocks("tutorial-model.md");
    let [up, ask, pay, status, server, gateway, own] = &blocks[..] else {
        panic!("seven blocks of commands")
    };
    let local = Local::up(up);
    let text = local.client(&format!("{ask}{pay}{status}"));
    assert!(text.starts_with("HTTP/1.1 402 ") && text.contains("\"payment_required\""), "{text}");
    assert!(text.contains("\"output\":"), "{text}");
    assert!(text.contains(" 1 payments claimed"), "{text}");

    let (server_said, gateway_said) = (local.home.join("server.log"), local.home.join("gateway.log"));
    let mut server = Terminal::run(&local.here(server), &server_said, &[]);
    until("the model server", &server_said, &mut server, || listens(local.port("8001")));
    let mut gateway = Terminal::run(&local.here(gateway), &gateway_said, &[]);
    let ready = format!("curl -fsS -o /dev/null http://127.0.0.1:{}/readyz", local.port("4022"));
    let ready =
        || Command::new("bash").args(["-c", &ready]).stderr(Stdio::null()).status().unwrap().success();
    until("the second gateway", &gateway_said, &mut gateway, ready);
    let said = std::fs::read_to_string(&gateway_said).unwrap();
    assert!(said.contains("capitals: 0.0005 SALT a request and 0.000002 SALT a token"), "{said}");

    let key = pay.lines().next().unwrap();
    let text = local.client(&format!("{key}\n{own}"));
    assert!(text.contains("WHY IS THE SEA SALT?"), "{text}");
    let home = local.home.clone();
    drop((gateway, server, local));
    std::fs::remove_dir_all(home).unwrap();
}

/// The page for whoever has a model server, with the real model that `make model` builds.
#[test]
#[ignore = "needs make model; make test-long runs it"]
fn the_page_sells_a_real_model() {
    let blocks = blocks("model-servers.md");
    let [server, gateway, price, pay] = &blocks[..] else { panic!("four blocks of commands") };
    let server = server.strip_prefix("make model\n").unwrap();
    let local = Local::up("make up\n");
    let here = |commands: &str| {
        local
            .here(commands)
            .replace("--port 8001", &format!("--port {}", local.port("8001")))
            .replace("scratch/sold", &format!("{}/sold", local.folder))
    };
    let (server_said, gateway_said) = (local.home.join("server.log"), local.home.join("gateway.log"));
    let mut server = Terminal::run(&here(server), &server_said, &[]);
    until("the model server", &server_said, &mut server, || listens(local.port("8001")));
    let mut gateway = Terminal::run(&here(gateway), &gateway_said, &[]);
    let ready = format!("curl -fsS -o /dev/null http://127.0.0.1:{}/readyz", local.port("4022"));
    let ready =
        || Command::new("bash").args(["-c", &ready]).stderr(Stdio::null()).status().unwrap().success();
    until("the gateway", &gateway_said, &mut gateway, ready);
    let text = local.client(&here(&format!("{price}{pay}")));
    assert!(text.contains("SALT") && text.contains("data: [DONE]"), "{text}");
    let home = local.home.clone();
    drop((gateway, server, local));
    std::fs::remove_dir_all(home).unwrap();
}
