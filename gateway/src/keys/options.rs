//! What is sold of balances.

use salt402_protocol::api::{CreditRequest, KeyLimits};
use salt402_protocol::{AccountId, Amount, B256, Code, Problem, U256};

/// What is sold of balances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOptions {
    /// The least that a payment buys, in base units.
    pub least: Amount,
    /// The most.
    pub most: Amount,
    /// The plans, by their names, which differ.
    pub plans: Vec<KeyPlan>,
}

/// A plan: what a balance of it may be used for, and what comes with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPlan {
    /// Its name.
    pub name: String,
    /// What it is, in words.
    pub description: String,
    /// The least that a payment buys of it, in base units. `None`: that of all.
    pub least: Option<Amount>,
    /// The most. `None`: that of all.
    pub most: Option<Amount>,
    /// What is credited beside each payment, in hundredths of it.
    pub bonus_percent: u32,
    /// What a key of it may do. Its end is that of `days`.
    pub limits: KeyLimits,
    /// For how many days a new key is good. `None`: without an end.
    pub days: Option<u32>,
}

impl KeyOptions {
    fn plan(&self, name: Option<&str>) -> Result<Option<&KeyPlan>, Problem> {
        let Some(name) = name else { return Ok(None) };
        let plan = self.plans.iter().find(|plan| plan.name == name);
        plan.map(Some).ok_or_else(|| {
            let names: Vec<_> = self.plans.iter().map(|plan| plan.name.as_str()).collect();
            let detail = format!("plan: there is no {name:?} here; there are: {}", names.join(", "));
            Problem::new(Code::InvalidRequest, detail)
        })
    }

    /// What is credited where nothing is sold so any more: what was paid, and nothing beside it.
    pub(crate) fn plain((account, key_hash): (Option<AccountId>, Option<B256>)) -> CreditRequest {
        let (plan, bonus, limits) = (String::new(), Amount::ZERO, KeyLimits::default());
        CreditRequest { account, key_hash, plan, bonus, limits }
    }

    /// What so much of a plan credits, at a time in seconds since 1970 UTC. A topped up account keeps its own plan's limits.
    pub(crate) fn credit(
        &self,
        amount: Amount,
        plan: Option<&str>,
        (account, key_hash): (Option<AccountId>, Option<B256>),
        now_s: u64,
    ) -> Result<CreditRequest, Problem> {
        let plan = self.plan(plan)?;
        let least = plan.and_then(|plan| plan.least).unwrap_or(self.least);
        let most = plan.and_then(|plan| plan.most).unwrap_or(self.most);
        if amount < least || amount > most {
            let detail = format!("amount: {least} to {most} base units are sold at once, found {amount}");
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        let percent = U256::from(plan.map_or(0, |plan| plan.bonus_percent));
        let bonus =
            amount.0.checked_mul(percent).map_or(U256::ZERO, |hundredfold| hundredfold / U256::from(100));
        let mut limits = plan.map(|plan| plan.limits.clone()).unwrap_or_default();
        if let Some(days) = plan.and_then(|plan| plan.days) {
            limits.ends_at = Some(now_s.saturating_add(u64::from(days) * 86_400));
        }
        Ok(CreditRequest {
            account,
            key_hash,
            plan: plan.map(|plan| plan.name.clone()).unwrap_or_default(),
            bonus: Amount(bonus),
            limits,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(value: u64) -> Amount {
        Amount(U256::from(value))
    }

    #[test]
    fn a_plan_bounds_what_is_bought_and_adds_its_bonus() {
        let plan = KeyPlan {
            name: "pro".into(),
            least: Some(amount(50)),
            bonus_percent: 15,
            days: Some(2),
            limits: KeyLimits { requests_per_minute: Some(3), ..KeyLimits::default() },
            ..KeyPlan::default()
        };
        let options = KeyOptions { least: amount(10), most: amount(100), plans: vec![plan] };
        let credit = |value, plan| options.credit(amount(value), plan, (None, None), 1000);
        let plain = credit(10, None).unwrap();
        assert_eq!((plain.bonus, plain.limits, plain.plan.as_str()), (amount(0), KeyLimits::default(), ""));
        let pro = credit(57, Some("pro")).unwrap();
        assert_eq!((pro.bonus, pro.plan.as_str()), (amount(8), "pro"), "rounded down");
        assert_eq!((pro.limits.requests_per_minute, pro.limits.ends_at), (Some(3), Some(1000 + 2 * 86_400)));
        for (value, plan) in
            [(9, None), (101, None), (49, Some("pro")), (101, Some("pro")), (50, Some("other"))]
        {
            assert_eq!(credit(value, plan).unwrap_err().code, Code::InvalidRequest, "{value} {plan:?}");
        }
    }
}
