//! Requests paid by vouchers of a channel, on a real chain: what is granted, what is refused, and that the contract pays
//! the last accepted voucher for exactly what was spent.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::StatusCode;
use salt402_protocol::api::{Requirement, Verdict, VerifyRequest};
use salt402_protocol::{Address, Amount, Asset, B256, ChainId, Code, Proof, RequestDigest, U256, Voucher};
use salt402_store::{Options, Store, VoucherRow};
use salt402_tests::{Answer, PAYEE, Stack, StackOptions, TestChannel, TestPayer, inference};

use crate::SALT402;

/// What every request of these tests costs.
pub(crate) const PRICE: u64 = 1016;

pub(crate) fn taking_vouchers() -> StackOptions {
    StackOptions { chain: "vouchers = true".into(), ..StackOptions::default() }
}

pub(crate) fn in_salt() -> StackOptions {
    let payment = "asset = \"SALT_TOKEN\"\nasset_symbol = \"SALT\"\nasset_decimals = 18".to_owned();
    StackOptions { payment, ..taking_vouchers() }
}

/// Opens a channel and waits until the index has it.
pub(crate) async fn opened(stack: &mut Stack, asset: Asset, deposit: u64, salt: u8) -> TestChannel {
    let channel = TestChannel::new(&stack.deployment, asset, salt);
    stack.payer().fund_channel(&channel, deposit, false).await;
    caught_up(stack).await;
    channel
}

pub(crate) async fn caught_up(stack: &mut Stack) {
    let height = stack.anvil.height().await;
    stack.indexed(height).await;
}

pub(crate) async fn show(stack: &Stack, prompt: &str, proof: &str) -> Answer {
    stack.infer(&inference(prompt), &[("x-payment-proof", proof)]).await
}

pub(crate) async fn served(stack: &Stack, prompt: &str, proof: &str) -> String {
    let answer = show(stack, prompt, proof).await;
    assert_eq!(answer.status, StatusCode::OK, "{prompt}: {}", answer.body);
    answer.body
}

pub(crate) async fn refused(stack: &Stack, prompt: &str, proof: &str) -> (String, String) {
    let answer = show(stack, prompt, proof).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{prompt}: {}", answer.body);
    (answer.code(), answer.json()["detail"].as_str().unwrap().to_owned())
}

/// What the database has of every channel.
pub(crate) async fn accounts(stack: &Stack) -> BTreeMap<B256, VoucherRow> {
    let store = Store::open(Options::new(stack.folder().join("data/salt402.db"))).await.unwrap();
    let rows = store.vouchers(ChainId::CITRATE, stack.deployment.salt_channels).await.unwrap();
    store.close().await;
    rows.into_iter().map(|row| (row.voucher.channel, row)).collect()
}

/// Claims from the contract what an account says was spent, by the voucher that it holds; what came to the payee.
async fn claimed(stack: &Stack, channel: &TestChannel, row: &VoucherRow) -> U256 {
    let payee: Address = PAYEE.parse().unwrap();
    let asset = Asset::from_address(channel.channel.asset);
    let spent = u64::try_from(row.account.spent.0).unwrap();
    let before = stack.anvil.balance(payee, asset).await;
    let call = channel.claim_call(&row.voucher, spent);
    let transaction = TestPayer::payee(&stack.anvil).call(channel.contract, call, Amount::ZERO).await;
    let (success, gas) = stack.anvil.outcome(transaction).await;
    assert!(success, "the contract refuses the voucher of {row:?}");
    let gas = if asset == Asset::Native { gas } else { U256::ZERO };
    stack.anvil.balance(payee, asset).await + gas - before
}

