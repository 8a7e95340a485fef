//! What waits becomes transactions: asked for its gas alone, put together where that is cheaper, signed, written, sent.

use std::time::Duration;

use alloy_primitives::{Address, U256};
use salt402_chain::{Call, Fees, NodeError, StateQuestion};
use salt402_protocol::X402Reason;
use salt402_store::{Cursor, GasCost, SettlementOutcome, SettlementRow, Slot, SlotState, SlotTransaction};
use tokio::time::Instant;

use crate::authorization::Method;
use crate::calls;
use salt402_http::clock;

use crate::metrics::settling as metrics;
use crate::settle::found::Use;
use crate::settle::group::{Ready, TOGETHER_GAS, payers_beside_others};
use crate::settle::kept::{Kept, used_reason};
use crate::settle::outcome::{expired, failure, is_valid_after, may_be_claimed_again};
use crate::settle::signer::filler;
use crate::settle::stalled::Submitting;
use crate::settle::task::{Task, Trouble};

/// How many settlements are looked at in one go.
const AT_A_TIME: u32 = 200;
/// The first pause of a settlement that could not be judged. It doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// How often a settlement is put off because the node cannot say what gas it needs: for some four minutes.
const MOST_PUT_OFF: u32 = 20;
/// The same where the node can say what gas something else needs: for some eight seconds. Then it is the payer's code, or the
/// token's, that the node cannot run to its end.
const PUT_OFF_ALONE: u32 = 4;

impl Task {
    /// Sends what waits. Returns how long it waits for others, if it does.
    pub(super) async fn dispatch(&mut self, cursor: Cursor) -> Result<Option<Duration>, Trouble> {
        let mut after = Some(0);
        let mut seen = 0;
        while let Some(last) = after {
            let rows = self.store.queued_settlements(self.chain.chain, last, AT_A_TIME).await?;
            seen += rows.len();
            metrics::queued(self.chain.chain, seen);
            let is_last = u32::try_from(rows.len()).is_ok_and(|number| number < AT_A_TIME);
            after = rows.last().filter(|_| !is_last).map(|row| row.number);
            if seen == 0 {
                self.put_off.clear();
            }
            let now = Instant::now();
            let mut due = rows;
            due.retain(|row| self.put_off.get(&row.number).is_none_or(|(at, _)| *at <= now));
            if due.is_empty() {
                continue;
            }
            if let Some(rest) = self.waits_for_others(&due) {
                return Ok(Some(rest));
            }
            self.waiting_since = None;
            self.ask_accounts().await?;
            if !self.has_room() {
                return Ok(None);
            }
            let ready = self.judge(due, cursor).await?;
            let groups = self.group(ready).await?;
            let mut submitting = Submitting::new();
            let sent = self.send_all(groups, &mut submitting).await;
            while self.note_next(&mut submitting).await {}
            sent?;
        }
        Ok(None)
    }

    /// How long what waits may wait for others, while something is on its way.
    fn waits_for_others(&mut self, rows: &[SettlementRow]) -> Option<Duration> {
        let delay = self.options.batch_delay;
        let nothing_sent = self.open.values().all(|open| *open == 0);
        if delay.is_zero() || nothing_sent || rows.len() >= self.options.batch {
            return None;
        }
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        delay.checked_sub(since.elapsed()).filter(|rest| !rest.is_zero())
    }

    /// Asks for balances and the price of gas where they are not known.
    async fn ask_accounts(&mut self) -> Result<(), Trouble> {
        for place in 0..self.signers.len() {
            let Some(signer) = self.signers.get(place) else { break };
            if signer.next.is_some() && signer.state.is_none() {
                let state = self.chain.node.account(signer.address()).await?;
                self.note_account(place, state);
            }
        }
        Ok(())
    }

    fn open_of(&self, place: usize) -> usize {
        let address = self.signers.get(place).map(super::signer::Signer::address);
        address.and_then(|address| self.open.get(&address).copied()).unwrap_or(0)
    }

    fn has_room(&self) -> bool {
        (0..self.signers.len()).any(|place| {
            self.signers.get(place).is_some_and(|signer| signer.can_send(U256::ZERO))
                && self.open_of(place) < self.options.open
        })
    }

