//! What the command does: pays, goes on with an earlier payment, or shows a proof.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use salt402_chain::{Endpoint, Profile, RpcNode};
use salt402_client::receipt::{ReceiptLock, identity};
use salt402_client::{
    Limit, NodeWallet, Paid, Payer, PaymentProof, Receipt, ReceiptFile, Request, Stage, Watch,
};
use salt402_protocol::asset::parse_address;
use salt402_protocol::{Address, Asset, B256, Proof};

use super::log::StepLog;
use crate::args::PayArgs;
use crate::config::{parse_price, payer_key};

/// The pause before looking again at a receipt that another process uses.
const LOCKED_AGAIN: Duration = Duration::from_millis(200);

/// One call of the command.
pub(super) struct PaymentAttempt {
    what: What,
    payer: Payer<NodeWallet>,
    /// The native coin's symbol and decimal places.
    pub(super) coin: (String, u8),
}

enum What {
    /// Pay, unless that was done before.
    Pay { request: Request, file: ReceiptFile, identity: B256 },
    /// Go on with a receipt.
    Resume(ReceiptFile),
    /// Show a proof without a receipt.
    Show(Request, PaymentProof),
}

impl PaymentAttempt {
    pub(super) fn of(args: &PayArgs) -> anyhow::Result<Self> {
        match &args.resume {
            Some(path) => Self::resume(args, path),
            None => Self::request(args),
        }
    }

    fn resume(args: &PayArgs, path: &Path) -> anyhow::Result<Self> {
        let file = ReceiptFile::new(path.to_owned());
        let receipt = written(&file)?;
        let profile = Profile::named(&receipt.payment.network)?;
        // The proof is shown even without a node.
        let nodes = nodes(args, &profile).unwrap_or_default();
        let coin = (profile.native_symbol, profile.native_decimals);
        let payer = Payer::new(NodeWallet::keyless(nodes), None, Duration::from_secs(args.timeout))?;
        Ok(Self { what: What::Resume(file), payer, coin })
    }

    fn request(args: &PayArgs) -> anyhow::Result<Self> {
        let profile = Profile::named(&args.network)?;
        let limit = limit(args, &profile)?;
        let request = request(args)?;
        let nodes = nodes(args, &profile)?;
        let coin = (profile.native_symbol.clone(), profile.native_decimals);
        let timeout = Duration::from_secs(args.timeout);
        if let (Some(proof), Some(quote)) = (&args.proof, &args.quote) {
            let proof: Proof = proof.parse().context("--proof")?;
            let quote = Some(quote.parse().context("--quote")?);
            let payer = Payer::new(NodeWallet::keyless(nodes), None, timeout)?;
            return Ok(Self { what: What::Show(request, PaymentProof { proof, quote }), payer, coin });
        }
        let account = payer_key(args.key_file.as_deref())?;
        let identity = identity(&request, &profile.name, account.address());
        let file = match &args.receipt {
            Some(path) => ReceiptFile::new(path.clone()),
            None => ReceiptFile::of(&folder(args)?, identity),
        };
        let turn = format!("{}-{}.lock", profile.name, account.address());
        let mut wallet = NodeWallet::new(nodes, account);
        // Two commands at once would use the same nonce, and one of them would wait for a payment that never comes.
        if let Ok(folder) = folder(args) {
            wallet = wallet.in_turn(folder.join(turn));
        }
        let payer = Payer::new(wallet, Some(limit), timeout)?;
        Ok(Self { what: What::Pay { request, file, identity }, payer, coin })
    }

    fn file(&self) -> Option<&ReceiptFile> {
        match &self.what {
            What::Pay { file, .. } | What::Resume(file) => Some(file),
            What::Show(..) => None,
        }
    }

    pub(super) fn receipt_path(&self) -> Option<PathBuf> {
        self.file().map(|file| file.path().to_owned())
    }

