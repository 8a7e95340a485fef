//! The routes of the APIs that are passed on, with what their documents say.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use axum::routing::post;
use salt402_paywall::openapi::PaymentHeaders;
use utoipa::openapi::path::Paths;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, RefOr};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use crate::api::Api;
use crate::catalogue::Catalogue;
use crate::gateway::Gateway;
use crate::routing::asked::pass;

/// Declares the route of an API.
macro_rules! api {
    ($name:ident, $api:ident, $path:literal, $summary:literal, $answer:literal) => {
        #[doc = $summary]
        #[utoipa::path(post, path = $path, tag = "apis", params(PaymentHeaders),
            request_body(content = serde_json::Value, description = "The API's own body. A member that is not known here is refused by its name, before anything is paid."),
            responses((status = 200, description = $answer, body = serde_json::Value,
                headers(
                    ("X-Payment-Receipt" = String, description = "PaymentView as one line of JSON."),
                    ("Server-Timing" = String, description = "What verification and the model took, or its first piece."),
                    ("Cache-Control" = String, description = "`no-store, private`"),
                    ("Vary" = String, description = "The payment headers.")))))]
        async fn $name(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
            pass(&gateway, Api::$api, None, request).await
        }
    };
}

api!(
    chat,
    Chat,
    "/v1/chat/completions",
    "A chat completion in OpenAI's form, for a payment",
    "The completion, or with `stream` its chunks and `data: [DONE]`. The same request with the same proof and quote id gets the same bytes again."
);
api!(
    completions,
    Completions,
    "/v1/completions",
    "A completion of a text in OpenAI's form, for a payment",
    "The completion, or with `stream` its chunks and `data: [DONE]`. The same request with the same proof and quote id gets the same bytes again."
);
api!(
    embeddings,
    Embeddings,
    "/v1/embeddings",
    "Embeddings in OpenAI's form, for a payment",
    "The embeddings. The same request with the same proof and quote id gets the same bytes again."
);
api!(
    rerank,
    Rerank,
    "/v1/rerank",
    "Documents in the order of a query, for a payment",
    "The documents' places. The same request with the same proof and quote id gets the same bytes again."
);
api!(
    responses,
    Responses,
    "/v1/responses",
    "A response in OpenAI's form, for a payment",
    "The response, or with `stream` its events up to `response.completed`. The same request with the same proof and quote id gets the same bytes again."
);
api!(
    messages,
    Messages,
    "/v1/messages",
    "A message in Anthropic's form, for a payment",
    "The message, or with `stream` its events up to `message_stop`. The same request with the same proof and quote id gets the same bytes again."
);
api!(
    images,
    Images,
    "/v1/images/generations",
    "Images in OpenAI's form, for a payment",
    "The images. The same request with the same proof and quote id gets the same bytes again."
);

/// The route of each API.
pub(crate) fn apis() -> [UtoipaMethodRouter<Gateway>; 7] {
    let mut routes = [
        routes!(chat),
        routes!(completions),
        routes!(embeddings),
        routes!(rerank),
        routes!(responses),
        routes!(messages),
        routes!(images),
    ];
    routes.iter_mut().for_each(|route| describe_streams(&mut route.1));
    routes
}

/// Says of APIs with streams that an answer may be one.
fn describe_streams(paths: &mut Paths) {
    for (path, item) in &mut paths.paths {
        let answer = item.post.as_mut().and_then(|operation| operation.responses.responses.get_mut("200"));
        if let Some(RefOr::T(answer)) = answer
            && Api::of_path(path).is_some_and(Api::is_streamable)
        {
            let text = ObjectBuilder::new().schema_type(Type::String);
            let events = ContentBuilder::new().schema(Some(text)).build();
            answer.content.insert("text/event-stream".to_owned(), RefOr::T(events));
        }
    }
}

/// The models' own endpoints. Each is described as its API is, which `paths` has.
pub(crate) fn endpoints(catalogue: &Catalogue, paths: &Paths) -> OpenApiRouter<Gateway> {
    let mut router = OpenApiRouter::new();
    for (name, model) in &catalogue.0 {
        let Some(endpoint) = &model.endpoint else { continue };
        let api = model.main_api();
        if let Some(mut item) = paths.paths.get(api.path()).cloned() {
            if let Some(operation) = &mut item.post {
                operation.operation_id = Some(format!("endpoint {endpoint}"));
                operation.summary = Some(format!("{} of {name}, which the body need not name", api.path()));
            }
            router.get_openapi_mut().paths.paths.insert(endpoint.clone(), item);
        }
        let name = name.clone();
        let handle = async move |State(gateway): State<Gateway>, request: Request| {
            pass(&gateway, api, Some(&name), request).await
        };
        router = router.merge(Router::new().route(endpoint, post(handle)).into());
    }
    router
}
