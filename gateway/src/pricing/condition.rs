//! Conditions that change a price: expressions of CEL that decide, and decimal factors. No money is computed with them.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use cel::common::ast::Expr;
use cel::{Context, Env, IdedExpr, Program, Value};
use salt402_protocol::{Amount, U256};

use crate::pricing::price::Quantities;

/// The longest condition, in bytes: its parser goes as deep as it is nested.
const LONGEST: usize = 500;
/// How deep a condition may be nested.
const DEEPEST: usize = 32;
/// What a condition may ask of. Times are UTC; Monday is day 1.
const VARIABLES: [&str; 9] =
    ["model", "api", "prompt_tokens", "max_tokens", "n", "images", "stream", "hour", "weekday"];
/// What it may do. Each takes time in proportion to the condition's length and the model's name.
const FUNCTIONS: [&str; 19] = [
    "_?_:_",
    "_&&_",
    "_||_",
    "!_",
    "_-_",
    "_+_",
    "_*_",
    "_/_",
    "_%_",
    "_==_",
    "_!=_",
    "_>=_",
    "_<=_",
    "_>_",
    "_<_",
    "-_",
    "@in",
    "startsWith",
    "endsWith",
];
/// More than any request has of anything.
const MUCH: u64 = 1 << 40;
/// Decimal places of a factor.
const PLACES: u8 = 6;

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// Why a condition cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// It is too long.
    #[error("it has more than {LONGEST} bytes: write several conditions")]
    TooLong,
    /// It is not CEL.
    #[error("it is no expression of CEL: {0}")]
    NotCel(String),
    /// It is nested too deep.
    #[error("it is nested more than {DEEPEST} deep")]
    TooDeep,
    /// It asks of something else.
    #[error("it asks of {0:?}; it may ask of {names}", names = VARIABLES.join(", "))]
    UnknownVariable(String),
    /// It does something else.
    #[error(
        "it uses {0}: comparisons, &&, ||, !, ?:, in, + - * / %, startsWith and endsWith may be used, and lists, and nothing that goes through one"
    )]
    Refused(String),
    /// It has no answer.
    #[error("it has no answer for some requests: {0}")]
    NoAnswer(String),
}

/// Why a text is no factor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a decimal number from 0.000001 to 1000 with at most {PLACES} places, as a text such as \"1.25\""
)]
pub struct MultiplierError;

/// A decimal factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multiplier(u64);

impl Multiplier {
    /// Reads a decimal number.
    ///
    /// # Errors
    /// If it is none, or not within bounds.
    pub fn parse(text: &str) -> Result<Self, MultiplierError> {
        let millionths = Amount::from_units(text, PLACES).map_err(|_| MultiplierError)?;
        let millionths = u64::try_from(millionths.0).map_err(|_| MultiplierError)?;
        if (1..=1_000_000_000).contains(&millionths) { Ok(Self(millionths)) } else { Err(MultiplierError) }
    }

    /// The product, rounded up. `None` above 2²⁵⁶ − 1.
    pub fn of(self, amount: Amount) -> Option<Amount> {
        let product = amount.0.checked_mul(U256::from(self.0))?;
        Some(Amount(product.div_ceil(U256::from(1_000_000))))
    }
}

impl fmt::Display for Multiplier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Amount(U256::from(self.0)).to_units(PLACES))
    }
}

/// A factor on the price of requests of which a condition holds.
#[derive(Debug)]
pub struct Adjustment {
    /// The condition, as it was written.
    pub when: String,
    /// The factor.
    pub multiplier: Multiplier,
    program: Program,
}

impl Adjustment {
    /// Reads a condition. It is tried with several requests.
    ///
    /// # Errors
    /// If it is not one that can always be answered.
    pub fn new(when: String, multiplier: Multiplier) -> Result<Self, ConditionError> {
        if when.len() > LONGEST {
            return Err(ConditionError::TooLong);
        }
        let nested = when.bytes().filter(|byte| matches!(byte, b'(' | b'[' | b'{' | b'!' | b'-')).count();
        if nested > DEEPEST {
            return Err(ConditionError::TooDeep);
        }
        let program = ENV
            .compile(&when)
            .map_err(|error| ConditionError::NotCel(error.to_string().replace('\n', " ")))?;
        check(program.expression(), 0)?;
        let adjustment = Self { when, multiplier, program };
        for large in [0, 1, MUCH] {
            let of = Quantities {
                prompt_tokens: large,
                max_tokens: u32::try_from(large).unwrap_or(u32::MAX),
                choices: large,
                images: large,
                streamed: large == 1,
                ..Quantities::default()
            };
            for hour in [0, 23] {
                adjustment.holds("", &of, Duration::from_secs(hour * 3600))?;
            }
        }
        Ok(adjustment)
    }

    /// Whether the condition holds of a request for a model, at a time since 1970 UTC.
    ///
    /// # Errors
    /// If it has no answer.
    pub fn holds(&self, model: &str, of: &Quantities, now: Duration) -> Result<bool, ConditionError> {
        let integer = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let days = now.as_secs() / 86_400;
        let api = of.api.map_or("inference", |api| api.name());
        let values: [Value; 9] = [
            model.to_owned().into(),
            api.to_owned().into(),
            integer(of.prompt_tokens).into(),
            i64::from(of.max_tokens).into(),
            integer(of.choices).into(),
            integer(of.images).into(),
            of.streamed.into(),
            integer(now.as_secs() / 3600 % 24).into(),
            // The first day of 1970 was a Thursday.
            integer((days + 3) % 7 + 1).into(),
        ];
        let mut context = Context::with_env(Arc::clone(&ENV));
        for (name, value) in VARIABLES.into_iter().zip(values) {
            context.add_variable_from_value(name, value);
        }
        match self.program.execute(&context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(_) => Err(ConditionError::NoAnswer("it is neither true nor false".into())),
            Err(error) => Err(ConditionError::NoAnswer(error.to_string())),
        }
    }
}