/// The whole life of a channel: granted, refused, left, topped up, claimed.
async fn a_channel_pays_for_requests(stack: &mut Stack, asset: Asset) {
    let details = stack.quote(&inference("asked")).await;
    assert_eq!(details.channels_contract, Some(stack.deployment.salt_channels));
    let channel = opened(stack, asset, 4 * PRICE, 1).await;
    let first = served(stack, "one", &channel.proof(PRICE)).await;
    served(stack, "two", &channel.proof(2 * PRICE + 5)).await;
    assert_eq!(
        served(stack, "one", &channel.proof(PRICE)).await,
        first,
        "the same request gets the same answer"
    );
    assert_eq!(stack.upstream.asked(), 2);

    let (code, detail) = refused(stack, "three", &channel.proof(2 * PRICE + 5)).await;
    assert_eq!(code, "voucher_used");
    assert!(detail.ends_with("highest=2037 spent=2032 price=1016 next=3048"), "{detail}");
    let problem = show(stack, "three", &channel.proof(2 * PRICE)).await.json();
    let members =
        ["highest", "spent", "price", "next"].map(|name| problem[name].as_str().unwrap().to_owned());
    assert_eq!(members, ["2037", "2032", "1016", "3048"], "{problem}");
    for low in [2 * PRICE, 3 * PRICE - 1] {
        assert_eq!(refused(stack, "three", &channel.proof(low)).await.0, "voucher_too_low");
    }
    assert_eq!(refused(stack, "three", &channel.proof(4 * PRICE + 1)).await.0, "voucher_above_deposit");
    // The five that were signed beyond the second price count towards the third.
    served(stack, "three", &channel.proof(3 * PRICE)).await;

    let strange = TestChannel::to(&stack.deployment, Address::repeat_byte(0x77), asset, 2);
    stack.payer().fund_channel(&strange, 4 * PRICE, false).await;
    caught_up(stack).await;
    assert_eq!(refused(stack, "four", &strange.proof(PRICE)).await.0, "wrong_payee");
    let mut forged = channel.voucher(4 * PRICE);
    forged.signature[7] ^= 1;
    assert_eq!(refused(stack, "four", &forged.to_string()).await.0, "voucher_invalid");
    let unopened = TestChannel::new(&stack.deployment, asset, 3);
    assert_eq!(refused(stack, "four", &unopened.proof(PRICE)).await.0, "channel_not_seen");

    stack.payer().call(channel.contract, channel.exit_call(), Amount::ZERO).await;
    caught_up(stack).await;
    let exit_at = stack.anvil.standing(&channel).await.exit_at;
    let (code, detail) = refused(stack, "four", &channel.proof(4 * PRICE)).await;
    assert_eq!(code, "channel_exiting");
    assert!(exit_at > 0 && detail.contains(&exit_at.to_string()), "{detail}");
    assert_eq!(served(stack, "one", &channel.proof(PRICE)).await, first, "what was granted is answered");
    stack.payer().fund_channel(&channel, 2 * PRICE, true).await;
    caught_up(stack).await;
    served(stack, "four", &channel.proof(4 * PRICE)).await;

    // Two requests at once with one voucher: one is served.
    let proof = channel.proof(5 * PRICE + 7);
    let (one, other) = futures_pair(show(stack, "five", &proof), show(stack, "another five", &proof)).await;
    let (won, lost) = if one.status == StatusCode::OK { (one, other) } else { (other, one) };
    assert_eq!((won.status, lost.code().as_str()), (StatusCode::OK, "voucher_used"), "{lost:?}");
    assert_eq!(stack.upstream.asked(), 5);

    let url = format!("{}/v1/channels/{}?chain=eip155:40204", stack.verifier, channel.id);
    let known = stack.get(&url).await.json();
    assert_eq!(
        (&known["signer"], &known["payee"]),
        (&channel.channel.signer.to_string().into(), &PAYEE.into())
    );
    let figures = ["deposit", "claimed", "highest", "spent", "unclaimed"]
        .map(|name| known[name].as_str().unwrap().to_owned());
    let expected = [6 * PRICE, 0, 5 * PRICE + 7, 5 * PRICE, 5 * PRICE].map(|figure| figure.to_string());
    assert_eq!(figures, expected, "{known}");
    let row = accounts(stack).await.remove(&channel.id).unwrap();
    let (ceiling, spent) = (Amount(U256::from(5 * PRICE + 7)), Amount(U256::from(5 * PRICE)));
    assert_eq!((row.account.ceiling, row.account.spent), (ceiling, spent));
    assert_eq!(claimed(stack, &channel, &row).await, spent.0);
    let standing = stack.anvil.standing(&channel).await;
    assert_eq!((standing.deposit, standing.claimed), (6 * PRICE, 5 * PRICE));
    // The same claim again pays nothing.
    let again = channel.claim_call(&row.voucher, 5 * PRICE);
    let again = TestPayer::payee(&stack.anvil).call(channel.contract, again, Amount::ZERO).await;
    assert!(!stack.anvil.outcome(again).await.0);
    // A claim does not end the channel.
    caught_up(stack).await;
    served(stack, "six", &channel.proof(6 * PRICE)).await;
}

