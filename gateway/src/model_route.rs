//! Routes that are sold: names under which the best of several models answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use salt402_http::clock::now;

use crate::pricing::{Cost, Price, Quantities, Rate, Unpriced};

/// A name under which the best of several models answers.
#[derive(Clone, Debug)]
pub struct Route {
    /// A description in words.
    pub description: String,
    /// The models, by the names that they are sold by. The first is taken of those that are equally good.
    pub candidates: Vec<String>,
    /// What it costs. `None`: the most that one of the candidates costs that take the request.
    pub price: Option<RoutePrice>,
}

/// What a route costs, whoever answers.
#[derive(Clone, Debug)]
pub struct RoutePrice {
    /// The price.
    pub price: Price,
    /// What a dollar buys, if the price is in dollars.
    pub rate: Option<Arc<Rate>>,
}

impl RoutePrice {
    /// What so much costs now, under the route's name.
    ///
    /// # Errors
    /// If it has no price.
    pub fn cost(&self, name: &str, of: &Quantities) -> Result<Cost, Unpriced> {
        Cost::of(name, &self.price, &[], self.rate.as_deref(), of, now())
    }
}

/// All routes, by name.
#[derive(Clone, Debug, Default)]
pub struct Routes(pub BTreeMap<String, Route>);

impl Routes {
    /// A route by its name.
    pub fn get(&self, name: &str) -> Option<&Route> {
        self.0.get(name)
    }

    /// The only route's name, if there is one alone.
    pub fn only(&self) -> Option<&str> {
        let mut names = self.0.keys();
        names.next().filter(|_| names.next().is_none()).map(String::as_str)
    }

    /// The names, for an error that says which there are.
    pub fn names(&self) -> String {
        self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}
