//! What kind of server a model has, and by which APIs it is sold.

use salt402_gateway::{Api, Server};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// A kind of server, by its word.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ServerKind(pub(super) Server);

impl<'de> Deserialize<'de> for ServerKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Server::NAMED.into_iter().find(|server| server.name() == word).map(Self).ok_or_else(|| {
            let known = Server::NAMED.map(Server::name).join(", ");
            D::Error::custom(format_args!("expected one of {known}, found {word:?}"))
        })
    }
}

/// An API, by its word.
#[derive(Clone, Copy, Debug)]
pub(super) struct ApiName(pub(super) Api);

impl<'de> Deserialize<'de> for ApiName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Api::of_name(&word).map(Self).ok_or_else(|| {
            let known = Api::ALL.map(Api::name).join(", ");
            D::Error::custom(format_args!("expected one of {known}, found {word:?}"))
        })
    }
}