    /// Which of them can be sent, with the gas that each needs. The others fail, or wait.
    async fn judge(&mut self, rows: Vec<SettlementRow>, cursor: Cursor) -> Result<Vec<Ready>, Trouble> {
        let time = self.time(cursor).await?;
        let Some(first) = self.signers.iter().find(|signer| signer.can_send(U256::ZERO)) else {
            return Ok(Vec::new());
        };
        let first = first.address();
        let (mut asked, mut questions) = (Vec::new(), Vec::new());
        let mut created: Vec<Address> = Vec::new();
        for row in rows {
            let Some(kept) = Kept::of(&row) else {
                let detail = "another version of this program claimed it, and its payload cannot be read";
                let reason = X402Reason::UnexpectedSettleError;
                let failed = failure(reason, detail.to_owned(), row.slots == 0, GasCost::default());
                self.conclude(&row, failed).await?;
                continue;
            };
            let kept = self.as_of_now(kept).await?;
            if kept.authorization.deployment().is_some() {
                let payer = kept.authorization.payer;
                // The next block tells.
                if created.contains(&payer) || self.is_being_created(payer).await? {
                    continue;
                }
                created.push(payer);
            }
            let call = calls::settle_call(&self.chain.contracts, &kept.authorization, row.claimed.charge.0);
            let Some(call) = call else {
                let detail = "its signature must have 65 bytes".to_owned();
                let failed = failure(X402Reason::ExactSignature, detail, row.slots == 0, GasCost::default());
                self.conclude(&row, failed).await?;
                continue;
            };
            if !is_valid_after(&kept, time) {
                let detail = "it expired before it was sent".to_owned();
                self.fail(&row, &kept, expired(&kept.authorization.method), detail, cursor).await?;
                continue;
            }
            // The sender that it names may not be one of ours any more, or not be able to send now.
            let from = match row.claimed.sender {
                None => first,
                Some(sender) if self.signers.iter().any(|signer| signer.address() == sender) => {
                    if !self.signers.iter().any(|one| one.address() == sender && one.can_send(U256::ZERO)) {
                        self.put_off(row.number);
                        continue;
                    }
                    sender
                }
                Some(sender) => {
                    let detail = format!("only {sender} may settle it, and that account does not send here");
                    self.fail(&row, &kept, X402Reason::UptoFacilitatorMismatch, detail, cursor).await?;
                    continue;
                }
            };
            // More than it may use is not tried: a payer's code could keep the node busy.
            let cap = self.options.gas_caps.of(&kept.authorization.method);
            questions.push(StateQuestion::Gas { from, call: Call { gas_limit: Some(cap), ..call.clone() } });
            asked.push((row, kept, call));
        }
        if questions.is_empty() {
            return Ok(Vec::new());
        }
        // Beside one that the node could not judge: something that it can, if it can judge anything.
        if asked.iter().any(|(row, ..)| self.put_off.contains_key(&row.number)) {
            questions.push(StateQuestion::Gas { from: first, call: filler(first) });
        }
        let others = questions.len();
        let payers = payers_beside_others(&asked);
        questions.extend(payers.iter().map(|payer| StateQuestion::Code(*payer)));
        let answers = self.chain.node.state(&questions).await?;
        let can_judge = answers.get(asked.len()..others).is_some_and(|said| said.iter().any(Result::is_ok));
        let said = answers.iter().skip(others);
        let has_code: Vec<Address> = payers
            .into_iter()
            .zip(said)
            .filter(|(_, code)| !code.as_ref().is_ok_and(|code| code.is_empty()))
            .map(|(payer, _)| payer)
            .collect();
        let mut ready = Vec::with_capacity(asked.len());
        for ((row, mut kept, call), answer) in asked.into_iter().zip(answers) {
            kept.payer_has_code |= has_code.contains(&kept.authorization.payer);
            match answer {
                Ok(gas) => {
                    let alone = U256::try_from_be_slice(&gas).unwrap_or(U256::MAX).saturating_to::<u64>();
                    let cap = self.options.gas_caps.of(&kept.authorization.method);
                    if alone > cap {
                        let detail = format!("it needs {alone} gas, and {cap} are allowed");
                        self.fail(&row, &kept, X402Reason::UnexpectedSettleError, detail, cursor).await?;
                        continue;
                    }
                    // The token's storage may change before it is mined.
                    let gas = alone.saturating_add(alone / 4).min(cap);
                    ready.push(Ready { row, kept, call, alone, gas });
                }
                Err(error)
                    if error.is_revert()
                        || needs_more_gas(&error)
                        || self.is_patient_no_more(row.number, can_judge) =>
                {
                    let (reason, detail) = simulation(&kept.authorization.method, &error);
                    self.fail(&row, &kept, reason, detail, cursor).await?;
                }
                // It may say nothing about the settlement.
                Err(error) => {
                    tracing::warn!(%error, payment = %row.claimed.payment, "the gas of a settlement is not known");
                    self.put_off(row.number);
                }
            }
        }
        Ok(ready)
    }

