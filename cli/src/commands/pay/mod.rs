//! `salt402 pay`: one paid request, from the payer's side.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use salt402_chain::{Endpoint, Profile, RpcNode};
use salt402_client::{Limit, NodeWallet, Paid, Payer, PaymentProof, Request, Step};
use salt402_protocol::asset::parse_address;
use salt402_protocol::details::PaymentDetails;
use salt402_protocol::{Address, Asset, Proof};
use serde_json::json;

use crate::args::PayArgs;
use crate::config::{parse_price, payer_key};

/// Sends, pays and prints. Succeeds if the answer's status is a success.
pub(crate) async fn pay(args: &PayArgs) -> anyhow::Result<ExitCode> {
    let profile = Profile::named(&args.network)?;
    let limit = limit(args, &profile)?;
    let endpoint = match &args.rpc {
        Some(rpc) => Endpoint::new(rpc.clone()),
        None => Endpoint::of(&profile).context("--rpc names a node")?,
    };
    let account = payer_key(args.key_file.as_deref())?;
    let coin = (profile.native_symbol.clone(), profile.native_decimals);
    let node = Arc::new(RpcNode::connect(endpoint, profile)?);
    let payer = Payer::new(NodeWallet::new(node, account), limit, Duration::from_secs(args.patience))?;
    let request = request(args)?;

    let log = StepLog::new(args.json, coin);
    let watch = |step: Step<'_>| log.take(&step);
    let paid = match (&args.proof, &args.quote) {
        (Some(proof), Some(quote)) => {
            let proof: Proof = proof.parse().context("--proof")?;
            let quote = Some(quote.parse().context("--quote")?);
            payer.show(&request, PaymentProof { proof, quote }, None, &watch).await
        }
        _ => payer.fetch(&request, &watch).await,
    };
    let paid = paid.inspect_err(|_| log.how_to_resume(args))?;
    log.end(&paid);
    let mut out = std::io::stdout().lock();
    out.write_all(&paid.body)?;
    if !paid.body.ends_with(b"\n") {
        out.write_all(b"\n")?;
    }
    Ok(if paid.status.is_success() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

fn limit(args: &PayArgs, profile: &Profile) -> anyhow::Result<Limit> {
    let address = |name: &str, text: &Option<String>| -> anyhow::Result<Option<Address>> {
        text.as_deref()
            .map(|text| {
                parse_address(text).ok_or_else(|| anyhow!("{name}: expected a 0x address, found {text:?}"))
            })
            .transpose()
    };
    let asset = address("--token", &args.token)?.map_or(Asset::Native, Asset::from_address);
    // A token's decimals would have to be asked of the token, which may say anything.
    let (symbol, decimals) = match asset {
        Asset::Native => (profile.native_symbol.as_str(), profile.native_decimals),
        Asset::Token(_) => ("units", 0),
    };
    let amount = parse_price(&args.max, symbol, decimals).map_err(|what| anyhow!("--max: {what}"))?;
    Ok(Limit {
        amount,
        asset,
        chain: profile.chain_id,
        contract: address("--contract", &args.contract)?,
        recipient: address("--recipient", &args.recipient)?,
    })
}

fn request(args: &PayArgs) -> anyhow::Result<Request> {
    let body = match args.data.as_deref() {
        None => Vec::new(),
        Some("@-") => {
            let mut body = Vec::new();
            std::io::stdin().read_to_end(&mut body)?;
            body
        }
        Some(text) => match text.strip_prefix('@') {
            Some(path) => std::fs::read(path).with_context(|| format!("--data {path}"))?,
            None => text.as_bytes().to_vec(),
        },
    };
    let default = if body.is_empty() { "GET" } else { "POST" };
    let method = args.method.as_deref().unwrap_or(default).parse().context("--method")?;
    Ok(Request { method, url: args.url.clone(), body: body.into() })
}

/// Tells the user each step as it happens, and how long it took.
struct StepLog {
    json: bool,
    /// The native coin's symbol and decimal places, from our own profile and not from the server.
    coin: (String, u8),
    started: Instant,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Each step with its time since the start.
    steps: Vec<(&'static str, Duration)>,
    /// What shows the payment, once there is one.
    proof: Option<PaymentProof>,
}

impl StepLog {
    fn new(json: bool, coin: (String, u8)) -> Self {
        Self { json, coin, started: Instant::now(), seen: Mutex::default() }
    }

    fn take(&self, step: &Step<'_>) {
        let at = self.started.elapsed();
        let (name, text) = match step {
            Step::Asked(details) => (
                "asked",
                format!(
                    "402: {} on {} ({}) for {}, to {} through {}",
                    self.money(details),
                    details.network,
                    details.chain,
                    details.resource.description,
                    details.recipient,
                    details.payment_contract,
                ),
            ),
            Step::Paying(proof) => ("paying", format!("paying with transaction {}", proof.proof)),
            Step::Sent(_) => ("sent", "the node has taken the transaction; showing the proof".to_owned()),
            Step::Waiting(reason) => ("waiting", format!("not yet: {reason}")),
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.steps.push((name, at));
        if let Step::Paying(proof) = step {
            seen.proof = Some((*proof).clone());
        }
        drop(seen);
        if !self.json {
            self.say(at, &text);
        }
    }

    fn end(&self, paid: &Paid) {
        let cost = paid.details.as_ref().map(|details| self.money(details));
        let at = self.started.elapsed();
        let timing = paid.headers.get("server-timing").and_then(|value| value.to_str().ok());
        if self.json {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let mut steps: Vec<_> =
                seen.steps.iter().map(|(name, at)| json!({ "step": name, "at_us": micros(*at) })).collect();
            steps.push(json!({ "step": "answered", "at_us": micros(at) }));
            let report = json!({
                "status": paid.status.as_u16(),
                "cost": cost,
                "amount": paid.details.as_ref().map(|details| details.amount),
                "transaction": paid.proof.as_ref().and_then(|proof| proof.proof.hash()),
                "quote_id": paid.proof.as_ref().and_then(|proof| proof.quote.as_ref()).map(|quote| quote.as_str()),
                "server_timing": timing,
                "steps": steps,
            });
            self.print(&report.to_string());
            return;
        }
        let cost =
            cost.map_or_else(|| "nothing was asked for".to_owned(), |cost| format!("cost {cost} and gas"));
        self.say(at, &format!("answered with status {}; {cost}", paid.status.as_u16()));
        if let Some(timing) = timing {
            self.say(at, &format!("server: {timing}"));
        }
    }

    fn money(&self, details: &PaymentDetails) -> String {
        let (symbol, decimals) = &self.coin;
        match details.asset {
            Asset::Native => format!("{} {symbol}", details.amount.to_units(*decimals)),
            Asset::Token(token) => format!("{} base units of {token}", details.amount),
        }
    }

    /// After a failure that may have cost money: how to get what was paid for.
    fn how_to_resume(&self, args: &PayArgs) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(PaymentProof { proof, quote: Some(quote) }) = &seen.proof {
            let quote = quote.as_str();
            self.print(&format!(
                "the payment may have been made; to show it again with the same request: salt402 pay {} --max '{}' \
                 --proof {proof} --quote {quote} …",
                args.url, args.max
            ));
        }
    }

    fn say(&self, at: Duration, text: &str) {
        self.print(&format!("{:>6} ms  {text}", at.as_millis()));
    }

    #[expect(
        clippy::print_stderr,
        reason = "what happens to the user's money is told whatever the log level"
    )]
    fn print(&self, text: &str) {
        eprintln!("{text}");
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
