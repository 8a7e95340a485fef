//! Two live processes with one identity.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use crate::shop;

use salt402_protocol::api::{LeaseRequest, VerifyRequest};
use salt402_protocol::{B128, Code};
use shop::{Shop, granted, operator, paid, proof};

const ONE: B128 = B128::repeat_byte(1);
const COPY: B128 = B128::repeat_byte(2);

#[tokio::test]
async fn c12_a_second_live_process_of_one_identity_is_given_no_claim_that_it_would_run_again() {
    let shop = Shop::open(&operator()).await;
    let quotes = [shop.quote(1, 5, false), shop.quote(2, 5, false)];
    shop.mine(&[paid(1, 1, 5, &quotes[0]), paid(2, 1, 5, &quotes[1])]).await;
    let by = |instance, request: VerifyRequest| VerifyRequest { instance, wait_ms: 60_000, ..request };
    let told = async |request: VerifyRequest| granted(shop.verifier.verify(&request).await);
    let hold = async |instance| {
        let request = LeaseRequest { claimant: "shop".into(), instance };
        shop.verifier.lease(&request).await.map(|held| held.renew_within_ms).map_err(|problem| problem.code)
    };
    assert_eq!(hold(ONE).await, Ok(5000));
    assert_eq!(hold(COPY).await, Err(Code::IdentityInUse));
    assert_eq!(told(by(Some(ONE), proof(1, 1, 5))).await, Ok(true));
    for other in [Some(COPY), None] {
        for shown in [proof(1, 1, 5), proof(2, 2, 5)] {
            // At once, however long it would wait.
            assert_eq!(told(by(other, shown)).await, Err(Code::IdentityInUse));
        }
    }
    assert_eq!(told(by(Some(ONE), proof(1, 1, 5))).await, Ok(false));
    assert_eq!(told(by(Some(ONE), proof(2, 2, 5))).await, Ok(true));
    // No name is held by nobody.
    let nameless = LeaseRequest { claimant: String::new(), instance: ONE };
    assert_eq!(shop.verifier.lease(&nameless).await.unwrap_err().code, Code::InvalidRequest);
}

#[tokio::test]
async fn c12_what_a_second_process_is_told_leads_nobody_to_pay_again() {
    let shop = Shop::open(&operator()).await;
    let request = LeaseRequest { claimant: "shop".into(), instance: ONE };
    shop.verifier.lease(&request).await.unwrap();
    let problem = shop.verifier.lease(&LeaseRequest { instance: COPY, ..request }).await.unwrap_err();
    assert_eq!((problem.status, problem.retry_after_ms), (503, Some(5000)));
    assert!(
        problem.detail.contains("a copied folder?") && problem.detail.contains("show the same proof again")
    );
    assert!(Code::IdentityInUse.is_pending());
}
