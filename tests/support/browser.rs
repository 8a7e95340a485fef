//! A real browser: Chromium without a window, driven by its DevTools protocol.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// How long anything in a page may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page.
pub struct Browser {
    child: Child,
    socket: WebSocketStream<TcpStream>,
    session: String,
    number: u64,
    /// Calls of the functions that were given to the page, as JSON, and not taken yet.
    calls: Vec<String>,
}

impl Browser {
    /// Starts it with a profile of its own in a folder.
    pub async fn start(folder: &Path) -> Self {
        let mut child = Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--disable-background-networking", "--no-first-run", "--no-proxy-server"])
            .args(["--remote-debugging-port=0", "about:blank"])
            .arg(format!("--user-data-dir={}", folder.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("chromium: {error}; run `make servers`"));
        let said = BufReader::new(child.stderr.take().expect("a pipe"));
        let (tell, told) = tokio::sync::oneshot::channel();
        // Read to the end: the browser would block on a full pipe.
        std::thread::spawn(move || {
            let mut tell = Some(tell);
            for line in said.lines().map_while(Result::ok) {
                if let Some(address) = line.strip_prefix("DevTools listening on ")
                    && let Some(tell) = tell.take()
                {
                    let _ = tell.send(address.to_owned());
                }
            }
        });
        let address =
            tokio::time::timeout(PATIENCE, told).await.expect("it listens in time").expect("it listens");
        let host = address.trim_start_matches("ws://").split('/').next().expect("a host").to_owned();
        let stream = TcpStream::connect(host).await.expect("a connection");
        let (socket, _) = tokio_tungstenite::client_async(address, stream).await.expect("DevTools");
        let mut browser = Self { child, socket, session: String::new(), number: 0, calls: Vec::new() };
        let page = browser.send("Target.createTarget", json!({ "url": "about:blank" })).await;
        let attached = json!({ "targetId": page["targetId"], "flatten": true });
        let attached = browser.send("Target.attachToTarget", attached).await;
        browser.session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page.enable", "Runtime.enable"] {
            browser.send(domain, json!({})).await;
        }
        browser
    }

    /// Gives every page a function of one text, whose calls [`Browser::called`] returns, and a script that runs before its own.
    pub async fn inject(&mut self, function: &str, script: &str) {
        self.send("Runtime.addBinding", json!({ "name": function })).await;
        self.send("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script })).await;
    }

    /// Opens an address.
    pub async fn open(&mut self, url: &str) {
        self.send("Page.navigate", json!({ "url": url })).await;
    }

    /// Evaluates an expression in the page. `None` if it throws, or the page is being loaded.
    pub async fn evaluate(&mut self, expression: &str) -> Option<Value> {
        let asked = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.try_send("Runtime.evaluate", asked).await.ok()?;
        if answer.get("exceptionDetails").is_some() {
            return None;
        }
        Some(answer["result"]["value"].clone())
    }

    /// Waits until an expression is true in the page.
    pub async fn until(&mut self, expression: &str) {
        let give_up = Instant::now() + PATIENCE;
        while self.evaluate(expression).await != Some(Value::Bool(true)) {
            if Instant::now() > give_up {
                let page = self.evaluate("document.documentElement.outerHTML.slice(0, 4000)").await;
                panic!("{expression} does not become true: {page:?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The next call of the function that was given to the page, if one comes in time.
    pub async fn called(&mut self, within: Duration) -> Option<String> {
        let give_up = Instant::now() + within;
        loop {
            if !self.calls.is_empty() {
                return Some(self.calls.remove(0));
            }
            let message = tokio::time::timeout_at(give_up, self.socket.next()).await.ok()?;
            let message = message.expect("the browser runs").expect("a message");
            self.note(&message);
        }
    }

    fn note(&mut self, message: &Message) -> Option<Value> {
        let Message::Text(text) = message else { return None };
        let value: Value = serde_json::from_str(text).expect("JSON");
        if value["method"] == "Runtime.bindingCalled" {
            self.calls.push(value["params"]["payload"].as_str().unwrap_or_default().to_owned());
        }
        Some(value)
    }

    async fn send(&mut self, method: &str, params: Value) -> Value {
        self.try_send(method, params).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    async fn try_send(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        self.number += 1;
        let number = self.number;
        let mut asked = json!({ "id": number, "method": method, "params": params });
        if !self.session.is_empty() {
            asked["sessionId"] = json!(self.session);
        }
        self.socket.send(Message::text(asked.to_string())).await.expect("the browser runs");
        let answer = async {
            loop {
                let message = self.socket.next().await.expect("the browser runs").expect("a message");
                if let Some(mut value) = self.note(&message).filter(|value| value["id"] == number) {
                    return match value.get("error") {
                        Some(error) => Err(error.clone()),
                        None => Ok(value["result"].take()),
                    };
                }
            }
        };
        tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| panic!("{method} is not answered"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