    /// Whether a settlement was put off so often that it fails. It can be asked for again.
    fn is_patient_no_more(&self, number: u64, can_judge: bool) -> bool {
        let most = if can_judge { PUT_OFF_ALONE } else { MOST_PUT_OFF };
        self.put_off.get(&number).is_some_and(|(_, times)| *times >= most)
    }

    fn put_off(&mut self, number: u64) {
        let times = self.put_off.get(&number).map_or(0, |(_, times)| *times).saturating_add(1);
        let pause = FIRST_PAUSE.saturating_mul(1_u32 << times.min(5));
        self.put_off.insert(number, (Instant::now() + pause, times));
    }

    /// A settlement that cannot be sent: somebody else settled it, or it failed. Where that cannot be told now, it waits.
    async fn fail(
        &mut self,
        row: &SettlementRow,
        kept: &Kept,
        reason: X402Reason,
        detail: String,
        cursor: Cursor,
    ) -> Result<(), Trouble> {
        let outcome = match self.look_up(row, kept, cursor).await {
            Ok(Use::Paid(elsewhere)) => {
                SettlementOutcome::Settled { elsewhere: Some(elsewhere), cost: GasCost::default() }
            }
            Ok(Use::Lost) => {
                let detail = "the nonce was used by a transaction that did not pay the payee".to_owned();
                failure(used_reason(&kept.authorization.method), detail, false, GasCost::default())
            }
            Ok(Use::None) => {
                let again = may_be_claimed_again(row, &kept.authorization.method);
                failure(reason, detail, again, GasCost::default())
            }
            Err(Trouble::Store(error)) => return Err(error.into()),
            Err(trouble) => {
                tracing::warn!(%trouble, payment = %row.claimed.payment, "whether it was settled elsewhere is not known");
                self.put_off(row.number);
                return Ok(());
            }
        };
        self.conclude(row, outcome).await
    }

    async fn conclude(&mut self, row: &SettlementRow, outcome: SettlementOutcome) -> Result<(), Trouble> {
        metrics::outcome(row, &outcome, clock::now_ms());
        self.store.conclude_settlement(self.chain.chain, row.number, outcome).await?;
        self.put_off.remove(&row.number);
        self.waiters.tell([row.claimed.payment]);
        Ok(())
    }

    /// Sends each group. What cannot be sent now stays in the queue, which is on disk. It holds up nothing behind it.
    async fn send_all(
        &mut self,
        groups: Vec<Vec<Ready>>,
        submitting: &mut Submitting,
    ) -> Result<(), Trouble> {
        for group in groups {
            if let Some(signed) = self.sign(group).await? {
                self.submit_beside(signed, submitting).await;
            }
        }
        Ok(())
    }

