//! Channels of the first edition of `SaltChannels`, by its own code: known and claimed, and no more vouchers of them.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use alloy_sol_types::{SolCall as _, sol};
use salt402_protocol::edition::ChannelEdition;
use salt402_protocol::{Address, Amount, Asset, B256, ChainId, Descriptor, RequestDigest, U256, Voucher};
use salt402_store::{NewVoucher, Options, Store, VoucherResult};
use salt402_tests::{PAYEE, PAYEE_KEY, Stack, StackOptions, root, session_signature, signing};

use crate::SALT402;
use crate::claiming::{channel, listed};
use crate::vouchers::{caught_up, refused, taking_vouchers};

const PRICE: u64 = 1016;

sol! {
    struct Channel {
        address payer;
        address payee;
        address asset;
        address signer;
        uint32 exitDelay;
        bytes32 salt;
    }

    function open(Channel calldata channel, uint256 amount) external payable;
    /// What the first edition signs.
    function voucherDigest(bytes32 channel, uint256 ceiling) external view returns (bytes32);
    function channelId(Channel calldata channel) external view returns (bytes32);
}

fn amount(value: u64) -> Amount {
    Amount(U256::from(value))
}

fn following(contract: Address) -> StackOptions {
    let source =
        format!("[[chains.local.sources]]\nkind = \"past-salt-channels\"\ncontract = \"{contract}\"\n");
    StackOptions { chain: format!("vouchers = true\n{source}"), ..taking_vouchers() }
}

/// What the command says, and that it failed.
async fn fails(stack: &Stack, arguments: &[&str]) -> String {
    let mut command = Command::new(SALT402);
    command.args(arguments).arg("--config").arg(stack.config()).env_remove("SALT402_KEY");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success(), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_in_the_first_edition_is_claimed_and_nothing_more_is_accepted() {
    let mut stack = Stack::start_with(SALT402, taking_vouchers()).await;
    let code = std::fs::read_to_string(root().join("tests/support/first_salt_channels.hex")).unwrap();
    let contract = stack.anvil.create_code(&format!("0x{}", code.trim())).await;
    let payee: Address = PAYEE.parse().unwrap();
    let native = signing::channel(payee, 1);
    let (salt, signer) = (B256::repeat_byte(1), session_address());
    let descriptor = Descriptor {
        payer: native.payer,
        payee,
        asset: Asset::Native,
        signer: Some(signer),
        operator: None,
        exit_delay: 900,
        salt,
    };
    let old = Channel { payer: native.payer, payee, asset: Address::ZERO, signer, exitDelay: 900, salt };
    let open = openCall { channel: old.clone(), amount: U256::from(4 * PRICE) };
    stack.payer().call(contract, open.abi_encode().into(), amount(4 * PRICE)).await;
    let id = ChannelEdition::First.id(&descriptor, ChainId::CITRATE, contract).unwrap();
    assert_eq!(
        stack.anvil.view(contract, &channelIdCall { channel: old }).await,
        id,
        "as the old contract says"
    );
    assert!(stack.process.take().unwrap().terminate().success());
    stack.configure(&following(contract));
    stack.up().await;
    // What the contract had before it was followed is read beside the head, once it is settled.
    stack.anvil.mine(70).await;
    caught_up(&mut stack).await;
    let status = format!("{}/v1/status", stack.verifier);
    stack.until(&status, |answer| answer.json()["chains"][0]["unread"].is_null()).await;

    // As the program of before accepted it.
    let mut vouchers = Vec::new();
    for ceiling in [2 * PRICE, 3 * PRICE] {
        let digest = stack
            .anvil
            .view(contract, &voucherDigestCall { channel: id, ceiling: U256::from(ceiling) })
            .await;
        let voucher = Voucher { channel: id, ceiling: amount(ceiling), signature: session_signature(digest) };
        assert_eq!(voucher.signer_in_first(ChainId::CITRATE, contract), Some(signer));
        vouchers.push(voucher);
    }
    let store = Store::open(Options::new(stack.folder().join("data/salt402.db"))).await.unwrap();
    let accepted = NewVoucher {
        chain: ChainId::CITRATE,
        contract,
        past: Vec::new(),
        voucher: vouchers[0],
        signer,
        payee,
        asset: Asset::Native,
        price: amount(2 * PRICE),
        by_use: false,
        at_least: None,
        raises: None,
        request: RequestDigest(B256::repeat_byte(7)),
        claimant: "of before".into(),
        holder: Default::default(),
        confirmations: 1,
        after_loss: 0,
        opened_from: 0,
        operators: Vec::new(),
        least_exit_delay: 0,
        late_ms: None,
        now_ms: u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap(),
        credit: None,
    };
    let granted = store.accept_voucher(accepted).await.unwrap();
    assert!(matches!(granted, VoucherResult::Granted(_)), "{granted:?}");
    store.close().await;

    let (code, detail) = refused(&stack, "new", &vouchers[1].to_string()).await;
    assert_eq!(code, "voucher_not_accepted");
    assert!(detail.contains(&contract.to_string()) && detail.contains("requestExit"), "{detail}");
    assert_eq!(listed(&stack, &[]).await[0]["unclaimed"], (2 * PRICE).to_string());

    // Without the source nothing starts, and no command says that nothing is there.
    assert!(stack.process.take().unwrap().terminate().success());
    stack.configure(&taking_vouchers());
    for arguments in [&["up"][..], &["channel", "list"], &["channel", "claim", "--all"]] {
        let said = fails(&stack, arguments).await;
        assert!(said.contains("past-salt-channels") && said.contains(&contract.to_string()), "{said}");
    }

    stack.configure(&following(contract));
    let (success, said) = channel(&stack, &["close", &id.to_string()], Some(PAYEE_KEY)).await;
    assert!(!success && said.contains("first edition"), "{said}");
    let (success, said) = channel(&stack, &["claim", "--all"], Some(PAYEE_KEY)).await;
    assert!(success && said.contains("0.000000000000002032 SALT came in"), "{said}");
    let (success, said) = channel(&stack, &["claim", "--all"], Some(PAYEE_KEY)).await;
    assert!(success && said.contains("nothing is to be claimed"), "{said}");
    stack.up().await;
    caught_up(&mut stack).await;
    assert_eq!(listed(&stack, &[]).await[0]["claimed"], (2 * PRICE).to_string());
    assert!(stack.process.take().unwrap().terminate().success());
    stack.configure(&taking_vouchers());
    stack.up().await;
}

fn session_address() -> Address {
    Address::from_private_key(&salt402_tests::session_key())
}
