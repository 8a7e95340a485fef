//! Whatever order things come in: no payment is granted twice, none that fits is refused, and no payer is granted more
//! than may be lost. A failing case prints its seed and shrinks.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use crate::shop;

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use salt402_protocol::api::{QuoteRequest, QuoteResponse, VerifyRequest};
use salt402_protocol::{Address, Asset, Code, Payment};
use salt402_verifier::ExposureCap;
use shop::{Operator, Shop, granted, now, operator, paid, proof, question, units};

/// Blocks that make a payment final, as the shop's operator has it.
const FINAL_AT: usize = 3;
/// What may be granted to a payer before that.
const CAP: u64 = 25;

#[derive(Clone, Debug)]
enum Step {
    /// Somebody asks for a quote and signs its payment.
    Quote {
        request: u8,
        secret: bool,
        payer: u8,
        /// Whether it names the service "shop".
        named: bool,
    },
    /// A block with those payments of a mask that are in none; with `late`, long after their quotes ended.
    Mine {
        mask: u16,
        late: bool,
    },
    /// Some blocks are replaced by one.
    Replace {
        back: u64,
        mask: u16,
    },
    /// A proof is shown, for its own request or another, with its quote's id or without.
    Show {
        pick: usize,
        other: Option<u8>,
        present: bool,
        claimant: bool,
    },
    /// The price changes.
    Reprice {
        price: u64,
    },
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1u8..4, any::<bool>(), 1u8..3, any::<bool>())
            .prop_map(|(request, secret, payer, named)| Step::Quote { request, secret, payer, named }),
        4 => (any::<u16>(), prop::bool::weighted(0.1)).prop_map(|(mask, late)| Step::Mine { mask, late }),
        2 => (1u64..4, any::<u16>()).prop_map(|(back, mask)| Step::Replace { back, mask }),
        8 => (any::<usize>(), prop::option::weighted(0.2, 1u8..4), any::<bool>(), prop::bool::weighted(0.8))
            .prop_map(|(pick, other, present, claimant)| Step::Show { pick, other, present, claimant }),
        1 => (1u64..20).prop_map(|price| Step::Reprice { price }),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..60)
}

/// A payment, and what is known of it outside.
struct Known {
    payment: Payment,
    quote: QuoteResponse,
    request: u8,
    secret: bool,
    named: bool,
    amount: u64,
    /// Whether it was put into a block too late; then it is in no other.
    late: bool,
    granted_to: Option<&'static str>,
}

struct Run {
    shop: Shop,
    operator: Operator,
    known: Vec<Known>,
    /// The payments of each block of the chain.
    chain: Vec<Vec<usize>>,
    price: u64,
}

impl Run {
    async fn step(&mut self, step: &Step) -> TestCaseResult {
        match *step {
            Step::Quote { request, secret, payer, named } if self.known.len() < 16 => {
                let claimant = if named { "shop" } else { "" }.to_owned();
                let asked = QuoteRequest { claimant, ..question(request, self.price, secret) };
                let quote = self.shop.verifier.quote(&asked).unwrap();
                let number = self.known.len() as u8 + 1;
                let payment = paid(number, payer, self.price, &quote);
                let amount = self.price;
                let known =
                    Known { payment, quote, request, secret, named, amount, late: false, granted_to: None };
                self.known.push(known);
            }
            Step::Mine { mask, late } => self.mine(0, mask, late).await,
            Step::Replace { back, mask } if self.chain.len() as u64 > back => {
                self.mine(back, mask, false).await;
            }
            Step::Show { pick, other, present, claimant } if !self.known.is_empty() => {
                let pick = pick % self.known.len();
                self.show(pick, other, present, if claimant { "shop" } else { "rival" }).await?;
            }
            Step::Reprice { price } => self.price = price,
            Step::Restart => self.shop.restart(&self.operator).await,
            _ => {}
        }
        let lost = (0..self.known.len()).filter(|payment| self.lost(*payment)).count();
        prop_assert_eq!(self.shop.verifier.status().await.unwrap().open_incidents, lost as u64);
        Ok(())
    }

