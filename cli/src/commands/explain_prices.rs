//! What models cost, in words.

use salt402_gateway::{Model, Route, USD_DECIMALS};
use salt402_protocol::Amount;

/// What a model is sold for, a line each. `unit` is that of the asset.
pub(super) fn lines(name: &str, model: &Model, unit: &(String, u8)) -> Vec<String> {
    let in_dollars = ("USD".to_owned(), USD_DECIMALS);
    let (symbol, decimals) = if model.rate.is_some() { &in_dollars } else { unit };
    let amount = |amount: Amount| format!("{} {symbol}", amount.to_units(*decimals));
    let price = &model.price;
    let apis: Vec<_> = model.apis.iter().map(|api| api.path()).collect();
    let mut lines = vec![
        format!(
            "{name}: {} a request and {} a token, up to {} tokens",
            amount(price.per_request),
            amount(price.per_token),
            model.max_tokens
        ),
        format!(
            "  sold by /v1/inference, {}; its server is taken as {}",
            apis.join(", "),
            model.server.name()
        ),
    ];
    if price.per_prompt_token.is_zero() {
        let longest = model.max_prompt_bytes;
        lines.push(format!(
            "  prompts cost nothing: one of {longest} bytes is answered at the price of the shortest"
        ));
    } else {
        lines.push(format!(
            "  {} a byte of the prompt, which is a token at most, and for each of {} of the template and {} a message, up to \
             {} bytes",
            amount(price.per_prompt_token),
            model.template_tokens,
            model.message_tokens,
            model.max_prompt_bytes
        ));
    }
    if let Some(image) = price.per_image {
        lines.push(format!("  {} an image of the prompt", amount(image)));
    }
    lines.extend(
        price.image_sizes.iter().map(|(size, each)| format!("  {} an image of {size}", amount(*each))),
    );
    if !price.minimum.is_zero() {
        lines.push(format!("  {} at least", amount(price.minimum)));
    }
    let adjusted =
        model.adjustments.iter().map(|own| format!("  times {} where {}", own.multiplier, own.when));
    lines.extend(adjusted);
    lines
}

/// What a route is sold for. `unit` is that of the asset.
pub(super) fn route(name: &str, route: &Route, unit: &(String, u8)) -> String {
    let candidates = route.candidates.join(", ");
    let Some(own) = &route.price else {
        return format!("{name}: the best of {candidates}, for the most that one of them costs");
    };
    let in_dollars = ("USD".to_owned(), USD_DECIMALS);
    let (symbol, decimals) = if own.rate.is_some() { &in_dollars } else { unit };
    let amount = |amount: Amount| format!("{} {symbol}", amount.to_units(*decimals));
    let price = &own.price;
    format!(
        "{name}: the best of {candidates}, for {} a request, {} a token and {} a token of the prompt, {} at least",
        amount(price.per_request),
        amount(price.per_token),
        amount(price.per_prompt_token),
        amount(price.minimum)
    )
}
