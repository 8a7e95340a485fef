//! Values that leave the process as a text.

/// Serde for types whose text is what `Display` writes and `FromStr` reads: a JSON string, and nothing else. `read` leaves the
/// writing to the type, where it has no `Display`.
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