    /// Signs a group's transaction, and writes it down, if an account can send it.
    async fn sign(&mut self, group: Vec<Ready>) -> Result<Option<SlotTransaction>, Trouble> {
        let sender = group.first().and_then(|ready| ready.row.claimed.sender);
        let gas: u64 = group.iter().map(|ready| ready.gas).sum();
        let call = match group.as_slice() {
            [] => return Ok(None),
            [one] => Call { gas_limit: Some(gas), ..one.call.clone() },
            several => calls::together(several.iter().map(|one| &one.call), gas.saturating_add(TOGETHER_GAS)),
        };
        let profile = self.chain.node.profile().clone();
        let cost = |fees: &Fees| U256::from(call.gas_limit.unwrap_or(0)) * U256::from(fees.max_fee_per_gas);
        let mut best: Option<(usize, Fees, usize)> = None;
        let mut is_full = false;
        for (place, signer) in self.signers.iter().enumerate() {
            let open = self.open_of(place);
            let Some(state) = signer.state else { continue };
            if sender.is_some_and(|sender| sender != signer.address()) {
                continue;
            }
            if open >= self.options.open {
                is_full = true;
                continue;
            }
            let fees = match Fees::of(state.base_fee, state.tip, &profile) {
                Ok(fees) => fees,
                // The next block may be cheaper. What waits goes on waiting until it expires.
                Err(NodeError::FeeTooHigh { asked, limit }) => {
                    tracing::warn!(asked, limit, chain = %self.chain.chain, "nothing is sent: gas costs too much");
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if !signer.can_send(cost(&fees)) {
                metrics::low(self.chain.chain, signer.address());
                continue;
            }
            if best.is_none_or(|(_, _, least)| open < least) {
                best = Some((place, fees, open));
            }
        }
        let Some((place, fees, _)) = best else {
            // Where there is no room, the next block makes some. Money may come late.
            if !is_full {
                group.iter().for_each(|ready| self.put_off(ready.row.number));
            }
            return Ok(None);
        };
        let Some(signer) = self.signers.get_mut(place) else { return Ok(None) };
        let Some(nonce) = signer.next else { return Ok(None) };
        let prepared = signer.account.prepare_at(&profile, &call, nonce, fees)?;
        let transaction = SlotTransaction {
            slot: Slot { signer: signer.address(), nonce },
            hash: prepared.hash,
            raw: prepared.raw.to_vec(),
            carries: true,
            gas_limit: prepared.gas_limit,
            max_fee_per_gas: prepared.max_fee_per_gas,
            tip: fees.tip,
            state: SlotState::Open,
            block: None,
        };
        let orders: Vec<(u64, u64)> = group.iter().map(|ready| (ready.row.number, ready.alone)).collect();
        for (number, _) in &orders {
            self.put_off.remove(number);
        }
        let Some(signer) = self.signers.get_mut(place) else { return Ok(None) };
        // From here on the nonce is used, whether or not this task lives to see the answer.
        signer.next = None;
        let assigned = self.store.assign_settlements(self.chain.chain, transaction.clone(), orders).await?;
        let Some(signer) = self.signers.get_mut(place) else { return Ok(None) };
        if !assigned {
            // Something of it changed meanwhile. What is on disk says how it stands.
            return Ok(None);
        }
        signer.next = Some(nonce.saturating_add(1));
        if let Some(state) = &mut signer.state {
            state.balance = state.balance.saturating_sub(cost(&fees));
        }
        *self.open.entry(transaction.slot.signer).or_default() += 1;
        metrics::sent(self.chain.chain, group.len());
        Ok(Some(transaction))
    }
}

/// Whether a node says that a call needs more gas than it was given. Nodes have no code of their own for that.
fn needs_more_gas(error: &NodeError) -> bool {
    let NodeError::Rpc { message, .. } = error else { return false };
    let words = message.to_ascii_lowercase();
    ["gas required exceeds", "out of gas", "outofgas"].iter().any(|phrase| words.contains(phrase))
}

/// The reason of a call that would fail, and what the node says of it.
fn simulation(method: &Method, error: &NodeError) -> (X402Reason, String) {
    let said = match error {
        NodeError::Rpc { message, .. } => message.clone(),
        other => other.to_string(),
    };
    let words = said.to_ascii_lowercase();
    let poor = words.contains("insufficient") || words.contains("exceeds balance");
    let permit2 = matches!(method, Method::Permit2Exact { .. } | Method::Permit2Upto { .. });
    let reason = match (permit2, poor) {
        (false, true) => X402Reason::InsufficientBalance,
        (false, false) => X402Reason::ExactSimulationFailed,
        (true, _) => X402Reason::Permit2SimulationFailed,
    };
    (reason, format!("the call would fail: {said}"))
}
