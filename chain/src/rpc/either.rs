//! A JSON value that is an object or a list, parsed in one pass.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// One of two results, without an intermediate text.
pub(crate) enum ObjectOrList<O, L> {
    Object(O),
    List(Vec<L>),
}

impl<'de, O: DeserializeOwned, L: DeserializeOwned> Deserialize<'de> for ObjectOrList<O, L> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<O, L>(PhantomData<(O, L)>);

        impl<'de, O: DeserializeOwned, L: DeserializeOwned> Visitor<'de> for Either<O, L> {
            type Value = ObjectOrList<O, L>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object or a list")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                O::deserialize(MapAccessDeserializer::new(map)).map(ObjectOrList::Object)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(ObjectOrList::List(items))
            }
        }

        deserializer.deserialize_any(Either(PhantomData))
    }
}