    /// Waits until no other process pays for the same request.
    pub(super) async fn lock(&self, log: &StepLog) -> anyhow::Result<Option<ReceiptLock>> {
        let Some(file) = self.file() else { return Ok(None) };
        let mut told = false;
        loop {
            if let Some(lock) = file.try_lock()? {
                return Ok(Some(lock));
            }
            if !told {
                log.note("another salt402 pay uses the same receipt: waiting for it to end");
                told = true;
            }
            tokio::time::sleep(LOCKED_AGAIN).await;
        }
    }

    pub(super) async fn run(&self, again: bool, log: &StepLog, watch: Watch<'_>) -> anyhow::Result<Paid> {
        match &self.what {
            What::Show(request, proof) => Ok(self.payer.show(request, proof.clone(), watch).await?),
            What::Resume(file) => {
                let receipt = written(file)?;
                if receipt.stage == Stage::Replaced {
                    bail!("this payment was replaced by another transaction and paid nothing: pay anew");
                }
                if receipt.stage == Stage::Reverted {
                    bail!("this payment reverted or came too late, and paid nothing: pay anew");
                }
                Ok(self.payer.resume(receipt, file, watch).await?)
            }
            What::Pay { request, file, identity } => match file.read()? {
                None => Ok(self.payer.fetch(request, file, watch).await?),
                Some(old) if old.stage != Stage::Unfinished || again => {
                    file.set_aside(&old).with_context(|| file.path().display().to_string())?;
                    Ok(self.payer.fetch(request, file, watch).await?)
                }
                Some(old) if old.identity() != Some(*identity) => bail!(
                    "{}: this is the receipt of a payment for another request that is not finished: name another file, or \
                     finish that one by --resume",
                    file.path().display()
                ),
                Some(old) => {
                    log.note(
                        "this request was paid for before, and its answer was not got: going on with that payment \
                         (--again pays anew)",
                    );
                    Ok(self.payer.resume(old, file, watch).await?)
                }
            },
        }
    }

    /// Marks the receipt.
    pub(super) async fn got(&self, paid: &Paid) -> io::Result<()> {
        match self.file() {
            Some(file) => paid.got(file).await,
            None => Ok(()),
        }
    }
}

fn written(file: &ReceiptFile) -> anyhow::Result<Receipt> {
    let path = || file.path().display();
    file.read()?.ok_or_else(|| anyhow!("{}: there is no such receipt", path()))
}

/// The folder of receipts, unless a file is named.
fn folder(args: &PayArgs) -> anyhow::Result<PathBuf> {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = &args.receipts {
        return Ok(folder.clone());
    }
    let state = named("XDG_STATE_HOME").or_else(|| named("HOME").map(|home| home.join(".local/state")));
    let state = state.context(
        "there is no place to keep the payment's receipt, without which a crash could lose it: name a file by --receipt, or a \
         folder by SALT402_RECEIPTS",
    )?;
    Ok(state.join("salt402/receipts"))
}

fn nodes(args: &PayArgs, profile: &Profile) -> anyhow::Result<Vec<Arc<RpcNode>>> {
    let endpoints = match args.rpc.as_slice() {
        [] => vec![Endpoint::of(profile).context("--rpc names a node")?],
        named => named.iter().cloned().map(Endpoint::new).collect(),
    };
    let node = |endpoint| Ok(Arc::new(RpcNode::connect(endpoint, profile.clone())?));
    endpoints.into_iter().map(node).collect()
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
    // The decimals of a token are known only from the token, which may say anything.
    let (symbol, decimals) = match asset {
        Asset::Native => (profile.native_symbol.as_str(), profile.native_decimals),
        Asset::Token(_) => ("units", 0),
    };
    let most = args.max.as_deref().context("--max: how much may be paid at most?")?;
    let amount = parse_price(most, symbol, decimals).map_err(|what| anyhow!("--max: {what}"))?;
    Ok(Limit {
        amount,
        asset,
        chain: profile.chain_id,
        contract: address("--contract", &args.contract)?,
        recipient: address("--recipient", &args.recipient)?,
    })
}

fn request(args: &PayArgs) -> anyhow::Result<Request> {
    let url = args.url.clone().context("what is to be requested?")?;
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
    Ok(Request { method, url, body: body.into() })
}