async fn futures_pair<T>(one: impl Future<Output = T>, other: impl Future<Output = T>) -> (T, T) {
    tokio::join!(one, other)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_of_coins_pays_for_requests() {
    let mut stack = Stack::start_with(SALT402, taking_vouchers()).await;
    a_channel_pays_for_requests(&mut stack, Asset::Native).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_of_tokens_pays_for_requests() {
    let mut stack = Stack::start_with(SALT402, in_salt()).await;
    let asset = Asset::Token(stack.deployment.salt);
    a_channel_pays_for_requests(&mut stack, asset).await;
    // A channel of coins is not what is asked for.
    let coins = opened(&mut stack, Asset::Native, 4 * PRICE, 9).await;
    assert_eq!(refused(&stack, "in coins", &coins.proof(PRICE)).await.0, "wrong_asset");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_of_tokens_pays_beside_citrates_node() {
    let options = in_salt();
    let chain = format!("confirmations = 1\n{}", options.chain);
    let mut stack = Stack::start_with(SALT402, StackOptions { citrate: true, chain, ..options }).await;
    let asset = Asset::Token(stack.deployment.salt);
    a_channel_pays_for_requests(&mut stack, asset).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_vouchers_are_not_taken_none_is() {
    let mut stack = Stack::start(SALT402).await;
    let channel = opened(&mut stack, Asset::Native, 4 * PRICE, 1).await;
    assert_eq!(refused(&stack, "one", &channel.proof(PRICE)).await.0, "voucher_not_accepted");
    assert_eq!(stack.quote(&inference("asked")).await.channels_contract, None);
    let url = format!("{}/v1/channels/{}?chain=eip155:40204", stack.verifier, channel.id);
    let untold = stack.get(&url).await;
    assert_eq!((untold.status, untold.code().as_str()), (StatusCode::NOT_FOUND, "not_found"));
    assert_eq!(stack.upstream.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payee_that_claims_once_a_day_takes_vouchers_of_channels_that_last_two() {
    const TWO_DAYS: u32 = 172_800;
    let mut stack = Stack::start_with(SALT402, taking_vouchers()).await;
    let hasty = opened(&mut stack, Asset::Native, 4 * PRICE, 1).await;
    let first = served(&stack, "one", &hasty.proof(PRICE)).await;
    assert_eq!(stack.quote(&inference("asked")).await.channels_exit_delay, None);

    assert!(stack.process.take().unwrap().terminate().success());
    let options = StackOptions {
        chain: format!("vouchers = true\nleast_exit_delay_s = {TWO_DAYS}"),
        ..taking_vouchers()
    };
    stack.configure(&options);
    let check = std::process::Command::new(stack.binary())
        .args(["config", "check", "--config"])
        .arg(stack.config())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&check.stdout);
    let sentence =
        "vouchers are taken of channels with an exit delay of 172800 s and more: claim more often than that";
    assert!(said.contains(sentence), "{said}");
    stack.up().await;
    assert_eq!(stack.quote(&inference("asked")).await.channels_exit_delay, Some(u64::from(TWO_DAYS)));
    assert_eq!(served(&stack, "one", &hasty.proof(PRICE)).await, first, "what was granted is answered");
    let (code, detail) = refused(&stack, "two", &hasty.proof(2 * PRICE)).await;
    assert_eq!(code, "voucher_not_accepted");
    assert!(detail.contains("is 900 s") && detail.contains("less than 172800 s"), "{detail}");

    let patient = TestChannel::new(&stack.deployment, Asset::Native, 2).leaving_after(TWO_DAYS);
    stack.payer().fund_channel(&patient, 4 * PRICE, false).await;
    caught_up(&mut stack).await;
    served(&stack, "two", &patient.proof(PRICE)).await;
    assert_eq!(stack.upstream.asked(), 2);
}

/// What is open over vouchers at risk.
pub(crate) async fn risks(stack: &Stack) -> Vec<serde_json::Value> {
    let url = format!("{}/v1/incidents?kind=voucher_at_risk&open=true", stack.verifier);
    stack.get(&url).await.json()["incidents"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_that_leaves_before_the_claim_is_told_of_until_it_is_claimed() {
    let mut stack = Stack::start_with(SALT402, taking_vouchers()).await;
    let channel = opened(&mut stack, Asset::Native, 4 * PRICE, 1).await;
    served(&stack, "one", &channel.proof(PRICE)).await;
    served(&stack, "two", &channel.proof(2 * PRICE)).await;
    let metrics = format!("{}/metrics", stack.verifier);
    let gauge = |name: &str, value: u64| {
        format!("salt402_vouchers_{name}{{chain=\"eip155:40204\",asset=\"native\"}} {value}")
    };
    stack.until(&metrics, |answer| answer.body.contains(&gauge("unclaimed", 2 * PRICE))).await;
    assert!(stack.get(&metrics).await.body.contains(&gauge("at_risk", 0)));
    assert!(risks(&stack).await.is_empty());

    stack.payer().call(channel.contract, channel.exit_call(), Amount::ZERO).await;
    caught_up(&mut stack).await;
    let open = risks(&stack).await;
    let exit_at = stack.anvil.standing(&channel).await.exit_at;
    assert_eq!(open.len(), 1);
    assert_eq!(open[0]["channel"]["id"], channel.id.to_string());
    assert_eq!(open[0]["channel"]["unclaimed"], (2 * PRICE).to_string());
    assert_eq!(
        (&open[0]["channel"]["exit_at"], &open[0]["channel"]["reason"]),
        (&exit_at.into(), &"exit".into())
    );
    let status = stack.status().await;
    assert_eq!(status["open_incidents"], 1);
    assert_eq!(status["chains"][0]["vouchers"][0]["at_risk"], (2 * PRICE).to_string());
    stack.until(&metrics, |answer| answer.body.contains(&gauge("at_risk", 2 * PRICE))).await;

    // The exit's block is replaced, and the exit is in the new one.
    stack.anvil.reorg(1).await;
    stack.anvil.mine(1).await;
    caught_up(&mut stack).await;
    assert!(risks(&stack).await.is_empty(), "nobody leaves");
    stack.payer().call(channel.contract, channel.exit_call(), Amount::ZERO).await;
    caught_up(&mut stack).await;
    assert_eq!(risks(&stack).await.len(), 1);

    let row = accounts(&stack).await.remove(&channel.id).unwrap();
    assert_eq!(claimed(&stack, &channel, &row).await, U256::from(2 * PRICE));
    caught_up(&mut stack).await;
    assert!(risks(&stack).await.is_empty(), "it is claimed");
    stack.until(&metrics, |answer| answer.body.contains(&gauge("at_risk", 0))).await;
    assert!(stack.get(&metrics).await.body.contains(&gauge("unclaimed", 0)));
}

/// A voucher that was sent, and what was heard of it.
#[derive(Clone, Debug)]
struct Sent {
    voucher: Voucher,
    price: u64,
    /// The two requests that it was sent for at once.
    requests: [RequestDigest; 2],
    /// Which of them was granted, as far as anybody was told.
    granted: Option<usize>,
}

/// One client: it signs for the next request when the last was decided.
struct Crowd {
    channel: TestChannel,
    sent: Vec<Sent>,
}

impl Crowd {
    fn request(&self, sent: &Sent, which: usize) -> VerifyRequest {
        let requirement = Requirement {
            chain: ChainId::CITRATE,
            payee: PAYEE.parse().unwrap(),
            asset: Asset::Native,
            amount: Amount(U256::from(sent.price)),
            request_digest: sent.requests[which],
            confirmations: None,
        };
        VerifyRequest {
            proof: Proof::Voucher(sent.voucher),
            quote_id: None,
            requirement,
            claim: true,
            claimant: "shop".into(),
            wait_ms: 0,
            usage: None,
            by_use: false,
            at_least: None,
            raises: None,
            again_only: false,
            instance: None,
            client: None,
            credit: None,
        }
    }

    /// The last voucher while it is not known who got it, or else a new one.
    fn next(&mut self, random: &mut Random) -> usize {
        if self.sent.last().is_none_or(|last| last.granted.is_some()) {
            let price = 1 + random.below(9);
            let highest = self.sent.last().map_or(0, |last| u64::try_from(last.voucher.ceiling.0).unwrap());
            let voucher = self.channel.voucher(highest + price + random.below(3));
            let requests = [random.digest(), random.digest()];
            self.sent.push(Sent { voucher, price, requests, granted: None });
        }
        self.sent.len() - 1
    }

    /// Sends until nobody answers any more.
    async fn send(mut self, client: reqwest::Client, url: String, mut random: Random) -> Self {
        loop {
            let index = self.next(&mut random);
            let asked = [0, 1].map(|which| ask(&client, &url, self.request(&self.sent[index], which)));
            let [one, other] = asked;
            let (one, other) = tokio::join!(one, other);
            for (which, verdict) in [one, other].into_iter().enumerate() {
                match verdict {
                    Some(verdict) => self.heard(index, which, &verdict),
                    None => continue,
                }
            }
            if self.sent[index].granted.is_none() {
                return self;
            }
        }
    }

    /// Notes an answer, and fails where it contradicts an earlier one.
    fn heard(&mut self, index: usize, which: usize, verdict: &Verdict) {
        let sent = &mut self.sent[index];
        match verdict {
            Verdict::Accepted { claim, .. } => {
                let first = claim.as_ref().expect("a claim").first;
                assert!(!(first && sent.granted.is_some()), "granted twice: {sent:?}");
                assert!(sent.granted.is_none_or(|known| known == which), "granted to both: {sent:?}");
                sent.granted = Some(which);
            }
            Verdict::Rejected { code: Code::VoucherUsed, .. } => {
                assert_ne!(sent.granted, Some(which), "a grant that was told is gone: {sent:?}");
            }
            other => panic!("{other:?} of {sent:?}"),
        }
    }
}

async fn ask(client: &reqwest::Client, url: &str, request: VerifyRequest) -> Option<Verdict> {
    let response = client.post(url).json(&request).send().await.ok()?;
    let text = response.text().await.ok()?;
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

#[derive(Clone, Copy)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn digest(&mut self) -> RequestDigest {
        RequestDigest(B256::from(U256::from_limbs([self.next(), self.next(), self.next(), self.next()])))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vouchers_under_load_survive_kills_and_the_contract_pays_what_was_spent() {
    const CHANNELS: u8 = 5;
    const LIVES: usize = 6;
    let seed: u64 = match std::env::var("CRASH_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64,
    };
    println!("CRASH_SEED={seed}");
    let mut random = Random(seed);
    let mut stack = Stack::start_with(SALT402, taking_vouchers()).await;
    let mut crowd = Vec::new();
    for salt in 1..=CHANNELS {
        let channel = opened(&mut stack, Asset::Native, 1_000_000, salt).await;
        crowd.push(Crowd { channel, sent: Vec::new() });
    }
    let url = format!("{}/v1/verify", stack.verifier);
    for life in 0..LIVES {
        let tasks: Vec<_> = std::mem::take(&mut crowd)
            .into_iter()
            .map(|one| tokio::spawn(one.send(stack.client.clone(), url.clone(), Random(random.next()))))
            .collect();
        tokio::time::sleep(Duration::from_millis(3 + random.below(400))).await;
        stack.kill();
        for task in tasks {
            crowd.push(task.await.unwrap());
        }
        stack.up().await;
        let rows = accounts(&stack).await;
        for one in &mut crowd {
            // The last request, whose answer was cut off: sent again, it is granted or known, to one of the two.
            let last = one.sent.len() - 1;
            let told = one.sent.iter().filter_map(|sent| sent.granted.map(|_| sent.price)).sum::<u64>();
            let whole = one.sent.iter().map(|sent| sent.price).sum::<u64>();
            let row = rows.get(&one.channel.id).map(|row| row.account).unwrap_or_default();
            let spent = u64::try_from(row.spent.0).unwrap();
            assert!(spent == told || spent == whole, "life {life}: {row:?}, told {told}, sent {whole}");
            let sent = one.sent[last].clone();
            let granted_before = spent == whole;
            for which in [0, 1] {
                let verdict = ask(&stack.client, &url, one.request(&sent, which)).await.unwrap();
                if let Verdict::Accepted { claim: Some(claim), .. } = &verdict {
                    assert_eq!(claim.first, !granted_before, "life {life}: {sent:?}");
                }
                one.heard(last, which, &verdict);
            }
            assert!(one.sent[last].granted.is_some(), "life {life}: nobody has {sent:?}");
            for index in 0..one.sent.len() {
                for which in [0, 1] {
                    let request = one.request(&one.sent[index], which);
                    let verdict = ask(&stack.client, &url, request).await.unwrap();
                    if let Verdict::Accepted { claim: Some(claim), .. } = &verdict {
                        assert!(!claim.first, "life {life}: granted again: {:?}", one.sent[index]);
                    }
                    one.heard(index, which, &verdict);
                }
            }
        }
    }

    let rows = accounts(&stack).await;
    let mut grants = 0;
    for one in &crowd {
        let row = &rows[&one.channel.id];
        let sum: u64 = one.sent.iter().map(|sent| sent.price).sum();
        assert_eq!(row.account.spent, Amount(U256::from(sum)));
        assert_eq!(row.voucher, one.sent.last().unwrap().voucher);
        assert_eq!(claimed(&stack, &one.channel, row).await, U256::from(sum));
        assert_eq!(stack.anvil.standing(&one.channel).await.claimed, sum);
        grants += one.sent.len();
    }
    println!("{grants} vouchers were granted on in {LIVES} lives");
    assert_eq!(stack.status().await["claims"], grants);
}