    async fn mine(&mut self, back: u64, mask: u16, late: bool) {
        self.chain.truncate(self.chain.len() - back as usize);
        let paid: BTreeSet<usize> = self.chain.iter().flatten().copied().collect();
        let fresh: Vec<usize> = (0..self.known.len())
            .filter(|payment| {
                mask & 1 << payment != 0 && !paid.contains(payment) && !self.known[*payment].late
            })
            // A transaction is late once and for all, and only where nothing was granted on it before.
            .filter(|payment| !late || self.known[*payment].granted_to.is_none())
            .collect();
        if late {
            fresh.iter().for_each(|payment| self.known[*payment].late = true);
        }
        let payments: Vec<_> = fresh.iter().map(|payment| self.known[*payment].payment.clone()).collect();
        self.shop.put(back, now() + if late { 5000 } else { 0 }, &payments).await;
        self.chain.push(fresh);
    }

    fn depth(&self, payment: usize) -> Option<usize> {
        let height = self.chain.iter().position(|block| block.contains(&payment))?;
        Some(self.chain.len() - height)
    }

    fn lost(&self, payment: usize) -> bool {
        self.known[payment].granted_to.is_some() && self.depth(payment).is_none()
    }

    fn granted_and_not_final(&self, payer: Address) -> u64 {
        let open = |(index, known): &(usize, &Known)| {
            known.payment.payer == payer
                && known.granted_to.is_some()
                && self.depth(*index).is_some_and(|depth| depth < FINAL_AT)
        };
        self.known.iter().enumerate().filter(open).map(|(_, known)| known.amount).sum()
    }

    /// What must come of it; `Err(None)` for a refusal or a delay of whatever kind.
    fn expected(
        &self,
        pick: usize,
        request: u8,
        present: bool,
        claimant: &str,
    ) -> Result<bool, Option<Code>> {
        let known = &self.known[pick];
        let payer = known.payment.payer;
        let fits = request == known.request && (present || !known.secret) && !known.late;
        // Of this service at its own price, of nobody at no less than is asked, unless it was granted before.
        let priced = if known.named { claimant == "shop" } else { known.amount >= self.price };
        let fits = fits && (priced || !known.named && known.granted_to == Some(claimant));
        match (self.depth(pick), known.granted_to) {
            _ if !fits => Err(None),
            (None, None | Some(_)) => Err(None),
            (Some(_), Some(holder)) if holder == claimant => Ok(false),
            (Some(_), Some(_)) => Err(Some(Code::AlreadyClaimed)),
            (Some(depth), None) if depth >= FINAL_AT => Ok(true),
            (Some(_), None) if self.granted_and_not_final(payer) + known.amount > CAP => {
                Err(Some(Code::ExposureExceeded))
            }
            (Some(_), None) => {
                let loss =
                    (0..self.known.len()).any(|at| self.lost(at) && self.known[at].payment.payer == payer);
                if loss { Err(Some(Code::PayerHasLoss)) } else { Ok(true) }
            }
        }
    }

    async fn show(
        &mut self,
        pick: usize,
        other: Option<u8>,
        present: bool,
        claimant: &'static str,
    ) -> TestCaseResult {
        let request = other.unwrap_or(self.known[pick].request);
        let asked = VerifyRequest {
            quote_id: present.then(|| self.known[pick].quote.quote_id.clone()),
            claimant: claimant.into(),
            ..proof(pick as u8 + 1, request, self.price)
        };
        let answered = granted(self.shop.verifier.verify(&asked).await);
        match self.expected(pick, request, present, claimant) {
            Err(None) => prop_assert!(answered.is_err(), "{:?}", answered),
            Err(Some(code)) => prop_assert_eq!(answered, Err(code)),
            Ok(first) => prop_assert_eq!(answered, Ok(first)),
        }
        if answered == Ok(true) {
            self.known[pick].granted_to = Some(claimant);
            if self.depth(pick).is_some_and(|depth| depth < FINAL_AT) {
                let sum = self.granted_and_not_final(self.known[pick].payment.payer);
                prop_assert!(sum <= CAP, "{} is granted before it is final", sum);
            }
        }
        Ok(())
    }
}

/// 48, or what `PROPTEST_CASES` says.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(48)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn every_payment_is_granted_once_and_none_that_fits_is_refused(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut operator = operator();
            operator.chain.rules.exposure = vec![ExposureCap { asset: Asset::Native, most: units(CAP) }];
            let shop = Shop::open(&operator).await;
            let mut run = Run { shop, operator, known: Vec::new(), chain: Vec::new(), price: 10 };
            for step in &steps {
                run.step(step).await?;
            }
            run.shop.store.clone().close().await;
            Ok::<(), TestCaseError>(())
        })?;
    }
}
