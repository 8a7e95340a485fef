//! What must be paid for exactly the bytes of a request, once it is known what it does and costs.

use salt402_paywall::{Order, Sold};
use salt402_protocol::{Amount, RequestDigest};

use crate::catalogue::Catalogue;

/// The order of exactly these bytes, of a description and a price.
pub(crate) fn ordered(method: String, path: String, body: &[u8]) -> impl Fn(String, Amount) -> Order + use<> {
    let sold = Sold::one(RequestDigest::of(&method, &path, body));
    move |description, amount| {
        let (method, path) = (method.clone(), path.clone());
        Order { method, path, sold, before: None, amount, by_use: false, description, credit: None }
    }
}

/// The same, charged as the model is.
pub(crate) fn charged_as<O: Fn(String, Amount) -> Order>(
    catalogue: &Catalogue,
    name: &str,
    order: O,
) -> impl Fn(String, Amount) -> Order + use<O> {
    let by_use = catalogue.get(name).is_some_and(|model| model.by_use);
    move |description, amount| Order { by_use, ..order(description, amount) }
}
