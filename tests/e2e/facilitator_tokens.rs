//! Tokens that cheat without a revert (T10). They were accepted by an operator who did not look closely.

use alloy_primitives::U256;
use alloy_sol_types::{SolCall as _, sol};
use salt402_protocol::{Address, B256};
use salt402_tests::x402::{FACILITATOR, Terms, Token, X402Payer};
use salt402_tests::{Facilitating, FacilitatorOptions, PAYEE};

use crate::SALT402;

sol! {
    function mint(address to, uint256 amount) external;
    function setCheat(uint8 cheat) external;
    function spend(address authorizer, bytes32 nonce) external;
}

const SOMEBODY: Address = Address::repeat_byte(0x5b);
const QUIET_ON_A_USED_NONCE: u8 = 1;

/// A facilitator that accepts the token that cheats, and a payer who has some of it.
async fn stand() -> (Facilitating, Token, X402Payer) {
    let mut stand = Facilitating::prepare(SALT402, FacilitatorOptions::default()).await;
    let address = stand.stack.anvil.create("CheatingAuthorizationToken", &[]).await;
    stand.configure(&FacilitatorOptions { tokens: vec![address], ..Default::default() });
    stand.up().await;
    let (token, payer) = (Token { address, name: "Plain".into(), version: "1".into() }, X402Payer::new());
    let some = mintCall { to: payer.address, amount: U256::from(1_000) };
    stand.call_as(SOMEBODY, address, some.abi_encode(), 0).await;
    (stand, token, payer)
}

#[tokio::test(flavor = "multi_thread")]
async fn t10_a_token_that_cheats_without_a_revert_is_told_as_a_failure_once_and_for_all() {
    let payee: Address = PAYEE.parse().unwrap();
    let (stand, token, payer) = stand().await;
    let cheats = async |cheat: u8| {
        stand.call_as(SOMEBODY, token.address, setCheatCall { cheat }.abi_encode(), 0).await;
        // What is known of its balances is that of a block.
        stand.stack.anvil.mine(1).await;
    };
    // Honest, it is as good as any other.
    let honest = payer.eip3009(&token, &Terms::new(payee, 10, 1));
    assert_eq!(stand.settle_until_known(&honest).await["success"], true);
    assert_eq!(stand.paid(&token).await, 10);
    let mut sent = 1;
    for (cheat, what, arrives) in [
        (QUIET_ON_A_USED_NONCE, "a used nonce of which it says nothing", 0),
        (2, "a fee", 9),
        (3, "nothing moves", 0),
        (4, "somebody else is paid", 0),
        (5, "balances that are not there", 0),
    ] {
        let before = stand.paid_honestly(&token, &cheats).await;
        cheats(cheat).await;
        let terms = Terms::new(payee, 10, 100 + u64::from(cheat));
        if cheat == QUIET_ON_A_USED_NONCE {
            let spent = spendCall { authorizer: payer.address, nonce: terms.nonce };
            stand.call_as(SOMEBODY, token.address, spent.abi_encode(), 0).await;
        }
        let body = payer.eip3009(&token, &terms);
        let told = stand.settle_until_known(&body).await;
        assert_eq!(told["success"], false, "{what}: {told}");
        assert_eq!(told["errorReason"], "invalid_exact_evm_transfer_event_mismatch", "{what}: {told}");
        let transaction: B256 = told["transaction"].as_str().unwrap().parse().unwrap();
        assert!(stand.stack.anvil.outcome(transaction).await.0, "{what}: nothing reverted");
        sent += 1;
        // Nothing is sent once more, whoever asks.
        for again in [stand.settle(&body).await, stand.settle_copy(&body).await] {
            assert_eq!(again["success"], false, "{what}: {again}");
        }
        assert_eq!(stand.verify(&body).await["isValid"], false, "{what}");
        assert_eq!(stand.nonce(FACILITATOR).await, sent, "{what}");
        assert_eq!(stand.paid_honestly(&token, &cheats).await - before, arrives, "{what}");
    }
    // One that cheats spoils nothing of others.
    let good = payer.eip3009(&stand.wrapped, &Terms::new(payee, 5, 900));
    assert_eq!(stand.settle_until_known(&good).await["success"], true);
    let (code, text) = stand.command(&["settlements", "list", "--state", "failed", "--json"]);
    let failed: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, failed.as_array().unwrap().len()), (0, 5), "{text}");
}

/// What the payee has, as the token says while it does not cheat.
trait PaidHonestly {
    async fn paid_honestly(&self, token: &Token, cheats: &impl AsyncFn(u8)) -> u128;
}

impl PaidHonestly for Facilitating {
    async fn paid_honestly(&self, token: &Token, cheats: &impl AsyncFn(u8)) -> u128 {
        cheats(0).await;
        self.paid(token).await
    }
}