/// Whether an expression is of what a condition may use.
fn check(expression: &IdedExpr, depth: usize) -> Result<(), ConditionError> {
    if depth > DEEPEST {
        return Err(ConditionError::TooDeep);
    }
    let all = |parts: &[IdedExpr]| parts.iter().try_for_each(|part| check(part, depth + 1));
    match &expression.expr {
        Expr::Literal(_) => Ok(()),
        Expr::Ident(name) if VARIABLES.contains(&name.as_str()) => Ok(()),
        Expr::Ident(name) => Err(ConditionError::UnknownVariable(name.clone())),
        Expr::List(list) => all(&list.elements),
        Expr::Call(call) if FUNCTIONS.contains(&call.func_name.as_str()) => {
            call.target.as_deref().map_or(Ok(()), |target| check(target, depth + 1))?;
            all(&call.args)
        }
        Expr::Call(call) => Err(ConditionError::Refused(call.func_name.clone())),
        Expr::Comprehension(_) => Err(ConditionError::Refused("a comprehension".into())),
        Expr::Map(_) | Expr::Struct(_) => Err(ConditionError::Refused("a map".into())),
        Expr::Select(select) => Err(ConditionError::Refused(format!("the member {:?}", select.field))),
        Expr::Unspecified => Err(ConditionError::Refused("nothing".into())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kinds::Api;

    fn adjustment(when: &str) -> Result<Adjustment, ConditionError> {
        Adjustment::new(when.to_owned(), Multiplier::parse("2").unwrap())
    }

    fn holds(when: &str, of: &Quantities, secs: u64) -> bool {
        adjustment(when).unwrap().holds("big", of, Duration::from_secs(secs)).unwrap()
    }

    #[test]
    fn conditions_ask_of_the_request_and_the_time() {
        let of = Quantities {
            api: Some(Api::Chat),
            prompt_tokens: 5000,
            max_tokens: 100,
            choices: 2,
            streamed: true,
            ..Quantities::default()
        };
        for yes in [
            "prompt_tokens > 4096",
            "model == 'big' && api in ['chat', 'messages']",
            "stream && n >= 2 && images == 0",
            "hour >= 18 || hour < 6",
            "max_tokens * 2 == 200",
            "model.startsWith('b') ? true : false",
            "!(weekday in [6, 7])",
        ] {
            // Monday, 24 November 2025, 20:00 UTC.
            assert!(holds(yes, &of, 1_764_014_400), "{yes}");
        }
        assert!(holds("hour == 13", &of, 13 * 3600 + 59));
        assert!(holds("weekday == 4", &of, 0) && holds("weekday == 1", &of, 4 * 86_400));
        assert!(!holds("stream == false", &of, 0));
    }

    #[test]
    fn g4_what_goes_through_a_list_or_is_nested_is_refused_at_start() {
        let deep = format!("{}true{}", "(".repeat(200), ")".repeat(200));
        let long = format!("hour == 1{}", " || hour == 2".repeat(100));
        for bad in [
            "[1, 2].all(x, x > 0)",
            "[[1], [2]].map(x, x.map(y, y))",
            "[1].exists(x, x == 1)",
            "has(model.name)",
            "{'a': 1} == {'a': 1}",
            "payer == 'me'",
            "size(model) > 1",
            "model.matches('(a+)+')",
            "timestamp('2020-01-01T00:00:00Z') > 1",
            "prompt_tokens",
            "1 / n == 1",
            "model > 1",
            "",
            "hour >",
            "!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!true",
            &deep,
            &long,
        ] {
            assert!(adjustment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn factors_are_decimal_texts_within_bounds() {
        for (text, shown) in [("1.25", "1.25"), ("0.000001", "0.000001"), ("1000", "1000"), ("2.0", "2")] {
            assert_eq!(Multiplier::parse(text).unwrap().to_string(), shown);
        }
        for bad in ["", "0", "0.0000001", "1000.1", "-1", "1e3", "1,5", "NaN", "+1", " 1", ".5"] {
            assert_eq!(Multiplier::parse(bad), Err(MultiplierError), "{bad}");
        }
        let half = Multiplier::parse("0.5").unwrap();
        assert_eq!(half.of(Amount(U256::from(3))), Some(Amount(U256::from(2))), "rounded up");
        assert_eq!(half.of(Amount(U256::MAX)), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_a_condition_panic(when in "[a-z0-9_ ()!&|<>=+*/%.,'\\[\\]?:-]{0,60}") {
            let _ = adjustment(&when);
        }

        #[test]
        fn a_product_is_rounded_up_by_less_than_one(amount: u64, millionths in 1u64..=1_000_000_000) {
            let product = Multiplier(millionths).of(Amount(U256::from(amount))).unwrap().0;
            let exact = U256::from(amount) * U256::from(millionths);
            prop_assert!(product * U256::from(1_000_000) >= exact);
            prop_assert!(product * U256::from(1_000_000) < exact + U256::from(1_000_000));
        }
    }
}
