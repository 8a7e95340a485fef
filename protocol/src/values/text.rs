//! Values that are serialized as text.

/// Serde for types that `Display` writes and `FromStr` reads: a JSON string and nothing else. `read` implements only
/// `Deserialize`, for types without `Display`.
macro_rules! serde_as_text {
    (read $kind:ty) => {
        impl<'de> serde::Deserialize<'de> for $kind {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize<'de>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
    ($kind:ty) => {
        impl serde::Serialize for $kind {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        $crate::values::text::serde_as_text!(read $kind);
    };
}

pub(crate) use serde_as_text;
